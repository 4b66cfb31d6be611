//! Gates: commands that prove one promise each, with a control that must fail.
//!
//! A gate is a row in [`GATES`] and a function `fn run(options: &Options) -> anyhow::Result<serde_json::Value>` in a file
//! of its own beside this one. It returns a JSON object with `"pass": bool` and whatever figures it measured; the name,
//! `quick` and `control` are added here. `Err` means that the gate could not be run, which proves nothing either way: a
//! control that cannot be run has not failed as it should.

mod attenuate;
mod audit;
mod authz_matrix;
mod canary;
mod diskfull;
mod lab;
mod ledger_anchor;
mod ledger_monitor;
mod ledger_privacy;
mod ledger_receipt;
mod ledger_rollback;
mod ledger_split;
mod ledger_xmod;
mod powercut;
mod restore;
mod schemathesis;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};

use crate::options::{Control, Options};

/// When a gate's quick form runs by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// In each `cargo xtask test`: its quick form takes seconds.
    EachTest,
    /// In `cargo xtask test` without `--quick`: its quick form takes longer.
    LongTest,
    /// Never: somebody asks for it.
    ByHand,
}

impl When {
    /// In the order in which they are listed, with words for people.
    const ALL: [(Self, &str); 3] = [
        (Self::EachTest, "in each `cargo xtask test`"),
        (Self::LongTest, "in `cargo xtask test` without --quick"),
        (Self::ByHand, "when asked for"),
    ];
}

/// One promise and its proof.
pub(crate) struct Gate {
    /// As on the command line.
    pub(crate) name: &'static str,
    /// What is proved, in a sentence.
    pub(crate) promise: &'static str,
    /// Proves it. With [`Options::control`] off, the protection is switched off.
    pub(crate) run: fn(&Options) -> anyhow::Result<Value>,
    /// Whether there is a control. A gate without one says why in a comment at its row.
    pub(crate) has_control: bool,
    /// When its quick form runs by itself.
    pub(crate) when: When,
    /// The tools it needs, by their names in `install.rs`; without one it is skipped, and that is said.
    pub(crate) needs: &'static [&'static str],
    /// Whether it runs the release binary, so that this is built once before.
    pub(crate) needs_binary: bool,
}

