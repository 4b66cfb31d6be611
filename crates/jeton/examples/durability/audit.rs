//! The audit: starts an authority on what a power cut left, and asks it about everything that was acknowledged.

use std::path::Path;

use anyhow::Context as _;
use jeton::{
    capability,
    node::start::Node,
    serve::{self, Running},
};
use jeton_core::{check::question::Question, id::TokenId, refusal::Refusal, scope::ScopeSet};
use jeton_store::{fsck, sqlite::Durability};
use serde_json::{Value, json};

use crate::{
    journal::{self, Due, Expected},
    talk::{API, Talk, config, text},
};

/// How many tokens are asked about over HTTPS too.
const ASKED_MAX: usize = 500;
/// How many losses are told in words.
const TOLD_MAX: usize = 10;

/// Compares the authority in `data` with the journal as it was when it had `bytes`.
pub(crate) async fn audit(data: &Path, path: &Path, bytes: u64) -> anyhow::Result<Value> {
    let (before, after) = journal::read(path, bytes)?;
    let expected = Expected::of(&before, &after);
    let since = capability::stopwatch();
    let first = serve::start(&config(data), Durability::Full).await;
    let refused = first.as_ref().err().map(|error| format!("{error:#}"));
    let second = if refused.is_some() {
        // It sees that it lost something. Without that knowledge it starts, and what it lost can be counted.
        drop(std::fs::remove_file(data.join("high-water")));
        serve::start(&config(data), Durability::Full).await
    } else {
        first
    };
    let running = match second {
        Ok(running) => running,
        Err(error) => {
            return Ok(json!({
                "started": false, "refused": format!("{error:#}"),
                "acknowledged": expected.acknowledged, "lost": expected.acknowledged,
            }));
        }
    };
    let start_ms = u64::try_from(since().as_millis())?;
    let mut lost = lost(&running.doors.node, &expected);
    lost.extend(asked(&running, &expected).await?);
    let findings = findings(&running).await?;
    let went_on = goes_on(&running, &before).await;
    let started = running.doors.node.started;
    let report = json!({
        "started": refused.is_none(),
        "refused": refused,
        "acknowledged": expected.acknowledged,
        "tokens": expected.tokens.len(),
        "lost": lost.len(),
        "losses": lost.iter().take(TOLD_MAX).collect::<Vec<_>>(),
        "findings": findings,
        "start_ms": start_ms,
        "learn_ms": started.took_ms,
        "events": started.from_snapshot + started.replayed,
        "from_snapshot": started.from_snapshot,
        "goes_on": went_on.as_ref().map_or_else(|e| format!("{e:#}"), |()| "yes".to_owned()),
    });
    running.stop().await;
    Ok(report)
}

/// What the node's own check says against the journal, for every token.
fn lost(node: &Node, expected: &Expected) -> Vec<String> {
    let mut lost = Vec::new();
    for (number, secret) in expected.admins.iter().enumerate() {
        if let Err(denied) = node.verifier.holder(secret, None, node.clock.now()) {
            let code = denied.refused.refusal.code();
            lost.push(format!("the acknowledged admin {number}: {code}"));
        }
    }
    for (id, due) in &expected.tokens {
        lost.extend(wrong(node, id, due).map(|what| format!("{id}: {what}")));
    }
    lost
}

fn wrong(node: &Node, id: &str, due: &Due) -> Option<String> {
    let (generation, youngest) = due.secrets.last()?;
    let Some(record) = id
        .parse::<TokenId>()
        .ok()
        .and_then(|id| node.verifier.record(id))
    else {
        return Some("the acknowledged issue is not there".into());
    };
    let kept = u64::from(record.generation);
    let most = generation + due.maybe_rotated;
    if kept < *generation || kept > most {
        return Some(format!(
            "generation {generation} was acknowledged, {kept} is there"
        ));
    }
    if due.revoked {
        let alive = due
            .secrets
            .iter()
            .find_map(|(g, secret)| match check(node, secret) {
                Err(Refusal::TokenRevoked) => None,
                Err(other) => Some(format!("revoked secret {g} is refused as {}", other.code())),
                Ok(()) => Some(format!("revoked secret {g} is allowed")),
            });
        return alive;
    }
    match check(node, youngest) {
        Ok(()) => None,
        Err(Refusal::TokenRevoked) if due.maybe_revoked => None,
        Err(other) => Some(format!("the acknowledged secret: {}", other.code())),
    }
}

