//! Building a store anew from a backup: each event is believed as at a start, only under its tenant's next tags, and is appended
//! as the writer appends it; and the log whose signature vouches for all of them must be the keyring's. So what stands there in
//! the end was made by this authority, whoever made the backup.

use std::{
    io::Read,
    path::Path,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use jeton_core::{event::Record, leaf::LEAF_BYTES, token::record::TokenRecord};
use jeton_store::{
    Batch, LastUse, Store as _, Stored,
    ledger::{Aside, Entry},
    row::Row,
    sqlite::{Durability, Sqlite},
};
use jeton_tlog::{Hash, Tile};

use crate::{
    backup::{
        error::BackupError,
        walk::{Item, Walk},
    },
    capability,
    node::{
        dir::private,
        keyring::Keyring,
        learn::{Believed, Learnt, believe, unsound},
        start::StartError,
    },
};

/// So many events go into one commit.
const BATCH: usize = 4096;

/// A store that was built anew: one file, on the disk.
#[derive(Clone, Debug)]
pub struct Rebuilt {
    /// The name of its ledger.
    pub origin: String,
    /// How many events it holds.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
    /// When the backup was made, in milliseconds since 1970.
    pub made_ms: u64,
}

/// Reads a backup to its end into a fresh store at `path`, where nothing may be. `events` tells how far it is.
///
/// # Errors
/// [`BackupError::Damaged`] for an event that this keyring does not know as the next one; else as [`Walk::next_item`] and the store.
/// What was built until then is worth nothing, and is left to the caller.
pub fn rebuild<R: Read>(
    walk: &mut Walk<R>,
    keyring: &Keyring,
    path: &Path,
    events: &AtomicU64,
) -> Result<Rebuilt, BackupError> {
    private(path).map_err(BackupError::Start)?;
    let mut building = Building {
        keyring,
        store: Sqlite::open(path, Durability::Full)?,
        state: Learnt::nothing(),
        entries: Vec::with_capacity(BATCH),
        tiles: Vec::new(),
        stored: 0,
    };
    let (mut checkpoints, mut uses) = (Vec::new(), Vec::new());
    while let Some(item) = walk.next_item()? {
        match item {
            Item::Checkpoint(size, note) => checkpoints.push((size, note)),
            Item::Event(stored, aside) => {
                let drafted = building.draft(stored, aside);
                drafted.map_err(BackupError::replayed)?;
                if building.entries.len() >= BATCH {
                    building.append()?;
                    events.store(building.stored, Relaxed);
                }
            }
            Item::Use(seen) => {
                uses.push(seen);
                if uses.len() >= BATCH {
                    building.observe(&mut uses)?;
                }
            }
        }
    }
    own(walk, keyring)?;
    building.append()?;
    building.observe(&mut uses)?;
    building.store.keep_checkpoints(&checkpoints)?;
    let header = walk.header();
    let rebuilt = Rebuilt {
        origin: header.origin.clone(),
        size: building.state.sealer.size(),
        root: building.state.sealer.root(),
        made_ms: header.made_ms,
    };
    building.store.settle()?;
    Ok(rebuilt)
}

/// The tags say whose an event is and that none is missing, but not what is in it: that is signed by the log.
fn own<R: Read>(walk: &Walk<R>, keyring: &Keyring) -> Result<(), BackupError> {
    let own = keyring.log_key(&walk.header().origin);
    let own = own.is_ok_and(|own| walk.log() == Some(own.verifier()));
    if own {
        return Ok(());
    }
    Err(BackupError::Damaged {
        events: 0,
        what: "it is signed by another log than that of this keyring".to_owned(),
    })
}

struct Building<'a> {
    keyring: &'a Keyring,
    store: Sqlite,
    state: Learnt,
    entries: Vec<(Entry, Row)>,
    tiles: Vec<Tile>,
    stored: u64,
}

impl Building<'_> {
    /// Believes the next event, applies it, and drafts the row that it changes.
    fn draft(&mut self, stored: Stored, aside: Option<Aside>) -> Result<(), StartError> {
        let Believed {
            record,
            about_sequence,
        } = believe(&self.state, self.keyring, &stored)?;
        let (index, tenant) = (stored.index, record.tenant);
        let state = &mut self.state;
        self.tiles.extend(state.sealer.push(&stored.leaf));
        unsound(index, state.directory.apply(index, &record))?;
        // Before the index knows of the event: what the token was, and then what it is.
        let token = token_after(state, index, &record)?;
        unsound(index, state.index.apply(index, &record, &state.directory))?;
        let row = Row::after(tenant, &record.event, token.as_ref(), &state.directory);
        let (leaf, opening) = (<[u8; LEAF_BYTES]>::try_from(stored.leaf), stored.opening);
        let (Ok(leaf), Some((salt, bytes))) = (leaf, opening) else {
            let why = "the leaf has no opening".to_owned();
            return Err(StartError::Unsound { index, why });
        };
        let entry = Entry {
            index,
            tenant,
            about: record.event.about(tenant),
            first: about_sequence == 0,
            leaf,
            salt,
            record: bytes,
            aside,
        };
        self.entries.push((entry, row));
        Ok(())
    }

    fn append(&mut self) -> Result<(), BackupError> {
        if self.entries.is_empty() {
            return Ok(());
        }
        let frontier = self.state.sealer.frontier();
        self.store.append(&Batch {
            id: capability::draw(),
            from: self.stored,
            entries: &self.entries,
            tiles: &self.tiles,
            frontier: &frontier,
        })?;
        self.stored = self.state.sealer.size();
        self.entries.clear();
        self.tiles.clear();
        Ok(())
    }

    fn observe(&mut self, uses: &mut Vec<LastUse>) -> Result<(), BackupError> {
        self.store.observe(uses)?;
        uses.clear();
        Ok(())
    }
}

/// The token of an event as the event leaves it.
fn token_after(
    state: &Learnt,
    index: u64,
    record: &Record,
) -> Result<Option<TokenRecord>, StartError> {
    let Some(id) = record.event.token() else {
        return Ok(None);
    };
    if let Some(token) = TokenRecord::issued(index, record.tenant, &record.event) {
        return Ok(Some(token));
    }
    let known = state.index.record(id, &state.directory);
    let mut token = known.ok_or_else(|| StartError::Unsound {
        index,
        why: "no such token".to_owned(),
    })?;
    unsound(index, token.apply(record.at, &record.event))?;
    Ok(Some(token))
}
