//! Observations: what a check saw and may forget. Queued without waiting, kept in batches.

use std::{net::IpAddr, time::Duration};

use jeton_core::{
    event::Actor,
    id::{Id, TokenId},
    refusal::Refusal,
    time::Time,
    token::rehash::{self, Rehash},
};
use jeton_store::LastUse;
use jeton_verify::check::Passed;
use tokio::sync::mpsc;

use crate::node::writer::{Purpose, Ruling, Writer};

/// The most observations that wait: beyond, they are forgotten.
const QUEUE_MAX: usize = 1 << 16;
/// The most kept in one batch.
const BATCH_MAX: usize = 4096;
/// How long an observation waits at most.
const FLUSH_EVERY: Duration = Duration::from_secs(10);

/// One thing seen.
struct Seen {
    token: TokenId,
    at: Time,
    address: Option<IpAddr>,
    rehash: Option<Rehash>,
}

/// Where checks tell what they saw.
#[derive(Clone)]
pub struct Observer(mpsc::Sender<Seen>);

impl Observer {
    /// Notes a use. Never waits; forgets when too much waits already.
    pub fn used(&self, passed: &Passed, at: Time, address: Option<IpAddr>) {
        if passed.observe || passed.rehash.is_some() {
            let seen = Seen {
                token: passed.token,
                at,
                address,
                rehash: passed.rehash,
            };
            drop(self.0.try_send(seen));
        }
    }
}

/// Starts keeping observations; ends when the last [`Observer`] is gone or `stop` fires, after a last flush.
pub fn start(
    writer: Writer,
    mut stop: tokio::sync::watch::Receiver<bool>,
) -> (Observer, tokio::task::JoinHandle<()>) {
    let (queue, mut inbox) = mpsc::channel::<Seen>(QUEUE_MAX);
    let task = tokio::spawn(async move {
        let mut uses: Vec<LastUse> = Vec::new();
        let mut tick = tokio::time::interval(FLUSH_EVERY);
        loop {
            let flush = tokio::select! {
                seen = inbox.recv() => match seen {
                    None => break,
                    Some(seen) => {
                        if let Some(found) = seen.rehash {
                            rehash(&writer, seen.token, found).await;
                        }
                        let address = seen.address.map(|a| a.to_string());
                        uses.push(LastUse { token: seen.token, at: seen.at, address });
                        uses.len() >= BATCH_MAX
                    }
                },
                _ = tick.tick() => !uses.is_empty(),
                _ = stop.changed() => break,
            };
            if flush {
                writer.observe(std::mem::take(&mut uses));
            }
        }
        if !uses.is_empty() {
            writer.observe(uses);
        }
    });
    (Observer(queue), task)
}

/// A token was presented under the older pepper: keep its digest under the younger one, unless the token has another secret by now.
async fn rehash(writer: &Writer, token: TokenId, seen: Rehash) {
    let ruling = writer.submit(Purpose::Grow, move |facts| {
        let Some(found) = facts.token(token) else {
            let system = facts.directory.system();
            return Ruling::no(system.unwrap_or(Id::from_bytes([0; 16])), Refusal::NotFound);
        };
        Ruling {
            tenant: found.tenant,
            actor: Actor::Authority,
            request: None,
            words: None,
            decision: rehash::rehash(&found, &seen),
        }
    });
    if let Err(blame) = ruling.await {
        tracing::debug!(code = blame.refusal.code(), "a digest was not renewed");
    }
}
