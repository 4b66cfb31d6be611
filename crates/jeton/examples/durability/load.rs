//! The workload: many submitters, each issuing, rotating and revoking tokens of its own, until standard input ends.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use anyhow::Context as _;
use http::StatusCode;
use jeton::{
    capability,
    serve::{self, Running},
};
use jeton_store::sqlite::Durability;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    journal::{self, Journal, Line},
    talk::{Frame, Talk, config, text},
};

/// How many tokens a submitter keeps at most before it revokes one for each it issues.
const KEPT_MAX: usize = 64;

struct Shared {
    journal: Journal,
    frame: Frame,
    acknowledged: AtomicU64,
    stop: watch::Receiver<bool>,
}

/// A token that a submitter holds.
struct Held {
    id: String,
    generation: u64,
}

/// Runs the workload on a real authority in `data` and says what was acknowledged.
pub(crate) async fn load(
    data: &Path,
    path: &Path,
    durability: Durability,
    submitters: u64,
) -> anyhow::Result<Value> {
    let running = serve::start(&config(data), durability).await?;
    let journal = Journal::open(path)?;
    let frame = frame(&running, &journal, path).await?;
    println!("ready");
    let (stopper, stop) = watch::channel(false);
    let shared = Arc::new(Shared {
        journal,
        frame,
        acknowledged: AtomicU64::new(0),
        stop,
    });
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..submitters {
        let talk = Talk::to(&running)?;
        tasks.spawn(submit(Arc::clone(&shared), talk, number));
    }
    let stdin_ends = tokio::task::spawn_blocking(|| {
        // Whoever started the workload holds the other end: it ends with them, however they end.
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink())
    });
    let first = tokio::select! {
        ended = stdin_ends => { ended??; None }
        done = tasks.join_next() => done,
    };
    stopper.send_replace(true);
    if let Some(done) = first {
        done??;
        anyhow::bail!("a submitter ended by itself");
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    running.stop().await;
    Ok(json!({"acknowledged": shared.acknowledged.load(Relaxed)}))
}

/// The frame of an authority that was founded before, or a new one.
async fn frame(running: &Running, journal: &Journal, path: &Path) -> anyhow::Result<Frame> {
    let (before, _) = journal::read(path, u64::MAX)?;
    if let Some(frame) = journal::frame(&before) {
        return Ok(frame);
    }
    let talk = Talk::to(running)?;
    let note = |secret: &str| {
        let secret = secret.to_owned();
        journal.note(&Line::Admin { secret })
    };
    let frame = Frame::found(running, &talk, note).await?;
    let id = frame.user.clone();
    journal.note(&Line::User { id })?;
    Ok(frame)
}

/// One submitter. It ends with an error when an answer is neither the expected one nor "too busy".
async fn submit(shared: Arc<Shared>, talk: Talk, number: u64) -> anyhow::Result<()> {
    let mut held: Vec<Held> = Vec::new();
    let mut round = 0u64;
    while !*shared.stop.borrow() {
        round += 1;
        let [dice, pick, ..] = capability::draw::<8>();
        if number == 0 && round.is_multiple_of(16) {
            shared.found_tenant(&talk).await?;
            continue;
        }
        let crowded = held.len() >= KEPT_MAX;
        let at = usize::from(pick).checked_rem(held.len());
        match (dice, at) {
            (200.., Some(at)) => shared.rotate(&talk, held.get_mut(at)).await?,
            (0..=199, Some(at)) if dice > 130 || crowded => {
                let token = held.swap_remove(at);
                shared.revoke(&talk, &token.id).await?;
            }
            _ => held.extend(shared.issue(&talk).await?),
        }
    }
    Ok(())
}

impl Shared {
    async fn say(&self, talk: &Talk, path: &str, order: &Value) -> anyhow::Result<Option<Value>> {
        let token = if path == "/v1/tenants" {
            &self.frame.operator
        } else {
            &self.frame.admin
        };
        let (status, body) = talk.say(Some(token), path, order).await?;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return Ok(None);
        }
        anyhow::ensure!(status.is_success(), "{path} answered {status}: {body}");
        Ok(Some(body))
    }

    fn acknowledge(&self, line: &Line) -> anyhow::Result<()> {
        self.acknowledged.fetch_add(1, Relaxed);
        self.journal.note(line)
    }

    async fn issue(&self, talk: &Talk) -> anyhow::Result<Option<Held>> {
        let Some(said) = self.say(talk, "/v1/tokens", &self.frame.issue()).await? else {
            return Ok(None);
        };
        let (id, secret) = (text(&said, "/token/id")?, text(&said, "/secret")?);
        let line = Line::Issued {
            id: id.clone(),
            secret,
        };
        self.acknowledge(&line)?;
        Ok(Some(Held { id, generation: 0 }))
    }

    async fn revoke(&self, talk: &Talk, id: &str) -> anyhow::Result<()> {
        let id = id.to_owned();
        self.journal.note(&Line::Revoking { id: id.clone() })?;
        let path = format!("/v1/tokens/{id}/revoke");
        match self.say(talk, &path, &json!({"reason": "leaked"})).await? {
            Some(_) => self.acknowledge(&Line::Revoked { id }),
            None => Ok(()),
        }
    }

    async fn rotate(&self, talk: &Talk, token: Option<&mut Held>) -> anyhow::Result<()> {
        let token = token.context("no token")?;
        let id = token.id.clone();
        self.journal.note(&Line::Rotating { id: id.clone() })?;
        let path = format!("/v1/tokens/{id}/rotate");
        let Some(said) = self.say(talk, &path, &json!({})).await? else {
            return Ok(());
        };
        token.generation += 1;
        let (generation, secret) = (token.generation, text(&said, "/secret")?);
        self.acknowledge(&Line::Rotated {
            id,
            generation,
            secret,
        })
    }

    /// Founds a tenant: its keys go into the keyring's file, which must never fall behind the ledger.
    async fn found_tenant(&self, talk: &Talk) -> anyhow::Result<()> {
        let drawn: [u8; 6] = capability::draw();
        let prefix: String = core::iter::once('t')
            .chain(drawn.iter().map(|b| char::from(b'a' + b % 26)))
            .collect();
        let order = json!({"prefix": prefix});
        let Some(said) = self.say(talk, "/v1/tenants", &order).await? else {
            return Ok(());
        };
        let secret = text(&said, "/secret")?;
        self.acknowledge(&Line::Admin { secret })
    }
}