/// All gates. A row here, a file beside this one.
pub(crate) const GATES: &[Gate] = &[
    Gate {
        name: "attenuate",
        promise: "no token can create authority that it does not hold",
        run: attenuate::run,
        has_control: true,
        when: When::EachTest,
        needs: &[],
        needs_binary: false,
    },
    Gate {
        name: "authz-matrix",
        promise: "every operation lets in whom the table says and nobody else, and nothing foreign can be reached",
        run: authz_matrix::run,
        has_control: true,
        when: When::EachTest,
        needs: &[],
        needs_binary: false,
    },
    Gate {
        name: "canary",
        promise: "a stolen database, backup or log holds no usable token",
        run: canary::run,
        has_control: true,
        when: When::LongTest,
        needs: &[],
        needs_binary: false,
    },
    Gate {
        name: "powercut",
        promise: "an acknowledged issue, rotation or revocation survives a power cut",
        run: powercut::run,
        has_control: true,
        when: When::LongTest,
        needs: &["xfsprogs", "mounts"],
        needs_binary: false,
    },
    Gate {
        name: "restore",
        promise: "no restore, copy or backup brings a revoked token back, and a node that is behind says so",
        run: restore::run,
        has_control: true,
        when: When::EachTest,
        needs: &[],
        needs_binary: false,
    },
    Gate {
        name: "diskfull",
        promise: "on a full disk revocation and checks go on, nothing is half done, and issuing resumes by itself",
        run: diskfull::run,
        has_control: true,
        when: When::LongTest,
        needs: &["mounts"],
        needs_binary: false,
    },
    Gate {
        name: "ledger-split",
        promise: "a log with two histories and one lying witness of four gets a quorum for one of them at most",
        run: ledger_split::run,
        has_control: true,
        when: When::EachTest,
        needs: &[],
        needs_binary: false,
    },
    Gate {
        name: "ledger-tamper",
        promise: "no edit of a row changes a decision, and the audit names token, leaf and field",
        run: audit::tamper,
        has_control: true,
        when: When::EachTest,
        needs: &[],
        needs_binary: false,
    },
    Gate {
        name: "ledger-sweep",
        promise: "a flipped byte in events, tiles or head is named by table and row, each time",
        run: audit::sweep,
        has_control: true,
        when: When::EachTest,
        needs: &[],
        needs_binary: false,
    },
    Gate {
        name: "ledger-ghost",
        promise: "a row without a valid leaf is nobody, and is named",
        run: audit::ghost,
        has_control: true,
        when: When::EachTest,
        needs: &[],
        needs_binary: false,
    },
    Gate {
        name: "ledger-unrevoke",
        promise: "a revocation cannot be taken back in the database, and the audit says which leaf is missing",
        run: audit::unrevoke,
        has_control: true,
        when: When::EachTest,
        needs: &[],
        needs_binary: false,
    },
    Gate {
        name: "ledger-rollback",
        promise: "a store that is put back allows nothing, says both sizes, and gets the rest back from a mirror",
        run: ledger_rollback::rollback,
        has_control: true,
        when: When::EachTest,
        needs: &[],
        needs_binary: false,
    },
    Gate {
        name: "ledger-rewrite",
        promise: "a history that was written anew is cosigned by no witness and shown to nobody",
        run: ledger_rollback::rewrite,
        has_control: true,
        when: When::EachTest,
        needs: &[],
        needs_binary: false,
    },
    Gate {
        name: "schemathesis",
        promise: "the API does what its description says: no 5xx, no undocumented status, nothing illegal accepted",
        run: schemathesis::run,
        has_control: true,
        when: When::LongTest,
        needs: &["schemathesis"],
        needs_binary: false,
    },
    Gate {
        name: "ledger-anchor",
        promise: "an anchored checkpoint is proved with other people's tools, and a rolled-back log cannot be anchored",
        run: ledger_anchor::run,
        has_control: true,
        when: When::EachTest,
        needs: &["node", "devchain", "opentimestamps"],
        needs_binary: false,
    },
    Gate {
        name: "ledger-receipt",
        promise: "a receipt proves offline, under three of four witnesses, what was issued; with two it proves nothing",
        run: ledger_receipt::run,
        has_control: true,
        when: When::EachTest,
        needs: &[],
        needs_binary: false,
    },
    Gate {
        name: "ledger-privacy",
        promise: "the public log tells a stranger that something happened, and no more",
        run: ledger_privacy::run,
        has_control: true,
        when: When::EachTest,
        needs: &[],
        needs_binary: false,
    },
    Gate {
        name: "ledger-monitor",
        promise: "a tenant learns what was issued behind its back, and what is missing",
        run: ledger_monitor::run,
        has_control: true,
        when: When::EachTest,
        needs: &[],
        needs_binary: false,
    },
    Gate {
        name: "ledger-xmod",
        promise: "verifiers that nobody here wrote agree with every entry, tile and proof of the log",
        run: ledger_xmod::run,
        has_control: true,
        when: When::EachTest,
        needs: &["golang", "x-mod"],
        needs_binary: false,
    },
];

