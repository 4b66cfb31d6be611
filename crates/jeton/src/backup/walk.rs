//! Reading a backup: one frame after the other, each held against what came before it, as far as that takes no key of the
//! authority. Commitments open, words fit their records, events follow from those before them, what has no opening was erased by
//! an event, and a key that the ledger names has signed the root that all leaves give: a backup ends where a checkpoint does, so
//! there is no event in it that nobody vouches for.
//!
//! Whether that key is *ours* is not known here: the keyring says it ([`super::rebuild`]).

use std::{
    collections::{BTreeMap, HashMap},
    io::Read,
};

use jeton_core::{
    directory::{Directory, Inapplicable, Log},
    event::{Erasure, Event, Record},
    id::{TenantId, TokenId},
    leaf::{aside_hash, commit},
    time::Time,
};
use jeton_store::{LastUse, Stored, ledger::Aside};
use jeton_tlog::{Checkpoint, Frontier, Hash, VerifierKey, leaf_hash};

use crate::{
    backup::{
        error::BackupError,
        frame::{self, CHECKPOINTS_MAX, Frame, FrameError, Header, Trailer},
    },
    node::growing::Piece,
};

/// What a backup holds, piece by piece.
#[derive(Debug)]
pub enum Item {
    /// A checkpoint that was kept, and its size.
    Checkpoint(u64, String),
    /// An event.
    Event(Piece),
    /// A last use.
    Use(LastUse),
}

/// A backup that is being read.
pub struct Walk<R> {
    from: R,
    header: Header,
    keyring: Option<Vec<u8>>,
    tree: Frontier,
    directory: Directory,
    /// Leaves without an opening, and whose they were, until an event says that it erased them.
    gaps: HashMap<u64, TenantId>,
    /// The keys that signed the last checkpoint that was held against the tree.
    signers: Vec<VerifierKey>,
    /// Signed roots that the leaves must come to.
    due: BTreeMap<u64, String>,
    seen: Trailer,
    /// How many events the last checkpoint that was held against the tree vouches for.
    signed: u64,
    erased: u64,
    kind: u8,
    ahead: Option<Frame>,
}

impl<R: Read> Walk<R> {
    /// Reads what stands before everything else.
    ///
    /// # Errors
    /// [`BackupError::NotOurs`], [`BackupError::Damaged`], [`BackupError::Stream`].
    pub fn begin(mut from: R) -> Result<Self, BackupError> {
        if !frame::begins(&mut from).map_err(|e| damaged(0, e))? {
            return Err(BackupError::NotOurs("its first line is another one"));
        }
        let first = frame::next(&mut from).map_err(|e| damaged(0, e))?;
        let Frame::Header(header) = first else {
            return Err(damaged(0, FrameError::Shape("it has no header")));
        };
        let second = frame::next(&mut from).map_err(|e| damaged(0, e))?;
        let (keyring, ahead) = match second {
            Frame::Keyring(bytes) => (Some(bytes), None),
            other @ (Frame::Header(_)
            | Frame::Checkpoint(_)
            | Frame::Event(_)
            | Frame::Use(_)
            | Frame::Trailer(_)) => (None, Some(other)),
        };
        Ok(Self {
            from,
            header,
            keyring,
            tree: Frontier::new(),
            directory: Directory::new(),
            gaps: HashMap::new(),
            signers: Vec::new(),
            due: BTreeMap::new(),
            seen: Trailer::default(),
            signed: 0,
            erased: 0,
            kind: 0,
            ahead,
        })
    }

    /// What it is of. Believed when the whole was read.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The wrapped keyring, if it holds one.
    #[must_use]
    pub fn keyring(&self) -> Option<&[u8]> {
        self.keyring.as_deref()
    }

    /// What was read so far.
    #[must_use]
    pub fn seen(&self) -> &Trailer {
        &self.seen
    }

    /// How many of the events read so far have no opening any more.
    #[must_use]
    pub fn erased(&self) -> u64 {
        self.erased
    }

    /// The ledger's keys that signed the last checkpoint: when everything was read, those that vouch for all of it.
    #[must_use]
    pub fn signers(&self) -> &[VerifierKey] {
        &self.signers
    }

    /// The next piece; `None` when everything was read and is as it was put in.
    ///
    /// # Errors
    /// [`BackupError::Damaged`], [`BackupError::Stream`]; nothing more can be read then.
    pub fn next_item(&mut self) -> Result<Option<Item>, BackupError> {
        let frame = match self.ahead.take() {
            Some(frame) => frame,
            None => frame::next(&mut self.from).map_err(|e| damaged(self.seen.events, e))?,
        };
        if frame.kind() < self.kind {
            return Err(self.wrong("its frames are out of order"));
        }
        self.kind = frame.kind();
        match frame {
            Frame::Header(_) | Frame::Keyring(_) => Err(self.wrong("its frames are out of order")),
            Frame::Checkpoint(kept) => self.checkpoint(kept).map(Some),
            Frame::Event(event) => self.event(event).map(Some),
            Frame::Use(seen) => {
                self.seen.uses += 1;
                Ok(Some(Item::Use(LastUse {
                    token: TokenId::from_bytes(seen.token),
                    at: Time::from_seconds(seen.at_s.into()),
                    address: seen.address,
                })))
            }
            Frame::Trailer(trailer) => self.end(&trailer).map(|()| None),
        }
    }

    fn wrong(&self, what: impl Into<String>) -> BackupError {
        BackupError::Damaged {
            events: self.seen.events,
            what: what.into(),
        }
    }

