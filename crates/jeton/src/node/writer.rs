//! The one writer: takes what has queued, decides one after the other on the same facts, commits once, publishes, answers.
//!
//! Nothing is visible before it is durable, and nothing is answered before it is visible. A batch that the disk has no room
//! for is dropped whole; any other error of the disk ends the process, and the next start learns what is true.

mod command;
pub mod moment;

use std::sync::{
    Arc,
    atomic::Ordering::Relaxed,
    mpsc::{Receiver, sync_channel},
};

use jeton_core::{
    directory::Directory,
    event::{RECORD_VERSION, Record},
    id::TokenId,
    leaf::aside_hash,
    refusal::Refusal,
    subject::Standing,
    time::Time,
    token::record::TokenRecord,
};
use jeton_store::{
    Batch, Store, StoreError,
    ledger::{Aside, Entry, Seal, Sealer},
    row::Row,
};
use jeton_tlog::Tile;
use jeton_verify::check::Verifier;
use tokio::sync::watch;

pub use self::command::{Done, Facts, Purpose, Ruling, Shared, Writer};
use self::command::{Events, Job, Message, Overlay};
use crate::{
    capability::{self, Clock},
    node::{
        disk::Ballast, high_water::HighWater, keyring::Keyring, publish::End, quarantine::Gate,
    },
};

/// The most commands in one commit.
pub const BATCH_MAX: usize = 1024;
/// The most commands that wait.
pub const QUEUE_MAX: usize = 8192;

/// What the writer works with.
pub struct Bench {
    /// The store, which it owns.
    pub store: Box<dyn Store>,
    /// The end of the ledger.
    pub sealer: Sealer,
    /// Where stored events are published.
    pub verifier: Arc<Verifier>,
    /// The keys of tags.
    pub keyring: Arc<Keyring>,
    /// Tells the time.
    pub clock: Arc<Clock>,
    /// Room for revocations on a full disk.
    pub ballast: Ballast,
    /// Where it is told how far the ledger is committed.
    pub end: watch::Sender<End>,
    /// Where the highest size is kept, outside the database.
    pub high_water: HighWater,
    /// Whether anything may be changed at all.
    pub gate: Arc<Gate>,
}

/// Starts the writer's thread.
///
/// # Errors
/// If the system gives no thread.
pub fn start(bench: Bench) -> std::io::Result<(Writer, std::thread::JoinHandle<()>)> {
    let (queue, inbox) = sync_channel(QUEUE_MAX);
    let shared = Arc::new(Shared::default());
    // A start on a full disk could not take the ballast: until it can, nothing may grow.
    shared.full.store(!bench.ballast.is_held(), Relaxed);
    let writer = Writer {
        queue,
        shared: Arc::clone(&shared),
    };
    let directory = Directory::clone(&bench.verifier.directory());
    let mut state = State {
        bench,
        shared,
        directory,
        runtime: tokio::runtime::Handle::try_current().ok(),
        moments: moment::Moments::default(),
    };
    let thread = std::thread::Builder::new().name("writer".into());
    let thread = thread.spawn(move || state.run(&inbox))?;
    Ok((writer, thread))
}

struct State {
    bench: Bench,
    shared: Arc<Shared>,
    directory: Directory,
    /// Where answers are given, so that the next batch need not wait until all have been told.
    runtime: Option<tokio::runtime::Handle>,
    moments: moment::Moments,
}

/// Chance for the salts of a batch's words, drawn many at a time: one draw costs as much as sealing an event. It ends with the batch:
/// nothing of it waits where a copy of this process (a machine that is restored from an image) would find it again.
#[derive(Default)]
struct Salts {
    drawn: Vec<u8>,
}

impl Salts {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        if self.drawn.len() < N {
            self.drawn = capability::draw::<4096>().to_vec();
        }
        let rest = self.drawn.len().saturating_sub(N);
        let taken = self.drawn.split_off(rest);
        // Always N bytes; should that ever be wrong, a draw of its own is as good.
        taken.try_into().unwrap_or_else(|_| capability::draw())
    }
}

/// What a batch has come to, before it is stored.
struct Drafted {
    directory: Directory,
    sealer: Sealer,
    overlay: Overlay,
    records: Vec<Record>,
    entries: Vec<(Entry, Row)>,
    tiles: Vec<Tile>,
    salts: Salts,
}

impl State {
    fn run(&mut self, inbox: &Receiver<Message>) {
        loop {
            let mut jobs: Vec<Box<dyn Job>> = Vec::new();
            let Ok(first) = inbox.recv() else { return };
            let mut stop = self.take(first, &mut jobs);
            while jobs.len() < BATCH_MAX && !stop {
                let Ok(message) = inbox.try_recv() else { break };
                stop |= self.take(message, &mut jobs);
            }
            if !jobs.is_empty() {
                self.batch(jobs);
            }
            if stop {
                return;
            }
        }
    }

