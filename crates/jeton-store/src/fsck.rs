//! Compares ledger, tree, rows and words, and names each difference.

use std::collections::{HashMap, HashSet};

use jeton_core::{
    directory::Directory,
    event::Record,
    id::{TenantId, TokenId},
    leaf::{LeafKind, LeafParts, TagKey, aside_hash, commit},
    token::record::TokenRecord,
};
use jeton_tlog::{Checkpoint, Hash, Tile, VerifierKey};

use crate::{
    Continue, Head, Reader, StoreError, Stored, TrailRow,
    ledger::{self, Sealer},
    row::{Row, TokenRow},
};

/// One difference between what is stored and what the ledger explains.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The table that holds it.
    pub table: &'static str,
    /// The row.
    pub row: String,
    /// What differs, and how.
    pub what: String,
}

/// What a check of the whole store saw.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// How many events were replayed.
    pub events: u64,
    /// How many rows were compared.
    pub rows: u64,
    /// The root that the leaves give, in base64.
    pub root: String,
    /// The differences.
    pub findings: Vec<Finding>,
}

/// The most findings that are kept: what is that broken needs no longer list.
pub const FINDINGS_MAX: usize = 1000;

/// The most missing rows that one gap names.
const GAP_MAX: u64 = 10;

/// What the trail's row beside an event must hold.
struct TrailDue {
    tenant: TenantId,
    about: [u8; 16],
    previous: Option<u64>,
    aside: Option<[u8; 32]>,
}

struct Fsck<'a> {
    keys: &'a dyn Fn(TenantId) -> Option<TagKey>,
    directory: Directory,
    tokens: HashMap<TokenId, (TokenRecord, u64)>,
    last_events: HashMap<[u8; 16], u64>,
    /// The last event that changed a row of the projection, by kind and raw id.
    last_rows: HashMap<(&'static str, [u8; 16]), u64>,
    /// By index; `None` where the opening is erased or cannot be read.
    trail: HashMap<u64, Option<TrailDue>>,
    tree: Sealer,
    /// The index that comes next.
    next: u64,
    signed: HashSet<u64>,
    roots: HashMap<u64, Hash>,
    report: Report,
}

/// Checks the whole store. `keys` gives a tenant's tag key, `log` the key of the log's checkpoints.
///
/// # Errors
/// [`StoreError`] only where the store cannot be read at all; every difference is a [`Finding`].
pub fn fsck(
    reader: &mut dyn Reader,
    keys: &dyn Fn(TenantId) -> Option<TagKey>,
    log: &VerifierKey,
) -> Result<Report, StoreError> {
    reader.freeze()?;
    let report = check(reader, keys, log);
    reader.thaw()?;
    report
}

fn check(
    reader: &mut dyn Reader,
    keys: &dyn Fn(TenantId) -> Option<TagKey>,
    log: &VerifierKey,
) -> Result<Report, StoreError> {
    let mut checkpoints = Vec::new();
    reader.checkpoints(&mut |size, note| checkpoints.push((size, note)))?;
    let sizes = checkpoints.iter().map(|(size, _)| u64::try_from(*size));
    let mut fsck = Fsck {
        keys,
        directory: Directory::new(),
        tokens: HashMap::new(),
        last_events: HashMap::new(),
        last_rows: HashMap::new(),
        trail: HashMap::new(),
        tree: Sealer::new(),
        next: 0,
        signed: sizes.flatten().collect(),
        roots: HashMap::new(),
        report: Report::default(),
    };
    let head = match reader.head() {
        Ok(head) => Some(head),
        Err(error @ StoreError::Inconsistent { .. }) => {
            fsck.unreadable(&error);
            None
        }
        Err(error) => return Err(error),
    };
    let size = head.as_ref().map_or(u64::MAX, |head| head.size);
    for index in reader.strays()? {
        fsck.find("event", index, "no index is below zero");
    }
    let mut tiles = Vec::new();
    reader.events(0, &mut |stored| {
        if stored.index >= size {
            fsck.find("event", stored.index, "it lies beyond the head");
            return Ok(Continue::No);
        }
        tiles.extend(fsck.event(&stored));
        Ok(Continue::Yes)
    })?;
    fsck.tiles(reader, &tiles)?;
    if let Some(head) = head {
        fsck.head(&head);
    }
    for (size, note) in checkpoints {
        fsck.checkpoint(size, &note, log);
    }
    fsck.rows(reader)?;
    fsck.trail(reader)?;
    fsck.report.root = fsck.tree.root().to_string();
    Ok(fsck.report)
}

