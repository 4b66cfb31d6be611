//! One round of a monitor: the new leaves, the tenant's own among them, and what each of those is.

use std::collections::HashMap;

use jeton_core::{
    event::{Erasure, Event},
    id::TokenId,
    leaf,
};
use jeton_tlog::{Hash, Policy, TileBuilder, leaf_hash};
use serde_json::Value;

use super::{Known, Noticed, State};
use crate::{
    mirror::{Grown, MirrorError, Source, begin, grow, look},
    receipt::{Asked, Proven, TenantKey, told, verify},
};

/// So many of the tenant's next tags are looked for. A longer gap than this hides what follows it, and is told as silence
/// only by the tenant's own orders missing.
pub const AHEAD: u64 = 64;

/// Who watches what.
pub struct Monitor<'a> {
    /// The log.
    pub source: &'a Source,
    /// Which checkpoints are believed.
    pub policy: &'a Policy,
    /// Whose events.
    pub key: &'a TenantKey,
    /// What was ordered.
    pub known: &'a Known,
    /// Whether openings can be had: with a token that may read the tenant's events.
    pub opens: bool,
}

/// One of the tenant's own events.
#[derive(Clone, Debug)]
pub struct Own {
    /// Its index in the log.
    pub index: u64,
    /// Its number among the tenant's.
    pub sequence: u64,
    /// What it says, if it was opened.
    pub event: Option<Value>,
}

/// What a round brought.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// How many entries the log has; the size before, if it could not be believed.
    pub size: u64,
    /// How many of them are new.
    pub new: u64,
    /// The tenant's own among them.
    pub own: Vec<Own>,
    /// What its tenant should know. New ones are in [`State::pending`], too.
    pub noticed: Vec<Noticed>,
}

/// A leaf that bears a tag of the tenant.
struct Hit {
    index: u64,
    sequence: u64,
    leaf: Hash,
}

/// What an event of the tenant came to.
struct Judged {
    own: Own,
    noticed: Option<Noticed>,
    /// The events whose openings it erased.
    erases: Vec<u64>,
}

/// The tenant's next tags.
struct Window<'a> {
    key: &'a TenantKey,
    last: u64,
    ahead: HashMap<[u8; 32], u64>,
}

impl<'a> Window<'a> {
    fn after(key: &'a TenantKey, last: u64) -> Self {
        let mut window = Self {
            key,
            last,
            ahead: HashMap::new(),
        };
        window.extend(last + 1);
        window
    }

    fn extend(&mut self, from: u64) {
        for sequence in from..=self.last + AHEAD {
            self.ahead
                .insert(self.key.key.tenant_tag(sequence), sequence);
        }
    }

    /// The number of the tenant's event that a leaf is, if it is one.
    fn find(&mut self, entry: &[u8]) -> Option<u64> {
        let sequence = *self.ahead.get(leaf::tenant_tag(entry)?)?;
        let known = self.last + AHEAD + 1;
        self.last = sequence;
        self.ahead.retain(|_, number| *number > sequence);
        self.extend(known);
        Some(sequence)
    }
}

