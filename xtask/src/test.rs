//! `cargo xtask test`: everything that must hold before a change is kept, in the order in which it is cheapest to fail.

use std::{
    process::{Command, ExitCode},
    time::Duration,
};

use crate::{
    gate::{self, GATES, Gate, When},
    r#gen,
    install::{self, Installed},
    options::Options,
    run,
};

/// What a test or a measuring program may do, and the product may not: stop at the first surprise.
const TESTS_MAY: &[&str] = &[
    "clippy::pedantic",
    "clippy::unwrap_used",
    "clippy::expect_used",
    "clippy::panic",
    "clippy::indexing_slicing",
    "clippy::as_conversions",
    "clippy::wildcard_enum_match_arm",
    "clippy::too_many_arguments",
    // What the line above allows is expected by name in some files.
    "unfulfilled_lint_expectations",
    // Files that several programs share.
    "unreachable_pub",
];

/// Runs all steps, stops at the first that fails, and tells how long each took.
pub(crate) fn test(options: &Options) -> ExitCode {
    let mut steps = Steps::default();
    let done = all(&mut steps, options);
    steps.tell();
    match done {
        Ok(()) if steps.skipped.is_empty() => {
            println!("everything passed");
            ExitCode::SUCCESS
        }
        Ok(()) => {
            println!(
                "passed, but for what was skipped: {}",
                steps.skipped.join("; ")
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("FAILED at the step `{}`: {error:#}", steps.last());
            ExitCode::FAILURE
        }
    }
}

fn all(steps: &mut Steps, options: &Options) -> anyhow::Result<()> {
    let installed = steps.step("install", || Ok(install::install()))?;
    for missing in &installed.missing {
        steps.skipped.push(format!("what needs {missing}"));
    }
    steps.step("format", || {
        run::succeed(&mut cargo(&["fmt", "--all", "--check"]))
    })?;
    steps.step("clippy", || {
        run::succeed(&mut cargo(&[
            "clippy",
            "--workspace",
            "--lib",
            "--bins",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    steps.step("clippy of tests and examples", || {
        let mut words = vec![
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ];
        for lint in TESTS_MAY {
            words.extend(["-A", lint]);
        }
        run::succeed(&mut cargo(&words))
    })?;
    steps.step("generated files", || {
        anyhow::ensure!(
            r#gen::command(true)? == ExitCode::SUCCESS,
            "generated files are stale"
        );
        Ok(())
    })?;
    steps.step("tests", || tests(&installed))?;
    if run::works(&mut cargo(&["deny", "--version"])) {
        steps.step("deny", || {
            let check = ["deny", "--offline", "check", "bans", "licenses", "sources"];
            run::succeed(&mut cargo(&check))
        })?;
    } else {
        println!("cargo-deny is not installed: bans, licences and sources are not checked");
        steps
            .skipped
            .push("cargo deny, which is not installed".to_owned());
    }
    gates(steps, options, &installed)
}

fn tests(installed: &Installed) -> anyhow::Result<()> {
    let mut tests = cargo(&["test", "--workspace"]);
    tests.env("JETON_TEST_MISSING", installed.missing.join(","));
    tests.env("JETON_TEST_VENV", install::venv_bin()?);
    run::succeed(&mut tests)
}

fn gates(steps: &mut Steps, options: &Options, installed: &Installed) -> anyhow::Result<()> {
    let (can, cannot): (Vec<&Gate>, Vec<&Gate>) = GATES
        .iter()
        .filter(|gate| due(gate.when, options.is_quick()))
        .partition(|gate| gate.needs.iter().all(|need| installed.has(need)));
    for gate in cannot {
        println!(
            "the gate `{}` is skipped: it needs {}",
            gate.name,
            gate.needs.join(", ")
        );
        steps.skipped.push(format!("the gate `{}`", gate.name));
    }
    if can.iter().any(|gate| gate.needs_binary) {
        steps.step("release build", || run::release_binary().map(drop))?;
    }
    for gate in can {
        steps.step(&format!("gate {}", gate.name), || {
            gate::quick_with_control(gate)
        })?;
    }
    Ok(())
}

/// Whether a gate's quick form is due in this run.
fn due(when: When, quick: bool) -> bool {
    match when {
        When::EachTest => true,
        When::LongTest => !quick,
        When::ByHand => false,
    }
}

fn cargo(args: &[&str]) -> Command {
    run::command("cargo", args)
}

/// The steps so far.
#[derive(Default)]
struct Steps {
    done: Vec<(String, Duration)>,
    skipped: Vec<String>,
}

impl Steps {
    fn step<T>(
        &mut self,
        name: &str,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        println!("\n== {name}");
        let took = run::stopwatch();
        let result = work();
        self.done.push((name.to_owned(), took()));
        result
    }

    fn last(&self) -> &str {
        self.done.last().map_or("none", |(name, _)| name)
    }

    fn tell(&self) {
        println!("\n== durations");
        for (name, took) in &self.done {
            println!("{:>8.1} s  {name}", took.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_that_failed_is_the_last_one() {
        let mut steps = Steps::default();
        steps.step("one", || Ok(())).unwrap();
        assert!(
            steps
                .step("two", || -> anyhow::Result<()> { anyhow::bail!("no") })
                .is_err()
        );
        assert_eq!(steps.last(), "two");
        assert_eq!(steps.done.len(), 2);
    }

    #[test]
    fn quick_runs_leave_out_the_long_gates() {
        assert!(due(When::EachTest, true) && due(When::EachTest, false));
        assert!(!due(When::LongTest, true) && due(When::LongTest, false));
        assert!(!due(When::ByHand, true) && !due(When::ByHand, false));
    }
}
