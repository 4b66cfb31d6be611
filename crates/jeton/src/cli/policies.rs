//! `jeton policy`: what each class of tokens may be; and whether a file of witnesses is worth its quorum.

mod lint;

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Map, Value, json};

use super::{
    fault::Fault,
    link::Link,
    out::Out,
    remote::Remote,
    table::{Column, at, by},
    units,
};
use crate::http::view::LimitView;

const EXAMPLES: &str = "\
Examples:
  jeton policy list
  jeton policy set key --lifetime-default 90d --lifetime-max 1y
  jeton policy set svc --permanent yes --overlap-max 7d
  jeton policy set pat --idle 30d --limit 100/60s
  jeton policy set svc --inclusion witnessed
  jeton policy lint witnesses.policy";

const COLUMNS: [Column; 8] = [
    at("class", "/class"),
    by("default", |p| span(p, "/policy/lifetime_default_s")),
    by("longest", |p| span(p, "/policy/lifetime_max_s")),
    by("idle", |p| span(p, "/policy/idle_s")),
    at("permanent", "/policy/permanent"),
    at("limit", "/policy/limit"),
    at("inclusion", "/policy/inclusion"),
    by("overlap", |p| span(p, "/policy/overlap_max_s")),
];

fn span(policy: &Value, pointer: &str) -> String {
    let seconds = policy.pointer(pointer).and_then(Value::as_u64);
    seconds.map(units::span_text).unwrap_or_default()
}

/// Policies.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct PolicyArgs {
    #[command(flatten)]
    pub(super) link: Link,
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Subcommand, Debug)]
enum PolicyCommand {
    /// List the policies of all classes
    List,
    /// Change the policy of a class; what is not named stays
    Set(Set),
    /// Look at a file of logs and witnesses: is its quorum worth anything?
    Lint(lint::LintArgs),
}

/// A class of tokens that has a policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum ClassName {
    /// An API key, of a user or an application
    Key,
    /// A personal token, of a user
    Pat,
    /// An application token, of no person
    Svc,
    /// A publishable key
    Pub,
}

impl ClassName {
    /// The three letters.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Pat => "pat",
            Self::Svc => "svc",
            Self::Pub => "pub",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum YesNo {
    Yes,
    No,
}

#[derive(Args, Debug)]
struct Set {
    /// The class
    #[arg(value_enum)]
    class: ClassName,
    /// The lifetime of a token whose order names none
    #[arg(long, value_name = "SPAN", value_parser = units::span)]
    lifetime_default: Option<u64>,
    /// The longest lifetime that an order may name
    #[arg(long, value_name = "SPAN", value_parser = units::span)]
    lifetime_max: Option<u64>,
    /// Unused for so long, a token stops working
    #[arg(long, value_name = "SPAN", value_parser = units::span)]
    idle: Option<u64>,
    /// However long unused, a token goes on working
    #[arg(long, conflicts_with = "idle")]
    no_idle: bool,
    /// Whether tokens without an end may be ordered
    #[arg(long, value_enum)]
    permanent: Option<YesNo>,
    /// The limit of a token whose order names none
    #[arg(long, value_name = "COUNT/SPAN", value_parser = units::limit)]
    limit: Option<LimitView>,
    /// No limit unless an order names one
    #[arg(long, conflicts_with = "limit")]
    no_limit: bool,
    /// The longest overlap of a rotation
    #[arg(long, value_name = "SPAN", value_parser = units::span)]
    overlap_max: Option<u64>,
    /// What the ledger must show before a token works
    #[arg(long, value_enum)]
    inclusion: Option<Shown>,
}

/// What the ledger must show.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Shown {
    /// Its issuance: it works at once
    Logged,
    /// A quorum of witnesses has cosigned it; revocations never wait
    Witnessed,
}

/// Runs the command.
pub(super) async fn run(args: PolicyArgs, out: Out) -> Result<(), Fault> {
    let set = match args.command {
        PolicyCommand::Lint(file) => return lint::run(&file, out),
        PolicyCommand::List => None,
        PolicyCommand::Set(set) => Some(set),
    };
    let remote = Remote::open(&args.link)?;
    let listed = remote.whole("/v1/policies").await?;
    let Some(set) = set else {
        return out.list(&COLUMNS, &listed);
    };
    let class = set.class.as_str();
    let is = |item: &&Value| item.get("class").and_then(Value::as_str) == Some(class);
    let known = listed
        .items
        .iter()
        .find(is)
        .and_then(|item| item.get("policy"));
    let known = known.and_then(Value::as_object).cloned();
    let known =
        known.ok_or_else(|| Fault::failed(format!("the server has no policy of {class}")))?;
    let policy = after(known.clone(), &set);
    if policy == known {
        let words = "say what shall be different: nothing is named, or it is so already";
        return Err(Fault::usage(words).hint("`jeton policy set --help` lists what can be"));
    }
    let order = Value::Object(policy);
    let path = format!("/v1/policies/{class}");
    out.thing(&COLUMNS, &remote.order(Method::PUT, &path, &order).await?)
}

fn after(mut policy: Map<String, Value>, set: &Set) -> Map<String, Value> {
    let spans = [
        ("lifetime_default_s", set.lifetime_default),
        ("lifetime_max_s", set.lifetime_max),
        ("idle_s", set.idle),
        ("overlap_max_s", set.overlap_max),
    ];
    for (name, seconds) in spans {
        policy.extend(seconds.map(|s| (name.to_owned(), Value::from(s))));
    }
    if set.no_idle {
        policy.remove("idle_s");
    }
    if set.no_limit {
        policy.remove("limit");
    }
    policy.extend(set.limit.map(|l| ("limit".to_owned(), json!(l))));
    let inclusion = set.inclusion.map(|shown| match shown {
        Shown::Logged => "logged",
        Shown::Witnessed => "witnessed",
    });
    policy.extend(inclusion.map(|word| ("inclusion".to_owned(), word.into())));
    let permanent = set.permanent.map(|p| p == YesNo::Yes);
    policy.extend(permanent.map(|p| ("permanent".to_owned(), Value::from(p))));
    policy
}
