//! The ledger and its projection on a durable store. I/O and no rules: what is appended was decided above.
//!
//! Read [`Store`] (the contract), [`ledger`] (how an event becomes a leaf), then an engine: [`sqlite`].
#![forbid(unsafe_code)]

pub mod fsck;
pub mod ledger;
pub mod row;
pub mod sqlite;
pub mod tree;
pub mod witness;

use jeton_core::{
    directory::Entity,
    id::{TenantId, TokenId},
    time::Time,
};
use jeton_tlog::Tile;

use crate::{
    ledger::{Aside, Entry},
    row::Row,
};

/// So many of the newest checkpoints are all kept: those of the last hour, if one is signed each second.
pub const CHECKPOINTS_NEWEST: u32 = 3600;
/// Of the older ones, the first of so many entries each: what 65,536 leaves lie between is proved by the tree.
pub const CHECKPOINT_SPACING: u64 = 65_536;

/// What went wrong in the store, and what that means.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk has no room: nothing was changed, and smaller changes may still fit.
    #[error("the disk is full")]
    Full,
    /// Whether the disk holds what it was told is not known: stop, and recover by starting anew.
    #[error("the disk failed while {doing}")]
    Disk {
        /// What was attempted.
        doing: &'static str,
        /// The engine's error.
        #[source]
        source: Box<dyn core::error::Error + Send + Sync>,
    },
    /// A row is in no legal state.
    #[error("inconsistent {table}.{column} at {row}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key.
        row: String,
    },
    /// The store was written by a newer jeton, or by something else.
    #[error("cannot use this store: {0}")]
    Unusable(String),
}

/// Where the ledger ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// How many events it holds.
    pub size: u64,
    /// The right edge of the tree, 32 bytes for each bit set in `size`.
    pub frontier: Vec<u8>,
    /// The id of the batch that was appended last.
    pub batch: [u8; 16],
}

/// A batch: everything that one commit makes durable, together or not at all.
pub struct Batch<'a> {
    /// Names the batch, so that a lost answer to COMMIT is settled by looking at the head.
    pub id: [u8; 16],
    /// The ledger's size before it.
    pub from: u64,
    /// Events with their leaves, rows and words.
    pub entries: &'a [(Entry, Row)],
    /// Tiles that it completes.
    pub tiles: &'a [Tile],
    /// The right edge after it.
    pub frontier: &'a [u8],
}

/// An event as it is stored: leaf and, unless erased, opening.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Its index.
    pub index: u64,
    /// The 106 bytes of its leaf.
    pub leaf: Vec<u8>,
    /// Salt and canonical record; `None`: erased.
    pub opening: Option<([u8; 32], Vec<u8>)>,
}

/// One line of the audit trail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trail {
    /// The event's index.
    pub index: u64,
    /// The canonical record.
    pub record: Vec<u8>,
    /// The erasable words, as they were given.
    pub words: Option<Vec<u8>>,
}

/// A row of the trail as it is stored, whatever it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrailRow {
    /// Whose.
    pub tenant: Vec<u8>,
    /// The event's index.
    pub index: i64,
    /// The raw id of what the event is about.
    pub about: Vec<u8>,
    /// The index of the event before it about the same thing.
    pub previous: Option<i64>,
    /// What blinds the hash of the words.
    pub salt: Option<Vec<u8>>,
    /// The erasable words.
    pub words: Option<Vec<u8>>,
}

/// A use that was seen: an observation, which may be lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastUse {
    /// Which token.
    pub token: TokenId,
    /// When.
    pub at: Time,
    /// From where.
    pub address: Option<String>,
}

/// The writer's side of a store: one owner, blocking.
///
/// The contract, which each engine must keep:
/// - `append` is one transaction. When it returns `Ok`, the batch survives a power cut. When it returns [`StoreError::Full`],
///   nothing of it is there. On any other error the process must end: what is on the disk is learnt by starting anew.
/// - `append` refuses a batch whose `from` is not the head's size: two writers can never interleave.
/// - Indexes have no gaps, and a reader that sees index `i` sees all below it.
pub trait Store: Send {
    /// Where the ledger ends.
    fn head(&mut self) -> Result<Head, StoreError>;
    /// Appends a batch, durably.
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), StoreError>;
    /// Keeps a signed checkpoint of a committed head, and forgets an older one that is not needed any more: of those before
    /// the [`CHECKPOINTS_NEWEST`], the first of each [`CHECKPOINT_SPACING`] entries stays.
    fn keep_checkpoint(&mut self, size: u64, note: &str) -> Result<(), StoreError>;
    /// Keeps observations.
    fn observe(&mut self, uses: &[LastUse]) -> Result<(), StoreError>;
    /// Forgets what was observed of tokens.
    fn forget_uses(&mut self, tokens: &[TokenId]) -> Result<(), StoreError>;
    /// Another connection, for reading beside the writer.
    fn reader(&self) -> Result<Box<dyn Reader>, StoreError>;
}

