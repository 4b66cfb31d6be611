//! The ledger's leaf: 106 bytes that commit to an event and tell outsiders nothing of it (LEDGER §1.1).

use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};

use crate::{
    event::{Event, RECORD_BYTES_MAX},
    time::Time,
    token::digest::keyed,
};

/// The length of a leaf.
pub const LEAF_BYTES: usize = 106;
/// The version in a leaf's first byte.
pub const LEAF_VERSION: u8 = 1;
/// The domain of salts.
const SALT_DOMAIN: &[u8] = b"jeton/salt/v1\0";
/// The domain of the commitment.
const COMMIT_DOMAIN: &[u8] = b"jeton/commit/v1\0";

/// What outsiders see of an event's kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeafKind {
    /// Anything that happens within a tenant.
    Private,
    /// The log's own key or witness policy; the genesis too.
    LogChange,
    /// Something was erased, and which leaves stay without an opening.
    Erasure,
}

impl LeafKind {
    /// The kind's byte.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Private => 0x00,
            Self::LogChange => 0x12,
            Self::Erasure => 0x40,
        }
    }

    /// The kind under which an event stands in the log.
    #[must_use]
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what happens within a tenant looks the same to outsiders, whatever it is"
    )]
    pub const fn of(event: &Event) -> Self {
        match event {
            Event::Genesis { .. } => Self::LogChange,
            Event::Ledger(event) => event.kind(),
            Event::Erased(_) => Self::Erasure,
            _ => Self::Private,
        }
    }
}

/// `K_tenant`: makes a tenant's tags, which only its holders can recompute. Never rotated; a leak costs linkability.
#[derive(Clone)]
pub struct TagKey(Hmac<Sha256>);

impl TagKey {
    /// Prepares a key of 32 bytes.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(keyed(key))
    }

    /// The tag of a tenant's event number `sequence`, counted from 1.
    #[must_use]
    pub fn tenant_tag(&self, sequence: u64) -> [u8; 32] {
        self.tag(b"t", &[], sequence)
    }

    /// The tag of event number `sequence`, counted from 0, of a token (or of another thing, by its raw id).
    #[must_use]
    pub fn token_tag(&self, about: &[u8; 16], sequence: u64) -> [u8; 32] {
        self.tag(b"k", about, sequence)
    }

    fn tag(&self, label: &[u8], about: &[u8], sequence: u64) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(label);
        mac.update(about);
        mac.update(&sequence.to_be_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// Makes the salts of openings. A salt blinds the commitment for everybody who does not know it, and it is a keyed digest of
/// what it blinds: so a record that somebody wrote into the store without this key has a salt that no start believes, however
/// well leaf, tags and tree were made to fit.
#[derive(Clone)]
pub struct SealKey(Hmac<Sha256>);

impl SealKey {
    /// Prepares a key of 32 bytes.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(keyed(key))
    }

    /// The salt of the record at a ledger index.
    #[must_use]
    pub fn salt(&self, index: u64, record: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(SALT_DOMAIN);
        mac.update(&index.to_be_bytes());
        mac.update(record);
        mac.finalize().into_bytes().into()
    }
}

/// The salted commitment to a record: what a leaf holds in its place.
#[must_use]
pub fn commit(salt: &[u8; 32], record: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(COMMIT_DOMAIN);
    hash.update(salt);
    hash.update(record);
    hash.finalize().into()
}

/// The salted hash of the erasable words beside an event: SHA-256 over a domain, 16 bytes of salt, and the words.
#[must_use]
pub fn aside_hash(salt: &[u8; 16], words: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"jeton/aside/v1\0");
    hash.update(salt);
    hash.update(words);
    hash.finalize().into()
}

/// The tenant's tag in the bytes of a leaf; `None` for bytes that are no leaf.
#[must_use]
pub fn tenant_tag(leaf: &[u8]) -> Option<&[u8; 32]> {
    part(leaf, 10)
}

/// The tag of the token (or other thing) in the bytes of a leaf; `None` for bytes that are no leaf.
#[must_use]
pub fn token_tag(leaf: &[u8]) -> Option<&[u8; 32]> {
    part(leaf, 42)
}

fn part<const N: usize>(leaf: &[u8], from: usize) -> Option<&[u8; N]> {
    let leaf = <&[u8; LEAF_BYTES]>::try_from(leaf).ok()?;
    leaf.get(from..)?.first_chunk()
}

/// How many bytes of a leaf stand before its commitment.
pub const LEAF_HEAD_BYTES: usize = LEAF_BYTES - 32;

