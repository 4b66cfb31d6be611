//! A tenant learns what was issued behind its back, and what is missing: the webhook has it within the interval and five seconds,
//! with its place in the log; a number that is skipped is a gap (`crates/jeton/tests/monitor.rs`).
//!
//! With `--control` the monitor has another tenant's key: it sees nothing, and that must be noticed.

use serde_json::Value;

use crate::{
    gate::attenuate::{Test, prove},
    options::Options,
};

/// Proves it.
pub(crate) fn run(options: &Options) -> anyhow::Result<Value> {
    options.only(&["quick", "control"])?;
    let test = Test {
        package: "jeton",
        file: "monitor",
        // Both of its tests: gaps, and the webhook.
        name: "",
    };
    prove(&test, options, &[])
}