impl Fsck<'_> {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "rows are named by numbers, texts and ids alike"
    )]
    fn find(&mut self, table: &'static str, row: impl ToString, what: impl Into<String>) {
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(Finding {
                table,
                row: row.to_string(),
                what: what.into(),
            });
        }
    }

    /// A row that is in no legal state.
    fn unreadable(&mut self, error: &StoreError) {
        match error {
            StoreError::Inconsistent { table, column, row } => {
                self.find(table, row, format!("{column}: no legal value"));
            }
            StoreError::Full | StoreError::Disk { .. } | StoreError::Unusable(_) => {
                self.find("store", "a row", error.to_string());
            }
        }
    }

    fn head(&mut self, head: &Head) {
        if self.tree.size() != head.size {
            let there = self.tree.size();
            let what = format!("the head says {} events, there are {there}", head.size);
            self.find("head", "size", what);
        }
        if self.tree.frontier() != head.frontier {
            self.find("head", "frontier", "it is not what the leaves give");
        }
    }

    fn tiles(&mut self, reader: &mut dyn Reader, due: &[Tile]) -> Result<(), StoreError> {
        let mut ids = HashSet::new();
        for tile in due {
            let (level, n) = (tile.id.level(), tile.id.index());
            ids.insert((i64::from(level), i64::try_from(n).unwrap_or(i64::MAX)));
            let kept = reader.tile(level, n)?;
            if kept.as_deref() != Some(&tile.bytes[..]) {
                self.find("tile", tile.id.path(), "it is not what the leaves give");
            }
        }
        let mut ghosts = Vec::new();
        reader.tiles(&mut |level, n| {
            if !ids.contains(&(level, n)) && ghosts.len() < FINDINGS_MAX {
                ghosts.push(format!("level {level}, number {n}"));
            }
        })?;
        for ghost in ghosts {
            self.find("tile", ghost, "no leaves give this tile");
        }
        Ok(())
    }

    fn event(&mut self, stored: &Stored) -> Vec<Tile> {
        for index in (self.next..stored.index).take(usize::try_from(GAP_MAX).unwrap_or(0)) {
            self.find("event", index, format!("index {index} is missing"));
        }
        self.next = stored.index.saturating_add(1);
        let tiles = self.tree.push(&stored.leaf);
        if self.signed.contains(&self.tree.size()) {
            self.roots.insert(self.tree.size(), self.tree.root());
        }
        self.report.events += 1;
        self.trail.insert(stored.index, None);
        let Some((salt, bytes)) = &stored.opening else {
            self.find(
                "event",
                stored.index,
                format!("leaf {} has no opening", stored.index),
            );
            return tiles;
        };
        match ledger::decode(bytes) {
            None => self.find("event", stored.index, "the record is not canonical"),
            Some(record) => self.replay(stored, salt, bytes, &record),
        }
        tiles
    }

    fn replay(&mut self, stored: &Stored, salt: &[u8; 32], bytes: &[u8], record: &Record) {
        let index = stored.index;
        let about = record.event.about(record.tenant);
        match (self.keys)(record.tenant) {
            None => self.find("event", index, "the keyring has no key for its tenant"),
            Some(key) => {
                let token = record.event.token();
                let about_sequence = match token {
                    Some(id) => self.tokens.get(&id).map_or(0, |(_, n)| *n),
                    None => self.directory.sequence(&about),
                };
                let tenant_sequence = self.directory.tenant_events(record.tenant) + 1;
                let leaf = LeafParts {
                    kind: LeafKind::of(&record.event),
                    at: record.at,
                    key: &key,
                    tenant_sequence,
                    about,
                    about_sequence,
                    commit: commit(salt, bytes),
                };
                if leaf.bytes()[..] != stored.leaf[..] {
                    self.find("event", index, "the leaf does not commit to the record");
                }
            }
        }
        if let Err(error) = self.directory.apply(index, record) {
            self.find("event", index, error.to_string());
        }
        self.replay_token(index, record);
        let due = TrailDue {
            tenant: record.tenant,
            about,
            previous: self.previous(index, record),
            aside: record.aside,
        };
        self.trail.insert(index, Some(due));
        self.last_events.insert(about, index);
    }

    /// The event before this one that changed the same row; from now on, this one.
    fn previous(&mut self, index: u64, record: &Record) -> Option<u64> {
        let about = record.event.about(record.tenant);
        let kind = match record.event.token() {
            Some(_) => "token",
            None => self.directory.entity(record.tenant, &record.event)?.kind,
        };
        self.last_rows.insert((kind, about), index)
    }

    fn replay_token(&mut self, index: u64, record: &Record) {
        let Some(id) = record.event.token() else {
            return;
        };
        if let Some(fresh) = TokenRecord::issued(index, record.tenant, &record.event) {
            if self.tokens.insert(id, (fresh, 1)).is_some() {
                self.find("event", index, "a token is issued twice");
            }
            return;
        }
        match self.tokens.get_mut(&id) {
            None => self.find("event", index, "no such token"),
            Some((token, n)) => {
                *n += 1;
                if let Err(error) = token.apply(record.at, &record.event) {
                    self.find("event", index, error.to_string());
                }
            }
        }
    }

    fn checkpoint(&mut self, size: i64, note: &str, log: &VerifierKey) {
        match Checkpoint::open(note.as_bytes(), log) {
            Err(error) => self.find("checkpoint", size, error.to_string()),
            Ok(open) => {
                let own = u64::try_from(size).is_ok_and(|size| size == open.size());
                if !own || self.roots.get(&open.size()) != Some(open.root()) {
                    self.find(
                        "checkpoint",
                        size,
                        "the signed root is not what the leaves give",
                    );
                }
            }
        }
    }

    fn rows(&mut self, reader: &mut dyn Reader) -> Result<(), StoreError> {
        let mut entities: HashMap<_, _> = self
            .directory
            .entities()
            .map(|e| ((e.kind, e.id), e))
            .collect();
        let mut tokens: HashMap<TokenId, TokenRow> = self
            .tokens
            .iter()
            .map(|(id, (token, _))| (*id, TokenRow::of(token)))
            .collect();
        let mut found = Vec::new();
        let mut count = 0;
        let last_events = &self.last_events;
        let mut unreadable = Vec::new();
        reader.rows(&mut |read| {
            count += 1;
            let (row, event) = match read {
                Ok(read) => read,
                Err(error) => return unreadable.push(error),
            };
            match row {
                Row::Token(kept) => {
                    let due = tokens.remove(&kept.id);
                    let what = token_difference(due.as_ref(), &kept)
                        .or_else(|| event_difference(last_events, kept.id.bytes(), event));
                    found.extend(what.map(|what| ("token", kept.id.to_string(), what)));
                }
                Row::Entity(kept) => {
                    let due = entities.remove(&(kept.kind, kept.id));
                    let what = match due {
                        None => Some("no event explains this row".to_owned()),
                        Some(due) if due != kept => Some("it is not what replay gives".to_owned()),
                        Some(_) => event_difference(last_events, &kept.id, event),
                    };
                    let name = format!("{} {}", kept.kind, TenantId::from_bytes(kept.id));
                    found.extend(what.map(|what| ("entity", name, what)));
                }
                Row::None => {}
            }
        })?;
        self.report.rows = count;
        for error in unreadable {
            self.unreadable(&error);
        }
        found.extend(
            tokens
                .keys()
                .map(|id| ("token", id.to_string(), "the row is missing".into())),
        );
        let missing = entities.keys().map(|(kind, id)| {
            (
                "entity",
                format!("{kind} {}", TenantId::from_bytes(*id)),
                "the row is missing".into(),
            )
        });
        found.extend(missing);
        for (table, row, what) in found {
            self.find(table, row, what);
        }
        Ok(())
    }

    fn trail(&mut self, reader: &mut dyn Reader) -> Result<(), StoreError> {
        let mut due = core::mem::take(&mut self.trail);
        let mut wrong = Vec::new();
        reader.trails(&mut |kept| {
            let event = u64::try_from(kept.index).ok();
            let what = match event.and_then(|index| due.remove(&index)) {
                None => Some("no event explains this row"),
                Some(None) => None,
                Some(Some(due)) => trail_difference(&due, &kept),
            };
            wrong.extend(what.map(|what| (kept.index.to_string(), what)));
        })?;
        wrong.extend(
            due.keys()
                .map(|index| (index.to_string(), "the row is missing")),
        );
        for (row, what) in wrong {
            self.find("trail", row, what);
        }
        Ok(())
    }
}