    fn checkpoint(&mut self, kept: frame::Kept) -> Result<Item, BackupError> {
        let last = self.due.keys().next_back().copied().unwrap_or(0);
        if kept.size <= last || kept.size > self.header.size {
            return Err(self.wrong("a checkpoint is of no size that it may have"));
        }
        self.seen.checkpoints += 1;
        if self.seen.checkpoints > CHECKPOINTS_MAX {
            return Err(self.wrong("it has more checkpoints than any ledger keeps"));
        }
        self.due.insert(kept.size, kept.note.clone());
        Ok(Item::Checkpoint(kept.size, kept.note))
    }

    fn event(&mut self, event: frame::Event) -> Result<Item, BackupError> {
        let index = self.seen.events;
        if index >= self.header.size {
            return Err(self.wrong("it has more events than its header says"));
        }
        let erased = event.erased.map(TenantId::from_bytes);
        let (record, applied) = match (&event.opening, erased) {
            (Some(opening), None) => {
                let record = self.opened(&event.leaf, opening)?;
                let applied = self.directory.apply(index, &record);
                self.fill_gaps(&record);
                (Some(record), applied)
            }
            (None, Some(tenant)) => {
                self.gaps.insert(index, tenant);
                self.erased += 1;
                (None, self.directory.skip(index, tenant))
            }
            (Some(_), Some(_)) | (None, None) => {
                return Err(self.wrong("a leaf has no opening, or one that was erased"));
            }
        };
        applied.map_err(|Inapplicable(why)| self.wrong(why))?;
        if self.directory.log().origin_at(1) != self.header.origin {
            return Err(self.wrong("the header names another ledger than the first event"));
        }
        let due = record.as_ref().and_then(|r| r.aside);
        let words = event.aside.as_ref();
        let kept = words.map(|w| aside_hash(&w.salt, &w.words));
        // Erased words leave their hash; words without a hash were never any.
        if kept.is_some() && kept != due {
            return Err(self.wrong("the words are not those that the record was made with"));
        }
        self.grow(&event.leaf)?;
        let stored = Stored {
            index,
            leaf: event.leaf.to_vec(),
            opening: event.opening.map(|o| (o.salt, o.record)),
        };
        let aside = event.aside.map(|w| Aside {
            salt: w.salt,
            words: w.words,
        });
        Ok(Item::Event(Piece {
            stored,
            aside,
            erased,
        }))
    }

    /// The record that a leaf commits to.
    fn opened(&self, leaf: &[u8], opening: &frame::Opening) -> Result<Record, BackupError> {
        if leaf.last_chunk() != Some(&commit(&opening.salt, &opening.record)) {
            return Err(self.wrong("the leaf does not commit to the record"));
        }
        minicbor::decode(&opening.record).map_err(|_| self.wrong("the record cannot be read"))
    }

    /// What an event says it has erased may be missing.
    fn fill_gaps(&mut self, record: &Record) {
        if let Event::Erased(Erasure::Openings { indexes, .. }) = &record.event {
            for index in indexes {
                if self.gaps.get(index) == Some(&record.tenant) {
                    self.gaps.remove(index);
                }
            }
        }
    }

    /// Grows the tree by a leaf, and holds it against the checkpoint of its new size.
    fn grow(&mut self, leaf: &[u8]) -> Result<(), BackupError> {
        self.tree.push(leaf_hash(leaf));
        self.seen.events += 1;
        let Some(note) = self.due.remove(&self.seen.events) else {
            return Ok(());
        };
        let (size, root) = (self.seen.events, self.tree.root());
        self.signers = signers(&note, self.directory.log(), (size, root));
        // The last is the one in the header: it vouches for all.
        let last = self.seen.events == self.header.size;
        if self.signers.is_empty() || last && note != self.header.checkpoint {
            return Err(self.wrong("no key of the ledger has signed the root that the leaves give"));
        }
        self.signed = self.seen.events;
        Ok(())
    }

    fn end(&mut self, trailer: &Trailer) -> Result<(), BackupError> {
        let root = self.tree.root();
        self.seen.root = *root.as_bytes();
        if self.seen.events != self.header.size {
            return Err(self.wrong("it has fewer events than its header says"));
        }
        if *trailer != self.seen {
            return Err(self.wrong("its end names other counts or another root"));
        }
        if Hash::from_bytes(self.header.root) != root {
            return Err(self.wrong("the root is not the one that its header names"));
        }
        if self.signed != self.seen.events {
            return Err(self.wrong("no checkpoint vouches for its last events"));
        }
        if let Some(index) = self.gaps.keys().min() {
            let what = format!("event {index} has no opening, and none says that it erased it");
            return Err(self.wrong(what));
        }
        frame::ends(&mut self.from).map_err(|e| damaged(self.seen.events, e))
    }
}

/// The keys in force at a size that have signed this root.
fn signers(note: &str, log: &Log, (size, root): (u64, Hash)) -> Vec<VerifierKey> {
    let due = log.keys.iter().filter(|key| key.signs_at(size));
    let due = due.filter_map(|key| VerifierKey::new(log.origin_at(size), &key.public).ok());
    due.filter(|key| {
        let open = Checkpoint::open(note.as_bytes(), key);
        open.is_ok_and(|open| open.size() == size && *open.root() == root)
    })
    .collect()
}

fn damaged(events: u64, error: FrameError) -> BackupError {
    match error {
        FrameError::Stream(source) => BackupError::Stream {
            doing: "read",
            source,
        },
        FrameError::Shape(what) => BackupError::Damaged {
            events,
            what: what.to_owned(),
        },
    }
}
