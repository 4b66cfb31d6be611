//! What went wrong, as people and as scripts read it, and the exit status that says so.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::{Map, Value, json};

use super::table::plain;
use crate::net::NetError;

/// The exit status of a refused or failed request.
pub(super) const FAILED: u8 = 1;
/// The exit status of a command that was not understood.
pub(super) const USAGE: u8 = 2;
/// The exit status of a check of the store that found something.
pub(super) const FINDINGS: u8 = 3;

/// Why a command ends without its yes.
#[derive(Debug)]
pub(super) enum Fault {
    /// The command is not one that can be done.
    Usage(Words),
    /// It was tried and failed on the way.
    Failed(Words),
    /// The server said no: its problem (RFC 9457).
    Refused(Box<Map<String, Value>>),
    /// Everything was said already; only the exit status is left.
    Told(u8),
}

/// A sentence, its cause, and what to do.
#[derive(Debug, Default)]
pub(super) struct Words {
    sentence: String,
    cause: Option<String>,
    hint: Option<String>,
}

impl Fault {
    pub(super) fn usage(sentence: impl Into<String>) -> Self {
        Self::Usage(Words {
            sentence: sentence.into(),
            ..Words::default()
        })
    }

    pub(super) fn failed(sentence: impl Into<String>) -> Self {
        Self::Failed(Words {
            sentence: sentence.into(),
            ..Words::default()
        })
    }

    /// A failure with the chain of its causes.
    pub(super) fn caused(
        sentence: impl Into<String>,
        cause: &(dyn core::error::Error + 'static),
    ) -> Self {
        Self::Failed(Words {
            sentence: sentence.into(),
            cause: Some(chain(cause)),
            hint: None,
        })
    }

    /// A failed exchange with a server, with the likeliest thing to do.
    pub(super) fn net(error: &NetError) -> Self {
        let cause = core::error::Error::source(error).map(chain);
        let certificate = cause.as_deref().is_some_and(|c| c.contains("certificate"));
        let unreached = matches!(error, NetError::Connect { .. });
        let hint = match (unreached, certificate) {
            (true, true) => Some(
                "--ca must be the CA file that `jeton serve` printed, and the host one of its certificate's names",
            ),
            (true, false) => Some("does `jeton serve` run there? `jeton doctor` looks closer"),
            (false, _) => None,
        };
        Self::Failed(Words {
            sentence: error.to_string(),
            cause,
            hint: hint.map(str::to_owned),
        })
    }

    /// With what to do about it, unless that is said already.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        match &mut self {
            Self::Usage(words) | Self::Failed(words) => {
                words.hint.get_or_insert(hint.into());
            }
            Self::Refused(problem) => {
                let hint = || Value::from(hint.into());
                problem.entry("hint").or_insert_with(hint);
            }
            Self::Told(_) => {}
        }
        self
    }

    /// The stable code of the server's refusal.
    pub(super) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(problem) => problem.get("code").and_then(Value::as_str),
            Self::Usage(_) | Self::Failed(_) | Self::Told(_) => None,
        }
    }

    /// Its sentence alone, for a line of a longer answer.
    pub(super) fn sentence(&self) -> String {
        match self {
            Self::Usage(words) | Self::Failed(words) => match &words.cause {
                Some(cause) => format!("{}: {cause}", words.sentence),
                None => words.sentence.clone(),
            },
            Self::Refused(problem) => {
                let title = problem.get("title").and_then(Value::as_str);
                title.unwrap_or_default().to_owned()
            }
            Self::Told(_) => String::new(),
        }
    }

    pub(super) fn exit(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Failed(_) | Self::Refused(_) => FAILED,
            Self::Told(status) => *status,
        }
    }

    /// Says it on standard error.
    pub(super) fn tell(&self, json: bool) {
        let text = if json { self.json() } else { self.human() };
        if !text.is_empty() {
            // Standard error is the last resort: whoever closed it does not want to know.
            drop(writeln!(std::io::stderr(), "{text}"));
        }
    }

    fn json(&self) -> String {
        let local = |code: &str, words: &Words| {
            let mut problem = json!({"type": "about:blank", "title": words.sentence, "code": code});
            for (name, text) in [("detail", &words.cause), ("hint", &words.hint)] {
                if let (Some(map), Some(text)) = (problem.as_object_mut(), text) {
                    map.insert(name.to_owned(), Value::from(text.clone()));
                }
            }
            problem.to_string()
        };
        match self {
            Self::Usage(words) => local("cli_usage", words),
            Self::Failed(words) => local("cli_failed", words),
            Self::Refused(problem) => Value::Object((**problem).clone()).to_string(),
            Self::Told(_) => String::new(),
        }
    }

    fn human(&self) -> String {
        match self {
            Self::Usage(words) | Self::Failed(words) => {
                let mut text = format!("error: {}", plain(&words.sentence));
                if let Some(cause) = &words.cause {
                    _ = write!(text, ": {}", plain(cause));
                }
                if let Some(hint) = &words.hint {
                    _ = write!(text, "\n  hint: {hint}");
                }
                text
            }
            Self::Refused(problem) => problem_text(problem),
            Self::Told(_) => String::new(),
        }
    }
}

