//! The door to the writer: a command is a rule that is decided on the facts of its turn, and answered once it is durable.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{SyncSender, TrySendError},
    },
};

use jeton_core::{
    decision::Decision,
    directory::Directory,
    event::{Actor, RequestKey},
    id::{TenantId, TokenId},
    refusal::{Blame, Refusal},
    time::Time,
    token::record::TokenRecord,
};
use jeton_store::LastUse;
use jeton_verify::check::Verifier;

use super::moment;

/// What a batch has made of tokens so far: as each is now, and how many events it has had. `None`: it was erased, though the index
/// hears of that only with the whole batch.
pub(super) type Overlay = HashMap<TokenId, Option<(TokenRecord, u64)>>;

/// What a command is decided on: the state after all that was decided before it.
pub struct Facts<'a> {
    /// Everything but the tokens.
    pub directory: &'a Directory,
    /// When the batch is decided.
    pub now: Time,
    pub(super) verifier: &'a Verifier,
    pub(super) overlay: &'a Overlay,
}

impl Facts<'_> {
    /// A token, as it is now.
    #[must_use]
    pub fn token(&self, id: TokenId) -> Option<TokenRecord> {
        match self.overlay.get(&id) {
            Some(known) => known.as_ref().map(|(token, _)| token.clone()),
            None => self
                .verifier
                .with_index(|index| index.record(id, self.directory)),
        }
    }

    /// How many events a token has had; none of one that is not known.
    #[must_use]
    pub fn events_of(&self, id: TokenId) -> u64 {
        match self.overlay.get(&id) {
            Some(known) => known.as_ref().map_or(0, |(_, events)| *events),
            None => self.verifier.with_index(|index| index.sequence(id)),
        }
    }
}

/// A decision with what the record says around it.
pub struct Ruling<T> {
    /// Whose event it is.
    pub tenant: TenantId,
    /// Who made it.
    pub actor: Actor,
    /// How a repetition of the request is known.
    pub request: Option<RequestKey>,
    /// The words beside its first event that may be erased: JSON.
    pub words: Option<Vec<u8>>,
    /// What was decided.
    pub decision: Decision<T>,
}

impl<T> Ruling<T> {
    /// A no that changes nothing, whoever asked.
    pub fn no(tenant: TenantId, blame: impl Into<Blame>) -> Self {
        let decision = Decision::no(blame);
        Self {
            tenant,
            actor: Actor::Authority,
            request: None,
            words: None,
            decision,
        }
    }
}

/// Whether a command makes authority or takes it away: on a full disk only the latter goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// It makes or changes something.
    Grow,
    /// It revokes, suspends or cuts off.
    Reduce,
}

/// A command's outcome, durable.
#[derive(Clone, Debug)]
pub struct Done<T> {
    /// What the rule said.
    pub outcome: T,
    /// The ledger's size after it.
    pub size: u64,
}

pub(super) type Events = (
    TenantId,
    Actor,
    Option<RequestKey>,
    Option<Vec<u8>>,
    Vec<jeton_core::event::Event>,
);

