//! Whoever may write to the database and has no keys changes no decision, and every edit is named: by `jeton audit` beside the
//! running server, and by the server itself (`crates/jeton/tests/audit.rs`, LEDGER §6.4-6.7).
//!
//! Four promises, one test each. With `--control` the auditor leaves out the comparison that finds the edit: it must miss it.

use serde_json::Value;

use crate::{
    gate::attenuate::{Test, prove},
    options::Options,
};

/// Edited rows of tokens: scopes, expiry, owner, state.
pub(crate) fn tamper(options: &Options) -> anyhow::Result<Value> {
    test(options, "an_edited_row_changes_no_decision_and_is_named")
}

/// Flipped bytes in `event`, `tile` and `head`: 200 quick, 2,000 full.
pub(crate) fn sweep(options: &Options) -> anyhow::Result<Value> {
    test(options, "a_flipped_byte_is_named_wherever_it_is")
}

/// Rows and events out of nothing.
pub(crate) fn ghost(options: &Options) -> anyhow::Result<Value> {
    test(options, "a_row_without_a_leaf_is_nobody")
}

/// A revocation that is taken back.
pub(crate) fn unrevoke(options: &Options) -> anyhow::Result<Value> {
    test(options, "a_revocation_cannot_be_taken_back")
}

fn test(options: &Options, name: &'static str) -> anyhow::Result<Value> {
    options.only(&["quick", "control"])?;
    let test = Test {
        package: "jeton",
        file: "audit",
        name,
    };
    prove(&test, options, &[])
}
