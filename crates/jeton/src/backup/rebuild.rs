//! Building a store anew from a backup: each event is believed as at a start, only under its tenant's next tags, and is appended
//! as the writer appends it; and the log whose signature vouches for all of them must be the keyring's. So what stands there in
//! the end was made by this authority, whoever made the backup.

use std::{
    io::Read,
    path::Path,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use jeton_core::{
    event::{Event, Record},
    id::TenantId,
    leaf::LEAF_BYTES,
    token::record::TokenRecord,
};
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
        walk::{Item, Piece, Walk},
    },
    capability,
    node::{
        dir::private,
        keyring::Keyring,
        learn::{Believed, Learnt, believe, next_of, unsound},
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
    /// In which epoch it is, from 1.
    pub epoch: u32,
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
            Item::Event(piece) => {
                let drafted = building.draft(piece);
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
    own(walk, keyring, &building.state)?;
    building.append()?;
    building.observe(&mut uses)?;
    building.store.keep_checkpoints(&checkpoints)?;
    let header = walk.header();
    let rebuilt = Rebuilt {
        origin: header.origin.clone(),
        size: building.state.sealer.size(),
        root: building.state.sealer.root(),
        epoch: building.state.directory.log().epoch(),
        made_ms: header.made_ms,
    };
    building.store.settle()?;
    Ok(rebuilt)
}

/// The tags say whose an event is and that none is missing, but not what is in it: that is signed by the log.
fn own<R: Read>(walk: &Walk<R>, keyring: &Keyring, state: &Learnt) -> Result<(), BackupError> {
    let keys = keyring.log_keys(state.directory.log(), state.sealer.size());
    let mut keys = keys.unwrap_or_default().into_iter();
    let own = keys.any(|key| walk.signers().contains(key.verifier()));
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
    fn draft(&mut self, piece: Piece) -> Result<(), StartError> {
        let Piece {
            stored,
            aside,
            erased,
        } = piece;
        let (entry, row) = match erased {
            Some(tenant) => (self.gap(&stored, tenant)?, Row::None),
            None => self.event(stored, aside)?,
        };
        self.entries.push((entry, row));
        Ok(())
    }

    /// A leaf whose opening is gone. It stands there with an empty one until the event comes that erased it, which the reading
    /// of the backup has made sure of in the end.
    fn gap(&mut self, stored: &Stored, tenant: TenantId) -> Result<Entry, StartError> {
        let state = &mut self.state;
        next_of(state, self.keyring, stored, tenant)?;
        self.tiles.extend(state.sealer.push(&stored.leaf));
        unsound(stored.index, state.directory.skip(stored.index, tenant))?;
        Ok(Entry {
            index: stored.index,
            tenant,
            about: [0; 16],
            first: true,
            leaf: leaf(stored)?,
            salt: [0; 32],
            record: Vec::new(),
            aside: None,
            erases: None,
        })
    }

    fn event(&mut self, stored: Stored, aside: Option<Aside>) -> Result<(Entry, Row), StartError> {
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
        let leaf = leaf(&stored)?;
        let (salt, bytes) = stored.opening.ok_or_else(|| StartError::Unsound {
            index,
            why: "the leaf has no opening".to_owned(),
        })?;
        let entry = Entry {
            index,
            tenant,
            about: record.event.about(tenant),
            first: about_sequence == 0,
            leaf,
            salt,
            record: bytes,
            aside,
            erases: if let Event::Erased(erasure) = record.event {
                Some(erasure)
            } else {
                None
            },
        };
        Ok((entry, row))
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

fn leaf(stored: &Stored) -> Result<[u8; LEAF_BYTES], StartError> {
    let leaf = stored.leaf.as_slice().try_into();
    leaf.map_err(|_| StartError::Unsound {
        index: stored.index,
        why: "the leaf has another length than leaves have".to_owned(),
    })
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
