//! G5: who may do what is what the table says, for every operation, caller and way to show a credential, and nothing of
//! another tenant can be reached, seen or named (`crates/jeton/tests/authz.rs`).
//!
//! Quick: some callers show their credential in every way, the others as a bearer token. With `--control` everybody is let
//! in as the admin: the matrix must differ from the table.

use serde_json::Value;

use crate::{
    gate::attenuate::{Test, prove},
    options::{Control, Options},
};

/// Proves it.
pub(crate) fn run(options: &Options) -> anyhow::Result<Value> {
    options.only(&["quick", "control"])?;
    // The control concerns the matrix alone; the other tests of the file have their counterparts within.
    let name = match options.control() {
        Control::On => "",
        Control::Off => "every_caller_gets_what_the_table_says",
    };
    let test = Test {
        package: "jeton",
        file: "authz",
        name,
    };
    prove(&test, options, &[])
}
