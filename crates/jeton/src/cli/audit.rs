//! `jeton audit`: the store compared with what its ledger explains and with what lies outside of it, whether it runs or not.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use clap::Args;
use jeton_store::fsck::Finding;
use serde_json::{Value, json};

use super::{
    fault::{FINDINGS, Fault},
    out::{Out, json_line, line},
    progress,
    table::{self, at},
};
use crate::node::{
    audit::{self, AuditError, Audited, HighWater, Outside, Reach, Seen, Witnessed},
    keyring::Kek,
    quorum::{Quorum, Recalled},
};

const EXAMPLES: &str = "\
Examples:
  jeton audit --data-dir /var/lib/jeton
  jeton --json audit --data-dir /var/lib/jeton --kek-file /etc/jeton/kek
  jeton audit --data-dir /var/lib/jeton --policy witnesses --witness-ca ca.pem

It reads one moment of the store and changes nothing, so it works while the authority runs. Each finding names table, row,
token, leaf and field. With a policy each of its witnesses is asked what it remembers; one that is not reached is shown, and is no
finding. Exit status: 0 sound, 3 findings, 1 if it cannot be looked at.";

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
    /// The witness policy (c2sp.org/tlog-policy): its witnesses are asked what they remember
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A CA file in PEM for the witnesses
    #[arg(long, value_name = "FILE", requires = "policy")]
    witness_ca: Option<PathBuf>,
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
    let recalled = match &args.policy {
        None => Vec::new(),
        Some(policy) => recalled(policy, args.witness_ca.as_deref()).await?,
    };
    compare(args.store, Reach::Outside(recalled), out).await
}

/// What the witnesses of a policy remember.
async fn recalled(policy: &Path, ca: Option<&Path>) -> Result<Vec<Recalled>, Fault> {
    let quorum = Quorum::read(policy, ca).map_err(|error| {
        let cause = core::error::Error::source(&error).unwrap_or(&error);
        Fault::caused(error.to_string(), cause)
            .hint("--policy is a policy with the URLs of its witnesses, as the authority has it")
    })?;
    Ok(quorum.recall().await)
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
    let audited = progress::shown(working, |seconds| {
        format!("reading the whole ledger … {seconds} s")
    })
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
        return json_line(&told(dir, audited, &findings));
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
    if let Some(known) = &audited.outside {
        beside(known, report.log.origin(), out);
    }
    Ok(())
}

/// Everything, for scripts.
fn told(dir: &Path, audited: &Audited, findings: &[Value]) -> Value {
    let (report, outside) = (&audited.report, audited.outside.as_ref());
    let mark = outside.and_then(|known| known.high_water.mark());
    let witnesses = outside.iter().flat_map(|known| &known.witnesses);
    let witnesses: Vec<Value> = witnesses.map(witness).collect();
    json!({
        "data_dir": dir,
        "origin": audited.origin,
        "epochs": report.log.epoch(),
        "events": report.events,
        "rows": report.rows,
        "erased": {"openings": report.erased_openings, "words": report.erased_words},
        "checkpoints": report.checkpoints,
        "signed": report.signed,
        "served": mark.map(|mark| mark.size),
        "witnesses": witnesses,
        "root": report.root,
        "findings": findings,
        "more": report.dropped,
    })
}

/// What people should know of what lies outside, and is no finding.
fn beside(known: &Outside, origin: &str, out: Out) {
    if known.high_water == HighWater::Absent {
        out.note(
            "there is no high-water file: whether this is an old backup cannot be told from here",
        );
    }
    let mut asked = known.witnesses.iter();
    if asked.len() > 0 && !asked.any(|witness| witness.origin == origin) {
        out.note(&format!(
            "the policy has no log line of {origin}: nobody was asked about it"
        ));
    }
    for Witnessed { witness, seen, .. } in &known.witnesses {
        match seen {
            Seen::Unheard(why) => out.note(&format!("witness {witness} was not heard: {why}")),
            Seen::Nothing => out.note(&format!("witness {witness} has seen nothing of it")),
            Seen::Ended(size) => out.note(&format!(
                "witness {witness} has seen {size} events of an epoch that has ended"
            )),
            Seen::Same(size) => out.note(&format!("witness {witness} has seen the same {size} events")),
            Seen::Unknown(size) => out.note(&format!(
                "witness {witness} has seen {size} events, which cannot be compared while some are missing"
            )),
            Seen::Ahead { .. } | Seen::Other { .. } => {}
        }
    }
}

fn witness(told: &Witnessed) -> Value {
    let why = match &told.seen {
        Seen::Unheard(why) => Some(why),
        Seen::Same(_)
        | Seen::Unknown(_)
        | Seen::Ahead { .. }
        | Seen::Other { .. }
        | Seen::Ended(_)
        | Seen::Nothing => None,
    };
    json!({
        "witness": told.witness,
        "origin": told.origin,
        "seen": told.seen.word(),
        "size": told.seen.size(),
        "why": why,
    })
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
