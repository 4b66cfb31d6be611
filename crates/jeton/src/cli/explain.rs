//! `jeton explain`: the page of a refusal, from this binary.

use clap::Args;
use jeton_core::refusal::Refusal;
use serde_json::json;

use super::{fault::Fault, out::Out, remote::Listed, table::at};
use crate::refusal_pages;

const EXAMPLES: &str = "\
Examples:
  jeton explain scope_missing
  jeton explain list";

/// Which refusal.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct ExplainArgs {
    /// The refusal's code, or `list` for all
    #[arg(value_name = "CODE|list")]
    code: String,
}

/// Runs the command.
pub(super) fn run(args: &ExplainArgs, out: Out) -> Result<(), Fault> {
    if args.code == "list" {
        let item = |r: &Refusal| json!({"code": r.code(), "sentence": r.sentence()});
        let items = Refusal::ALL.iter().map(item).collect();
        let columns = [at("code", "/code"), at("sentence", "/sentence")];
        return out.list(&columns, &Listed { items, next: None });
    }
    let code = args
        .code
        .trim()
        .trim_matches(['[', ']'])
        .to_lowercase()
        .replace('-', "_");
    let Some(page) = refusal_pages::page(&code) else {
        let fault = Fault::usage(format!("there is no refusal {}", args.code));
        return Err(fault.hint(match near(&code) {
            Some(other) => format!("did you mean {other}? `jeton explain list` shows all"),
            None => "`jeton explain list` shows all".to_owned(),
        }));
    };
    let refusal = Refusal::ALL.iter().find(|r| r.code() == code);
    let sentence = refusal.map(|r| r.sentence());
    if out.json {
        return out.json(&json!({"code": code, "sentence": sentence, "page": page}));
    }
    out.line(page.trim_end())
}

/// The code that shares the most letters' pairs with what was written.
fn near(code: &str) -> Option<&'static str> {
    let pairs =
        |text: &str| -> Vec<(char, char)> { text.chars().zip(text.chars().skip(1)).collect() };
    let wanted = pairs(code);
    let shared = |known: &str| pairs(known).iter().filter(|p| wanted.contains(p)).count();
    let best = Refusal::ALL.iter().max_by_key(|r| shared(r.code()))?;
    (shared(best.code()) * 2 > wanted.len()).then(|| best.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_code() {
        assert_eq!(near("scope_mising"), Some("scope_missing"));
        assert_eq!(near("token_expird"), Some("token_expired"));
        assert_eq!(near("zzz"), None);
    }
}
