//! What the gates `powercut` and `diskfull` run: a workload against a real authority that keeps a journal of what was
//! acknowledged, and the audit that compares a recovered authority with that journal.
//!
//! The journal lies outside the disk that loses its power. A line is written only after the answer came; what a submitter
//! is about to ask is noted before it asks, so that an audit knows which further changes are possible.

mod audit;
mod full;
mod journal;
mod load;
mod talk;

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context as _;
use jeton_store::sqlite::Durability;

const USAGE: &str = "\
usage: durability load  --data DIR --journal FILE [--durability full|normal] [--submitters N]
       durability audit --data DIR --journal FILE --bytes N
       durability full  --data DIR [--ballast-mib N] [--tokens N]";

/// What stood on the command line.
struct Words(BTreeMap<String, String>);

impl Words {
    fn read(words: &[String]) -> anyhow::Result<Self> {
        let mut found = BTreeMap::new();
        for pair in words.chunks(2) {
            let [name, value] = pair else {
                anyhow::bail!("{pair:?} has no value\n{USAGE}");
            };
            let name = name.strip_prefix("--").context(USAGE)?;
            found.insert(name.to_owned(), value.clone());
        }
        Ok(Self(found))
    }

    fn path(&self, name: &str) -> anyhow::Result<PathBuf> {
        let found = self.0.get(name);
        found
            .map(PathBuf::from)
            .with_context(|| format!("--{name} is missing\n{USAGE}"))
    }

    fn number(&self, name: &str, default: u64) -> anyhow::Result<u64> {
        let found = self.0.get(name);
        found.map_or(Ok(default), |text| {
            text.parse()
                .with_context(|| format!("--{name} is no number"))
        })
    }

    fn durability(&self) -> anyhow::Result<Durability> {
        match self.0.get("durability").map(String::as_str) {
            None | Some("full") => Ok(Durability::Full),
            Some("normal") => Ok(Durability::DangerNormal),
            Some(other) => anyhow::bail!("--durability {other}?\n{USAGE}"),
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter("warn")
        .with_writer(std::io::stderr)
        .init();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (mode, rest) = words.split_first().context(USAGE)?;
    let words = Words::read(rest)?;
    let data = words.path("data")?;
    let report = match mode.as_str() {
        "load" => {
            let submitters = words.number("submitters", 64)?;
            load::load(
                &data,
                &words.path("journal")?,
                words.durability()?,
                submitters,
            )
            .await?
        }
        "audit" => {
            let bytes = words.number("bytes", u64::MAX)?;
            audit::audit(&data, &words.path("journal")?, bytes).await?
        }
        "full" => {
            let ballast_mib = words.number("ballast-mib", 64)?;
            full::full(&data, ballast_mib, words.number("tokens", 2000)?).await?
        }
        other => anyhow::bail!("{other}?\n{USAGE}"),
    };
    println!("{report}");
    Ok(())
}
