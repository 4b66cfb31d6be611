//! LEDGER §6.20: anchors, made and compared with tools that nobody here wrote.
//!
//! A development chain (anvil) runs the contract: solc compiles its source to the bytes that are checked in, jeton deploys
//! it and anchors three heads, ethers reads them and tries to break the rules. The reference implementation of OpenTimestamps
//! makes a proof that jeton verifies and verifies the one that jeton made with a calendar; wrong headers and wrong
//! checkpoints are refused by both.
//!
//! With `--control` the contract under attack has lost its growth check, and jeton's verdicts on headers are all a yes: the
//! gate must find both.

mod contract;
mod stamps;

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::{
    install,
    options::{Control, Options},
    run,
};

const ORIGIN: &str = "log.example.test";
/// The heads that are anchored, in order; the last one never is.
const SIZES: [u64; 4] = [3, 7, 20, 21];
const STAMPS_PY: &str = "xtask/src/gate/ledger_anchor/stamps.py";

/// Proves it.
pub(crate) fn run(options: &Options) -> anyhow::Result<Value> {
    options.only(&["quick", "control"])?;
    let mut bench = Bench::set_up(options.control())?;
    let contract = bench.contract()?;
    let stamps = bench.stamps()?;
    let broken = bench.problems.clone();
    // Of the two protections that the control switches off, each must be missed.
    let missed = |mark: &str| broken.iter().any(|problem| problem.starts_with(mark));
    let pass = match options.control() {
        Control::On => broken.is_empty(),
        Control::Off => !(missed("contract:") && missed("header:")),
    };
    Ok(json!({
        "pass": pass, "tried": bench.tried, "contract": contract, "stamps": stamps, "problems": broken,
    }))
}

struct Bench {
    control: Control,
    jeton: PathBuf,
    python: PathBuf,
    dir: PathBuf,
    key: String,
    tried: u64,
    problems: Vec<String>,
}

/// What a run of jeton came to.
struct Ran {
    yes: bool,
    answer: Value,
    fault: String,
}

impl Bench {
    fn set_up(control: Control) -> anyhow::Result<Self> {
        let python = install::venv_bin()?.join("python3");
        ensure!(
            python.is_file() && install::anvil().is_ok(),
            "the tools are not installed: run `cargo xtask test`"
        );
        run::succeed(&mut run::command("cargo", &["build", "-p", "jeton"]))?;
        let example = ["build", "-p", "jeton-tlog", "--example", "checkpoints"];
        run::succeed(&mut run::command("cargo", &example))?;
        let target = run::target_dir()?;
        let dir = target.join("ledger-anchor");
        if dir.exists() {
            std::fs::remove_dir_all(&dir).context("clearing away the last run")?;
        }
        std::fs::create_dir_all(&dir)?;
        let mut write = Command::new(target.join("debug/examples/checkpoints"));
        write
            .arg(&dir)
            .arg(ORIGIN)
            .args(SIZES.map(|size| size.to_string()));
        let key = run::output(&mut write)?.trim().to_owned();
        let jeton = target.join("debug/jeton");
        let (tried, problems) = (0, Vec::new());
        Ok(Self {
            control,
            jeton,
            python,
            dir,
            key,
            tried,
            problems,
        })
    }

    /// Runs jeton. A command that it does not understand proves nothing.
    fn jeton(&self, words: &[&str]) -> anyhow::Result<Ran> {
        let ended = Command::new(&self.jeton)
            .arg("--json")
            .args(words)
            .stdin(Stdio::null())
            .output();
        let ended = ended.context("jeton cannot be started")?;
        let fault = String::from_utf8_lossy(&ended.stderr).into_owned();
        match ended.status.code() {
            Some(0) => {
                let answer =
                    serde_json::from_slice(&ended.stdout).context("jeton answered no JSON")?;
                Ok(Ran {
                    yes: true,
                    answer,
                    fault,
                })
            }
            Some(1) => Ok(Ran {
                yes: false,
                answer: Value::Null,
                fault,
            }),
            _ => bail!(
                "`jeton {}` ended with {}: {fault}",
                words.join(" "),
                ended.status
            ),
        }
    }

    /// Runs the reference: what it says if it is content.
    fn python(&self, words: &[&str]) -> anyhow::Result<Option<String>> {
        let mut command = Command::new(&self.python);
        let ended = command
            .arg(run::root().join(STAMPS_PY))
            .args(words)
            .output();
        let ended = ended.context("python cannot be started")?;
        let told = String::from_utf8(ended.stdout)?;
        Ok(ended.status.success().then_some(told))
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_string_lossy().into_owned()
    }

    fn expect(&mut self, what: &str, holds: bool) {
        self.tried += 1;
        if !holds {
            self.problems.push(what.to_owned());
        }
    }
}

/// A server that says where it listens. It dies with this process.
struct Served {
    child: Child,
    told: String,
}

impl Served {
    fn start(program: &mut Command, find: fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .arg(program.get_program())
            .args(program.get_args());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().context("a server cannot be started")?;
        let out = child.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(out).lines();
        let told = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| find(line.trim()));
        // What it says later is read, or it would stop for want of room.
        drop(std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(drop);
        }));
        let served = Self {
            child,
            told: told.unwrap_or_default(),
        };
        ensure!(!served.told.is_empty(), "a server ended before it listened");
        Ok(served)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn text(value: &Value, name: &str) -> String {
    value
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}