    fn take(&mut self, message: Message, jobs: &mut Vec<Box<dyn Job>>) -> bool {
        match message {
            Message::Job(job) => jobs.push(job),
            // What may be lost must not eat the room that revocations need.
            Message::Observe(_)
                if self.shared.full.load(Relaxed) || self.bench.gate.is_closed() => {}
            Message::Observe(mut uses) => {
                self.shared.observations.fetch_add(1, Relaxed);
                uses.retain(|used| self.may_observe(used.token));
                match self.bench.store.observe(&uses) {
                    Ok(()) => {}
                    Err(StoreError::Full) => tracing::warn!("no room for observations"),
                    Err(error) => fatal(&error),
                }
            }
            Message::Forget(tokens, done) => match self.bench.store.forget_uses(&tokens) {
                // Whoever asked may be gone.
                Ok(()) => drop(done.send(())),
                Err(StoreError::Full) => tracing::warn!("no room to forget observations"),
                Err(error) => fatal(&error),
            },
            Message::Moment(asked) => {
                self.moments
                    .hand_out(&asked, &self.directory, &self.bench.verifier);
            }
            Message::Checkpoint(size, note, kept) => {
                match self.bench.store.keep_checkpoint(size, &note) {
                    Ok(()) => {}
                    Err(StoreError::Full) => tracing::warn!("no room for a checkpoint"),
                    Err(error) => fatal(&error),
                }
                if kept.try_send(()).is_err() {
                    tracing::debug!("nobody waits for a checkpoint to be kept");
                }
            }
            Message::Stop => return true,
        }
        false
    }

    fn batch(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        if self.bench.gate.is_closed() {
            return self.finish(jobs, Err(Refusal::Quarantined));
        }
        let mut draft = Drafted {
            directory: self.directory.clone(),
            sealer: self.bench.sealer.clone(),
            overlay: Overlay::new(),
            records: Vec::new(),
            entries: Vec::new(),
            tiles: Vec::new(),
            salts: Salts::default(),
        };
        let now = self.bench.clock.time();
        for job in &mut jobs {
            let facts = Facts {
                directory: &draft.directory,
                now,
                verifier: &self.bench.verifier,
                overlay: &draft.overlay,
            };
            let events = job.decide(&facts);
            if let Err(wrong) = self.draft(&mut draft, events, now) {
                // The rules and `apply` disagree: nothing of the batch is stored, and nothing of it was seen.
                tracing::error!(wrong, "a batch was dropped");
                return self.finish(jobs, Err(Refusal::Internal));
            }
        }
        if draft.records.is_empty() {
            return self.finish(jobs, Ok(self.directory.size()));
        }
        let from = self.directory.size();
        match self.store(&draft, from) {
            Ok(()) => {}
            Err(StoreError::Full) => return self.finish(jobs, Err(Refusal::StoreFull)),
            Err(error) => fatal(&error),
        }
        // From here on the batch is true. A crash here loses only the answers; a retry with the same key finds them.
        self.shared.commits.fetch_add(1, Relaxed);
        let count = u64::try_from(draft.records.len()).unwrap_or_default();
        self.shared.events.fetch_add(count, Relaxed);
        self.directory = draft.directory;
        self.bench.sealer = draft.sealer;
        let end = End::of(&self.bench.sealer, &self.directory);
        // Before anybody can see or hear of it: a backup that is put back over the database is below this mark.
        self.mark(end);
        self.bench.end.send_replace(end);
        self.moments.keep(&self.bench.verifier, &draft.records);
        if let Err(error) =
            self.bench
                .verifier
                .publish(self.directory.clone(), from, &draft.records)
        {
            fatal(&error);
        }
        self.finish(jobs, Ok(self.directory.size()));
    }

