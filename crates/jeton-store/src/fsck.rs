//! Compares ledger, tree, rows and words, and names each difference.

use std::collections::HashMap;

use jeton_core::{
    directory::Directory,
    event::Record,
    id::{TenantId, TokenId},
    leaf::{LeafKind, LeafParts, TagKey, aside_hash, commit},
    token::record::TokenRecord,
};
use jeton_tlog::{Checkpoint, Hash, VerifierKey};

use crate::{
    Continue, Reader, StoreError, Stored,
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

struct Fsck<'a> {
    keys: &'a dyn Fn(TenantId) -> Option<TagKey>,
    directory: Directory,
    tokens: HashMap<TokenId, (TokenRecord, u64)>,
    last_events: HashMap<[u8; 16], u64>,
    asides: HashMap<u64, [u8; 32]>,
    tree: Sealer,
    roots: Vec<(u64, Hash)>,
    checkpoint: Option<u64>,
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
    let head = reader.head()?;
    let checkpoint = reader.last_checkpoint()?;
    let mut fsck = Fsck {
        keys,
        directory: Directory::new(),
        tokens: HashMap::new(),
        last_events: HashMap::new(),
        asides: HashMap::new(),
        tree: Sealer::new(),
        roots: Vec::new(),
        checkpoint: checkpoint.as_ref().map(|(size, _)| *size),
        report: Report::default(),
    };
    let mut tiles = Vec::new();
    reader.events(0, &mut |stored| {
        if stored.index >= head.size {
            fsck.find("event", stored.index, "it lies beyond the head");
            return Ok(Continue::No);
        }
        tiles.extend(fsck.event(&stored));
        Ok(Continue::Yes)
    })?;
    for tile in tiles {
        let kept = reader.tile(tile.id.level(), tile.id.index())?;
        if kept.as_deref() != Some(&tile.bytes[..]) {
            fsck.find("tile", tile.id.path(), "it is not what the leaves give");
        }
    }
    if fsck.tree.size() != head.size {
        let what = format!(
            "the head says {} events, there are {}",
            head.size,
            fsck.tree.size()
        );
        fsck.find("head", "size", what);
    }
    if fsck.tree.frontier() != head.frontier {
        fsck.find("head", "frontier", "it is not what the leaves give");
    }
    fsck.checkpoint(checkpoint, log);
    fsck.rows(reader)?;
    fsck.words(reader)?;
    fsck.report.root = fsck.tree.root().to_string();
    Ok(fsck.report)
}

impl Fsck<'_> {
    fn find(&mut self, table: &'static str, row: impl ToString, what: impl Into<String>) {
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(Finding {
                table,
                row: row.to_string(),
                what: what.into(),
            });
        }
    }

    fn event(&mut self, stored: &Stored) -> Vec<jeton_tlog::Tile> {
        if stored.index != self.tree.size() {
            self.find(
                "event",
                stored.index,
                format!("index {} is missing", self.tree.size()),
            );
        }
        let tiles = self.tree.push(&stored.leaf);
        if Some(self.tree.size()) == self.checkpoint {
            self.roots.push((self.tree.size(), self.tree.root()));
        }
        self.report.events += 1;
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
        if let Some(hash) = record.aside {
            self.asides.insert(index, hash);
        }
        self.last_events.insert(about, index);
        if let Err(error) = self.directory.apply(index, record) {
            self.find("event", index, error.to_string());
        }
        self.replay_token(index, record);
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

    fn checkpoint(&mut self, kept: Option<(u64, String)>, log: &VerifierKey) {
        let Some((size, note)) = kept else { return };
        match Checkpoint::open(note.as_bytes(), log) {
            Err(error) => self.find("checkpoint", size, error.to_string()),
            Ok(open) => {
                let same = self
                    .roots
                    .iter()
                    .any(|(at, root)| *at == size && root == open.root());
                if open.size() != size || !same {
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
        reader.rows(&mut |row, event| {
            count += 1;
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

    fn words(&mut self, reader: &mut dyn Reader) -> Result<(), StoreError> {
        let mut wrong = Vec::new();
        let due = &self.asides;
        reader.asides(&mut |index, salt, words| {
            if due.get(&index) != Some(&aside_hash(&salt, &words)) {
                wrong.push(index);
            }
        })?;
        for index in wrong {
            self.find(
                "trail",
                index,
                "the words are not those that the record was made with",
            );
        }
        Ok(())
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
