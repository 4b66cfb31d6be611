//! The log is what it says in the eyes of programs that nobody here wrote: golang.org/x/mod reads live exports of 1 to 70,000
//! events, every entry and a hundred proofs of each kind; scitt-cose reads our proofs as COSE receipts
//! (`crates/jeton/tests/xmod.rs`).
//!
//! Quick: up to 257, and 65,537. With `--control` one byte of an entry is flipped: the program must say so.

use serde_json::Value;

use crate::{
    gate::attenuate::{Test, prove},
    install,
    options::Options,
};

/// Proves it.
pub(crate) fn run(options: &Options) -> anyhow::Result<Value> {
    options.only(&["quick", "control"])?;
    let test = Test {
        package: "jeton",
        file: "xmod",
        name: "verifiers_that_nobody_here_wrote_agree",
    };
    let cose = install::scitt_cose();
    let missing = if cose.is_ok() { "" } else { "scitt-cose" };
    let venv = install::venv_bin()?.to_string_lossy().into_owned();
    let environment = [("JETON_TEST_VENV", &*venv), ("JETON_TEST_MISSING", missing)];
    prove(&test, options, &environment)
}
