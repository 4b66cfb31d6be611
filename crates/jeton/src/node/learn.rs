//! Learning the state: from the snapshot as far as it goes, then from the ledger, each opening checked against its leaf.

use std::{collections::HashMap, path::Path};

use jeton_core::{
    directory::{Directory, Inapplicable},
    event::{Erasure, Event, Record},
    id::TenantId,
    leaf::{LeafKind, LeafParts, commit, tenant_tag},
};
use jeton_store::{Continue, Reader, Stored, ledger::Sealer};
use jeton_verify::index::Index;

use crate::node::{
    gaps::Gaps,
    keyring::{Keyring, KeyringError},
    snapshot,
    start::StartError,
};

/// What a start has learnt.
pub(crate) struct Learnt {
    pub(crate) directory: Directory,
    pub(crate) index: Index,
    pub(crate) sealer: Sealer,
    pub(crate) from_snapshot: u64,
    /// Leaves that an event which is still to come must explain.
    pub(crate) gaps: Gaps,
}

impl Learnt {
    /// What is known before the first event.
    pub(crate) fn nothing() -> Self {
        Self {
            directory: Directory::new(),
            index: Index::default(),
            sealer: Sealer::new(),
            from_snapshot: 0,
            gaps: Gaps::default(),
        }
    }
}

/// A record that its leaf commits to.
pub(crate) struct Believed {
    pub(crate) record: Record,
    /// The number of the event among those about the same thing, from 0.
    pub(crate) about_sequence: u64,
}

/// The state: from the snapshot as far as it goes, then from the ledger, each opening checked against its leaf and the whole
/// against the head's right edge.
pub(crate) fn learn(
    reader: &mut dyn Reader,
    keyring: &Keyring,
    path: &Path,
) -> Result<Learnt, StartError> {
    let head = reader.head()?;
    let from_snapshot = snapshot::read(path, keyring)
        .filter(|s| s.directory.size() <= head.size)
        .and_then(|s| {
            let sealer = Sealer::resume(s.directory.size(), s.partial).ok()?;
            let from_snapshot = s.directory.size();
            Some(Learnt {
                directory: s.directory,
                index: s.index,
                sealer,
                from_snapshot,
                gaps: Gaps::default(),
            })
        });
    let agrees = |learnt: &Learnt| {
        learnt.sealer.frontier() == head.frontier && learnt.directory.size() == head.size
    };
    // A snapshot of another history ends in a wrong edge, or on the way there at an event that does not follow from it:
    // either way a full replay says whether the store is sound.
    if let Some(snapshot) = from_snapshot
        && let Ok(learnt) = replay(reader, keyring, snapshot)
        && agrees(&learnt)
    {
        return Ok(learnt);
    }
    let learnt = replay(reader, keyring, Learnt::nothing())?;
    if agrees(&learnt) {
        return Ok(learnt);
    }
    let why = "the tree's right edge is not what the leaves give".to_owned();
    Err(StartError::Unsound {
        index: head.size,
        why,
    })
}

fn replay(
    reader: &mut dyn Reader,
    keyring: &Keyring,
    mut state: Learnt,
) -> Result<Learnt, StartError> {
    let mut wrong = None;
    let from = state.directory.size();
    let erased = erased(reader, keyring)?;
    reader.events(
        from,
        &mut |stored| match replay_one(&mut state, keyring, (&stored, &erased)) {
            Ok(()) => Ok(Continue::Yes),
            Err(error) => {
                wrong = Some(error);
                Ok(Continue::No)
            }
        },
    )?;
    wrong.map_or(Ok(()), Err)?;
    explained(&state)?;
    Ok(state)
}

/// The leaves whose openings may be missing, and whose they were: as the events that erased them say. Those may lie below a
/// snapshot, where no replay comes: so here and now each must be sealed by this authority, and name what it may.
fn erased(
    reader: &mut dyn Reader,
    keyring: &Keyring,
) -> Result<HashMap<u64, TenantId>, StartError> {
    let mut out = HashMap::new();
    for stored in reader.erasures()? {
        let Some((salt, bytes)) = &stored.opening else {
            continue;
        };
        if keyring.seal_key().salt(stored.index, bytes) != *salt {
            continue;
        }
        let record = minicbor::decode::<Record>(bytes).ok();
        if let Some(Record {
            tenant,
            event: Event::Erased(erasure @ Erasure::Openings { .. }),
            ..
        }) = record
            && erasure.is_sound(stored.index)
        {
            let indexes = erasure.indexes().iter();
            out.extend(indexes.map(|index| (*index, tenant)));
        }
    }
    Ok(out)
}

/// A leaf without its opening: it is one of this tenant's, in its turn, and an event says that it was erased. Whether it may
/// have been is known when the replay comes to that event.
fn skip_one(
    state: &mut Learnt,
    keyring: &Keyring,
    stored: &Stored,
    tenant: TenantId,
) -> Result<(), StartError> {
    next_of(state, keyring, stored, tenant)?;
    state.sealer.push(&stored.leaf);
    state.gaps.note(stored.index, tenant, &stored.leaf);
    unsound(stored.index, state.directory.skip(stored.index, tenant))
}

