//! What an event says by the authority's own seal. Rows say where to look for what shall be erased, and whoever edits them must not
//! choose what goes: a revocation that went instead of what was meant would bring its token back to life.

use jeton_core::{
    event::Record,
    id::TenantId,
    leaf::{SealKey, commit},
};
use jeton_store::{Reader, StoreError, ledger};

use super::wrong;

/// A tenant's event, as the authority has written it.
pub(super) struct Sealed {
    /// Its leaf, as it is stored.
    pub(super) leaf: Vec<u8>,
    /// What happened.
    pub(super) record: Record,
}

/// The event at an index, if it is a tenant's, its leaf commits to it, and this authority has sealed it for this index.
///
/// # Errors
/// [`StoreError::Inconsistent`] if it is another; the store's.
pub(super) fn sealed(
    reader: &mut dyn Reader,
    seal: &SealKey,
    tenant: TenantId,
    index: u64,
) -> Result<Sealed, StoreError> {
    let stored = reader
        .event(index)?
        .ok_or_else(|| wrong("event", "idx", index))?;
    let opening = stored
        .opening
        .ok_or_else(|| wrong("event", "record", index))?;
    let (salt, bytes) = opening;
    let committed = stored.leaf.last_chunk() == Some(&commit(&salt, &bytes));
    if !committed || seal.salt(index, &bytes) != salt {
        return Err(wrong("event", "salt", index));
    }
    let record = ledger::decode(&bytes).filter(|record| record.tenant == tenant);
    Ok(Sealed {
        leaf: stored.leaf,
        record: record.ok_or_else(|| wrong("event", "record", index))?,
    })
}
