//! A moment of the node's memory that stays while the writer goes on: what a snapshot is made of.
//!
//! The writer hands it out between two batches, so that it is one exact size of the ledger. That costs the writer a clone of
//! the directory (a few pointers). While it is held, each event about a token that was there costs one look-up and a copy of
//! 64 bytes more, before the event is published; those copies are all the memory it takes. While none is held, it costs
//! nothing. Copying the index whole would take as much memory again, and the lock for as long as that takes.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc::SyncSender},
};

use jeton_core::{directory::Directory, event::Record};
use jeton_verify::{
    check::Verifier,
    index::{Index, rest::Beside},
    record::SlotWords,
};

use super::{Message, Writer};

/// What changed since: how each slot was before its first change.
#[derive(Default)]
struct Before(Mutex<HashMap<u32, AtRest>>);

type AtRest = (SlotWords, Option<Beside>);

impl Before {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, AtRest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A moment of the node's memory.
pub struct Moment {
    directory: Directory,
    slots: u32,
    terms: usize,
    before: Arc<Before>,
}

impl Moment {
    /// The moment of a verifier that stands still: nothing is published as long as this is used.
    #[must_use]
    pub fn still(verifier: &Verifier) -> Self {
        Self::of(&verifier.directory(), verifier)
    }

    fn of(directory: &Directory, verifier: &Verifier) -> Self {
        let directory = directory.clone();
        verifier.with_index(|index| Self {
            directory,
            slots: index.len(),
            terms: index.all_terms().len(),
            before: Arc::default(),
        })
    }

    /// Everything but the tokens, as it was.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// How many slots there were.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// How many different terms there were: the first so many are theirs.
    #[must_use]
    pub fn terms(&self) -> usize {
        self.terms
    }

    /// Slots as they were, with what stood beside them. The caller has the index under its lock: what is not changed yet
    /// cannot change meanwhile, and what has changed was kept before.
    pub fn read(
        &self,
        index: &Index,
        positions: Range<u32>,
        mut each: impl FnMut(SlotWords, Option<Beside>),
    ) {
        let before = self.before.lock();
        for position in positions {
            let kept = before.get(&position).copied();
            if let Some((words, beside)) = kept.or_else(|| index.at_rest(position)) {
                each(words, beside);
            }
        }
    }
}

/// The moments that somebody holds.
#[derive(Default)]
pub(super) struct Moments(Vec<Weak<Before>>);

impl Moments {
    /// Hands out the moment of a verifier after a batch was published and before the next one.
    pub(super) fn hand_out(
        &mut self,
        asked: &SyncSender<Moment>,
        directory: &Directory,
        verifier: &Verifier,
    ) {
        let moment = Moment::of(directory, verifier);
        self.0.push(Arc::downgrade(&moment.before));
        // Whoever asked may be gone: then the moment is, too.
        drop(asked.try_send(moment));
    }

    /// Keeps what events are about to change. Events are published after this and not before.
    pub(super) fn keep(&mut self, verifier: &Verifier, records: &[Record]) {
        self.0.retain(|held| match held.upgrade() {
            None => false,
            Some(before) => {
                keep(&before, verifier, records);
                true
            }
        });
    }
}

fn keep(before: &Before, verifier: &Verifier, records: &[Record]) {
    verifier.with_index(|index| {
        let mut before = before.lock();
        // A token that is issued by these records has no slot yet, and its slot none in the moment.
        for id in records.iter().flat_map(|r| r.event.tokens()) {
            if let Some(position) = index.position(id)
                && let Some(at_rest) = index.at_rest(position)
            {
                before.entry(position).or_insert(at_rest);
            }
        }
    });
}

impl Writer {
    /// Asks the writer for a moment, and waits for it: on a thread that may block. `None`: the writer has ended.
    #[must_use]
    pub fn moment(&self) -> Option<Moment> {
        let (asked, answer) = std::sync::mpsc::sync_channel(1);
        self.queue.send(Message::Moment(asked)).ok()?;
        answer.recv().ok()
    }
}
