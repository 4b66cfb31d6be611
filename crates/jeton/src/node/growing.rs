//! A ledger that grows by events which were decided before, while no writer runs: out of a backup, or out of a mirror. Each is
//! believed as at a start, only under its tenant's next tags, and is appended as the writer appends it.

use jeton_core::{
    event::{Event, Record},
    id::TenantId,
    leaf::LEAF_BYTES,
    token::record::TokenRecord,
};
use jeton_store::{
    Batch, LastUse, Store as _, StoreError, Stored,
    ledger::{Aside, Entry},
    row::Row,
    sqlite::Sqlite,
};
use jeton_tlog::Tile;

use crate::{
    capability,
    node::{
        keyring::Keyring,
        learn::{Believed, Learnt, believe, explain, explained, next_of, unsound},
        start::StartError,
    },
};

/// So many events go into one commit.
pub(crate) const BATCH: usize = 4096;

/// An event with all that belongs to it.
#[derive(Debug)]
pub struct Piece {
    /// Leaf and opening.
    pub stored: Stored,
    /// The words beside it.
    pub aside: Option<Aside>,
    /// Whose it was, if its opening was erased.
    pub erased: Option<TenantId>,
}

/// A store that grows, and the state that its events give.
pub(crate) struct Growing<'a> {
    keyring: &'a Keyring,
    store: Sqlite,
    state: Learnt,
    entries: Vec<(Entry, Row)>,
    tiles: Vec<Tile>,
    stored: u64,
}

impl<'a> Growing<'a> {
    /// Goes on from a state, which is that of the store.
    pub(crate) fn new(keyring: &'a Keyring, store: Sqlite, state: Learnt) -> Self {
        Self {
            keyring,
            store,
            stored: state.sealer.size(),
            state,
            entries: Vec::with_capacity(BATCH),
            tiles: Vec::new(),
        }
    }

    /// The state, with what is not in the store yet.
    pub(crate) fn state(&self) -> &Learnt {
        &self.state
    }

    /// The store and its state, once all was appended.
    ///
    /// # Errors
    /// [`StartError::Unsound`] if a leaf has no opening, and no event said that it erased it.
    pub(crate) fn end(self) -> Result<(Sqlite, Learnt), StartError> {
        explained(&self.state)?;
        Ok((self.store, self.state))
    }

    /// Believes the next event, and appends it with those before it once they are enough: how many the store has then.
    ///
    /// # Errors
    /// [`StartError::Unsound`] for an event that this keyring does not know as the next one; the store's.
    pub(crate) fn grow(&mut self, piece: Piece) -> Result<u64, StartError> {
        self.draft(piece)?;
        if self.entries.len() >= BATCH {
            self.append()?;
        }
        Ok(self.stored)
    }

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

    /// A leaf whose opening is gone. It stands there with an empty one until the event comes that erased it: that may take many
    /// batches, so nobody may believe such a store before [`Growing::end`]. It is held back, or in a file that no start opens.
    fn gap(&mut self, stored: &Stored, tenant: TenantId) -> Result<Entry, StartError> {
        let state = &mut self.state;
        next_of(state, self.keyring, stored, tenant)?;
        self.tiles.extend(state.sealer.push(&stored.leaf));
        unsound(stored.index, state.directory.skip(stored.index, tenant))?;
        state.gaps.note(stored.index, tenant, &stored.leaf);
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
        explain(&mut self.state, self.keyring, &record)?;
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

    /// Appends what was believed.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn append(&mut self) -> Result<(), StoreError> {
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

    /// Keeps observations.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn observe(&mut self, uses: &mut Vec<LastUse>) -> Result<(), StoreError> {
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
