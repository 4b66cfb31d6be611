//! What all Ed25519 keys of notes share: a public half under a name, its id, and its one text.
//!
//! A log's key and a witness's key differ in one byte, the signature type. It is part of the id, so
//! that the same 32 bytes under the same name are two keys, and a signature of the one kind never
//! passes for one of the other (c2sp.org/signed-note, "Signature types").

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey};
use sha2::{Digest, Sha256};

use crate::base64;

use super::{KEY_NAME_BYTES_MAX, KeyError, KeyId, SEED_BYTES};

const PUBLIC_KEY_BYTES: usize = 32;

/// `name+` with the longest name, `hash8hex+`, and the 44 characters of 33 bytes.
const TEXT_BYTES_MAX: usize = KEY_NAME_BYTES_MAX + 1 + 8 + 1 + 44;

/// What a key signs: the text itself, or a statement about it at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `0x01`: Ed25519 over the text of a note.
    Plain,
    /// `0x04`: Ed25519 over a time and a checkpoint (c2sp.org/tlog-cosignature).
    Cosignature,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Plain => 0x01,
            Self::Cosignature => 0x04,
        }
    }
}

/// A key that has a name, an id and a public half.
pub(crate) trait Named {
    /// The part that all kinds share.
    fn named(&self) -> &NamedKey;
}

/// An Ed25519 public key of one kind under a name.
#[derive(Clone)]
pub(crate) struct NamedKey {
    kind: Kind,
    name: String,
    id: KeyId,
    public: [u8; PUBLIC_KEY_BYTES],
    parsed: ParsedPublicKey,
}

impl NamedKey {
    pub(crate) fn new(kind: Kind, name: &str, public: &[u8; 32]) -> Result<Self, KeyError> {
        check_name(name)?;
        let parsed = ParsedPublicKey::new(&ED25519, public).map_err(|_| KeyError::Rejected)?;
        Ok(Self {
            kind,
            name: name.to_owned(),
            id: id_of(kind, name, public),
            public: *public,
            parsed,
        })
    }

    /// Reads `name+hash+key` as [`fmt::Display`] prints it.
    pub(crate) fn parse(kind: Kind, text: &str) -> Result<Self, KeyError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(KeyError::Format);
        }
        // The base64 may have a plus of its own, the name may not.
        let (name, rest) = text.split_once('+').ok_or(KeyError::Format)?;
        let (id, key) = rest.split_once('+').ok_or(KeyError::Format)?;
        let key = base64::decode(key).ok_or(KeyError::Format)?;
        let (byte, public) = key.split_first().ok_or(KeyError::Format)?;
        if *byte != kind.byte() {
            return Err(KeyError::UnknownType);
        }
        let public = public.try_into().map_err(|_| KeyError::Format)?;
        let key = Self::new(kind, name, public)?;
        if key.id.to_string() == id {
            Ok(key)
        } else {
            Err(KeyError::IdMismatch)
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn key_id(&self) -> KeyId {
        self.id
    }

    pub(crate) const fn public_key(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.public
    }

    /// Whether this key made `signature` (64 bytes) over `message`.
    pub(crate) fn made(&self, signature: &[u8], message: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }
}

impl PartialEq for NamedKey {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.name == other.name && self.public == other.public
    }
}

impl Eq for NamedKey {}

impl fmt::Display for NamedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = [self.kind.byte(); 1 + PUBLIC_KEY_BYTES];
        let [_, public @ ..] = &mut key;
        public.copy_from_slice(&self.public);
        let key = base64::encode(&key);
        write!(f, "{}+{}+{key}", self.name, self.id)
    }
}

/// `SHA-256(name || 0x0A || signature type || public key)[..4]` (c2sp.org/signed-note,
/// "Signatures").
fn id_of(kind: Kind, name: &str, public: &[u8; PUBLIC_KEY_BYTES]) -> KeyId {
    let digest = Sha256::new()
        .chain_update(name)
        .chain_update(b"\n")
        .chain_update([kind.byte()])
        .chain_update(public);
    let [a, b, c, d, ..] = <[u8; 32]>::from(digest.finalize());
    KeyId::from_bytes([a, b, c, d])
}

/// Refuses what cannot stand as a key name in a signature line (c2sp.org/signed-note, "Format").
pub(crate) fn check_name(name: &str) -> Result<(), KeyError> {
    let bad = |letter: char| letter.is_whitespace() || letter.is_control() || letter == '+';
    if name.is_empty() || name.len() > KEY_NAME_BYTES_MAX || name.contains(bad) {
        return Err(KeyError::Name);
    }
    Ok(())
}

/// The private half. The seed is not kept: aws-lc overwrites the key when it is dropped.
pub(crate) struct PrivateKey(Ed25519KeyPair);

impl PrivateKey {
    pub(crate) fn from_seed(seed: &[u8; SEED_BYTES]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Rejected)?;
        Ok(Self(pair))
    }

    /// The public half, under a name.
    pub(crate) fn named(&self, kind: Kind, name: &str) -> Result<NamedKey, KeyError> {
        let public = self.0.public_key().as_ref();
        NamedKey::new(
            kind,
            name,
            public.try_into().map_err(|_| KeyError::Rejected)?,
        )
    }

    /// The 64-byte signature over bytes; deterministic (RFC 8032 §5.1.6).
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.0.try_sign(message);
        let signature = signature.map_err(|_| KeyError::SigningFailed)?;
        Ok(signature.as_ref().to_vec())
    }
}
