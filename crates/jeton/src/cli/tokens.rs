//! `jeton token`: from issuance to the end.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use http::Method;
use serde_json::{Map, Value, json};

use super::{
    fault::Fault,
    inspect,
    link::Link,
    out::{Out, json_line, line},
    remote::Remote,
    secret::{self, SecretFile},
    setup::take_secret,
    table::{self, Column, at, by, give},
    token_args::{Change, Create, CutOff, Rotate, TokenArgs, TokenCommand, Why},
};

const LIST: [Column; 8] = [
    at("id", "/id"),
    at("name", "/name"),
    at("class", "/class"),
    at("subject", "/subject"),
    at("state", "/state"),
    by("grants", |token| {
        if inherits(token) {
            ALL.to_owned()
        } else {
            table::brief(token.get("grants"))
        }
    }),
    by("expires", expires),
    at("last used", "/last_used_at"),
];

const SHOW: [Column; 18] = [
    at("id", "/id"),
    at("name", "/name"),
    at("class", "/class"),
    at("subject", "/subject"),
    at("state", "/state"),
    at("reason", "/reason"),
    at("revoked", "/revoked_at"),
    by("grants", grants),
    by("may give", give),
    at("conditions", "/conditions"),
    at("limit", "/limit"),
    at("issued", "/created_at"),
    by("expires", expires),
    by("ends unused after", |t| {
        let idle = t.get("idle_s").and_then(Value::as_u64);
        idle.map(super::units::span_text).unwrap_or_default()
    }),
    at("last used", "/last_used_at"),
    at("generation", "/generation"),
    at("old secret until", "/overlap_until"),
    at("metadata", "/metadata"),
];

const ALL: &str = "all that its owner may";

fn inherits(token: &Value) -> bool {
    token.get("inherit").and_then(Value::as_bool) == Some(true)
}

fn grants(token: &Value) -> String {
    if inherits(token) {
        return ALL.to_owned();
    }
    token.get("grants").map(table::show).unwrap_or_default()
}

fn expires(token: &Value) -> String {
    let at = token.get("expires_at").and_then(Value::as_str);
    at.unwrap_or("never").to_owned()
}

/// Runs the command.
pub(super) async fn run(args: TokenArgs, out: Out) -> Result<(), Fault> {
    let link = &args.link;
    match args.command {
        TokenCommand::Create(order) => create(link, *order, out).await,
        TokenCommand::List { subject, pages } => {
            let owner = subject.as_deref().map(|s| ("subject", s));
            let query: Vec<(&str, &str)> = owner.into_iter().collect();
            let listed = Remote::open(link)?
                .list("/v1/tokens", &query, &pages)
                .await?;
            out.list(&LIST, &listed)
        }
        TokenCommand::Show(which) => {
            let shown = Remote::open(link)?
                .get(&format!("/v1/tokens/{}", which.token))
                .await?;
            out.thing(&SHOW, &shown)
        }
        TokenCommand::Find(text) => {
            one_stdin(link, text.of.as_deref())?;
            let remote = Remote::open(link)?;
            let found = secret::read(text.of.as_deref(), "token")?;
            let order = json!({"token": found.expose_secret()});
            let found = remote
                .order(Method::POST, "/v1/tokens/find", &order)
                .await?;
            out.thing(&SHOW, &found)
        }
        TokenCommand::Change(change) => alter(link, &change, out).await,
        TokenCommand::Rotate(order) => rotate(link, &order, out).await,
        TokenCommand::Suspend(why) => stand(link, &why, "suspend", out).await,
        TokenCommand::Resume(why) => stand(link, &why, "resume", out).await,
        TokenCommand::Revoke(why) => stand(link, &why, "revoke", out).await,
        TokenCommand::CutOff(order) => cut_off(link, &order, out).await,
        TokenCommand::Erase { tokens } => {
            let order = json!({"tokens": tokens});
            let remote = Remote::open(link)?;
            let erased = remote
                .order(Method::POST, "/v1/tokens/erase", &order)
                .await?;
            out.done(&erased, &format!("{} is erased", tokens.join(", ")))
        }
        TokenCommand::Whoami => {
            let answer = Remote::open(link)?.get("/v1/whoami").await?;
            if out.json {
                return json_line(&answer);
            }
            let token = answer.get("token").unwrap_or(&Value::Null);
            out.thing(&SHOW, token)
        }
        TokenCommand::Inspect(text) => inspect::run(text.of.as_deref(), out),
    }
}

/// Standard input holds one text, not two.
pub(super) fn one_stdin(link: &Link, of: Option<&std::path::Path>) -> Result<(), Fault> {
    if link.takes_stdin() && secret::is_stdin(of) {
        let words = "both the token to use and the token to look at would come from standard input";
        return Err(Fault::usage(words).hint("read one of them from a file: --of FILE"));
    }
    Ok(())
}