fn check(node: &Node, secret: &str) -> Result<(), Refusal> {
    let directory = node.verifier.directory();
    let tenant = node.verifier.find(secret)?.tenant;
    let api = directory.api_named(tenant, API).ok_or(Refusal::NotFound)?;
    let question = Question {
        tenant,
        api: api.id,
        needed: [0].into_iter().collect::<ScopeSet>(),
        resource: None,
        address: None,
        method: None,
        path: None,
    };
    let checked = node.verifier.check(secret, &question, node.clock.now());
    checked.map(drop).map_err(|denied| denied.refused.refusal)
}

/// The same over HTTPS, for some: the door must say what the node says.
async fn asked(running: &Running, expected: &Expected) -> anyhow::Result<Vec<String>> {
    let Some(admin) = expected.admins.get(1) else {
        return Ok(Vec::new());
    };
    let talk = Talk::to(running)?;
    let sure = |due: &&Due| due.revoked || !due.maybe_revoked;
    let some: Vec<(&str, bool)> = expected
        .tokens
        .values()
        .filter(sure)
        .filter_map(|due| Some((due.secrets.last()?.1.as_str(), due.revoked)))
        .take(ASKED_MAX)
        .collect();
    let checks: Vec<Value> = some
        .iter()
        .map(|(secret, _)| json!({"token": secret, "api": API, "scopes": ["read"]}))
        .collect();
    if checks.is_empty() {
        return Ok(Vec::new());
    }
    let order = json!({"checks": checks});
    let (status, said) = talk.say(Some(admin), "/v1/check/batch", &order).await?;
    if !status.is_success() {
        return Ok(vec![format!("the batch of checks: {status} {said}")]);
    }
    let verdicts = said
        .pointer("/results")
        .and_then(Value::as_array)
        .with_context(|| format!("no results in {said}"))?;
    anyhow::ensure!(verdicts.len() == some.len(), "verdicts are missing");
    let wrong = verdicts
        .iter()
        .zip(&some)
        .filter_map(|(verdict, (_, revoked))| {
            let allowed = verdict.get("allowed").and_then(Value::as_bool);
            (allowed != Some(!revoked))
                .then(|| format!("over HTTPS: {verdict}, revoked: {revoked}"))
        });
    Ok(wrong.collect())
}

/// What `fsck` finds.
async fn findings(running: &Running) -> anyhow::Result<Vec<String>> {
    let node = &running.doors.node;
    let (keyring, log) = (
        std::sync::Arc::clone(&node.keyring),
        node.log_keys().remove(0),
    );
    let report = node
        .read(move |reader| {
            let keys = fsck::Keys {
                tags: &|tenant| keyring.tag_key(tenant),
                seal: keyring.seal_key(),
                log: &log,
            };
            fsck::fsck(reader, keys)
        })
        .await?;
    let told = report
        .findings
        .iter()
        .map(|f| format!("{} {}: {}", f.table, f.row, f.what));
    Ok(told.take(TOLD_MAX).collect())
}

/// A recovered authority takes further orders.
async fn goes_on(running: &Running, before: &[journal::Line]) -> anyhow::Result<()> {
    let Some(frame) = journal::frame(before) else {
        // Only a part of the founding was acknowledged: there is nobody yet to order anything.
        return Ok(());
    };
    let talk = Talk::to(running)?;
    let said = talk
        .order(Some(&frame.admin), "/v1/tokens", &frame.issue())
        .await?;
    let path = format!("/v1/tokens/{}/revoke", text(&said, "/token/id")?);
    talk.order(Some(&frame.admin), &path, &json!({})).await?;
    Ok(())
}
