//! `jeton events`: the audit trail.

use clap::Args;
use jeton_core::id::TokenKind;
use serde_json::Value;
use std::fmt::Write as _;

use super::{
    fault::Fault,
    link::Link,
    names::id,
    out::Out,
    remote::{Pages, Remote},
    table::{Column, at, by, show},
};

const EXAMPLES: &str = "\
Examples:
  jeton events --limit 20
  jeton events --token tok_… --all
  jeton --json events --all > trail.json";

const COLUMNS: [Column; 7] = [
    at("index", "/index"),
    at("at", "/at"),
    at("event", "/event"),
    by("about", about),
    by("by", |event| match event.get("actor_subject") {
        Some(subject) => show(subject),
        None => event.get("actor").map(show).unwrap_or_default(),
    }),
    at("from", "/address"),
    at("note", "/note"),
];

/// What an event is about.
fn about(event: &Value) -> String {
    let detail = |name: &str| {
        event
            .pointer(&format!("/detail/{name}"))
            .filter(|v| !v.is_null())
    };
    let names = [
        "token", "user", "app", "role", "api", "subject", "class", "prefix", "origin",
    ];
    let mut text = names
        .iter()
        .find_map(|name| detail(name))
        .map(show)
        .unwrap_or_default();
    if let Some(reason) = detail("reason") {
        _ = write!(text, " ({})", show(reason));
    } else if let Some(name) = detail("name") {
        _ = write!(text, " ({})", show(name));
    }
    text.trim_start().to_owned()
}

/// Which events.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct EventsArgs {
    #[command(flatten)]
    pub(super) link: Link,
    /// Only the history of this token, as tok_…
    #[arg(long, value_name = "ID", value_parser = id::<TokenKind>)]
    token: Option<String>,
    #[command(flatten)]
    pages: Pages,
}

/// Runs the command.
pub(super) async fn run(args: EventsArgs, out: Out) -> Result<(), Fault> {
    let remote = Remote::open(&args.link)?;
    let query: Vec<(&str, &str)> = args
        .token
        .as_deref()
        .map(|t| ("token", t))
        .into_iter()
        .collect();
    out.list(
        &COLUMNS,
        &remote.list("/v1/events", &query, &args.pages).await?,
    )
}
