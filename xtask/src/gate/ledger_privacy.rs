//! The public log tells a stranger that something happened, and no more: in the tiles of a thousand events of ten tenants there
//! is no piece of a token, digest, id or name, and nothing that two events have in common (`crates/jeton/tests/privacy.rs`).
//!
//! With `--control` the openings are searched in place of the tiles: there it all is, and must be found.

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
        file: "privacy",
        name: "a_stranger_sees_that_something_happened_and_no_more",
    };
    prove(&test, options, &[])
}