pub(super) trait Job: Send {
    fn decide(&mut self, facts: &Facts<'_>) -> Events;
    fn finish(self: Box<Self>, stored: Result<u64, Refusal>);
}

struct Ordered<T, F> {
    rule: Option<F>,
    outcome: Option<Result<T, Blame>>,
    reply: tokio::sync::oneshot::Sender<Result<Done<T>, Blame>>,
}

impl<T: Send, F: FnOnce(&Facts<'_>) -> Ruling<T> + Send> Job for Ordered<T, F> {
    fn decide(&mut self, facts: &Facts<'_>) -> Events {
        let Some(rule) = self.rule.take() else {
            return (
                TenantId::from_bytes([0; 16]),
                Actor::Authority,
                None,
                None,
                Vec::new(),
            );
        };
        let ruling = rule(facts);
        self.outcome = Some(ruling.decision.outcome);
        (
            ruling.tenant,
            ruling.actor,
            ruling.request,
            ruling.words,
            ruling.decision.events,
        )
    }

    fn finish(self: Box<Self>, stored: Result<u64, Refusal>) {
        let told = match (stored, self.outcome) {
            (Err(refusal), _) => Err(refusal.into()),
            (Ok(_), None) => Err(Refusal::Internal.into()),
            (Ok(size), Some(outcome)) => outcome.map(|outcome| Done { outcome, size }),
        };
        // Whoever asked may be gone; what was decided is stored all the same.
        drop(self.reply.send(told));
    }
}

pub(super) enum Message {
    Job(Box<dyn Job>),
    Observe(Vec<LastUse>),
    Forget(Vec<TokenId>, tokio::sync::oneshot::Sender<()>),
    Moment(SyncSender<moment::Moment>),
    Checkpoint(u64, String, SyncSender<()>),
    Stop,
}

/// The door to the writer.
#[derive(Clone)]
pub struct Writer {
    pub(super) queue: SyncSender<Message>,
    pub(super) shared: Arc<Shared>,
}

/// What the writer tells about itself.
#[derive(Default)]
pub struct Shared {
    /// No room: only what takes authority away is accepted.
    pub full: AtomicBool,
    /// Commits since the start.
    pub commits: AtomicU64,
    /// Events since the start.
    pub events: AtomicU64,
    /// Batches of observations kept since the start.
    pub observations: AtomicU64,
}

impl Writer {
    /// Submits a command and waits until it is durable.
    ///
    /// # Errors
    /// The rule's [`Blame`]; [`Refusal::Busy`] when the queue is full; [`Refusal::StoreFull`] when the disk is;
    /// [`Refusal::OutcomeUnknown`] when the writer ended meanwhile.
    pub async fn submit<T, F>(&self, purpose: Purpose, rule: F) -> Result<Done<T>, Blame>
    where
        T: Send + 'static,
        F: FnOnce(&Facts<'_>) -> Ruling<T> + Send + 'static,
    {
        if purpose == Purpose::Grow && self.shared.full.load(Relaxed) {
            return Err(Refusal::StoreFull.into());
        }
        let (reply, answer) = tokio::sync::oneshot::channel();
        let job = Ordered {
            rule: Some(rule),
            outcome: None,
            reply,
        };
        self.queue
            .try_send(Message::Job(Box::new(job)))
            .map_err(|error| match error {
                TrySendError::Full(_) => Refusal::Busy,
                TrySendError::Disconnected(_) => Refusal::Unavailable,
            })?;
        answer.await.map_err(|_| Refusal::OutcomeUnknown)?
    }

    /// Hands observations over; they may be lost.
    pub fn observe(&self, uses: Vec<LastUse>) {
        // A full queue has better things to do.
        drop(self.queue.try_send(Message::Observe(uses)));
    }

    /// Has the observed uses of tokens forgotten, durably: when, and from where.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when the queue is full; [`Refusal::OutcomeUnknown`] when the writer ended meanwhile, or had no room.
    pub async fn forget_uses(&self, tokens: Vec<TokenId>) -> Result<(), Refusal> {
        let (done, forgotten) = tokio::sync::oneshot::channel();
        self.queue
            .try_send(Message::Forget(tokens, done))
            .map_err(|error| match error {
                TrySendError::Full(_) => Refusal::Busy,
                TrySendError::Disconnected(_) => Refusal::Unavailable,
            })?;
        forgotten.await.map_err(|_| Refusal::OutcomeUnknown)
    }

    /// Keeps a signed checkpoint, and waits until it is durable: on a thread that may block. `false`: the writer has ended.
    #[must_use]
    pub fn keep_checkpoint(&self, size: u64, note: String) -> bool {
        let (done, kept) = std::sync::mpsc::sync_channel(1);
        let asked = self.queue.send(Message::Checkpoint(size, note, done));
        asked.is_ok() && kept.recv().is_ok()
    }

    /// Ends the writer after what has queued.
    pub fn stop(&self) {
        drop(self.queue.send(Message::Stop));
    }

    /// What the writer tells about itself.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.shared
    }
}
