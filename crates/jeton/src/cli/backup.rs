//! `jeton backup`: takes, reads, restores and rehearses encrypted backups of an authority.

mod create;
mod drill;
mod restore;
mod verify;

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use age::stream::StreamReader;
use clap::{Args, Subcommand};
use jeton_core::time::Time;

use super::{
    fault::{FINDINGS, Fault},
    out::{Out, json_line, line},
};
use crate::backup::{envelope::Identities, error::BackupError, walk::Walk};

const EXAMPLES: &str = "\
Examples:
  age-keygen -o backup-identity.txt     (keep it away from the server; the server needs only the recipient that it prints)
  jeton backup create --data-dir /var/lib/jeton --to /backup/jeton.age --recipient age1…
  jeton backup verify /backup/jeton.age --identity backup-identity.txt
  jeton backup drill /backup/jeton.age --identity backup-identity.txt --data-dir /var/lib/jeton
  jeton backup restore /backup/jeton.age --identity backup-identity.txt --data-dir /var/lib/jeton

A backup is always encrypted (age-encryption.org), and holds no key of the authority unless --with-keyring puts the wrapped
keyring into it. Exit status: 0 done, 3 what was read is damaged or unsound, 1 it could not be done.";

/// What to do.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct BackupArgs {
    #[command(subcommand)]
    command: BackupCommand,
}

#[derive(Subcommand, Debug)]
enum BackupCommand {
    /// Take a backup, beside a running server or without one
    Create(create::CreateArgs),
    /// Read a backup to its end and check what can be checked without the authority's keys
    Verify(verify::VerifyArgs),
    /// Put a backup in place of the store of a stopped authority
    Restore(restore::RestoreArgs),
    /// Restore into a temporary directory, start, audit, measure, and leave nothing behind
    Drill(drill::DrillArgs),
}

/// Which backup, and who may open it.
#[derive(Args, Debug)]
struct Sealed {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A file of age identities (AGE-SECRET-KEY-1…), mode 0600
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
}

impl Sealed {
    fn open(&self, out: Out) -> Result<Walk<StreamReader<BufReader<File>>>, Fault> {
        let open = || {
            let identities = Identities::read(&self.identity)?;
            let file = File::open(&self.file).map_err(|source| BackupError::File {
                doing: "read",
                path: self.file.clone(),
                source,
            })?;
            Walk::begin(identities.open(BufReader::with_capacity(1 << 17, file))?)
        };
        found(open(), &self.file, out)
    }
}

/// Runs the command.
pub(super) async fn run(args: BackupArgs, out: Out) -> Result<(), Fault> {
    match args.command {
        BackupCommand::Create(args) => create::run(args, out).await,
        BackupCommand::Verify(args) => verify::run(args, out).await,
        BackupCommand::Restore(args) => restore::run(args, out).await,
        BackupCommand::Drill(args) => drill::run(args, out).await,
    }
}

/// An error in the words of the command line, with what to do.
fn told(error: &BackupError) -> Fault {
    let hint = match error {
        BackupError::NoIdentity => {
            Some("the identity must be that of a recipient that the backup was made for")
        }
        BackupError::NoKeyring(_) => Some(
            "restore the keyring from where keys are kept: without it nothing says whose events these are",
        ),
        BackupError::Keyring(_) => {
            Some("--kek-file names the key-encryption key; backups never hold it")
        }
        BackupError::Replaced { .. } => Some(
            "if it is being read, wait; if it is broken, --move-unreadable moves it aside, and only the high-water mark then \
             knows how far it had come",
        ),
        BackupError::Start(_) => Some("stop the server first"),
        BackupError::Damaged { .. } => Some("take another backup, and drill it"),
        BackupError::Unsigned => Some("repeat it in a second"),
        BackupError::Recipient(_) => Some("a recipient is what `age-keygen -y` prints: age1…"),
        BackupError::File { .. }
        | BackupError::Stream { .. }
        | BackupError::Open(_)
        | BackupError::NotOurs(_)
        | BackupError::Unsound(_)
        | BackupError::Store(_) => None,
    };
    let cause = core::error::Error::source(error);
    let fault = match cause {
        Some(cause) => Fault::caused(error.to_string(), cause),
        None => Fault::failed(error.to_string()),
    };
    match hint {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

/// Damage is a finding, told as an answer; all else is a fault.
fn found<T>(result: Result<T, BackupError>, file: &Path, out: Out) -> Result<T, Fault> {
    match result {
        Ok(value) => Ok(value),
        Err(BackupError::Damaged { events, what }) => {
            if out.json {
                let finding = serde_json::json!({"after_events": events, "what": what});
                json_line(&serde_json::json!({
                    "file": file,
                    "findings": [finding],
                }))?;
            } else {
                line(&format!(
                    "damaged: {}, {events} events in: {what}",
                    file.display()
                ))?;
            }
            Err(Fault::Told(FINDINGS))
        }
        Err(error) => Err(told(&error)),
    }
}

/// A moment as people and scripts read it.
fn moment(ms: u64) -> String {
    let at = i64::try_from(Time::from_millis(ms).millis()).ok();
    let at = at.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map(|at| at.to_string()).unwrap_or_default()
}
