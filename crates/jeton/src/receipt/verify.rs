//! What a receipt proves: that an event is in a log whose head satisfies a policy, and what the event says.
//!
//! The opening in a receipt is authenticated by nothing but this: hashed into a leaf, it must be the leaf that the path leads
//! from. So the leaf is always made of the opening, and an opening of another leaf is simply not included.

use jeton_core::{
    event::Record,
    id::TokenId,
    leaf::{LEAF_VERSION, LeafKind, Opening},
};
use jeton_store::ledger;
use jeton_tlog::{Hash, Policy, PolicyError, Receipt, ReceiptError, leaf_hash};

use super::TenantKey;

/// So far a tenant's and a token's numbers are looked for: each event has one, so none is above its index.
const NUMBERS_MAX: u64 = 1 << 24;

/// What a receipt is held against.
pub struct Asked<'a> {
    /// Which checkpoints are believed.
    pub policy: &'a Policy,
    /// Whose event it must be.
    pub key: Option<&'a TenantKey>,
    /// Which token it must be about.
    pub token: Option<TokenId>,
}

/// What a receipt proves.
#[derive(Clone, Debug)]
pub struct Proven {
    /// Where in the log the event is.
    pub index: u64,
    /// The hash of its leaf.
    pub leaf: Hash,
    /// Which log.
    pub origin: String,
    /// How many events the log had when this was signed.
    pub size: u64,
    /// The root above them.
    pub root: Hash,
    /// Which witnesses have seen that, and when: seconds since 1970.
    pub cosigned: Vec<(String, u64)>,
    /// What happened.
    pub record: Record,
    /// The numbers that the leaf's tags hide, where the tenant's key is known.
    pub tags: Option<Tags>,
}

/// The numbers behind a leaf's tags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tags {
    /// The number of the event among the tenant's, from 1.
    pub tenant: u64,
    /// The number of the event among those about the same thing, from 0.
    pub about: u64,
}

/// Why a receipt does not prove what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// It is no receipt.
    #[error("this is no receipt")]
    Malformed(#[source] ReceiptError),
    /// Its extra data is no opening.
    #[error("the receipt holds no opening: it says that something is in the log, but not what")]
    NoOpening,
    /// Its checkpoint does not satisfy the policy.
    #[error("the checkpoint does not satisfy the policy")]
    Policy(#[source] PolicyError),
    /// The leaf that the opening gives is not in the log.
    #[error(
        "the event is not in the log: the opening gives another leaf than the one at this index"
    )]
    NotIncluded(#[source] ReceiptError),
    /// The record is none.
    #[error("the record cannot be read")]
    Record,
    /// The leaf and the record contradict each other.
    #[error("leaf and record contradict each other: {0}")]
    Contradiction(&'static str),
    /// It is about another token.
    #[error("the receipt is about {about}, not about {wanted}")]
    AnotherToken {
        /// What it is about.
        about: String,
        /// What it should be about.
        wanted: TokenId,
    },
    /// Its tags are not those of the tenant.
    #[error(
        "the tags of the leaf are not those of the tenant: its monitor would not have seen this event"
    )]
    ForeignTags,
}

impl Unproven {
    /// The name for scripts.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::NoOpening => "no_opening",
            Self::Policy(PolicyError::QuorumNotMet { .. }) => "no_quorum",
            Self::Policy(
                PolicyError::TooLong { .. }
                | PolicyError::Line { .. }
                | PolicyError::QuorumMissing
                | PolicyError::Checkpoint(_)
                | PolicyError::Cosignatures(_),
            ) => "checkpoint",
            Self::NotIncluded(_) => "not_included",
            Self::Record => "record",
            Self::Contradiction(_) => "contradiction",
            Self::AnotherToken { .. } => "another_token",
            Self::ForeignTags => "foreign_tags",
        }
    }
}

/// Verifies a receipt with nothing but itself and what is asked.
///
/// # Errors
/// [`Unproven`], by name.
pub fn verify(bytes: &[u8], asked: &Asked<'_>) -> Result<Proven, Unproven> {
    let receipt = Receipt::parse(bytes).map_err(Unproven::Malformed)?;
    let opening = Opening::parse(receipt.unverified_extra()).ok_or(Unproven::NoOpening)?;
    let leaf = leaf_hash(&opening.leaf());
    let unproven = |error| match error {
        ReceiptError::Policy(error) => Unproven::Policy(error),
        ReceiptError::TooLong
        | ReceiptError::NotPlainText
        | ReceiptError::Version
        | ReceiptError::Extra
        | ReceiptError::Index
        | ReceiptError::Path { .. }
        | ReceiptError::NoCheckpoint
        | ReceiptError::Inclusion(_) => Unproven::NotIncluded(error),
    };
    let verified = receipt.verify(&leaf, asked.policy).map_err(unproven)?;
    let record = ledger::decode(&opening.record).ok_or(Unproven::Record)?;
    agree(&opening, &record)?;
    if let Some(wanted) = asked.token
        && record.event.token() != Some(wanted)
    {
        let about = record.event.token();
        let about = about.map_or_else(|| record.event.name().to_owned(), |id| id.to_string());
        return Err(Unproven::AnotherToken { about, wanted });
    }
    let tags = asked
        .key
        .map(|key| tags(key, &opening, &record, verified.index()));
    let head = verified.checkpoint().checkpoint();
    let by = verified.checkpoint().cosignatures().iter();
    Ok(Proven {
        index: verified.index(),
        leaf,
        origin: head.origin().to_owned(),
        size: head.size(),
        root: *head.root(),
        cosigned: by
            .map(|c| (c.key().name().to_owned(), c.time_s()))
            .collect(),
        record,
        tags: tags.transpose()?,
    })
}

/// Whether the leaf says of the event what the record says.
fn agree(opening: &Opening, record: &Record) -> Result<(), Unproven> {
    let Some(([version, kind], rest)) = opening.head.split_first_chunk() else {
        return Err(Unproven::Contradiction("the leaf is cut off"));
    };
    if *version != LEAF_VERSION {
        return Err(Unproven::Contradiction("the version of the leaf"));
    }
    if *kind != LeafKind::of(&record.event).byte() {
        return Err(Unproven::Contradiction("the kind"));
    }
    if rest.first_chunk() != Some(&record.at.millis().to_be_bytes()) {
        return Err(Unproven::Contradiction("the time"));
    }
    Ok(())
}

/// The numbers for which the key gives the leaf's tags.
fn tags(key: &TenantKey, opening: &Opening, record: &Record, index: u64) -> Result<Tags, Unproven> {
    let (tenant, about) = opening
        .head
        .split_at_checked(42)
        .ok_or(Unproven::ForeignTags)?;
    let tenant = tenant.get(10..).unwrap_or_default();
    if record.tenant != key.tenant {
        return Err(Unproven::ForeignTags);
    }
    let last = index.saturating_add(1).min(NUMBERS_MAX);
    let raw = record.event.about(record.tenant);
    let tenant = (1..=last).find(|n| key.key.tenant_tag(*n) == tenant);
    let about = (0..last).find(|n| key.key.token_tag(&raw, *n) == about);
    match (tenant, about) {
        (Some(tenant), Some(about)) => Ok(Tags { tenant, about }),
        _ => Err(Unproven::ForeignTags),
    }
}
