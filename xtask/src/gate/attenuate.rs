//! G4: no token can create authority that it does not hold.
//!
//! Random tenants, random callers, every order that makes or changes authority: decided by the real rules, judged by an
//! oracle of explicit sets that shares no code with them (`crates/jeton-core/tests/attenuate.rs`).
//!
//! `--cases N` (20,000 quick, 1,000,000 full). With `--control` a no for want of authority is not heard: the oracle must find
//! that.

use std::process::Stdio;

use anyhow::Context as _;
use serde_json::{Map, Value};

use crate::{
    options::{Control, Options},
    run,
};

/// Proves it.
pub(crate) fn run(options: &Options) -> anyhow::Result<Value> {
    options.only(&["quick", "control", "cases"])?;
    let cases = options.figure("cases", 20_000, 1_000_000)?.to_string();
    let test = Test {
        package: "jeton-core",
        file: "attenuate",
        name: "no_order_makes_more_than_its_caller_could_give",
    };
    prove(&test, options, &[("JETON_CASES", &cases)])
}

/// A test that proves a promise, and tells its figures in a line `<file>: {…}`.
pub(super) struct Test {
    /// Of which package.
    pub(super) package: &'static str,
    /// In which file.
    pub(super) file: &'static str,
    /// Which function; empty: all in the file.
    pub(super) name: &'static str,
}

/// Runs a test in its own process: it passes if that ends well. The quick form uses what `cargo test` has built.
pub(super) fn prove(
    test: &Test,
    options: &Options,
    environment: &[(&str, &str)],
) -> anyhow::Result<Value> {
    let mut words = vec!["test", "-p", test.package, "--test", test.file];
    if !options.is_quick() {
        words.push("--release");
    }
    // What cannot be built proves nothing, and has not failed as a control should.
    run::succeed(run::command("cargo", &words).arg("--no-run"))?;
    let mut command = run::command("cargo", &words);
    command.args(["--", "--nocapture", test.name]);
    command.envs(environment.iter().copied());
    if options.control() == Control::Off {
        command.env("JETON_CONTROL", "1");
    }
    if !options.is_quick() {
        command.env("JETON_FULL", "1");
    }
    let ended = command.stderr(Stdio::inherit()).output();
    let ended = ended.context("the test cannot be started")?;
    let told = String::from_utf8_lossy(&ended.stdout);
    let mark = format!("{}: {{", test.file);
    let figures = told.lines().rev().find_map(|line| {
        let at = line.find(&mark)?;
        serde_json::from_str::<Map<String, Value>>(line.get(at + mark.len() - 1..)?).ok()
    });
    let mut figures = figures.context("the test told no figures: it did not come so far")?;
    if !ended.status.success() {
        // The end of what it said is why.
        let lines: Vec<&str> = told.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(40)..);
        eprintln!("{}", tail.unwrap_or_default().join("\n"));
    }
    figures.insert("pass".to_owned(), ended.status.success().into());
    Ok(figures.into())
}