async fn create(link: &Link, order: Create, out: Out) -> Result<(), Fault> {
    // The file's place is taken first: a secret that cannot be kept is not asked for.
    let file = order
        .secret_file
        .as_deref()
        .map(SecretFile::fresh)
        .transpose()?;
    let (body, once) = order.order()?;
    let remote = Remote::open(link)?;
    let answer = remote.order_once("/v1/tokens", &body, &once).await?;
    deliver(answer, file, out)
}

async fn rotate(link: &Link, order: &Rotate, out: Out) -> Result<(), Fault> {
    let file = order
        .secret_file
        .as_deref()
        .map(SecretFile::replacing)
        .transpose()?;
    let path = format!("/v1/tokens/{}/rotate", order.which.token);
    let remote = Remote::open(link)?;
    let answer = remote
        .order_once(&path, &order.order(), &order.once)
        .await?;
    deliver(answer, file, out)
}

/// Hands the secret over: into its file, or alone to standard output; all else goes to standard error.
fn deliver(mut answer: Value, file: Option<SecretFile>, out: Out) -> Result<(), Fault> {
    let token = answer.get("token").cloned().unwrap_or(Value::Null);
    let id = token.get("id").and_then(Value::as_str).unwrap_or("tok_…");
    if answer.get("secret_available").and_then(Value::as_bool) == Some(false) {
        if out.json {
            json_line(&answer)?;
        } else {
            out.note(&table::thing(&SHOW, &token));
        }
        let words = "this order was carried out before, and its secret cannot be shown again";
        let hint = format!("`jeton token rotate {id} --overlap 0` makes a new one");
        return Err(Fault::failed(words).hint(hint));
    }
    if out.json && file.is_none() {
        return json_line(&answer);
    }
    let secret = take_secret(&mut answer)?;
    if !out.json {
        out.note(&table::thing(&SHOW, &token));
    }
    let lost = |fault: Fault| {
        fault.hint(format!(
            "the secret is lost: `jeton token rotate {id} --overlap 0` makes a new one"
        ))
    };
    let Some(file) = file else {
        if std::io::stdout().is_terminal() {
            out.note("\nKeep the secret now, it cannot be shown again:\n");
        }
        return line(secret.expose_secret()).map_err(lost);
    };
    let path = file
        .keep(&format!("{}\n", secret.expose_secret()))
        .map_err(lost)?;
    if let Some(map) = answer.as_object_mut() {
        map.insert("secret_file".to_owned(), path.display().to_string().into());
    }
    out.done(&answer, &format!("The secret is in {}.", path.display()))
}

async fn alter(link: &Link, change: &Change, out: Out) -> Result<(), Fault> {
    if change.order(Map::new()).is_empty() {
        let words = "say what shall be different";
        return Err(Fault::usage(words).hint("`jeton token change --help` lists what can be"));
    }
    let remote = Remote::open(link)?;
    let path = format!("/v1/tokens/{}", change.which.token);
    let mut known = Map::new();
    if change.needs_known() {
        let shown = remote.get(&path).await?;
        let conditions = shown.get("conditions").and_then(Value::as_object);
        known = conditions.cloned().unwrap_or_default();
    }
    let order = Value::Object(change.order(known));
    out.thing(&SHOW, &remote.order(Method::PATCH, &path, &order).await?)
}

async fn stand(link: &Link, why: &Why, verb: &str, out: Out) -> Result<(), Fault> {
    let path = format!("/v1/tokens/{}/{verb}", why.which.token);
    let remote = Remote::open(link)?;
    let after = remote.order(Method::POST, &path, &why.order()).await?;
    let state = after
        .get("state")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let words = format!("{} is {state}", why.which.token);
    out.done(&after, &words)
}

async fn cut_off(link: &Link, order: &CutOff, out: Out) -> Result<(), Fault> {
    let remote = Remote::open(link)?;
    if order.everything && !order.yes {
        sure("This ends every token of the tenant, the one that this command uses among them.")?;
    }
    let done = remote
        .order(Method::POST, "/v1/tokens/cut-off", &order.order())
        .await?;
    let size = done.get("ledger_size").and_then(Value::as_u64).unwrap_or(0);
    let whose = order.subject.as_deref().unwrap_or("the tenant");
    let words = format!("All tokens of {whose} issued below ledger index {size} are ended");
    out.done(&done, &words)
}

/// Asks whether it is meant.
fn sure(what: &str) -> Result<(), Fault> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Fault::usage(what).hint("add --yes if it is meant"));
    }
    drop(write!(std::io::stderr(), "{what}\nType yes to go on: "));
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer);
    read.map_err(|e| Fault::caused("cannot read the answer", &e))?;
    if answer.trim() == "yes" {
        return Ok(());
    }
    Err(Fault::failed("nothing was done"))
}
