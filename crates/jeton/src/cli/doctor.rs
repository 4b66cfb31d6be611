//! `jeton doctor`: looks for what is wrong, and says of each thing what to do about it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use http::{HeaderMap, header};
use jeton_core::time::Time;
use serde_json::{Value, json};

use super::{
    doctor_files,
    fault::{FAILED, Fault, chain},
    link::{Link, Resolved},
    out::{Out, json_line, line},
    remote::Remote,
    store::{Place, Store},
    table::plain,
};
use crate::capability::Clock;

const EXAMPLES: &str = "\
Examples:
  jeton doctor
  jeton doctor --data-dir /var/lib/jeton
  jeton doctor --server https://auth.example.com --ca ca.pem

Exit status: 0 nothing failed, 1 something did.";

/// How far this machine's clock may be from the server's.
const CLOCK_DIFFERENCE_S_MAX: i64 = 60;
/// A credential that ends within so many days is worth a word.
const ENDS_SOON_DAYS: i64 = 14;

/// Where to look.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    pub(super) link: Link,
    /// The data directory of an authority on this machine; ./jeton-data if there is one
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// What was seen of one thing.
pub(super) struct Line {
    level: &'static str,
    what: &'static str,
    words: String,
    todo: Option<String>,
}

impl Line {
    pub(super) fn ok(what: &'static str, words: String) -> Self {
        Self {
            level: "ok",
            what,
            words,
            todo: None,
        }
    }

    pub(super) fn warn(what: &'static str, words: String, todo: impl Into<String>) -> Self {
        Self {
            level: "warn",
            what,
            words,
            todo: Some(todo.into()),
        }
    }

    pub(super) fn fail(what: &'static str, words: String, todo: impl Into<String>) -> Self {
        Self {
            level: "fail",
            ..Self::warn(what, words, todo)
        }
    }

    fn json(&self) -> Value {
        json!({"level": self.level, "what": self.what, "words": self.words, "todo": self.todo})
    }

    fn human(&self) -> String {
        let mut text = format!("{:<5} {:<19}{}", self.level, self.what, plain(&self.words));
        if let Some(todo) = &self.todo {
            _ = write!(text, "\n{:25}→ {}", "", plain(todo));
        }
        text
    }
}

/// Runs the command.
pub(super) async fn run(args: DoctorArgs, out: Out) -> Result<(), Fault> {
    let now = Clock::start().time();
    let mut lines = Vec::new();
    let near = Path::new("jeton-data");
    let dir = args
        .data_dir
        .or_else(|| near.is_dir().then(|| near.to_owned()));
    doctor_files::clock(now, dir.as_deref(), &mut lines);
    match &dir {
        Some(dir) => doctor_files::data_dir(dir, now, &mut lines),
        None => out.note("No data directory was named: what is on a server's disk is not looked at (--data-dir)."),
    }
    doctor_files::store(&args.link.store_path()?, &mut lines);
    server(&args.link, now, &mut lines).await;
    if out.json {
        let items: Vec<Value> = lines.iter().map(Line::json).collect();
        json_line(&json!({"items": items}))?;
    } else {
        for seen in &lines {
            line(&seen.human())?;
        }
    }
    if lines.iter().any(|l| l.level == "fail") {
        return Err(Fault::Told(FAILED));
    }
    Ok(())
}

/// Looks at the server, and at the token for it.
async fn server(link: &Link, now: Time, lines: &mut Vec<Line>) {
    let Some(resolved) = known(link, lines) else {
        return;
    };
    if let Place::Url { ca: Some(ca), .. } = &resolved.place {
        lines.push(doctor_files::certificate("CA of the profile", ca, now, 30));
    }
    let (holds, place) = (resolved.token.is_some(), resolved.place.clone());
    let remote = match Remote::of(resolved) {
        Ok(remote) => remote,
        Err(fault) => {
            lines.push(Line::fail(
                "server",
                fault.sentence(),
                "correct --server and --ca",
            ));
            return;
        }
    };
    match remote.probe("/readyz").await {
        Ok((status, headers, _)) if status.is_success() => {
            lines.push(Line::ok(
                "server",
                format!("{} takes requests", place.name()),
            ));
            lines.extend(same_time(&headers, now));
        }
        Ok((status, _, _)) => {
            let words = format!("{} answers {status}", place.name());
            lines.push(Line::fail("server", words, "look into its log"));
            return;
        }
        Err(error) => {
            let todo = "does `jeton serve` run there, on this address, with this CA?";
            lines.push(Line::fail("server", chain(&error), todo));
            return;
        }
    }
    if holds {
        lines.push(credential(&remote, now).await);
    }
}

/// The server to look at, with the token if there is one.
fn known(link: &Link, lines: &mut Vec<Line>) -> Option<Resolved> {
    let fault = match link.resolve() {
        Ok(resolved) => return Some(resolved),
        Err(fault) => fault,
    };
    if let Some(place) = link.named() {
        return Some(Resolved {
            place,
            profile: None,
            token: None,
        });
    }
    let store = link.store_path().and_then(|path| Store::read(&path));
    if store.is_ok_and(|s| s.profiles.is_empty()) {
        let words = "there is no profile: no server is looked at".to_owned();
        let todo = "`jeton setup` makes the first";
        lines.push(Line::warn("profile", words, todo));
    } else {
        let todo = "`jeton profile list` shows all; `jeton profile use NAME` chooses one";
        lines.push(Line::fail("profile", fault.sentence(), todo));
    }
    None
}

/// Compares the clocks, as far as the server tells its own.
fn same_time(headers: &HeaderMap, now: Time) -> Option<Line> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    let parser = jiff::fmt::rfc2822::DateTimeParser::new();
    let there = parser.parse_timestamp(date).ok()?.as_second();
    let difference = there - i64::from(now.seconds());
    if difference.abs() > CLOCK_DIFFERENCE_S_MAX {
        let words = format!(
            "this machine and the server are {} s apart",
            difference.abs()
        );
        return Some(Line::warn("clocks", words, "keep both with NTP"));
    }
    Some(Line::ok(
        "clocks",
        "this machine and the server agree".to_owned(),
    ))
}

/// Looks at the token in use.
async fn credential(remote: &Remote, now: Time) -> Line {
    const WHAT: &str = "credential";
    let answer = match remote.get("/v1/whoami").await {
        Ok(answer) => answer,
        Err(fault) => {
            let todo = match fault.code() {
                Some(code) => format!("jeton explain {code}"),
                None => "look into the server's log".to_owned(),
            };
            return Line::fail(WHAT, fault.sentence(), todo);
        }
    };
    let text = |pointer: &str| {
        answer
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (id, until) = (text("/token/id"), text("/token/expires_at"));
    let Ok(end) = until.parse::<jiff::Timestamp>() else {
        return Line::ok(WHAT, format!("{id} works, and does not end"));
    };
    let left_s = end.as_second() - i64::from(now.seconds());
    let words = format!("{id} works until {until}");
    if left_s < ENDS_SOON_DAYS * 86_400 {
        return Line::warn(WHAT, words, format!("jeton token rotate {id} --renew"));
    }
    Line::ok(WHAT, words)
}
