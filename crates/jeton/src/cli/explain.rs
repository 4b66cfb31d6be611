//! `jeton explain`: the page of a refusal, from this binary.

use clap::Args;
use jeton_core::refusal::Refusal;
use serde_json::json;

use super::{
    fault::Fault,
    out::{Out, json_line, line},
    remote::Listed,
    table::at,
};
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
        return json_line(&json!({"code": code, "sentence": sentence, "page": page}));
    }
    line(page.trim_end())
}

/// The code that is most like what was written, by the pairs of letters that both have (Dice's coefficient, in percent).
fn near(code: &str) -> Option<&'static str> {
    const ALIKE_PERCENT_MIN: usize = 50;
    let pairs =
        |text: &str| -> Vec<(char, char)> { text.chars().zip(text.chars().skip(1)).collect() };
    let wanted = pairs(code);
    let alike = |known: &str| {
        let known = pairs(known);
        let shared = known.iter().filter(|p| wanted.contains(p)).count();
        200 * shared / (known.len() + wanted.len()).max(1)
    };
    let best = Refusal::ALL.iter().max_by_key(|r| alike(r.code()))?;
    (alike(best.code()) >= ALIKE_PERCENT_MIN).then(|| best.code())
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
