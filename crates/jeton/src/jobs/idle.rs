//! The sweep for idle tokens: walks the index slowly, and has those suspended that nobody used for as long as their terms
//! allow.
//!
//! It is no hurry: an idle token is refused without it. It is never in the way: a few slots under the lock at a time, and on
//! a full disk or a busy writer it waits for its next walk.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jeton_core::{
    decision::Decision,
    event::Actor,
    id::{TenantId, TokenId},
    refusal::Blame,
    time::Time,
    token::{idle, record::State},
};
use jeton_verify::{check::Verifier, index::Index};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::node::{
    start::Node,
    writer::{Facts, Purpose, Ruling},
};

/// How many slots are looked at under one hold of the lock: well under a millisecond.
const SLOTS_AT_ONCE: u32 = 4096;
/// The most tokens that are suspended at once.
const EVENTS_AT_ONCE: usize = 256;
/// From one walk's begin to the next.
const WALK_EVERY: Duration = Duration::from_mins(10);
/// How often a walk goes on.
const STEP_EVERY: Duration = Duration::from_secs(1);

/// How far a walk has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Walk {
    next: u32,
}

/// What a step came upon.
#[derive(Debug)]
pub struct Step {
    /// Tokens that were idle at the moment of looking.
    pub found: Vec<TokenId>,
    /// Whether there is more to walk.
    pub more: bool,
}

impl Walk {
    /// Looks at the next slots.
    pub fn step(&mut self, verifier: &Verifier, now: Time) -> Step {
        let mut found = Vec::new();
        let more = verifier.with_index(|index| {
            let end = index.len().min(self.next.saturating_add(SLOTS_AT_ONCE));
            while self.next < end && found.len() < EVENTS_AT_ONCE {
                found.extend(idle_at(index, self.next, now));
                self.next += 1;
            }
            self.next < index.len()
        });
        Step { found, more }
    }
}

/// The token at a position, if it looks idle. Only the rule knows whether it is.
fn idle_at(index: &Index, position: u32, now: Time) -> Option<TokenId> {
    let slot = index.slot(position)?;
    if slot.leads_to().is_some() || slot.state() != State::Active {
        return None;
    }
    let idle_from = index.terms(slot.terms)?.held(slot, None).idle_from()?;
    let ended = slot.expires().is_some_and(|at| now >= at);
    (!ended && now >= idle_from).then(|| slot.id())
}

/// Has tokens suspended that were found idle, those that still are when the writer decides. Says how many.
///
/// # Errors
/// The writer's [`Blame`].
pub async fn suspend(node: &Node, found: Vec<TokenId>) -> Result<usize, Blame> {
    let mut of: BTreeMap<TenantId, Vec<TokenId>> = BTreeMap::new();
    for token in found {
        if let Some(record) = node.verifier.record(token) {
            of.entry(record.tenant).or_default().push(token);
        }
    }
    let mut suspended = 0;
    for (tenant, tokens) in of {
        // It takes authority away, but nothing that worked: on a full disk the room is for what must not wait.
        let purpose = Purpose::Grow;
        let rule = move |facts: &Facts<'_>| ruling(facts, tenant, &tokens);
        suspended += node.writer.submit(purpose, rule).await?.outcome;
    }
    Ok(suspended)
}

fn ruling(facts: &Facts<'_>, tenant: TenantId, tokens: &[TokenId]) -> Ruling<usize> {
    let records: Vec<_> = tokens.iter().filter_map(|id| facts.token(*id)).collect();
    let decision: Decision<usize> = idle::suspend(tenant, &records, facts.directory, facts.now);
    Ruling {
        tenant,
        actor: Actor::Authority,
        request: None,
        words: None,
        decision,
    }
}

/// Walks again and again until `stop` fires. A crash loses how far it had come, and nothing else.
pub async fn run(node: Arc<Node>, mut stop: watch::Receiver<bool>) {
    loop {
        let next = Instant::now() + WALK_EVERY;
        let walked = tokio::select! {
            walked = walk(&node) => walked,
            _ = stop.changed() => return,
        };
        match walked {
            Ok(0) => {}
            Ok(suspended) => tracing::info!(suspended, "idle tokens were suspended"),
            Err(blame) => tracing::warn!(
                code = blame.refusal.code(),
                "the sweep for idle tokens ended early"
            ),
        }
        tokio::select! {
            () = sleep_until(next) => {}
            _ = stop.changed() => return,
        }
    }
}

async fn walk(node: &Arc<Node>) -> Result<usize, Blame> {
    let mut tick = interval(STEP_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut walk, mut suspended, mut more) = (Walk::default(), 0, true);
    while more {
        tick.tick().await;
        for _ in 0..steps_at_once(node.verifier.with_index(Index::len)) {
            let looking = Arc::clone(node);
            let stepped = tokio::task::spawn_blocking(move || {
                let step = walk.step(&looking.verifier, looking.clock.time());
                (walk, step)
            });
            // The task ends with the process at most: then there is nothing more to walk.
            let Ok((walked, step)) = stepped.await else {
                return Ok(suspended);
            };
            (walk, more) = (walked, step.more);
            suspended += suspend(node, step.found).await?;
            if !more {
                break;
            }
        }
    }
    Ok(suspended)
}

/// How many steps each second make a walk of so many slots end within [`WALK_EVERY`], if few tokens are idle.
fn steps_at_once(slots: u32) -> u64 {
    let seconds = WALK_EVERY.as_secs().max(1);
    let steps = u64::from(slots.div_ceil(SLOTS_AT_ONCE));
    steps.div_ceil(seconds).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_takes_about_ten_minutes_however_many_tokens_there_are() {
        for (slots, each) in [
            (0, 1),
            (1, 1),
            (600 * 4096, 1),
            (600 * 4096 + 1, 2),
            (100_000_000, 41),
            (u32::MAX, 1748),
        ] {
            assert_eq!(steps_at_once(slots), each, "{slots}");
        }
    }
}
