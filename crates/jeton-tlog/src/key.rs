//! Ed25519 keys under a name: who may sign notes, and how that is written down.
//!
//! A signature line names its key by name and key id together. The id is a short hash, no proof of
//! anything: the verifier was configured with the whole public key, and a colliding id merely gives
//! a signature that does not verify (c2sp.org/signed-note, "Signatures").

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey};
use data_encoding::BASE64;
use sha2::{Digest, Sha256};

/// The length of an Ed25519 seed (RFC 8032 §5.1.5).
pub const SEED_BYTES: usize = 32;

/// The longest key name this crate takes; the specification has no bound.
pub const KEY_NAME_BYTES_MAX: usize = 255;

/// The signature type of plain Ed25519 notes (c2sp.org/signed-note, "Signature types").
const TYPE_ED25519: u8 = 0x01;

const PUBLIC_KEY_BYTES: usize = 32;

/// `name+` with the longest name, `hash8hex+`, and the 44 characters of 33 bytes.
const VERIFIER_KEY_TEXT_BYTES_MAX: usize = KEY_NAME_BYTES_MAX + 1 + 8 + 1 + 44;

/// Why a key is refused, or a text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name is empty, too long, or has a space, a plus or a control character.
    #[error("not a key name")]
    Name,
    /// The text is not `name+hash+key`, or not its one spelling.
    #[error("not a verifier key")]
    Format,
    /// The key is of a type other than plain Ed25519.
    #[error("the key is not of type ed25519")]
    UnknownType,
    /// The hash in the text is not the one of the name and the key.
    #[error("the key id does not belong to the key")]
    IdMismatch,
    /// The bytes are not an Ed25519 key.
    #[error("not an ed25519 key")]
    Rejected,
    /// The key did not sign; the text is not at fault.
    #[error("the key did not sign")]
    SigningFailed,
}

/// The short hash by which, with the name, a signature line names its key.
///
/// Printed as eight lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 4]);

impl KeyId {
    /// Takes four bytes, big-endian as in a signature line, as a key id.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// The four bytes, big-endian.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }

    /// `SHA-256(name || 0x0A || 0x01 || public key)[..4]` (c2sp.org/signed-note, "Ed25519
    /// signatures").
    fn of(name: &str, public: &[u8; PUBLIC_KEY_BYTES]) -> Self {
        let digest = Sha256::new()
            .chain_update(name)
            .chain_update(b"\n")
            .chain_update([TYPE_ED25519])
            .chain_update(public);
        let [a, b, c, d, ..] = <[u8; 32]>::from(digest.finalize());
        Self([a, b, c, d])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

/// A public key that is trusted under a name: what a verifier is configured with.
///
/// Printed as `name+hash+key`, with `hash` the [`KeyId`] and `key` the base64 of `0x01 || public
/// key`, as the other tools of this ecosystem read and write it.
#[derive(Clone)]
pub struct VerifierKey {
    name: String,
    id: KeyId,
    public: [u8; PUBLIC_KEY_BYTES],
    parsed: ParsedPublicKey,
}

impl VerifierKey {
    /// Puts a 32-byte Ed25519 public key under a name (RFC 8032 §5.1.5).
    ///
    /// # Errors
    /// [`KeyError::Name`], [`KeyError::Rejected`].
    pub fn new(name: &str, public: &[u8; 32]) -> Result<Self, KeyError> {
        check_name(name)?;
        let parsed = ParsedPublicKey::new(&ED25519, public).map_err(|_| KeyError::Rejected)?;
        let id = KeyId::of(name, public);
        Ok(Self {
            name: name.to_owned(),
            id,
            public: *public,
            parsed,
        })
    }

    /// Reads `name+hash+key` as this type prints it: each key has exactly one text.
    ///
    /// # Errors
    /// [`KeyError::Format`], [`KeyError::Name`], [`KeyError::UnknownType`],
    /// [`KeyError::IdMismatch`], [`KeyError::Rejected`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.len() > VERIFIER_KEY_TEXT_BYTES_MAX {
            return Err(KeyError::Format);
        }
        // The base64 may have a plus of its own, the name may not.
        let (name, rest) = text.split_once('+').ok_or(KeyError::Format)?;
        let (id, key) = rest.split_once('+').ok_or(KeyError::Format)?;
        let key = BASE64
            .decode(key.as_bytes())
            .map_err(|_| KeyError::Format)?;
        let (kind, public) = key.split_first().ok_or(KeyError::Format)?;
        if *kind != TYPE_ED25519 {
            return Err(KeyError::UnknownType);
        }
        let public = public.try_into().map_err(|_| KeyError::Format)?;
        let key = Self::new(name, public)?;
        if key.id.to_string() == id {
            Ok(key)
        } else {
            Err(KeyError::IdMismatch)
        }
    }