/// The reading side: any number, each its own connection.
pub trait Reader: Send {
    /// Where the ledger ends.
    fn head(&mut self) -> Result<Head, StoreError>;
    /// Calls `each` with every stored event from `from` on, in order, until it says to stop.
    fn events(
        &mut self,
        from: u64,
        each: &mut dyn FnMut(Stored) -> Result<Continue, StoreError>,
    ) -> Result<(), StoreError>;
    /// The event at this index, if there is one.
    fn event(&mut self, index: u64) -> Result<Option<Stored>, StoreError> {
        let mut found = None;
        self.events(index, &mut |stored| {
            found = (stored.index == index).then_some(stored);
            Ok(Continue::No)
        })?;
        Ok(found)
    }
    /// So many leaves from `from` on, without their openings; fewer where the ledger ends, and never with a gap.
    fn leaves(&mut self, from: u64, count: u32) -> Result<Vec<Vec<u8>>, StoreError>;
    /// The events that erased something: what a reader must know before it meets a leaf without an opening.
    fn erasures(&mut self) -> Result<Vec<Stored>, StoreError>;
    /// The audit trail of a tenant, youngest first, below `before`.
    fn trail(
        &mut self,
        tenant: TenantId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Trail>, StoreError>;
    /// The history of one thing, youngest first, from the event at `index` back.
    fn history(
        &mut self,
        tenant: TenantId,
        index: u64,
        limit: u32,
    ) -> Result<Vec<Trail>, StoreError>;
    /// The erasable words beside one event, with the salt of their hash.
    fn aside(&mut self, tenant: TenantId, index: u64) -> Result<Option<Aside>, StoreError>;
    /// The erasable words beside one event.
    fn words(&mut self, tenant: TenantId, index: u64) -> Result<Option<Vec<u8>>, StoreError>;
    /// The erasable words beside a tenant's first event: its founding.
    fn first_words(&mut self, tenant: TenantId) -> Result<Option<Vec<u8>>, StoreError>;
    /// A tenant's tokens by id, after `after`, with the index of each one's last event.
    fn tokens(
        &mut self,
        tenant: TenantId,
        after: Option<TokenId>,
        limit: u32,
    ) -> Result<Vec<(TokenId, u64)>, StoreError>;
    /// The index of a token's last event.
    fn token_event(&mut self, tenant: TenantId, token: TokenId) -> Result<Option<u64>, StoreError>;
    /// Calls `each` with every observed use.
    fn last_uses(&mut self, each: &mut dyn FnMut(LastUse)) -> Result<(), StoreError>;
    /// The last observed use of one token.
    fn last_use(&mut self, token: TokenId) -> Result<Option<LastUse>, StoreError>;
    /// Calls `each` with every row of the projection and the index of its event, or with what is wrong with the row.
    fn rows(&mut self, each: &mut dyn FnMut(ReadRow)) -> Result<(), StoreError>;
    /// Calls `each` with up to `limit` rows of the projection behind a place, in the order of their keys, each with its own.
    fn rows_after(
        &mut self,
        place: &Place,
        limit: u32,
        each: &mut dyn FnMut(Place, ReadRow),
    ) -> Result<(), StoreError>;
    /// The row at a place, with the index of its event; inner `Err`: it is in no legal state.
    fn row(&mut self, place: &Place) -> Result<Option<ReadRow>, StoreError>;
    /// The row of the trail beside a tenant's event, as it is stored.
    fn trail_row(&mut self, tenant: TenantId, index: u64) -> Result<Option<TrailRow>, StoreError>;
    /// A full tile of the tree.
    fn tile(&mut self, level: u8, n: u64) -> Result<Option<Vec<u8>>, StoreError>;
    /// The youngest checkpoint that was kept.
    fn last_checkpoint(&mut self) -> Result<Option<(u64, String)>, StoreError>;
    /// From now until [`Reader::thaw`], everything that is read is of one moment, whatever the writer does.
    fn freeze(&mut self) -> Result<(), StoreError>;
    /// Reads what is there again.
    fn thaw(&mut self) -> Result<(), StoreError>;
    /// Calls `each` with every checkpoint that was kept, by size, as it is stored: for `fsck`.
    fn checkpoints(&mut self, each: &mut dyn FnMut(i64, String)) -> Result<(), StoreError>;
    /// Calls `each` with level and number of every stored tile: for `fsck`.
    fn tiles(&mut self, each: &mut dyn FnMut(i64, i64)) -> Result<(), StoreError>;
    /// Calls `each` with every row of the trail, as it is stored: for `fsck`.
    fn trails(&mut self, each: &mut dyn FnMut(TrailRow)) -> Result<(), StoreError>;
    /// Events whose index is none: for `fsck`, since no walk meets them.
    fn strays(&mut self) -> Result<Vec<i64>, StoreError>;
}

/// A row of the projection with the index of its event, or what is wrong with it.
pub type ReadRow = Result<(Row, u64), StoreError>;

/// A place among the rows of the projection: the key of a row, whatever bytes it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// Among the tokens.
    Token {
        /// The raw id of the tenant.
        tenant: Vec<u8>,
        /// The raw id.
        id: Vec<u8>,
    },
    /// Among the other things.
    Entity {
        /// The raw id of the tenant.
        tenant: Vec<u8>,
        /// The kind.
        kind: Vec<u8>,
        /// The raw id.
        id: Vec<u8>,
    },
}

impl Place {
    /// Before the first token.
    pub const TOKENS: Self = Self::Token {
        tenant: Vec::new(),
        id: Vec::new(),
    };
    /// Before the first of the other things.
    pub const ENTITIES: Self = Self::Entity {
        tenant: Vec::new(),
        kind: Vec::new(),
        id: Vec::new(),
    };

    /// Of a token.
    #[must_use]
    pub fn of_token(tenant: TenantId, id: TokenId) -> Self {
        Self::Token {
            tenant: tenant.bytes().to_vec(),
            id: id.bytes().to_vec(),
        }
    }

    /// Of another thing.
    #[must_use]
    pub fn of_entity(entity: &Entity) -> Self {
        Self::Entity {
            tenant: entity.tenant.bytes().to_vec(),
            kind: entity.kind.as_bytes().to_vec(),
            id: entity.id.to_vec(),
        }
    }
}

/// Whether a walk goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Continue {
    /// It does.
    Yes,
    /// Enough was seen.
    No,
}
