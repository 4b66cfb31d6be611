//! Recovery: a store that lacks the end of its ledger gets it back from a mirror that kept the openings.
//!
//! Nothing of the mirror is taken on its word. Its leaves give the root of a checkpoint that one of this authority's own keys
//! has signed; its beginning is what the store holds; and each event of the rest is believed as at a start, under its tenant's
//! next tags. All of it becomes durable at once: a leaf whose opening was erased is explained by an event that may come much
//! later, and a store that ended in between would have a gap that nothing explains.
//!
//! | the machine dies … | the store holds | and the next start |
//! |---|---|---|
//! | while events are believed and held | what it held | is as before |
//! | after the mark was raised | the same | is in quarantine; the same command begins anew |
//! | after the commit, before the checkpoint is kept | all | serves, unless the mark says more; the next checkpoint covers it |

use std::{cmp::Ordering, collections::HashMap, fmt::Write as _, path::Path};

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
        high_water::{HighWater, Later, Mark},
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
    /// The mirror is of another history than the one that was shown.
    #[error(
        "other events were shown, up to {shown}, than the mirror holds: it is a fork, or the mark beside the store is"
    )]
    OtherShown {
        /// What the mark covers.
        shown: u64,
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
    /// What is still missing.
    pub missing: Missing,
}

/// What a store still lacks: with anything, the next start is in quarantine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// It holds all that was shown.
    Nothing,
    /// So many events were shown, which is more.
    Shown(u64),
    /// Nobody knows what was served after a backup that was restored here, and nobody vouches that it was nothing.
    Unknown,
}

/// From where.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The directory of the mirror.
    pub mirror: &'a Path,
    /// Whether somebody vouches that nothing was served after what the mirror holds. It settles only what nobody knows.
    pub later: Later,
}

