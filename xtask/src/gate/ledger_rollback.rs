//! LEDGER §6.8 and §6.9: an authority with four real witnesses is put back, or written anew, by whoever holds its keys
//! (`crates/jeton/tests/rollback.rs`).
//!
//! With `--control` nobody remembers: the high-water mark is taken away and the witnesses are not asked. A revoked token must
//! live again then, and the rewritten history be shown.

use serde_json::Value;

use crate::{
    gate::attenuate::{Test, prove},
    options::Options,
};

/// A store that is put back.
pub(crate) fn rollback(options: &Options) -> anyhow::Result<Value> {
    run(
        options,
        "a_store_that_is_put_back_allows_nothing_until_a_mirror_has_brought_the_rest",
    )
}

/// A history that was written anew.
pub(crate) fn rewrite(options: &Options) -> anyhow::Result<Value> {
    run(
        options,
        "a_history_that_was_written_anew_is_cosigned_by_nobody_and_shown_to_nobody",
    )
}

fn run(options: &Options, name: &'static str) -> anyhow::Result<Value> {
    options.only(&["quick", "control"])?;
    let test = Test {
        package: "jeton",
        file: "rollback",
        name,
    };
    prove(&test, options, &[])
}
