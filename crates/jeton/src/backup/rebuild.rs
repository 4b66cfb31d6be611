//! Building a store anew from a backup: each event is believed as at a start, only under its tenant's next tags, and is appended
//! as the writer appends it; and the log whose signature vouches for all of them must be the keyring's. So what stands there in
//! the end was made by this authority, whoever made the backup.

use std::{
    io::Read,
    path::Path,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use jeton_store::sqlite::{Durability, Sqlite};
use jeton_tlog::Hash;

use crate::{
    backup::{
        error::BackupError,
        walk::{Item, Walk},
    },
    node::{
        dir::private,
        growing::{BATCH, Growing},
        keyring::Keyring,
        learn::Learnt,
    },
};

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
    let store = Sqlite::open(path, Durability::Full)?;
    let mut building = Growing::new(keyring, store, Learnt::nothing());
    let (mut checkpoints, mut uses) = (Vec::new(), Vec::new());
    while let Some(item) = walk.next_item()? {
        match item {
            Item::Checkpoint(size, note) => checkpoints.push((size, note)),
            Item::Event(piece) => {
                let grown = building.grow(piece);
                events.store(grown.map_err(BackupError::replayed)?, Relaxed);
            }
            Item::Use(seen) => {
                uses.push(seen);
                if uses.len() >= BATCH {
                    building.observe(&mut uses)?;
                }
            }
        }
    }
    own(walk, keyring, building.state())?;
    building.append()?;
    building.observe(&mut uses)?;
    let (mut store, state) = building.end().map_err(BackupError::replayed)?;
    store.keep_checkpoints(&checkpoints)?;
    let header = walk.header();
    let rebuilt = Rebuilt {
        origin: header.origin.clone(),
        size: state.sealer.size(),
        root: state.sealer.root(),
        epoch: state.directory.log().epoch(),
        made_ms: header.made_ms,
    };
    store.settle()?;
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