/// `cargo xtask gate NAME …`: one JSON object as the last line; 0 if it passed, 1 if not, 2 if it could not be run.
pub(crate) fn command(words: &[String]) -> anyhow::Result<ExitCode> {
    let Some((name, rest)) = words
        .split_first()
        .filter(|(name, _)| !name.starts_with("--"))
    else {
        bail!("which gate? {}", known(GATES));
    };
    let gate = find(GATES, name)?;
    let options = Options::read(rest)?;
    if options.control() == Control::Off && !gate.has_control {
        bail!("the gate `{name}` has no control");
    }
    match prove(gate, &options) {
        Ok(verdict) => {
            println!("{}", verdict.line);
            Ok(if verdict.pass {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Err(error) => {
            let control = options.control() == Control::Off;
            let told = format!("{error:#}");
            eprintln!("error: the gate `{name}` could not be run: {told}");
            println!(
                "{}",
                json!({ "gate": name, "pass": false, "control": control, "error": told })
            );
            Ok(ExitCode::from(2))
        }
    }
}

/// Runs a gate's quick form and then its quick control, and demands that the first passes and the second fails.
///
/// # Errors
/// If the gate fails, cannot be run, or is toothless.
pub(crate) fn quick_with_control(gate: &Gate) -> anyhow::Result<()> {
    let on = prove(gate, &Options::quick(Control::On))?;
    println!("{}", on.line);
    if !on.pass {
        bail!("the gate `{}` does not pass: {}", gate.name, gate.promise);
    }
    if !gate.has_control {
        return Ok(());
    }
    let off = prove(gate, &Options::quick(Control::Off)).context("the control could not be run")?;
    println!("{}", off.line);
    if off.pass {
        bail!(
            "the gate `{}` is toothless: it passes with the protection switched off",
            gate.name
        );
    }
    Ok(())
}

/// What a gate found.
#[derive(Debug)]
struct Verdict {
    pass: bool,
    line: Value,
}

fn prove(gate: &Gate, options: &Options) -> anyhow::Result<Verdict> {
    let found = (gate.run)(options)?;
    let Value::Object(found) = found else {
        bail!("the gate `{}` returned no object", gate.name)
    };
    let pass = found.get("pass").and_then(Value::as_bool);
    let pass = pass.with_context(|| format!("the gate `{}` returned no `pass`", gate.name))?;
    let mut line = Map::new();
    line.insert("gate".to_owned(), gate.name.into());
    line.insert("pass".to_owned(), pass.into());
    line.insert(
        "control".to_owned(),
        (options.control() == Control::Off).into(),
    );
    line.insert("quick".to_owned(), options.is_quick().into());
    for (name, value) in found {
        line.entry(name).or_insert(value);
    }
    Ok(Verdict {
        pass,
        line: Value::Object(line),
    })
}

fn find<'a>(gates: &'a [Gate], name: &str) -> anyhow::Result<&'a Gate> {
    let found = gates.iter().find(|gate| gate.name == name);
    found.with_context(|| format!("there is no gate `{name}`; {}", known(gates)))
}

fn known(gates: &[Gate]) -> String {
    let names: Vec<&str> = gates.iter().map(|gate| gate.name).collect();
    if names.is_empty() {
        "none is registered".to_owned()
    } else {
        format!("known: {}", names.join(", "))
    }
}

/// Names the gates, by when their quick form runs.
pub(crate) fn list() {
    for (when, words) in When::ALL {
        println!("gates, {words}");
        for gate in GATES.iter().filter(|gate| gate.when == when) {
            let control = if gate.has_control {
                ""
            } else {
                " (no control)"
            };
            println!("  {:16} {}{control}", gate.name, gate.promise);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(name: &'static str, run: fn(&Options) -> anyhow::Result<Value>) -> Gate {
        let promise = "two and two are four";
        let when = When::EachTest;
        Gate {
            name,
            promise,
            run,
            has_control: true,
            when,
            needs: &[],
            needs_binary: false,
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "it has the shape of a gate")]
    fn good(options: &Options) -> anyhow::Result<Value> {
        Ok(json!({ "pass": options.control() == Control::On, "cases": 4, "gate": "another" }))
    }

    #[test]
    fn a_gate_with_teeth_passes_and_its_line_is_ours() {
        let gate = gate("good", good);
        quick_with_control(&gate).unwrap();
        let verdict = prove(&gate, &Options::quick(Control::Off)).unwrap();
        let expected = json!({
            "gate": "good", "pass": false, "control": true, "quick": true, "cases": 4
        });
        assert_eq!(verdict.line, expected);
    }

    #[test]
    fn a_gate_that_cannot_fail_is_caught() {
        let toothless = gate("toothless", |_| Ok(json!({ "pass": true })));
        let error = quick_with_control(&toothless).unwrap_err().to_string();
        assert!(error.contains("toothless"), "{error}");
    }

    #[test]
    fn a_gate_that_fails_or_cannot_be_run_is_caught() {
        assert!(quick_with_control(&gate("bad", |_| Ok(json!({ "pass": false })))).is_err());
        assert!(quick_with_control(&gate("mute", |_| Ok(json!({})))).is_err());
        assert!(quick_with_control(&gate("list", |_| Ok(json!([])))).is_err());
    }

    #[test]
    fn a_control_that_cannot_be_run_has_not_failed() {
        let broken = gate("broken", |options| match options.control() {
            Control::On => Ok(json!({ "pass": true })),
            Control::Off => bail!("no disk"),
        });
        assert!(quick_with_control(&broken).is_err());
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let gates = [gate("powercut", good), gate("once", good)];
        let error = find(&gates, "nonce").err().unwrap().to_string();
        assert!(error.contains("known: powercut, once"), "{error}");
    }

    #[test]
    fn names_are_unique_and_needs_are_known() {
        let mut names: Vec<_> = GATES.iter().map(|gate| gate.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), GATES.len());
        for need in GATES.iter().flat_map(|gate| gate.needs) {
            assert!(crate::install::is_known(need), "{need}");
        }
    }
}