/// Whether a leaf without its opening is the next one of a tenant.
///
/// # Errors
/// [`StartError::Unsound`] if it is not; [`KeyringError::Missing`] if the tenant's keys are not here.
pub(crate) fn next_of(
    state: &Learnt,
    keyring: &Keyring,
    stored: &Stored,
    tenant: TenantId,
) -> Result<(), StartError> {
    let key = keyring
        .tag_key(tenant)
        .ok_or(KeyringError::Missing(tenant))?;
    let tag = key.tenant_tag(state.directory.tenant_events(tenant) + 1);
    if tenant_tag(&stored.leaf) == Some(&tag) {
        return Ok(());
    }
    let why = "the erased leaf is not the tenant's next one".to_owned();
    Err(StartError::Unsound {
        index: stored.index,
        why,
    })
}

/// Whether an event has explained each leaf without an opening.
pub(crate) fn explained(state: &Learnt) -> Result<(), StartError> {
    match state.gaps.first() {
        None => Ok(()),
        Some(index) => Err(StartError::Unsound {
            index,
            why: "the leaf has no opening".to_owned(),
        }),
    }
}

/// Holds what an event erased against the tags of the tokens that it names, while these are still known.
pub(crate) fn explain(
    state: &mut Learnt,
    keyring: &Keyring,
    record: &Record,
) -> Result<(), StartError> {
    let Event::Erased(erasure) = &record.event else {
        return Ok(());
    };
    let tenant = record.tenant;
    let key = keyring
        .tag_key(tenant)
        .ok_or(KeyringError::Missing(tenant))?;
    let (gaps, index) = (&mut state.gaps, &state.index);
    let explained = gaps.explain((tenant, &key), erasure, |token| index.sequence(token));
    explained.map_err(|index| StartError::Unsound {
        index,
        why: "the erased leaf is none of the tokens that the erasure names".to_owned(),
    })
}

fn replay_one(
    state: &mut Learnt,
    keyring: &Keyring,
    (stored, erased): (&Stored, &HashMap<u64, TenantId>),
) -> Result<(), StartError> {
    let index = stored.index;
    if stored.opening.is_none()
        && let Some(tenant) = erased.get(&index)
    {
        return skip_one(state, keyring, stored, *tenant);
    }
    let Believed { record, .. } = believe(state, keyring, stored)?;
    explain(state, keyring, &record)?;
    state.sealer.push(&stored.leaf);
    unsound(index, state.directory.apply(index, &record))?;
    unsound(index, state.index.apply(index, &record, &state.directory))
}

/// The record of the event that comes next, if its leaf commits to it under its tenant's next tags.
///
/// # Errors
/// [`StartError::Unsound`] if it does not; [`KeyringError::Missing`] if the tenant's keys are not here.
pub(crate) fn believe(
    state: &Learnt,
    keyring: &Keyring,
    stored: &Stored,
) -> Result<Believed, StartError> {
    let index = stored.index;
    let bad = |why: &str| StartError::Unsound {
        index,
        why: why.to_owned(),
    };
    let (salt, bytes) = stored
        .opening
        .as_ref()
        .ok_or_else(|| bad("the leaf has no opening"))?;
    // Bytes that are not what the leaf commits to are not even read.
    let committed = stored.leaf.last_chunk::<32>();
    if committed != Some(&commit(salt, bytes)) {
        return Err(bad("the leaf does not commit to the record"));
    }
    let record: Record = minicbor::decode(bytes).map_err(|_| bad("the record cannot be read"))?;
    let about_sequence = leaf_commits(state, keyring, stored, (salt, bytes), &record)?;
    // Tags and tree say where an event belongs; only the salt says that this authority wrote what is in it.
    if keyring.seal_key().salt(index, bytes) != *salt {
        return Err(bad("the record was not sealed by this authority"));
    }
    Ok(Believed {
        record,
        about_sequence,
    })
}

/// A leaf is believed only if it commits to this record under this tenant's next tags. Gives the number in the second tag.
fn leaf_commits(
    state: &Learnt,
    keyring: &Keyring,
    stored: &Stored,
    (salt, bytes): (&[u8; 32], &[u8]),
    record: &Record,
) -> Result<u64, StartError> {
    let tenant = record.tenant;
    let key = keyring
        .tag_key(tenant)
        .ok_or(KeyringError::Missing(tenant))?;
    let about = record.event.about(tenant);
    let about_sequence = match record.event.token() {
        Some(id) => state.index.sequence(id),
        None => state.directory.sequence(&about),
    };
    let leaf = LeafParts {
        kind: LeafKind::of(&record.event),
        at: record.at,
        key: &key,
        tenant_sequence: state.directory.tenant_events(tenant) + 1,
        about,
        about_sequence,
        commit: commit(salt, bytes),
    };
    if leaf.bytes()[..] == stored.leaf[..] {
        return Ok(about_sequence);
    }
    let why = "the leaf does not commit to the record".to_owned();
    Err(StartError::Unsound {
        index: stored.index,
        why,
    })
}

/// An event that does not fit what came before it.
pub(crate) fn unsound(index: u64, applied: Result<(), Inapplicable>) -> Result<(), StartError> {
    applied.map_err(|error| StartError::Unsound {
        index,
        why: error.to_string(),
    })
}