    /// Raises the high-water mark.
    fn mark(&self, end: End) {
        if self.bench.gate.is_closed() {
            // A witness has raised it higher meanwhile.
            return;
        }
        match self.bench.high_water.raise(&end.mark()) {
            Ok(()) => {}
            // Some file systems want room to write over what is there. Revocations go on, and the mark is raised with the next.
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                tracing::error!(size = end.size, "no room to raise the high-water mark");
            }
            Err(error) => fatal(&error),
        }
    }

    /// Answers everybody. On the runtime's own threads, where waking a task costs no call of the system.
    fn finish(&self, jobs: Vec<Box<dyn Job>>, stored: Result<u64, Refusal>) {
        let told = move || {
            for job in jobs {
                job.finish(stored);
            }
        };
        match &self.runtime {
            Some(runtime) => drop(runtime.spawn(async move { told() })),
            None => told(),
        }
    }

    fn draft(&self, draft: &mut Drafted, events: Events, now: Time) -> Result<(), &'static str> {
        let (tenant, actor, request, mut words, events) = events;
        for event in events {
            let aside = words.take().map(|words| Aside {
                salt: draft.salts.take(),
                words,
            });
            let record = Record {
                version: RECORD_VERSION,
                tenant,
                at: now,
                actor,
                request,
                aside: aside.as_ref().map(|a| aside_hash(&a.salt, &a.words)),
                event,
            };
            let key = self
                .bench
                .keyring
                .tag_key(tenant)
                .ok_or("a tenant has no tag key")?;
            let about_sequence = self.sequence(draft, &record);
            let seal = Seal {
                key: &key,
                tenant_sequence: draft.directory.tenant_events(tenant) + 1,
                about_sequence,
                seal: self.bench.keyring.seal_key(),
            };
            let entry = draft.sealer.seal(&record, &seal, aside, &mut draft.tiles);
            let entry = entry.map_err(|_| "a record is too large")?;
            draft
                .directory
                .apply(entry.index, &record)
                .map_err(|e| e.0)?;
            let token = self.overlaid(draft, entry.index, &record, about_sequence)?;
            let row = Row::after(tenant, &record.event, token.as_ref(), &draft.directory);
            draft.entries.push((entry, row));
            draft.records.push(record);
        }
        Ok(())
    }

    /// Whether a use that was seen some seconds ago may be kept: not of a token that was erased since, or whose owner was deleted
    /// and may be erased already.
    fn may_observe(&self, token: TokenId) -> bool {
        let found = self.bench.verifier.record(token);
        let owner = found.and_then(|t| self.directory.subject(t.tenant, t.subject));
        owner.is_some_and(|owner| owner.standing != Standing::Deleted)
    }

    fn sequence(&self, draft: &Drafted, record: &Record) -> u64 {
        match record.event.token() {
            None => draft.directory.sequence(&record.event.about(record.tenant)),
            Some(id) => match draft.overlay.get(&id) {
                Some(known) => known.as_ref().map_or(0, |(_, sequence)| *sequence),
                None if matches!(record.event, jeton_core::event::Event::TokenIssued { .. }) => 0,
                None => self.bench.verifier.with_index(|index| index.sequence(id)),
            },
        }
    }

    fn overlaid(
        &self,
        draft: &mut Drafted,
        index: u64,
        record: &Record,
        sequence: u64,
    ) -> Result<Option<TokenRecord>, &'static str> {
        let Some(id) = record.event.token() else {
            // What was erased is gone for the rest of the batch, too: an event about it would be the ruin of every later start.
            let erased = record.event.tokens().map(|id| (id, None));
            draft.overlay.extend(erased);
            return Ok(None);
        };
        let token = match TokenRecord::issued(index, record.tenant, &record.event) {
            Some(token) => token,
            None => {
                let known = match draft.overlay.get(&id) {
                    Some(known) => known.as_ref().map(|(token, _)| token.clone()),
                    None => {
                        let verifier = &self.bench.verifier;
                        verifier.with_index(|i| i.record(id, &draft.directory))
                    }
                };
                let mut token = known.ok_or("no such token")?;
                token.apply(record.at, &record.event).map_err(|e| e.0)?;
                token
            }
        };
        let known = (token.clone(), sequence + 1);
        draft.overlay.insert(id, Some(known));
        Ok(Some(token))
    }

    fn store(&mut self, draft: &Drafted, from: u64) -> Result<(), StoreError> {
        let id = capability::draw();
        let frontier = draft.sealer.frontier();
        let batch = Batch {
            id,
            from,
            entries: &draft.entries,
            tiles: &draft.tiles,
            frontier: &frontier,
        };
        match self.bench.store.append(&batch) {
            Err(StoreError::Full) if self.bench.ballast.release() => {
                // The ballast's room is for revocations; this one batch may use it whatever is in it.
                tracing::error!("the disk is full: the ballast is released, and issuing stops");
                self.shared.full.store(true, Relaxed);
                self.bench.store.append(&batch)
            }
            other => other,
        }
    }
}

/// What the disk holds is not known any more, or memory is not what it holds: only a new start can tell.
fn fatal(error: &(dyn core::error::Error + 'static)) -> ! {
    let cause = error.source().map(ToString::to_string);
    tracing::error!(%error, cause, "the writer cannot go on: the process ends and must start anew");
    std::process::abort();
}
