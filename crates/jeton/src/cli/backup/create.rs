//! `jeton backup create`: the ledger as it is at this moment, for those who may open it.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufWriter, IsTerminal as _, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::AtomicU64,
    time::Duration,
};

use clap::Args;
use serde_json::json;

use super::told;
use crate::{
    backup::{
        envelope::{Recipients, recipient_lines},
        error::BackupError,
        take::{Taken, WithKeyring, signed, take},
    },
    capability::Clock,
    cli::{fault::Fault, out::Out, progress::work, secret::directory_of},
};

/// How often it is asked whether everything is signed.
const SIGNED_POLL: Duration = Duration::from_millis(100);
/// And for how long: 10 s.
const SIGNED_POLLS_MAX: u32 = 100;

const EXAMPLES: &str = "\
Examples:
  jeton backup create --data-dir /var/lib/jeton --to /backup/jeton.age --recipients-file /etc/jeton/backup-recipients
  jeton backup create --data-dir data --to - --recipient age1… | ssh vault 'cat > jeton.age'

It takes no lock and stops nobody. The file is replaced as a whole when the new backup is on the disk.";

/// Of what, to where, for whom.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct CreateArgs {
    /// The data directory
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The file to write; `-` for standard output
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Who may open it: an age recipient (repeatable)
    #[arg(long, value_name = "age1…")]
    recipient: Vec<String>,
    /// A file of recipients, one in each line
    #[arg(long, value_name = "FILE")]
    recipients_file: Option<PathBuf>,
    /// Put the wrapped keyring into it as well; its key-encryption key never is
    #[arg(long)]
    with_keyring: bool,
    /// Do not wait until the youngest events are signed: leave those out
    #[arg(long)]
    signed_only: bool,
}

pub(super) async fn run(args: CreateArgs, out: Out) -> Result<(), Fault> {
    let recipients = recipients(&args)?;
    let store = args.data_dir.join("ledger.db");
    if !store.exists() {
        let words = format!("{} holds no ledger (ledger.db)", args.data_dir.display());
        return Err(
            Fault::failed(words).hint("--data-dir is the directory that `jeton serve` was given")
        );
    }
    let piped = args.to.as_os_str() == "-";
    if piped && std::io::stdout().is_terminal() {
        return Err(Fault::usage(
            "a backup is not for a terminal: send standard output elsewhere",
        ));
    }
    if !args.signed_only {
        all_signed(&args.data_dir).await?;
    }
    let to = args.to.clone();
    let written = work("reading the ledger", move |events| {
        write(&args, &recipients, events)
    });
    let (taken, bytes) = written.await?.map_err(|e| told(&e))?;
    let told = json!({
        "file": to,
        "origin": taken.origin,
        "size": taken.size,
        "root": taken.root.to_string(),
        "last_uses": taken.uses,
        "keyring": taken.keyring,
        "bytes": bytes,
    });
    let keyring = if taken.keyring {
        ", with the wrapped keyring"
    } else {
        ""
    };
    let words = format!(
        "{}: {} events of {}, root {}, {bytes} bytes{keyring}",
        to.display(),
        taken.size,
        taken.origin,
        taken.root
    );
    if piped {
        // Standard output is the backup: what is said of it goes elsewhere.
        let words = if out.json { told.to_string() } else { words };
        drop(writeln!(std::io::stderr(), "{words}"));
        return Ok(());
    }
    out.done(&told, &words)
}

/// Waits until everything that is there by now is signed: a backup ends where a checkpoint does.
async fn all_signed(dir: &Path) -> Result<(), Fault> {
    let mut tick = tokio::time::interval(SIGNED_POLL);
    let mut least = None;
    for _ in 0..SIGNED_POLLS_MAX {
        tick.tick().await;
        let dir = dir.to_owned();
        let asked = work("waiting for a signature", move |_| signed(&dir)).await?;
        let (signed, there) = asked.map_err(|e| told(&e))?;
        if signed >= *least.get_or_insert(there) {
            return Ok(());
        }
    }
    let words = "the youngest events are not signed";
    let hint = "an authority signs them within a second while it runs, if its disk has room: start it; or leave them out \
                with --signed-only";
    Err(Fault::failed(words).hint(hint))
}

fn recipients(args: &CreateArgs) -> Result<Recipients, Fault> {
    let mut texts = args.recipient.clone();
    if let Some(path) = &args.recipients_file {
        texts.extend(recipient_lines(path).map_err(|e| told(&e))?);
    }
    let recipients = Recipients::parse(texts.iter().map(String::as_str)).map_err(|e| told(&e))?;
    if recipients.is_empty() {
        let hint = "name who may open it: --recipient age1…, or --recipients-file FILE; there is no plain backup";
        return Err(Fault::usage("a backup needs a recipient").hint(hint));
    }
    Ok(recipients)
}

fn write(
    args: &CreateArgs,
    recipients: &Recipients,
    events: &AtomicU64,
) -> Result<(Taken, u64), BackupError> {
    if args.to.as_os_str() == "-" {
        let out = BufWriter::with_capacity(1 << 17, std::io::stdout().lock());
        let (taken, counted) = seal(args, recipients, out, events)?;
        return Ok((taken, counted.bytes));
    }
    let fresh = fresh(&args.to);
    let written = to_file(args, recipients, &fresh, events);
    if written.is_err() {
        // Half a backup is worth nothing, and must not be taken for one.
        drop(fs::remove_file(&fresh));
    }
    written
}

/// Where a file is written before it takes its place.
fn fresh(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

fn to_file(
    args: &CreateArgs,
    recipients: &Recipients,
    fresh: &Path,
    events: &AtomicU64,
) -> Result<(Taken, u64), BackupError> {
    match fs::remove_file(fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(writing(fresh)(error));
        }
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let file = options.open(fresh).map_err(writing(fresh))?;
    let out = BufWriter::with_capacity(1 << 17, file);
    let (taken, counted) = seal(args, recipients, out, events)?;
    let file = counted
        .inner
        .into_inner()
        .map_err(|error| writing(fresh)(error.into_error()))?;
    // Until the rename the old backup stands there, whole; after it, the new one is on the disk.
    let placed = file
        .sync_all()
        .and_then(|()| fs::rename(fresh, &args.to))
        .and_then(|()| File::open(directory_of(&args.to))?.sync_all());
    placed.map_err(writing(&args.to))?;
    Ok((taken, counted.bytes))
}

fn writing(path: &Path) -> impl FnOnce(std::io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File {
        doing: "write",
        path,
        source,
    }
}

fn seal<W: Write>(
    args: &CreateArgs,
    recipients: &Recipients,
    out: W,
    events: &AtomicU64,
) -> Result<(Taken, Counted<W>), BackupError> {
    let mut sealed = recipients.seal(Counted {
        inner: out,
        bytes: 0,
    })?;
    let with = if args.with_keyring {
        WithKeyring::Yes
    } else {
        WithKeyring::No
    };
    let now = Clock::start().time();
    let taken = take(&args.data_dir, with, &mut sealed, now, events)?;
    let ended = sealed.finish().and_then(|mut counted| {
        counted.flush()?;
        Ok(counted)
    });
    let counted = ended.map_err(|source| BackupError::Stream {
        doing: "write",
        source,
    })?;
    Ok((taken, counted))
}

/// Counts what is written.
struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += u64::try_from(written).unwrap_or(0);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}