    /// The name the key signs under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id that, with the name, stands in a signature line.
    #[must_use]
    pub const fn key_id(&self) -> KeyId {
        self.id
    }

    /// The Ed25519 public key.
    #[must_use]
    pub const fn public_key(&self) -> &[u8; 32] {
        &self.public
    }

    /// Whether this key made `signature` (64 bytes) over `text`.
    pub(crate) fn made(&self, signature: &[u8], text: &[u8]) -> bool {
        self.parsed.verify_sig(text, signature).is_ok()
    }
}

impl PartialEq for VerifierKey {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.public == other.public
    }
}

impl Eq for VerifierKey {}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = [TYPE_ED25519; 1 + PUBLIC_KEY_BYTES];
        let [_, public @ ..] = &mut key;
        public.copy_from_slice(&self.public);
        write!(
            f,
            "{}+{}+{}",
            self.name,
            self.id,
            BASE64.encode_display(&key)
        )
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A private key that signs notes under a name.
///
/// It is neither printed, cloned nor compared. The seed is not kept: the key lives inside aws-lc,
/// which overwrites it when it is dropped. Wiping the seed that was passed in is the caller's part.
///
/// ```compile_fail,E0277
/// fn log(key: &jeton_tlog::SigningKey) { println!("{key:?}"); }
/// ```
/// ```compile_fail,E0277
/// fn copy(key: &jeton_tlog::SigningKey) -> jeton_tlog::SigningKey { jeton_tlog::SigningKey::clone(key) }
/// ```
pub struct SigningKey {
    pair: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl SigningKey {
    /// Makes the key of a 32-byte Ed25519 seed, under a name (RFC 8032 §5.1.5).
    ///
    /// Every 32 bytes are some key's seed: a mistaken one shows only in [`SigningKey::verifier`].
    /// Compare it with the key that verifiers were given.
    ///
    /// # Errors
    /// [`KeyError::Name`], [`KeyError::Rejected`].
    pub fn from_seed(name: &str, seed: &[u8; SEED_BYTES]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Rejected)?;
        let public = pair
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| KeyError::Rejected)?;
        Ok(Self {
            verifier: VerifierKey::new(name, public)?,
            pair,
        })
    }

    /// The public half, to be given to verifiers.
    #[must_use]
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The name the key signs under.
    #[must_use]
    pub fn name(&self) -> &str {
        self.verifier.name()
    }

    /// The id that, with the name, stands in a signature line.
    #[must_use]
    pub const fn key_id(&self) -> KeyId {
        self.verifier.key_id()
    }

    /// The 64-byte Ed25519 signature over bytes; deterministic (RFC 8032 §5.1.6).
    pub(crate) fn sign_bytes(&self, text: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self
            .pair
            .try_sign(text)
            .map_err(|_| KeyError::SigningFailed)?;
        Ok(signature.as_ref().to_vec())
    }
}

/// Refuses what cannot stand as a key name in a signature line (c2sp.org/signed-note, "Format").
pub(crate) fn check_name(name: &str) -> Result<(), KeyError> {
    let bad = |letter: char| letter.is_whitespace() || letter.is_control() || letter == '+';
    if name.is_empty() || name.len() > KEY_NAME_BYTES_MAX || name.contains(bad) {
        return Err(KeyError::Name);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
