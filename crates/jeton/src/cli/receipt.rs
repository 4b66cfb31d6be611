//! `jeton receipt`: that an event is in the ledger, and what it says, for whoever wants to verify it without asking anybody.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use jeton_core::id::{TokenId, TokenKind};
use jeton_tlog::{POLICY_BYTES_MAX, Policy, RECEIPT_BYTES_MAX};
use serde_json::{Value, json};

use super::{
    fault::{FINDINGS, Fault, chain},
    link::Link,
    names::id,
    out::{Out, json_line, line},
    remote::Remote,
    secret,
    table::{self, Column, at},
};
use crate::{
    http::view::rfc3339,
    receipt::{Asked, Proven, TenantKey, Unproven, told, verify},
};

const EXAMPLES: &str = "\
Examples:
  jeton receipt get tok_… -o token.tlog-proof
  jeton receipt get tok_… --last > revoked.tlog-proof
  jeton receipt verify token.tlog-proof --policy policy
  jeton receipt verify token.tlog-proof --policy policy --tenant-key acme.key --token-id tok_…

A receipt is a c2sp.org/tlog-proof. It is verified offline, by a policy (c2sp.org/tlog-policy) that you got from somebody \
you trust. Exit status of verify: 0 it is proved, 3 it is not, and why.";

const PROVEN: [Column; 17] = [
    at("event", "/event/name"),
    at("token", "/event/token"),
    at("class", "/event/class"),
    at("subject", "/event/subject"),
    at("grants", "/event/grants"),
    at("expires", "/event/expires_at"),
    at("permanent", "/event/permanent"),
    at("reason", "/event/reason"),
    at("at", "/event/at"),
    at("tenant", "/event/tenant"),
    at("index", "/index"),
    at("log", "/origin"),
    at("size", "/size"),
    at("root", "/root"),
    at("cosigned", "/cosigned_by"),
    at("tenant's event", "/tags/tenant_sequence"),
    at("thing's event", "/tags/about_sequence"),
];

/// Receipts.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct ReceiptArgs {
    #[command(flatten)]
    pub(super) link: Link,
    #[command(subcommand)]
    command: ReceiptCommand,
}

#[derive(Subcommand, Debug)]
enum ReceiptCommand {
    /// Fetch the receipt of an event
    Get(Get),
    /// Verify a receipt offline, and show what it proves
    Verify(Verify),
}

#[derive(Args, Debug)]
struct Get {
    /// A token, as tok_…, or the index of an event in the ledger
    #[arg(value_name = "TOKEN_ID|INDEX", value_parser = what)]
    what: String,
    /// Of a token: its last event, in place of the one that issued it
    #[arg(long)]
    last: bool,
    /// The file to write it to; standard output unless told
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct Verify {
    /// The receipt; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The policy that its checkpoint must satisfy
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The tenant's key, as `jeton tenant key` wrote it: its tags are compared, too
    #[arg(long, value_name = "FILE")]
    tenant_key: Option<PathBuf>,
    /// The token that it must be about
    #[arg(long, value_name = "ID", value_parser = id::<TokenKind>)]
    token_id: Option<String>,
}

fn what(text: &str) -> Result<String, String> {
    let legal = text.parse::<TokenId>().is_ok() || text.parse::<u64>().is_ok();
    let rule = "a token's id, as tok_…, or the index of an event";
    legal
        .then(|| text.to_owned())
        .ok_or_else(|| rule.to_owned())
}

/// Runs the command.
pub(super) async fn run(args: ReceiptArgs, out: Out) -> Result<(), Fault> {
    match args.command {
        ReceiptCommand::Get(get) => fetch(&args.link, &get, out).await,
        ReceiptCommand::Verify(given) => {
            args.link.none_for("receipt verify")?;
            prove(&given, out)
        }
    }
}

async fn fetch(link: &Link, get: &Get, out: Out) -> Result<(), Fault> {
    let query = if get.last { "?event=last" } else { "" };
    let remote = Remote::open(link)?;
    let bytes = remote
        .bytes(&format!("/log/proof/{}{query}", get.what))
        .await?;
    let Some(path) = &get.output else {
        let text = String::from_utf8_lossy(&bytes);
        return line(text.trim_end_matches('\n'));
    };
    let words = || format!("cannot write {}", path.display());
    std::fs::write(path, &bytes).map_err(|e| Fault::caused(words(), &e))?;
    let answer = json!({"receipt": path, "bytes": bytes.len()});
    let told = format!("The receipt is in {}.", path.display());
    out.done(&answer, &told)
}

/// A file of at most so many bytes.
pub(super) fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, Fault> {
    let words = || format!("cannot read {}", path.display());
    let most = u64::try_from(bytes_max)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut bytes = Vec::new();
    let read = if secret::is_stdin(Some(path)) {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.map_err(|e| Fault::caused(words(), &e))?;
    Ok(bytes)
}

/// A policy from a file.
pub(super) fn policy(path: &Path) -> Result<Policy, Fault> {
    let bytes = read(path, POLICY_BYTES_MAX)?;
    let policy = Policy::parse(&String::from_utf8_lossy(&bytes));
    policy.map_err(|e| {
        let words = format!("{} is no policy", path.display());
        Fault::caused(words, &e)
            .hint("`/log/policy` of the authority has one; get it from somebody whom you trust")
    })
}

/// A tenant's key from a file.
pub(super) fn tenant_key(path: &Path) -> Result<TenantKey, Fault> {
    let text = secret::read(Some(path), "tenant key")?;
    TenantKey::parse(text.expose_secret())
        .map_err(|e| Fault::caused(format!("{} holds no tenant key", path.display()), &e))
}

fn prove(given: &Verify, out: Out) -> Result<(), Fault> {
    let policy = policy(&given.policy)?;
    let key = given.tenant_key.as_deref().map(tenant_key).transpose()?;
    let bytes = read(&given.file, RECEIPT_BYTES_MAX)?;
    let asked = Asked {
        policy: &policy,
        key: key.as_ref(),
        token: given.token_id.as_ref().and_then(|id| id.parse().ok()),
    };
    match verify(&bytes, &asked) {
        Ok(proven) => {
            let view = view(&proven);
            if out.json {
                return json_line(&view);
            }
            line("verified: this event is in the log")?;
            line(&table::thing(&PROVEN, &view))
        }
        Err(unproven) => refuse(&unproven, out),
    }
}

fn refuse(unproven: &Unproven, out: Out) -> Result<(), Fault> {
    let (reason, what) = (unproven.name(), chain(unproven));
    if out.json {
        json_line(&json!({"verified": false, "reason": reason, "detail": what}))?;
    } else {
        line(&format!("not verified ({reason}): {}", table::plain(&what)))?;
    }
    Err(Fault::Told(FINDINGS))
}

fn view(proven: &Proven) -> Value {
    let time = |s| rfc3339(jeton_core::time::Time::from_seconds(s)).to_string();
    let by = proven.cosigned.iter();
    let cosigned: Vec<Value> = by
        .clone()
        .map(|(witness, at)| json!({"witness": witness, "at": time(*at)}))
        .collect();
    let words: Vec<String> = by
        .map(|(witness, at)| format!("{witness} ({})", time(*at)))
        .collect();
    json!({
        "verified": true,
        "index": proven.index,
        "origin": proven.origin,
        "size": proven.size,
        "root": proven.root.to_string(),
        "cosigned": cosigned,
        "cosigned_by": words,
        "event": told(&proven.record),
        "tags": proven.tags.map(|t| json!({"tenant_sequence": t.tenant, "about_sequence": t.about})),
    })
}
