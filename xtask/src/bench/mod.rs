//! Benchmarks: commands that measure one thing each, on the release binary or on the crates in a release build.
//!
//! A benchmark is a row in [`BENCHES`] and a function `fn run(options: &Options) -> anyhow::Result<serde_json::Value>` in a
//! file of its own beside this one. It returns a JSON object of figures whose units stand last in their names
//! (`p99_us`, `checks_per_s`); the name and `quick` are added here. A benchmark has no verdict: gates have.

mod audit;
mod check;
mod issue;
mod program;
mod receipt;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};

use crate::options::Options;

/// One thing that is measured.
pub(crate) struct Bench {
    /// As on the command line.
    pub(crate) name: &'static str,
    /// What is measured, in a sentence.
    pub(crate) measures: &'static str,
    /// Measures it.
    pub(crate) run: fn(&Options) -> anyhow::Result<Value>,
}

/// All benchmarks. A row here, a file beside this one.
pub(crate) const BENCHES: &[Bench] = &[
    Bench {
        name: "check",
        measures: "what a check costs, in process and over HTTP beside bare servers",
        run: check::run,
    },
    Bench {
        name: "audit",
        measures: "what an audit of the whole store costs, and the rolling one beside checks",
        run: audit::run,
    },
    Bench {
        name: "issue",
        measures: "what a durable change costs, beside bare commits on the same disk",
        run: issue::run,
    },
    Bench {
        name: "receipt",
        measures: "what a receipt of a ledger of a million is, and what verifying it costs",
        run: receipt::run,
    },
];

/// `cargo xtask bench NAME …`: one JSON object as the last line.
pub(crate) fn command(words: &[String]) -> anyhow::Result<ExitCode> {
    let Some((name, rest)) = words
        .split_first()
        .filter(|(name, _)| !name.starts_with("--"))
    else {
        bail!("which benchmark? {}", known(BENCHES));
    };
    let bench = find(BENCHES, name)?;
    println!("{}", measure(bench, &Options::read(rest)?)?);
    Ok(ExitCode::SUCCESS)
}

fn measure(bench: &Bench, options: &Options) -> anyhow::Result<Value> {
    let found = (bench.run)(options)?;
    let Value::Object(found) = found else {
        bail!("the benchmark `{}` returned no object", bench.name);
    };
    let mut line = Map::new();
    line.insert("bench".to_owned(), bench.name.into());
    line.insert("quick".to_owned(), options.is_quick().into());
    for (name, value) in found {
        line.entry(name).or_insert(value);
    }
    Ok(Value::Object(line))
}

fn find<'a>(benches: &'a [Bench], name: &str) -> anyhow::Result<&'a Bench> {
    let found = benches.iter().find(|bench| bench.name == name);
    found.with_context(|| format!("there is no benchmark `{name}`; {}", known(benches)))
}

fn known(benches: &[Bench]) -> String {
    let names: Vec<&str> = benches.iter().map(|bench| bench.name).collect();
    if names.is_empty() {
        "none is registered".to_owned()
    } else {
        format!("known: {}", names.join(", "))
    }
}

/// Names the benchmarks.
pub(crate) fn list() {
    println!("benchmarks");
    for bench in BENCHES {
        println!("  {:16} {}", bench.name, bench.measures);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_line_names_the_benchmark_and_unknown_names_the_known() {
        let run = |_: &Options| Ok(json!({ "p99_us": 7, "bench": "another" }));
        let benches = [Bench {
            name: "check",
            measures: "one check",
            run,
        }];
        let line = measure(find(&benches, "check").unwrap(), &Options::default()).unwrap();
        assert_eq!(
            line,
            json!({ "bench": "check", "quick": false, "p99_us": 7 })
        );
        let error = find(&benches, "chekc").err().unwrap().to_string();
        assert!(error.contains("known: check"), "{error}");
    }
}