impl Monitor<'_> {
    /// Looks at what is new. The state advances only if the whole round came to its end.
    ///
    /// # Errors
    /// [`MirrorError`] if it could not be found out. What is wrong with the log is no error: it is noticed.
    pub async fn round(&self, state: &mut State) -> Result<Round, MirrorError> {
        let tenant = self.key.tenant.to_string();
        let round = match self.follow(state).await {
            Ok(round) => {
                state.standing.clear();
                state.pending.extend(round.noticed.iter().cloned());
                round
            }
            Err(MirrorError::Found(finding)) => {
                let size = state.seen().map_or(0, |seen| seen.size);
                let noticed = Noticed::new(finding.name(), &tenant, None, finding.to_string());
                if !state.standing.contains(&noticed.id) {
                    state.pending.push(noticed.clone());
                }
                state.standing = vec![noticed.id.clone()];
                Round {
                    size,
                    noticed: vec![noticed],
                    ..Round::default()
                }
            }
            Err(error) => return Err(error),
        };
        Ok(round)
    }

    async fn follow(&self, state: &mut State) -> Result<Round, MirrorError> {
        let seen = state.seen();
        let shown = look(self.source, self.policy, seen.as_ref()).await?;
        let mut round = Round {
            size: shown.seen.size,
            ..Round::default()
        };
        let tree = match &seen {
            Some(seen) if seen.size == shown.seen.size => return Ok(round),
            Some(seen) => begin(self.source, seen, &shown).await?,
            None => TileBuilder::new(),
        };
        round.new = shown.seen.size - tree.size();
        let mut window = Window::after(self.key, state.sequence);
        let mut hits = Vec::new();
        let mut each = |grown: Grown<'_>| {
            for (index, entry) in grown.fresh {
                if let Some(sequence) = window.find(entry) {
                    let leaf = leaf_hash(entry);
                    hits.push(Hit {
                        index: *index,
                        sequence,
                        leaf,
                    });
                }
            }
            Ok(())
        };
        grow(self.source, tree, &shown, &mut each).await?;
        let mut last = state.sequence;
        let mut erased = Vec::new();
        for hit in hits {
            round.noticed.extend(self.gap(last, &hit));
            last = hit.sequence;
            let judged = self.judge(&hit).await?;
            round.own.push(judged.own);
            round.noticed.extend(judged.noticed);
            erased.extend(judged.erases);
        }
        // What the tenant itself had erased is not kept from it.
        let gone = |index: Option<u64>| index.is_some_and(|index| erased.contains(&index));
        round
            .noticed
            .retain(|noticed| noticed.kind != "withheld" || !gone(noticed.index));
        state.sequence = last;
        state.advance(&shown.seen);
        Ok(round)
    }

    fn gap(&self, last: u64, hit: &Hit) -> Option<Noticed> {
        let due = last + 1;
        if hit.sequence == due {
            return None;
        }
        let missing = if hit.sequence == due + 1 {
            format!("event {due} of the tenant is")
        } else {
            format!("events {due} to {} of the tenant are", hit.sequence - 1)
        };
        let what = format!(
            "{missing} not in the log before the one that follows at index {}",
            hit.index
        );
        Some(self.noticed("gap", hit.index, what))
    }

    fn noticed(&self, kind: &str, index: u64, what: String) -> Noticed {
        Noticed::new(kind, &self.key.tenant.to_string(), Some(index), what)
    }

    /// What one of the tenant's events is, and whether the tenant should know of it.
    async fn judge(&self, hit: &Hit) -> Result<Judged, MirrorError> {
        let mut judged = Judged {
            own: Own {
                index: hit.index,
                sequence: hit.sequence,
                event: None,
            },
            noticed: None,
            erases: Vec::new(),
        };
        if !self.opens {
            let what = "an event of the tenant that it did not name".to_owned();
            let unknown = !self.known.has(hit.index, None);
            judged.noticed = unknown.then(|| self.noticed("unknown_event", hit.index, what));
            return Ok(judged);
        }
        match self.open(hit).await? {
            Ok(proven) => {
                judged.own.event = Some(told(&proven.record));
                judged.noticed = self.issuance(&proven);
                if let Event::Erased(Erasure::Openings { tokens, indexes }) = &proven.record.event {
                    judged.noticed = self.erasure(&proven, tokens);
                    judged.erases.clone_from(indexes);
                }
            }
            Err(noticed) => judged.noticed = Some(*noticed),
        }
        Ok(judged)
    }

    /// A token that was issued and is not known.
    fn issuance(&self, proven: &Proven) -> Option<Noticed> {
        let Event::TokenIssued { token, .. } = &proven.record.event else {
            return None;
        };
        if self.known.has(proven.index, Some(*token)) {
            return None;
        }
        let kind = if self.known.is_named() {
            "unknown_issuance"
        } else {
            "issuance"
        };
        let what = format!("token {token} was issued");
        let mut noticed = self.noticed(kind, proven.index, what);
        noticed.event = Some(told(&proven.record));
        Some(noticed)
    }

    /// Tokens that were erased and are not known: what was issued and erased before anybody looked cannot be opened any more,
    /// so that this is all there is of it.
    fn erasure(&self, proven: &Proven, tokens: &[TokenId]) -> Option<Noticed> {
        if !self.known.is_named() {
            return None;
        }
        let unknown = |token: &&TokenId| !self.known.has(proven.index, Some(**token));
        let mut unknown = tokens.iter().filter(unknown);
        let first = unknown.next()?;
        let what = match unknown.count() {
            0 => format!("token {first} was erased"),
            more => format!("token {first} and {more} more were erased"),
        };
        let mut noticed = self.noticed("erased_unknown", proven.index, what);
        noticed.event = Some(told(&proven.record));
        Some(noticed)
    }

    /// The opened event, or what is wrong with its opening.
    async fn open(&self, hit: &Hit) -> Result<Result<Proven, Box<Noticed>>, MirrorError> {
        let Some(receipt) = self.source.receipt(hit.index).await? else {
            let what = "the authority does not say what this event of the tenant is".to_owned();
            return Ok(Err(Box::new(self.noticed("withheld", hit.index, what))));
        };
        let asked = Asked {
            policy: self.policy,
            key: Some(self.key),
            token: None,
        };
        let wrong = |what: String| Err(Box::new(self.noticed("opening", hit.index, what)));
        Ok(match verify(&receipt, &asked) {
            Ok(proven) if proven.index == hit.index && proven.leaf == hit.leaf => Ok(proven),
            Ok(_) => wrong("the receipt is of another leaf".to_owned()),
            Err(error) => wrong(format!("{}: {error}", error.name())),
        })
    }
}
