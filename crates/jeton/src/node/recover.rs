//! Recovery: a store that lacks the end of its ledger gets it back from a mirror that kept the openings.
//!
//! Nothing of the mirror is taken on its word. Its leaves give the root of a checkpoint that one of this authority's own keys
//! has signed; its beginning is what the store holds; and each event of the rest is believed as at a start, under its tenant's
//! next tags. A crash in between leaves a store that has grown a part of the way: still in quarantine, and the same command
//! goes on.

use std::{collections::HashMap, fmt::Write as _, path::Path};

use jeton_core::{
    directory::Log,
    event::{Erasure, Event},
    id::TenantId,
};
use jeton_store::{Store as _, ledger, sqlite::Sqlite};
use jeton_tlog::{Frontier, KeyError, Policy, PolicyError, VerifierKey};

use crate::{
    mirror::{self, Kept, MirrorError},
    node::{
        dir::{keyring, lock, mark},
        growing::{Growing, Piece},
        high_water::HighWater,
        keyring::Keyring,
        learn::learn,
        publish::End,
        start::{Place, StartError},
    },
};

/// Why nothing was recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The directory.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The store.
    #[error(transparent)]
    Store(#[from] jeton_store::StoreError),
    /// The mirror.
    #[error("the mirror")]
    Mirror(#[from] MirrorError),
    /// The name of the ledger cannot name its keys.
    #[error("the ledger's keys")]
    Key(#[from] KeyError),
    /// A policy of this authority's own keys cannot be made.
    #[error("a policy of the ledger's keys")]
    Policy(#[from] PolicyError),
    /// The mirror has not what is missing.
    #[error(
        "the mirror ends at {mirror} events, the store already holds {stored}: it has nothing that is missing here"
    )]
    NothingThere {
        /// What the mirror's checkpoint covers.
        mirror: u64,
        /// What the store holds.
        stored: u64,
    },
    /// The mirror is of another history.
    #[error(
        "the first {stored} events of the mirror are not those of the store: one of them is a fork"
    )]
    OtherHistory {
        /// What the store holds.
        stored: u64,
    },
}

/// What was recovered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// How many events the store held.
    pub before: u64,
    /// How many it holds now.
    pub size: u64,
    /// The highest size that was shown, where that is more: the next start is still in quarantine.
    pub missing: Option<u64>,
}

/// Brings a directory on which no server runs as far as a mirror goes.
///
/// # Errors
/// [`RecoverError`].
pub fn recover(place: &Place, from: &Path) -> Result<Recovered, RecoverError> {
    let _alone = lock(&place.dir)?;
    let keyring = keyring(place)?;
    let store = Sqlite::open(&place.dir.join("ledger.db"), place.durability)?;
    let mut reader = store.reader()?;
    let learnt = learn(&mut *reader, &keyring, &place.dir.join("snapshot"))?;
    let before = learnt.sealer.size();
    let kept = mirror::Reader::open(from, &own_keys(&keyring, learnt.directory.log())?)?;
    let end = kept.checkpoint().checkpoint().size();
    if end <= before {
        return Err(RecoverError::NothingThere {
            mirror: end,
            stored: before,
        });
    }
    if begins(&kept, before) != learnt.sealer.root() {
        return Err(RecoverError::OtherHistory { stored: before });
    }
    let erased = erased(&kept, before)?;
    let mut growing = Growing::new(&keyring, store, learnt);
    for event in kept.events(before) {
        let Kept { stored, aside } = event?;
        let gap = stored.opening.is_none();
        growing.grow(Piece {
            erased: erased.get(&stored.index).copied().filter(|_| gap),
            stored,
            aside,
        })?;
    }
    growing.append()?;
    let (mut store, state) = growing.end()?;
    store.keep_checkpoint(end, kept.note())?;
    let reached = End::of(&state.sealer, &state.directory);
    let missing = raise(place, reached)?;
    Ok(Recovered {
        before,
        size: reached.size,
        missing,
    })
}

/// A policy that every key of the authority satisfies alone: those that the store tells of, and those of the keyring, one of
/// which may have come in force in the part that is missing.
fn own_keys(keyring: &Keyring, log: &Log) -> Result<Policy, RecoverError> {
    let mut keys = keyring.all_log_keys(log.origin())?;
    for key in &log.keys {
        let key = VerifierKey::new(log.origin(), &key.public)?;
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let mut lines = String::new();
    for key in keys {
        _ = writeln!(lines, "log {key}");
    }
    Ok(Policy::parse(&(lines + "quorum none\n"))?)
}

/// The root of the mirror's first events.
fn begins(kept: &mirror::Reader, size: u64) -> jeton_tlog::Hash {
    let mut tree = Frontier::new();
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    for hash in kept.leaf_hashes().iter().take(size) {
        tree.push(*hash);
    }
    tree.root()
}

/// The leaves of the rest that have no opening any more, and whose they were: as events say that come after them.
fn erased(kept: &mirror::Reader, from: u64) -> Result<HashMap<u64, TenantId>, RecoverError> {
    let mut out = HashMap::new();
    for event in kept.events(from) {
        let opening = event?.stored.opening;
        let record = opening.and_then(|(_, bytes)| ledger::decode(&bytes));
        if let Some(record) = record
            && let Event::Erased(Erasure::Openings { indexes, .. }) = record.event
        {
            let whose = |index| (index, record.tenant);
            out.extend(indexes.into_iter().map(whose));
        }
    }
    Ok(out)
}

/// Raises the mark to what was reached, if it is not above that: then it says what is still missing.
fn raise(place: &Place, reached: End) -> Result<Option<u64>, StartError> {
    let path = place.dir.join("high-water");
    let there = mark(&path)?;
    if let Some(there) = there.filter(|m| m.size > reached.size || m.epoch > reached.epoch) {
        return Ok(Some(there.size));
    }
    let raised = HighWater::open(&path).and_then(|file| {
        file.raise(&reached.mark())?;
        file.sync()
    });
    raised.map_err(|source| StartError::HighWater { path, source })?;
    Ok(None)
}
