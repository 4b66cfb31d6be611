//! `jeton fsck`: the whole store of a stopped authority, compared with what its ledger explains.

use std::{
    fs::File,
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use jeton_core::event::Event;
use jeton_store::{Continue, Reader as _, fsck::Report, ledger, sqlite::SqliteReader};
use serde_json::{Value, json};

use super::{
    fault::{FINDINGS, Fault},
    out::{Out, json_line, line},
    table::{self, at},
};
use crate::node::keyring::{Kek, Keyring};

const EXAMPLES: &str = "\
Examples:
  jeton fsck --data-dir /var/lib/jeton
  jeton fsck --data-dir ./restored --kek-file ./jeton-kek

Nothing is changed. Exit status: 0 sound, 3 findings, 1 if it cannot be looked at.";

/// Which store.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct FsckArgs {
    /// The data directory of a stopped authority
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The file of the key-encryption key; in the data directory unless told
    #[arg(long, value_name = "FILE")]
    kek_file: Option<PathBuf>,
    /// The name of the ledger; the one in its first event unless told
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
}

/// Runs the command.
pub(super) async fn run(args: FsckArgs, out: Out) -> Result<(), Fault> {
    let dir = args.data_dir.clone();
    let working = tokio::task::spawn_blocking(move || check(&args));
    let checked = wait(working)
        .await
        .map_err(|e| Fault::caused("the check ended badly", &e))?;
    let Checked { report, origin } = checked?;
    let finding =
        |f: &jeton_store::fsck::Finding| json!({"table": f.table, "row": f.row, "what": f.what});
    let findings: Vec<Value> = report.findings.iter().map(finding).collect();
    if out.json {
        json_line(&json!({
            "data_dir": dir,
            "origin": origin,
            "events": report.events,
            "rows": report.rows,
            "root": report.root,
            "findings": findings,
        }))?;
    } else {
        if !findings.is_empty() {
            let columns = [
                at("table", "/table"),
                at("row", "/row"),
                at("what", "/what"),
            ];
            line(&table::list(&columns, &findings))?;
            line("")?;
        }
        let verdict = match findings.len() {
            0 => "sound".to_owned(),
            1 => "1 finding".to_owned(),
            n => format!("{n} findings"),
        };
        line(&format!(
            "{verdict}: {} events and {} rows of {origin}, root {}",
            report.events, report.rows, report.root
        ))?;
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(Fault::Told(FINDINGS))
    }
}

/// Waits, and shows people that something happens.
async fn wait<T>(mut working: tokio::task::JoinHandle<T>) -> Result<T, tokio::task::JoinError> {
    let shown = std::io::stderr().is_terminal();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut seconds = 0u64;
    tick.tick().await;
    loop {
        tokio::select! {
            done = &mut working => {
                if shown && seconds > 0 {
                    drop(write!(std::io::stderr(), "\r\x1b[K"));
                }
                return done;
            }
            _ = tick.tick() => {
                seconds += 1;
                if shown {
                    drop(write!(std::io::stderr(), "\rreading the whole ledger … {seconds} s"));
                }
            }
        }
    }
}

struct Checked {
    report: Report,
    origin: String,
}

fn check(args: &FsckArgs) -> Result<Checked, Fault> {
    let dir = &args.data_dir;
    let store = dir.join("ledger.db");
    for (name, what) in [("ledger.db", "ledger"), ("keyring", "keyring")] {
        if !dir.join(name).exists() {
            let words = format!("{} holds no {what} ({name})", dir.display());
            return Err(Fault::failed(words)
                .hint("--data-dir is the directory that `jeton serve` was given"));
        }
    }
    let kek = args.kek_file.clone().unwrap_or_else(|| dir.join("kek"));
    if !kek.exists() {
        let words = format!("there is no key-encryption key at {}", kek.display());
        return Err(Fault::failed(words).hint("name its file with --kek-file"));
    }
    let _stopped = alone(dir)?;
    let keyring = Keyring::reopen(&dir.join("keyring"), &Kek::File(kek), &store);
    let keyring = keyring.map_err(|e| Fault::caused("cannot open the keyring", &e))?;
    let failed =
        |e: jeton_store::StoreError| Fault::caused(format!("cannot read {}", store.display()), &e);
    let mut reader = SqliteReader::open(&store).map_err(failed)?;
    let mut named = None;
    reader
        .events(0, &mut |stored| {
            let record = stored
                .opening
                .as_ref()
                .and_then(|(_, bytes)| ledger::decode(bytes));
            if let Some(Event::Genesis { origin, .. }) = record.map(|r| r.event) {
                named = Some(origin);
            }
            Ok(Continue::No)
        })
        .map_err(failed)?;
    let origin = args.origin.clone().or(named).ok_or_else(|| {
        Fault::failed("the ledger's first event does not name it")
            .hint("name it with --origin, as the configuration does")
    })?;
    let log = keyring.log_key(&origin);
    let log = log.map_err(|e| Fault::caused(format!("{origin} cannot name a ledger"), &e))?;
    let keys = |tenant| keyring.tag_key(tenant);
    let report = jeton_store::fsck::fsck(&mut reader, &keys, log.verifier()).map_err(failed)?;
    Ok(Checked { report, origin })
}

/// The directory's lock, while nobody runs on it: a ledger that grows meanwhile would look broken.
fn alone(dir: &Path) -> Result<Option<File>, Fault> {
    let Ok(file) = File::open(dir.join("lock")) else {
        return Ok(None);
    };
    let flock = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared);
    if flock.is_err() {
        let words = format!("jeton is running on {}", dir.display());
        return Err(Fault::failed(words).hint("stop it first, or check a copy"));
    }
    Ok(Some(file))
}
