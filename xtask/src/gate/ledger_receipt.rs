//! A receipt proves offline what was issued: a hundred hold under three of four witnesses, with two cosignatures none does; one of a
//! ledger of a million has at most 2.5 kB (`crates/jeton/tests/receipt.rs`).
//!
//! With `--control` the policy asks for two: then those with two are believed, which must be noticed.

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
        file: "receipt",
        name: "a_hundred_receipts_hold_under_three_of_four",
    };
    prove(&test, options, &[])
}
