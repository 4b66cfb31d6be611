//! LEDGER §6 (11): with 3 of 4 witnesses asked for and one of them lying, no verifier is ever shown two histories of a log.
//!
//! Three witnesses run for real over TLS, a fourth signs whatever it is shown, and the log shows each of them both histories at
//! once (`crates/jeton/tests/witness.rs`). 40 logs quick, 1,000 full. With `--control` two of four are enough for the verifier:
//! it must be shown both.

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
        file: "witness",
        name: "no_two_histories_both_get_a_quorum",
    };
    prove(&test, options, &[])
}
