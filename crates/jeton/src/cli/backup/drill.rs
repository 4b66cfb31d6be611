//! `jeton backup drill`: whether a backup can be restored, shown by doing it.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{Sealed, found, moment};
use crate::{
    backup::drill::{Drilled, Order, drill},
    cli::{
        fault::{FINDINGS, Fault},
        out::{Out, json_line, line},
        progress::work,
        table::{self, at},
    },
    node::keyring::Kek,
};

const EXAMPLES: &str = "\
Examples:
  jeton backup drill /backup/jeton.age --identity backup-identity.txt --data-dir /var/lib/jeton
  jeton backup drill full.age --identity id.txt --kek-file /etc/jeton/kek --within /var/tmp

The data directory is only read: its keyring, and how far it has served. Without one the keyring must be in the backup, or be named.
Exit status: 0 it would work, 3 it would not, 1 it could not be tried.";

/// Which backup, with which keys.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct DrillArgs {
    #[command(flatten)]
    sealed: Sealed,
    /// The live data directory: gives the keyring, and how far the backup is behind
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The keyring; that of the data directory or of the backup unless told
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    /// The file of the key-encryption key; in the data directory unless told
    #[arg(long, value_name = "FILE")]
    kek_file: Option<PathBuf>,
    /// Where there is room for a copy of the store; the directory for temporary files unless told
    #[arg(long, value_name = "DIR")]
    within: Option<PathBuf>,
}

pub(super) async fn run(args: DrillArgs, out: Out) -> Result<(), Fault> {
    let file = args.sealed.file.clone();
    let mut walk = args.sealed.open(out)?;
    let beside = args.data_dir.as_ref().map(|dir| dir.join("kek"));
    let Some(kek) = args.kek_file.clone().or(beside) else {
        let words = "the keyring needs its key-encryption key";
        return Err(
            Fault::usage(words).hint("name it with --kek-file, or its place with --data-dir")
        );
    };
    let own = args.data_dir.as_ref().map(|dir| dir.join("keyring"));
    let keyring = args.keyring.clone().or(own.filter(|path| path.exists()));
    let within = args.within.clone().unwrap_or_else(std::env::temp_dir);
    let live = args.data_dir.clone();
    let drilled = work("drilling", move |events| {
        let order = Order {
            keyring: keyring.as_deref(),
            kek: &Kek::File(kek),
            within: &within,
            live: live.as_deref(),
        };
        drill(&mut walk, &order, events)
    });
    let drilled = found(drilled.await?, &file, out)?;
    let bytes = std::fs::metadata(&file).map_or(0, |m| m.len());
    tell(&drilled, &json!(file), bytes, out)
}

fn tell(drilled: &Drilled, file: &Value, bytes: u64, out: Out) -> Result<(), Fault> {
    let Drilled { rebuilt, .. } = drilled;
    let findings = drilled.report.findings.iter();
    let findings: Vec<Value> = findings
        .map(|f| json!({"table": f.table, "row": f.row, "what": f.what}))
        .collect();
    let recovery_s = drilled.recovery().as_secs_f64();
    if out.json {
        json_line(&json!({
            "file": file,
            "origin": rebuilt.origin,
            "size": rebuilt.size,
            "root": rebuilt.root.to_string(),
            "made_at": moment(rebuilt.made_ms),
            "backup_bytes": bytes,
            "store_bytes": drilled.store_bytes,
            "restore_s": drilled.restore.as_secs_f64(),
            "start_s": drilled.start.as_secs_f64(),
            "recovery_s": recovery_s,
            "audit_s": drilled.audit.as_secs_f64(),
            "events_per_s": drilled.events_per_second(),
            "live_size": drilled.live_size,
            "behind": drilled.behind(),
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
        line(&words(drilled, findings.len(), bytes))?;
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(Fault::Told(FINDINGS))
    }
}

fn words(drilled: &Drilled, findings: usize, bytes: u64) -> String {
    let Drilled { rebuilt, .. } = drilled;
    let verdict = match findings {
        0 => "it would work".to_owned(),
        1 => "1 finding".to_owned(),
        n => format!("{n} findings"),
    };
    let behind = match (drilled.behind(), drilled.live_size) {
        (Some(behind), Some(live)) => {
            format!("\n  {behind} events behind the live directory, which has served {live}")
        }
        (Some(_) | None, _) => String::new(),
    };
    format!(
        "{verdict}: {} events of {}, root {}, as of {}\n  {:.1} s to recover ({:.1} s to restore, {:.1} s to start), {} events/s; \
         audit {:.1} s\n  backup {bytes} bytes, store {} bytes{behind}",
        rebuilt.size,
        rebuilt.origin,
        rebuilt.root,
        moment(rebuilt.made_ms),
        drilled.recovery().as_secs_f64(),
        drilled.restore.as_secs_f64(),
        drilled.start.as_secs_f64(),
        drilled.events_per_second(),
        drilled.audit.as_secs_f64(),
        drilled.store_bytes,
    )
}
