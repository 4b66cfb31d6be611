//! G9, R5: on a full disk checks and revocations go on, nothing is half done, and issuing resumes by itself.
//!
//! The data directory lies on a small ext4 that is filled to the last byte while orders come in; see
//! `crates/jeton/examples/durability/full.rs` for the story. With `--control` there is no ballast: revocation must fail.

use anyhow::ensure;
use serde_json::{Value, json};

use crate::{
    gate::lab::{Lab, example, last_line},
    install,
    options::{Control, Options},
    run,
};

const MIB: u64 = 1 << 20;
/// Room for the ballast, the ledger, and something to fill.
const DISK_BYTES: u64 = 512 * MIB;
/// The ballast of the default configuration.
const BALLAST_MIB: u64 = 64;

/// Proves it.
pub(crate) fn run(options: &Options) -> anyhow::Result<Value> {
    options.only(&["quick", "control", "tokens"])?;
    let tokens = options.figure("tokens", 3000, 20_000)?;
    if let Some(why) = install::no_mounts() {
        return Ok(json!({"pass": false, "skipped": why}));
    }
    let example = example()?;
    let mut lab = Lab::set_up(2 * DISK_BYTES)?;
    let image = lab.path("disk.img");
    // No room reserved for root: the gate runs as root, and must meet the end of the disk all the same.
    Lab::format(&image, DISK_BYTES, &["mkfs.ext4", "-q", "-F", "-m", "0"])?;
    let disk = lab.mount(&image, "disk")?;
    let ballast_mib = match options.control() {
        Control::On => BALLAST_MIB,
        Control::Off => 0,
    };
    let mut full = run::command("timeout", &["--kill-after=5", "900"]);
    full.arg(&example).arg("full");
    full.arg("--data").arg(disk.join("data"));
    full.args(["--ballast-mib", &ballast_mib.to_string()]);
    full.args(["--tokens", &tokens.to_string()]);
    let mut report = last_line(&run::output(&mut full)?)?;
    lab.unmount(&disk)?;
    let failures = report.get("failures").and_then(Value::as_u64);
    ensure!(failures.is_some(), "the story has no end: {report}");
    if let Some(report) = report.as_object_mut() {
        report.insert("pass".to_owned(), (failures == Some(0)).into());
        report.insert("ballast_mib".to_owned(), ballast_mib.into());
        report.insert("tokens".to_owned(), tokens.into());
    }
    Ok(report)
}
