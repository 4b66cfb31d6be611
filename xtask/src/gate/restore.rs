//! G3: no restore brings a revoked token back. A node lives, is copied in one of many ways (backup, SQLite's own copy, files,
//! files beside newer ones), acknowledges revocations of every kind, and is put back; then each of those tokens is tried, and
//! the node must be in quarantine or not start, and say both sizes (`crates/jeton/tests/restore.rs`).
//!
//! `--scenarios N` (14 quick, 50 full). With `--control` the high-water mark is taken away before the start: tokens must live
//! again.

use serde_json::Value;

use crate::{
    gate::attenuate::{Test, prove},
    options::Options,
};

/// Proves it.
pub(crate) fn run(options: &Options) -> anyhow::Result<Value> {
    options.only(&["quick", "control", "scenarios"])?;
    let scenarios = options.figure("scenarios", 14, 50)?.to_string();
    let test = Test {
        package: "jeton",
        file: "restore",
        name: "no_restore_brings_a_revoked_token_back",
    };
    prove(&test, options, &[("JETON_SCENARIOS", &scenarios)])
}
