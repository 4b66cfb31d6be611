//! What a backup costs: issues so many tokens, takes a backup of them, reads it, restores it, starts from it; prints JSON.
//!
//! `cargo run --release -p jeton --example backup_cost -- TOKENS`

use std::{
    io::{BufReader, BufWriter},
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use anyhow::{Context as _, anyhow};
use jeton::{
    app::found,
    backup::{
        drill::{Order, drill},
        envelope::{Identities, Recipients},
        take::{WithKeyring, take},
        walk::Walk,
    },
    capability::{self, Clock},
    node::{
        keyring::{Kek, write_private},
        start::{self, Node, Place},
        writer::{Purpose, Ruling},
    },
};
use jeton_core::{
    decision::Decision,
    event::{Actor, Event},
    token::{digest::Digest, record::Terms},
};
use serde_json::json;

/// So many events in each order.
const AT_ONCE: u64 = 1000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let tokens = std::env::args().nth(1).context("how many tokens?")?;
    let tokens: u64 = tokens.parse()?;
    let name = data_encoding::HEXLOWER.encode(&capability::draw::<8>());
    let dir = std::env::temp_dir().join(format!("jeton-backup-cost-{name}"));
    let told = measure(&dir, tokens).await;
    std::fs::remove_dir_all(&dir)?;
    println!("{}", told?);
    Ok(())
}

async fn measure(dir: &Path, tokens: u64) -> anyhow::Result<serde_json::Value> {
    let node = start::start(
        &Place::in_dir(dir, "cost.example"),
        Arc::new(Clock::start()),
    )?;
    issue(&node, tokens).await?;
    node.stop();
    tokio::task::block_in_place(|| cost(dir))
}

async fn issue(node: &Node, tokens: u64) -> anyhow::Result<()> {
    let admin = found::operator(node, None).await;
    let admin = admin.map_err(|blame| anyhow!("no operator: {}", blame.refusal.code()))?;
    let like = node.verifier.record(admin.issued.token);
    let like = like.context("the operator's token")?;
    let (pepper, _) = node.keyring.pepper(like.tenant)?;
    for from in (0..tokens).step_by(usize::try_from(AT_ONCE)?) {
        let now = node.clock.time();
        let issued = (from..tokens.min(from + AT_ONCE)).map(|_| Event::TokenIssued {
            token: capability::draw_id(now),
            class: like.class,
            subject: like.subject,
            digest: Digest::from_bytes(capability::draw()),
            pepper,
            terms: Terms::clone(&like.terms),
            expires: like.expires,
        });
        let (tenant, events) = (like.tenant, issued.collect());
        let submitted = node.writer.submit(Purpose::Grow, move |_| Ruling {
            tenant,
            actor: Actor::Authority,
            request: None,
            words: Some(br#"{"name":"laptop","address":"192.0.2.7"}"#.to_vec()),
            decision: Decision::yes((), events),
        });
        let submitted = submitted.await;
        submitted.map_err(|blame| anyhow!("not issued: {}", blame.refusal.code()))?;
    }
    Ok(())
}

/// Takes, reads and drills; prints what each took.
fn cost(dir: &Path) -> anyhow::Result<serde_json::Value> {
    let identity = age::x25519::Identity::generate();
    let (secret, file) = (dir.join("identity"), dir.join("backup.age"));
    let text = age::secrecy::ExposeSecret::expose_secret(&identity.to_string()).to_owned();
    write_private(&secret, text.as_bytes())?;
    let recipient = identity.to_public().to_string();
    let since = capability::stopwatch();
    let recipients = Recipients::parse(core::iter::once(recipient.as_str()))?;
    let out = BufWriter::with_capacity(1 << 17, std::fs::File::create(&file)?);
    let mut out = recipients.seal(out)?;
    let (now, events) = (Clock::start().time(), AtomicU64::new(0));
    let taken = take(dir, WithKeyring::No, &mut out, now, &events)?;
    out.finish()?.into_inner()?.sync_all()?;
    let create = since();
    let opened = || -> anyhow::Result<_> {
        let file = BufReader::with_capacity(1 << 17, std::fs::File::open(&file)?);
        Ok(Walk::begin(Identities::read(&secret)?.open(file)?)?)
    };
    let since = capability::stopwatch();
    let mut walk = opened()?;
    while walk.next_item()?.is_some() {}
    let verify = since();
    let order = Order {
        keyring: Some(&dir.join("keyring")),
        kek: &Kek::File(dir.join("kek")),
        within: dir,
        live: None,
    };
    let drilled = drill(&mut opened()?, &order, &events)?;
    Ok(json!({
        "events": taken.size,
        "backup_bytes": std::fs::metadata(&file)?.len(),
        "store_bytes": drilled.store_bytes,
        "create_s": create.as_secs_f64(),
        "verify_s": verify.as_secs_f64(),
        "restore_s": drilled.restore.as_secs_f64(),
        "start_s": drilled.start.as_secs_f64(),
        "audit_s": drilled.audit.as_secs_f64(),
        "events_per_s": drilled.events_per_second(),
        "findings": drilled.report.findings.len(),
    }))
}