fn trail_difference(due: &TrailDue, kept: &TrailRow) -> Option<&'static str> {
    let previous = kept.previous.map(u64::try_from);
    if kept.tenant != due.tenant.bytes() {
        return Some("tenant: not that of the event");
    }
    if kept.about != due.about {
        return Some("about: not what the event is about");
    }
    if previous != due.previous.map(Ok) {
        return Some("previous: not the event before it about the same thing");
    }
    match (&kept.salt, &kept.words) {
        // Words may be erased, with their salt.
        (None, None) => None,
        (Some(salt), Some(words)) => {
            let salt = <[u8; 16]>::try_from(salt.as_slice()).ok();
            let same = salt.map(|salt| aside_hash(&salt, words)) == due.aside;
            (!same || salt.is_none())
                .then_some("the words are not those that the record was made with")
        }
        (Some(_), None) | (None, Some(_)) => Some("words and their salt go together"),
    }
}

fn event_difference(due: &HashMap<[u8; 16], u64>, id: &[u8; 16], kept: u64) -> Option<String> {
    let due = due.get(id).copied();
    (due != Some(kept)).then(|| format!("event: stored {kept}, the ledger says {due:?}"))
}

fn token_difference(due: Option<&TokenRow>, kept: &TokenRow) -> Option<String> {
    let Some(due) = due else {
        return Some("no event explains this row".into());
    };
    if due == kept {
        return None;
    }
    let mut fields = Vec::new();
    let mut compare = |name: &str, same: bool| {
        if !same {
            fields.push(name.to_owned());
        }
    };
    compare("tenant", due.tenant == kept.tenant);
    compare("subject", due.subject == kept.subject);
    compare("class", due.class == kept.class);
    compare("state", due.state == kept.state);
    compare("expires", due.expires == kept.expires);
    compare("body", due.body == kept.body);
    Some(format!("{}: not what replay gives", fields.join(", ")))
}
