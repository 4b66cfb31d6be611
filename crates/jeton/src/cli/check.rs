//! `jeton check`: the decision on one request, as the API would ask for it.

use std::{net::IpAddr, path::PathBuf};

use clap::Args;
use http::Method;
use serde_json::{Map, Value};

use super::{
    fault::{FAILED, Fault},
    link::Link,
    out::{Out, json_line, line},
    remote::Remote,
    secret,
    table::{self, Column, at, plain},
    tokens::one_stdin,
    units,
};

const EXAMPLES: &str = "\
Examples:
  jeton check --api documents --scope docs:read < token.txt
  jeton check --api documents --scope docs:write --resource projects/7 --of token.txt
  jeton check --api documents --method GET --path /docs/7 --address 10.1.2.3 --of token.txt

The token to check is read from standard input or --of FILE; the profile's token is the one that asks, and needs jeton:check. A \
check counts against the token's limit. Exit status: 0 allowed, 1 refused or not answered.";

const SHOW: [Column; 13] = [
    at("token", "/token"),
    at("class", "/class"),
    at("subject", "/subject"),
    at("may", "/scopes"),
    at("missing", "/missing"),
    at("since", "/at"),
    at("reason", "/reason"),
    at("expires", "/expires_at"),
    at("secret replaced, good until", "/replaced_until"),
    at("limit", "/limit"),
    at("left", "/remaining"),
    at("again in seconds", "/retry_after_s"),
    at("ledger", "/ledger_size"),
];

/// A question.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub(super) link: Link,
    /// The API that received the request, by name, id or audience
    #[arg(long, value_name = "API")]
    api: String,
    /// A scope that the request needs; again for more. Without, the API's routes say
    #[arg(long = "scope", value_name = "NAME")]
    scopes: Vec<String>,
    /// The resource that it touches
    #[arg(long, value_name = "RESOURCE")]
    resource: Option<String>,
    /// The client's address
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// Its method
    #[arg(long, value_name = "METHOD", value_parser = units::method)]
    method: Option<String>,
    /// Its path
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// The file that holds the token to check; standard input unless told
    #[arg(long, value_name = "FILE")]
    of: Option<PathBuf>,
}

/// Runs the command.
pub(super) async fn run(args: CheckArgs, out: Out) -> Result<(), Fault> {
    one_stdin(&args.link, args.of.as_deref())?;
    let remote = Remote::open(&args.link)?;
    let token = secret::read(args.of.as_deref(), "token")?;
    let mut order = Map::new();
    order.insert("token".to_owned(), token.expose_secret().into());
    order.insert("api".to_owned(), args.api.into());
    if !args.scopes.is_empty() {
        order.insert("scopes".to_owned(), args.scopes.into());
    }
    let texts = [
        ("resource", args.resource),
        ("address", args.address.map(|a| a.to_string())),
        ("method", args.method),
        ("path", args.path),
    ];
    for (name, text) in texts {
        order.extend(text.map(|t| (name.to_owned(), Value::from(t))));
    }
    let verdict = remote
        .order(Method::POST, "/v1/check", &Value::Object(order))
        .await?;
    let allowed = verdict.get("allowed").and_then(Value::as_bool) == Some(true);
    if out.json {
        json_line(&verdict)?;
    } else {
        line(&words(&verdict, allowed))?;
    }
    if allowed {
        Ok(())
    } else {
        Err(Fault::Told(FAILED))
    }
}

fn words(verdict: &Value, allowed: bool) -> String {
    let shown = table::thing(&SHOW, verdict);
    if allowed {
        return format!("allowed\n{shown}");
    }
    let of = |name: &str| {
        plain(
            verdict
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default(),
        )
    };
    let (message, code) = (of("message"), of("code"));
    format!("refused: {message} [{code}]\n{shown}\nhint: jeton explain {code}")
}
