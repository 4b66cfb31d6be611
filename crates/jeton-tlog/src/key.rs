//! Ed25519 keys under a name: who may sign notes, and how that is written down.
//!
//! A signature line names its key by name and key id together. The id is a short hash, no proof of
//! anything: the verifier was configured with the whole public key, and a colliding id merely gives
//! a signature that does not verify (c2sp.org/signed-note, "Signatures").

use std::fmt;

mod named;

pub(crate) use named::{Kind, Named, NamedKey, PrivateKey, check_name};

/// The length of an Ed25519 seed (RFC 8032 §5.1.5).
pub const SEED_BYTES: usize = 32;

/// The longest key name this crate takes; the specification has no bound.
pub const KEY_NAME_BYTES_MAX: usize = 255;

/// Why a key is refused, or a text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name is empty, too long, or has a space, a plus or a control character.
    #[error("not a key name")]
    Name,
    /// The text is not `name+hash+key`, or not its one spelling.
    #[error("not a verifier key")]
    Format,
    /// The key is of another type: a witness's where a log's is asked for, or one that is not
    /// Ed25519 at all.
    #[error("the key is of another type")]
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
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey(NamedKey);

impl VerifierKey {
    /// Puts a 32-byte Ed25519 public key under a name (RFC 8032 §5.1.5).
    ///
    /// # Errors
    /// [`KeyError::Name`], [`KeyError::Rejected`].
    pub fn new(name: &str, public: &[u8; 32]) -> Result<Self, KeyError> {
        NamedKey::new(Kind::Plain, name, public).map(Self)
    }

    /// Reads `name+hash+key` as this type prints it: each key has exactly one text.
    ///
    /// # Errors
    /// [`KeyError::Format`], [`KeyError::Name`], [`KeyError::UnknownType`],
    /// [`KeyError::IdMismatch`], [`KeyError::Rejected`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        NamedKey::parse(Kind::Plain, text).map(Self)
    }

    /// The name the key signs under.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// The id that, with the name, stands in a signature line.
    #[must_use]
    pub const fn key_id(&self) -> KeyId {
        self.0.key_id()
    }

    /// The Ed25519 public key.
    #[must_use]
    pub const fn public_key(&self) -> &[u8; 32] {
        self.0.public_key()
    }

    /// Whether this key made `signature` (64 bytes) over `text`.
    pub(crate) fn made(&self, signature: &[u8], text: &[u8]) -> bool {
        self.0.made(signature, text)
    }
}

impl Named for VerifierKey {
    fn named(&self) -> &NamedKey {
        &self.0
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
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
    private: PrivateKey,
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
        let private = PrivateKey::from_seed(seed)?;
        let verifier = VerifierKey(private.named(Kind::Plain, name)?);
        Ok(Self { private, verifier })
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
        self.private.sign(text)
    }
}

#[cfg(test)]
mod tests;