/// What explains a leaf to whoever is entitled to know: the leaf's own head, the salt, and the record.
///
/// As bytes, with which a receipt carries it: version 1, 74 bytes of head, 32 of salt, and the record to the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opening {
    /// The leaf before its commitment: version, kind, time and tags.
    pub head: [u8; LEAF_HEAD_BYTES],
    /// What blinds the commitment.
    pub salt: [u8; 32],
    /// The canonical record.
    pub record: Vec<u8>,
}

impl Opening {
    /// The opening of a leaf.
    #[must_use]
    pub fn of(leaf: &[u8], salt: [u8; 32], record: Vec<u8>) -> Option<Self> {
        let (head, _) = leaf.split_first_chunk()?;
        Some(Self {
            head: *head,
            salt,
            record,
        })
    }

    /// The leaf that it explains: what a receipt proves to be in the log.
    #[must_use]
    pub fn leaf(&self) -> [u8; LEAF_BYTES] {
        let mut out = [0; LEAF_BYTES];
        let commit = commit(&self.salt, &self.record);
        let parts = self.head.iter().chain(&commit);
        for (to, from) in out.iter_mut().zip(parts) {
            *to = *from;
        }
        out
    }

    /// The bytes that a receipt carries.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let parts = [&[LEAF_VERSION][..], &self.head, &self.salt, &self.record];
        parts.concat()
    }

    /// Reads the bytes that a receipt carries: the record is not read here, and nothing is believed.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (head, rest) = rest.split_first_chunk()?;
        let (salt, record) = rest.split_first_chunk()?;
        let legal = *version == LEAF_VERSION && record.len() <= RECORD_BYTES_MAX;
        legal.then(|| Self {
            head: *head,
            salt: *salt,
            record: record.to_vec(),
        })
    }
}

/// What a leaf is made of.
pub struct LeafParts<'a> {
    /// Under which kind it stands.
    pub kind: LeafKind,
    /// When, by the issuer's claim.
    pub at: Time,
    /// The tenant's tag key.
    pub key: &'a TagKey,
    /// The number of this event among its tenant's, from 1.
    pub tenant_sequence: u64,
    /// The raw id of what it is about.
    pub about: [u8; 16],
    /// The number of this event among that thing's, from 0.
    pub about_sequence: u64,
    /// The commitment.
    pub commit: [u8; 32],
}

impl LeafParts<'_> {
    /// The 106 bytes.
    #[must_use]
    pub fn bytes(&self) -> [u8; LEAF_BYTES] {
        let mut out = [0; LEAF_BYTES];
        let tenant = self.key.tenant_tag(self.tenant_sequence);
        let about = self.key.token_tag(&self.about, self.about_sequence);
        let parts = [LEAF_VERSION, self.kind.byte()]
            .into_iter()
            .chain(self.at.millis().to_be_bytes())
            .chain(tenant)
            .chain(about)
            .chain(self.commit);
        for (to, from) in out.iter_mut().zip(parts) {
            *to = from;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_salt_is_of_one_record_at_one_place_under_one_key() {
        let key = SealKey::new(&[1; 32]);
        let salt = key.salt(5, b"record");
        assert_eq!(key.salt(5, b"record"), salt);
        for other in [
            key.salt(6, b"record"),
            key.salt(5, b"recorD"),
            key.salt(5, b""),
            SealKey::new(&[2; 32]).salt(5, b"record"),
        ] {
            assert_ne!(other, salt);
        }
    }

    #[test]
    fn an_opening_gives_the_leaf_that_it_was_made_of() {
        let (salt, record) = ([7; 32], b"record".to_vec());
        let key = TagKey::new(&[1; 32]);
        let leaf = LeafParts {
            kind: LeafKind::Private,
            at: Time::from_seconds(5),
            key: &key,
            tenant_sequence: 3,
            about: [9; 16],
            about_sequence: 0,
            commit: commit(&salt, &record),
        }
        .bytes();
        assert_eq!(tenant_tag(&leaf), Some(&key.tenant_tag(3)));
        let opening = Opening::of(&leaf, salt, record).unwrap();
        assert_eq!(opening.leaf(), leaf);
        let bytes = opening.to_bytes();
        assert_eq!(Opening::parse(&bytes), Some(opening.clone()));
        // Any other byte is another leaf, or none.
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(
                Opening::parse(&other).is_none_or(|o| o.leaf() != leaf),
                "byte {at}"
            );
        }
        for short in [0, 1, 74, 106] {
            assert_eq!(Opening::parse(&bytes[..short]), None);
        }
        assert!(
            Opening::parse(&bytes[..107]).is_some(),
            "an empty record has the right shape"
        );
    }
}
