//! `jeton audit`: the store compared with what its ledger explains and with what lies outside of it, whether it runs or not.

use std::{
    fs::File,
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use jeton_store::fsck::Finding;
use serde_json::{Value, json};

use super::{
    fault::{FINDINGS, Fault},
    out::{Out, json_line, line},
    table::{self, at},
};
use crate::node::{
    audit::{self, AuditError, Audited, HighWater, Reach},
    keyring::Kek,
};

const EXAMPLES: &str = "\
Examples:
  jeton audit --data-dir /var/lib/jeton
  jeton --json audit --data-dir /var/lib/jeton --kek-file /etc/jeton/kek

It reads one moment of the store and changes nothing, so it works while the authority runs. Each finding names table, row,
token, leaf and field. Exit status: 0 sound, 3 findings, 1 if it cannot be looked at.";

/// Which store.
#[derive(Args, Debug)]
pub(super) struct StoreArgs {
    /// The data directory of an authority
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: PathBuf,
    /// The file of the key-encryption key; in the data directory unless told
    #[arg(long, value_name = "FILE")]
    kek_file: Option<PathBuf>,
    /// The name of the ledger; the one in its first event unless told
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
}

/// Which store.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct AuditArgs {
    #[command(flatten)]
    store: StoreArgs,
}

impl StoreArgs {
    fn kek(&self) -> PathBuf {
        let inside = || self.data_dir.join("kek");
        self.kek_file.clone().unwrap_or_else(inside)
    }

    /// Whether everything is there that is looked at.
    pub(super) fn there(&self) -> Result<(), Fault> {
        let dir = &self.data_dir;
        for (name, what) in [("ledger.db", "ledger"), ("keyring", "keyring")] {
            if !dir.join(name).exists() {
                let words = format!("{} holds no {what} ({name})", dir.display());
                return Err(Fault::failed(words)
                    .hint("--data-dir is the directory that `jeton serve` was given"));
            }
        }
        let kek = self.kek();
        if kek.exists() {
            return Ok(());
        }
        let words = format!("there is no key-encryption key at {}", kek.display());
        Err(Fault::failed(words).hint("name its file with --kek-file"))
    }
}

/// Runs the command.
pub(super) async fn run(args: AuditArgs, out: Out) -> Result<(), Fault> {
    args.store.there()?;
    if is_running(&args.store.data_dir) {
        out.note("the authority runs: this is its store at one moment");
    }
    compare(args.store, Reach::Outside, out).await
}

/// Whether an authority runs on a directory: it holds the lock.
fn is_running(dir: &Path) -> bool {
    let lock = rustix::fs::FlockOperation::NonBlockingLockShared;
    File::open(dir.join("lock")).is_ok_and(|file| rustix::fs::flock(&file, lock).is_err())
}

/// Compares a store, and tells what was found.
pub(super) async fn compare(args: StoreArgs, reach: Reach, out: Out) -> Result<(), Fault> {
    let dir = args.data_dir.clone();
    let working = tokio::task::spawn_blocking(move || {
        let kek = Kek::File(args.kek());
        audit::audit(&args.data_dir, &kek, args.origin.as_deref(), reach)
    });
    let audited = wait(working)
        .await
        .map_err(|e| Fault::caused("the check ended badly", &e))?;
    let audited = audited.map_err(|error| fault(&error))?;
    tell(&dir, &audited, out)?;
    if audited.report.findings.is_empty() {
        Ok(())
    } else {
        Err(Fault::Told(FINDINGS))
    }
}

fn fault(error: &AuditError) -> Fault {
    let fault = Fault::caused(
        error.to_string(),
        core::error::Error::source(error).unwrap_or(error),
    );
    match error {
        AuditError::Origin { .. } => {
            fault.hint("--origin is the name of the ledger, as the configuration has it")
        }
        AuditError::Keyring(_) | AuditError::Store { .. } => fault,
    }
}

fn tell(dir: &Path, audited: &Audited, out: Out) -> Result<(), Fault> {
    let report = &audited.report;
    let findings: Vec<Value> = report.findings.iter().map(finding).collect();
    if out.json {
        let high_water = audited.outside.as_ref().map(|known| known.high_water);
        return json_line(&json!({
            "data_dir": dir,
            "origin": audited.origin,
            "events": report.events,
            "rows": report.rows,
            "checkpoints": report.checkpoints,
            "signed": report.signed,
            "served": high_water.and_then(served),
            "root": report.root,
            "findings": findings,
            "more": report.dropped,
        }));
    }
    if !findings.is_empty() {
        let columns = [
            at("table", "/table"),
            at("row", "/row"),
            at("leaf", "/leaf"),
            at("field", "/field"),
            at("what", "/what"),
        ];
        line(&table::list(&columns, &findings))?;
        line("")?;
    }
    let verdict = match findings.len() {
        0 => "sound".to_owned(),
        1 => "1 finding".to_owned(),
        n if report.dropped > 0 => format!("{n} findings and {} more", report.dropped),
        n => format!("{n} findings"),
    };
    let (events, rows, root) = (report.events, report.rows, &report.root);
    let origin = &audited.origin;
    line(&format!(
        "{verdict}: {events} events and {rows} rows of {origin}, root {root}"
    ))?;
    if audited
        .outside
        .as_ref()
        .is_some_and(|known| known.high_water == HighWater::Absent)
    {
        out.note(
            "there is no high-water file: whether this is an old backup cannot be told from here",
        );
    }
    Ok(())
}

const fn served(high_water: HighWater) -> Option<u64> {
    match high_water {
        HighWater::Served(size) => Some(size),
        HighWater::Absent | HighWater::Unreadable => None,
    }
}

fn finding(f: &Finding) -> Value {
    json!({
        "table": f.table,
        "row": f.row,
        "token": f.token.map(|token| token.to_string()),
        "leaf": f.leaf,
        "field": f.field,
        "what": f.what,
    })
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