/// `error: sentence (field: rule) [code]`, and beneath it what else the server said.
fn problem_text(problem: &Map<String, Value>) -> String {
    let of = |name: &str| problem.get(name).and_then(Value::as_str).map(plain);
    let code = of("code").unwrap_or_default();
    let mut text = format!("error: {}", of("title").unwrap_or_default());
    match (of("field"), of("detail")) {
        (Some(field), Some(rule)) => _ = write!(text, " ({field}: {rule})"),
        (Some(one), None) | (None, Some(one)) => _ = write!(text, " ({one})"),
        (None, None) => {}
    }
    _ = write!(text, " [{code}]");
    let missing = problem.get("missing").and_then(Value::as_array);
    let missing: Vec<&str> = missing
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !missing.is_empty() {
        _ = write!(text, "\n  missing: {}", plain(&missing.join(" ")));
    }
    for (label, name) in [
        ("reason", "reason"),
        ("since", "at"),
        ("request", "request_id"),
    ] {
        if let Some(value) = of(name) {
            _ = write!(text, "\n  {label}: {value}");
        }
    }
    if let Some(hint) = of("hint") {
        _ = write!(text, "\n  hint: {hint}");
    }
    _ = write!(text, "\n  hint: jeton explain {code}");
    text
}

/// An error and its sources in one line; what a source repeats is left out.
pub(super) fn chain(error: &(dyn core::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(value: Value) -> Fault {
        let Value::Object(map) = value else { panic!() };
        Fault::Refused(Box::new(map))
    }

    #[test]
    fn a_problem_reads_as_a_sentence() {
        let fault = problem(json!({
            "title": "a field of the request breaks a rule", "code": "field_invalid", "status": 422,
            "field": "audience", "detail": "an absolute URI", "request_id": "req_1",
        }));
        let lines = "error: a field of the request breaks a rule (audience: an absolute URI) [field_invalid]\n  \
                     request: req_1\n  hint: jeton explain field_invalid";
        assert_eq!(fault.human(), lines);
        assert_eq!((fault.exit(), fault.code()), (1, Some("field_invalid")));
    }

    #[test]
    fn what_the_server_says_cannot_paint_the_terminal() {
        let fault =
            problem(json!({"title": "x", "code": "y", "field": "\u{1b}[31m", "detail": "z"}));
        assert!(!fault.human().contains('\u{1b}'));
    }

    #[test]
    fn local_faults_are_problems_too() {
        let fault = Fault::usage("no").hint("do").hint("not this");
        assert_eq!(
            fault.json(),
            r#"{"code":"cli_usage","hint":"do","title":"no","type":"about:blank"}"#
        );
        assert_eq!(fault.exit(), 2);
        assert!(Fault::Told(3).human().is_empty() && Fault::Told(3).json().is_empty());
    }
}
