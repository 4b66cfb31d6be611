//! `jeton monitor`: a tenant's own watch over the log.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::{
    fault::{FINDINGS, Fault, chain},
    link::{Link, absolute},
    log,
    out::{Out, line},
    receipt, remote,
    store::Place,
    table::plain,
    units::span,
};
use crate::{
    mirror::{MirrorError, split_url},
    monitor::{Known, Monitor, Noticed, Round, State, Webhook},
};

const EXAMPLES: &str = "\
Examples:
  jeton monitor --url https://tokens.example.com/log --ca ca.pem --tenant-key acme.key --policy policy --once
  jeton monitor --url https://tokens.example.com/log --profile acme --tenant-key acme.key --policy policy \\
      --known known.txt --state acme.state --webhook https://alerts.example.com/jeton --webhook-ca ca.pem

With a token (--profile or --token-file) that may read the tenant's events, each of them is opened and named. Without --known \
every issuance is told, with it those that it does not name, and erasures of tokens that it does not name: keep a token's id in it after \
the token was erased, or name the index of the erasure. Exit status with --once: 0 nothing, 3 something was noticed.";

/// Who watches what.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct MonitorArgs {
    #[command(flatten)]
    pub(super) link: Link,
    /// Where the log is, such as https://HOST/log
    #[arg(long, value_name = "URL")]
    url: String,
    /// The tenant's key, as `jeton tenant key` wrote it
    #[arg(long, value_name = "FILE")]
    tenant_key: PathBuf,
    /// The policy that a checkpoint must satisfy
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// What was ordered: a token's id or an event's index on each line; read anew in each round
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,
    /// Where to send what is noticed, as JSON: https, or http on a loopback address
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// The CA file that the webhook's certificate must come from
    #[arg(long, value_name = "FILE", requires = "webhook")]
    webhook_ca: Option<PathBuf>,
    /// How often to look
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "10s", conflicts_with = "once")]
    every: u64,
    /// Look once, and end
    #[arg(long)]
    once: bool,
    /// Where to remember how far the log was seen; without it, each run begins with the first entry
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

/// Runs the command.
pub(super) async fn run(mut args: MonitorArgs, out: Out) -> Result<(), Fault> {
    let key = receipt::tenant_key(&args.tenant_key)?;
    let policy = receipt::policy(&args.policy)?;
    let (source, opens) = log::source(&args.url, &mut args.link)?;
    let webhook = webhook(&args)?;
    let tenant = key.tenant.to_string();
    let mut state = match &args.state {
        Some(path) => State::read(path, &tenant)
            .map_err(|e| Fault::caused(format!("{} is not usable", path.display()), &e))?,
        None => State::new(&tenant),
    };
    let mut ticks = interval(Duration::from_secs(args.every.max(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let known = known(args.known.as_deref())?;
        let monitor = Monitor {
            source: &source,
            policy: &policy,
            key: &key,
            known: &known,
            opens,
        };
        let round = monitor.round(&mut state).await;
        keep(&state, args.state.as_deref())?;
        let told = told(round, args.once, out)?;
        deliver(webhook.as_ref(), &mut state, out).await;
        keep(&state, args.state.as_deref())?;
        if !args.once {
            continue;
        }
        if webhook.is_some() && !state.pending.is_empty() {
            return Err(Fault::failed("the webhook was not told of everything")
                .hint("with --state, the next run tells it"));
        }
        return if told {
            Err(Fault::Told(FINDINGS))
        } else {
            Ok(())
        };
    }
}

fn known(path: Option<&Path>) -> Result<Known, Fault> {
    match path {
        None => Ok(Known::default()),
        Some(path) => {
            Known::read(path).map_err(|what| Fault::failed(format!("{}: {what}", path.display())))
        }
    }
}

fn keep(state: &State, path: Option<&Path>) -> Result<(), Fault> {
    let Some(path) = path else { return Ok(()) };
    let kept = state.keep(path);
    kept.map_err(|e| Fault::caused(format!("cannot write {}", path.display()), &e))
}

fn webhook(args: &MonitorArgs) -> Result<Option<Webhook>, Fault> {
    let Some(url) = &args.webhook else {
        return Ok(None);
    };
    let (base, path) = split_url(url);
    let place = Place::Url {
        server: base.to_owned(),
        ca: args.webhook_ca.as_deref().map(absolute),
    };
    let client = remote::client(&place);
    let client = client.map_err(|fault| match args.webhook_ca {
        None if base.starts_with("https://") => {
            Fault::usage(format!("it is not said which CA to trust for {base}"))
                .hint("add --webhook-ca FILE: the bundle of your system, or the CA of your own")
        }
        _ => fault,
    })?;
    Ok(Some(Webhook::new(client, path)))
}

/// Tells what a round brought; says whether anything was noticed.
fn told(round: Result<Round, MirrorError>, once: bool, out: Out) -> Result<bool, Fault> {
    let round = match round {
        Ok(round) => round,
        Err(error) if once => return Err(log::fault(&error)),
        Err(error) => {
            out.note(&format!("{}; trying again", chain(&error)));
            return Ok(false);
        }
    };
    if out.json {
        line(&view(&round).to_string())?;
    } else {
        for own in &round.own {
            let event = own.event.as_ref();
            let text = |name| event.and_then(|e| e.get(name)).and_then(Value::as_str);
            let (name, token) = (text("name").unwrap_or("event"), text("token").unwrap_or(""));
            let words = format!("{} no. {} {name} {token}", own.index, own.sequence);
            line(plain(&words).trim_end())?;
        }
        for Noticed {
            kind, index, what, ..
        } in &round.noticed
        {
            let at = index.map(|i| format!(" at index {i}")).unwrap_or_default();
            line(&format!("{kind}{at}: {}", plain(what)))?;
        }
        if once || round.new > 0 {
            let (new, own, found) = (round.new, round.own.len(), round.noticed.len());
            line(&format!(
                "{new} new entries of {}, {own} of the tenant; {found} noticed",
                round.size
            ))?;
        }
    }
    Ok(!round.noticed.is_empty())
}

fn view(round: &Round) -> Value {
    let own = round
        .own
        .iter()
        .map(|own| json!({"index": own.index, "sequence": own.sequence, "event": own.event}));
    json!({
        "size": round.size, "new": round.new, "own": own.collect::<Vec<_>>(), "findings": round.noticed,
    })
}

/// Tells the webhook of everything that it was not told of. What is not delivered stays.
async fn deliver(webhook: Option<&Webhook>, state: &mut State, out: Out) {
    let Some(webhook) = webhook else {
        state.pending.clear();
        return;
    };
    let mut told = 0;
    for noticed in &state.pending {
        if let Err(error) = webhook.tell(noticed).await {
            out.note(&format!("{}; trying again", chain(&error)));
            break;
        }
        told += 1;
    }
    state.pending.drain(..told);
}
