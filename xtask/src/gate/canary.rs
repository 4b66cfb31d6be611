//! G7: a stolen database, replica, backup or log holds no usable token. Marked secrets go through every door of the real
//! binary, also in places where they do not belong; then every file, every log line and every answer is searched for them
//! (`crates/jeton/tests/canary.rs`).
//!
//! `--tokens N` (300 quick, 10,000 full). With `--control` one secret is put into the captured log: it must be found.

use serde_json::Value;

use crate::{
    gate::attenuate::{Test, prove},
    options::Options,
};

/// Proves it.
pub(crate) fn run(options: &Options) -> anyhow::Result<Value> {
    options.only(&["quick", "control", "tokens"])?;
    let tokens = options.figure("tokens", 300, 10_000)?.to_string();
    let test = Test {
        package: "jeton",
        file: "canary",
        name: "no_secret_is_anywhere_but_in_the_answer_that_shows_it",
    };
    prove(&test, options, &[("JETON_TOKENS", &tokens)])
}