/// Brings a directory on which no server runs as far as a mirror goes. `told` hears now and then how many events are there.
///
/// # Errors
/// [`RecoverError`]; the store is as it was then.
pub fn recover(
    place: &Place,
    order: &Order<'_>,
    told: &mut dyn FnMut(u64),
) -> Result<Recovered, RecoverError> {
    let _alone = lock(&place.dir)?;
    let keyring = keyring(place)?;
    let mut store = Sqlite::open(&place.dir.join("ledger.db"), place.durability)?;
    let mut reader = store.reader()?;
    let learnt = learn(&mut *reader, &keyring, &place.dir.join("snapshot"))?;
    let before = learnt.sealer.size();
    let there = mark(&place.dir.join("high-water"))?;
    let kept = mirror::Reader::open(order.mirror, &own_keys(&keyring, learnt.directory.log())?)?;
    let end = kept.checkpoint().checkpoint().size();
    let vouched = order.later == Later::Nothing && there.is_some_and(|mark| mark.is_unknown());
    if end < before || end == before && !vouched {
        return Err(RecoverError::NothingThere {
            mirror: end,
            stored: before,
        });
    }
    if begins(&kept, before) != learnt.sealer.root() {
        return Err(RecoverError::OtherHistory { stored: before });
    }
    let erased = erased(&kept, before)?;
    store.hold()?;
    let mut growing = Growing::new(&keyring, store, learnt);
    for event in kept.events(before) {
        let Kept { stored, aside } = event?;
        let gap = stored.opening.is_none();
        told(growing.grow(Piece {
            erased: erased.get(&stored.index).copied().filter(|_| gap),
            stored,
            aside,
        })?);
    }
    growing.append()?;
    let (mut store, state) = growing.end()?;
    let reached = End::of(&state.sealer, &state.directory);
    on_the_way(&kept, there, reached)?;
    let (due, missing) = due(there, reached, order.later);
    raise(place, due)?;
    store.release()?;
    store.keep_checkpoint(end, kept.note())?;
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

/// Whether what was shown, as far as the mark knows, is what the mirror holds.
fn on_the_way(
    kept: &mirror::Reader,
    there: Option<Mark>,
    reached: End,
) -> Result<(), RecoverError> {
    // A mark of an earlier epoch is over.
    let there = there.filter(|m| m.epoch == reached.epoch && m.size <= reached.size);
    let shown = there.and_then(|mark| mark.root().map(|root| (mark.size, root)));
    match shown {
        Some((shown, root)) if begins(kept, shown) != root => {
            Err(RecoverError::OtherShown { shown })
        }
        Some(_) | None => Ok(()),
    }
}

/// The mark that is due once a store holds what was reached, and what is missing then. What nobody knows stays unknown, also
/// behind a longer store: nobody has said that the mirror was the last to hear of something.
fn due(there: Option<Mark>, reached: End, later: Later) -> (Mark, Missing) {
    let (size, epoch) = (reached.size, reached.epoch);
    let Some(there) = there else {
        return (reached.mark(), Missing::Nothing);
    };
    let (_, shown) = there.certain();
    match (
        there.certain().cmp(&(epoch, size)),
        there.is_unknown(),
        later,
    ) {
        (Ordering::Greater, _, _) => (there, Missing::Shown(shown)),
        (Ordering::Less | Ordering::Equal, true, Later::Unknown) => {
            (Mark::unknown_after(size, epoch), Missing::Unknown)
        }
        (Ordering::Less | Ordering::Equal, true, Later::Nothing)
        | (Ordering::Less | Ordering::Equal, false, _) => (reached.mark(), Missing::Nothing),
    }
}

fn raise(place: &Place, due: Mark) -> Result<(), StartError> {
    let path = place.dir.join("high-water");
    let raised = HighWater::open(&path).and_then(|file| {
        file.raise(&due)?;
        file.sync()
    });
    raised.map_err(|source| StartError::HighWater { path, source })
}

#[cfg(test)]
mod tests {
    use jeton_tlog::Hash;

    use super::*;
    use crate::node::high_water::Seen;

    #[test]
    fn the_mark_says_what_is_known_and_what_nobody_knows() {
        let root = Hash::from_bytes([3; 32]);
        let reached = End {
            size: 10,
            root,
            epoch: 2,
        };
        let known = |size, epoch| Mark {
            size,
            seen: Seen::Root(root),
            epoch,
        };
        let (unknown, all) = (Mark::unknown_after, known(10, 2));
        let (still, nothing) = (unknown(10, 2), Missing::Nothing);
        for (there, vouched, due_mark, missing) in [
            (None, false, all, nothing),
            (Some(known(9, 2)), false, all, nothing),
            (Some(known(10, 2)), false, all, nothing),
            (Some(known(11, 2)), false, known(11, 2), Missing::Shown(11)),
            (Some(known(11, 2)), true, known(11, 2), Missing::Shown(11)),
            (Some(known(99, 1)), false, all, nothing),
            (Some(known(5, 3)), true, known(5, 3), Missing::Shown(5)),
            // The store grew up to the mark, or beyond: that says nothing of what came later.
            (Some(unknown(8, 2)), false, still, Missing::Unknown),
            (Some(unknown(9, 2)), false, still, Missing::Unknown),
            (Some(unknown(10, 2)), false, still, Missing::Unknown),
            (Some(unknown(8, 1)), false, still, Missing::Unknown),
            (Some(unknown(8, 2)), true, all, nothing),
            (Some(unknown(10, 2)), true, all, nothing),
            // That much was shown for certain, whoever vouches.
            (
                Some(unknown(11, 2)),
                false,
                unknown(11, 2),
                Missing::Shown(11),
            ),
            (
                Some(unknown(11, 2)),
                true,
                unknown(11, 2),
                Missing::Shown(11),
            ),
        ] {
            let later = if vouched {
                Later::Nothing
            } else {
                Later::Unknown
            };
            assert_eq!(
                due(there, reached, later),
                (due_mark, missing),
                "{there:?} {vouched}"
            );
        }
    }
}
