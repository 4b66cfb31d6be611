//! Cosignatures: a witness says that this was the largest tree it had seen of a log, at that time.
//!
//! A witness signs two lines of its own before the text of the checkpoint, so that its signature
//! can never pass for a log's (c2sp.org/tlog-cosignature). The time is part of what is signed: it
//! tells a fresh head from a frozen one, and bounds when a revocation came into the log.
//!
//! Only Ed25519 (`cosignature/v1`, signature type `0x04`) is spoken here.

use std::fmt;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::key::{KeyError, KeyId, Kind, Named, NamedKey, PrivateKey, SEED_BYTES};
use crate::note::{Note, NoteError, Signature, trusted};

/// The latest time of a cosignature, in seconds since 1970 (c2sp.org/tlog-cosignature, "Format").
pub const COSIGNATURE_TIME_S_MAX: u64 = i64::MAX.unsigned_abs();

/// Why a cosignature cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CosignError {
    /// The time is zero, which would say nothing, or more than [`COSIGNATURE_TIME_S_MAX`].
    #[error("{time_s} is no time for a cosignature")]
    Time {
        /// The time that was given.
        time_s: u64,
    },
    /// The key did not sign.
    #[error("signing the cosignature")]
    Signing(#[source] KeyError),
}

/// The public key of a witness under its name: what the log's clients are configured with.
///
/// Printed as `name+hash+key` like a [`crate::VerifierKey`], with `key` the base64 of `0x04 ||
/// public key`. The name is not part of what is signed, so a key must never serve two witnesses.
#[derive(Clone, PartialEq, Eq)]
pub struct WitnessKey(NamedKey);

impl WitnessKey {
    /// Puts a 32-byte Ed25519 public key under the name of a witness (RFC 8032 §5.1.5).
    ///
    /// # Errors
    /// [`KeyError::Name`], [`KeyError::Rejected`].
    pub fn new(name: &str, public: &[u8; 32]) -> Result<Self, KeyError> {
        NamedKey::new(Kind::Cosignature, name, public).map(Self)
    }

    /// Reads `name+hash+key` as this type prints it: each key has exactly one text.
    ///
    /// # Errors
    /// [`KeyError::Format`], [`KeyError::Name`], [`KeyError::UnknownType`] (also for a log's key and
    /// for ML-DSA-44), [`KeyError::IdMismatch`], [`KeyError::Rejected`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        NamedKey::parse(Kind::Cosignature, text).map(Self)
    }

    /// The name the witness signs under.
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

    /// The time that this key has put on a checkpoint's text, if the signature is its own.
    fn time_s(&self, signature: &Signature, text: &str) -> Option<u64> {
        let (time, bytes) = signature.bytes().split_first_chunk()?;
        let time_s = u64::from_be_bytes(*time);
        check_time(time_s).ok()?;
        let own = self.0.made(bytes, message(time_s, text).as_bytes());
        own.then_some(time_s)
    }
}

impl Named for WitnessKey {
    fn named(&self) -> &NamedKey {
        &self.0
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The private key of a witness.
///
/// It is neither printed, cloned nor compared; the seed is not kept, as with
/// [`crate::SigningKey`].
///
/// ```compile_fail,E0277
/// fn log(key: &jeton_tlog::CosigningKey) { println!("{key:?}"); }
/// ```
pub struct CosigningKey {
    private: PrivateKey,
    witness: WitnessKey,
}

impl CosigningKey {
    /// Makes the key of a 32-byte Ed25519 seed, under the name of a witness (RFC 8032 §5.1.5).
    ///
    /// # Errors
    /// [`KeyError::Name`], [`KeyError::Rejected`].
    pub fn from_seed(name: &str, seed: &[u8; SEED_BYTES]) -> Result<Self, KeyError> {
        let private = PrivateKey::from_seed(seed)?;
        let witness = WitnessKey(private.named(Kind::Cosignature, name)?);
        Ok(Self { private, witness })
    }

    /// The public half, to be given to the log and its clients.
    #[must_use]
    pub const fn witness(&self) -> &WitnessKey {
        &self.witness
    }

    /// Cosigns a checkpoint at a time in seconds since 1970, and gives the signature line.
    ///
    /// It says that no larger tree of this log was seen: remember the checkpoint, durably, before
    /// the line is given to anybody (c2sp.org/tlog-witness, "add-checkpoint").
    ///
    /// # Errors
    /// [`CosignError::Time`], [`CosignError::Signing`].
    pub fn cosign(&self, checkpoint: &Checkpoint, time_s: u64) -> Result<String, CosignError> {
        check_time(time_s)?;
        let message = message(time_s, &checkpoint.to_string());
        let signature = self.private.sign(message.as_bytes());
        let signature = signature.map_err(CosignError::Signing)?;
        let bytes = [time_s.to_be_bytes().as_slice(), &signature].concat();
        Ok(Signature::new(self.witness.named(), bytes).to_string())
    }
}

/// A witness whose cosignature was verified, and the time it said; made only by
/// [`Note::cosignatures`].
///
/// ```compile_fail,E0451
/// # fn forge(key: jeton_tlog::WitnessKey) {
/// let forged = jeton_tlog::Cosignature { key, time_s: 1 };
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    key: WitnessKey,
    time_s: u64,
}

impl Cosignature {
    /// The key that cosigned.
    #[must_use]
    pub const fn key(&self) -> &WitnessKey {
        &self.key
    }

    /// When it did, by the witness's clock: seconds since 1970, never zero.
    #[must_use]
    pub const fn time_s(&self) -> u64 {
        self.time_s
    }
}

impl Note {
    /// Which of these witnesses have cosigned the text, and when: each once, with its latest time.
    ///
    /// Signatures of other keys are ignored. A bad one of a known witness refuses the note, as in
    /// [`Note::verify`]: also one whose time is zero, since it says nothing of the largest tree.
    /// No cosignature at all is no error; how many are enough is for a [`crate::Policy`] to say.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`], [`NoteError::AmbiguousKey`].
    pub fn cosignatures(&self, keys: &[WitnessKey]) -> Result<Vec<Cosignature>, NoteError> {
        let mut found: Vec<Cosignature> = Vec::new();
        for signature in self.signatures() {
            let Some(key) = trusted(signature, keys)? else {
                continue;
            };
            let time_s = key.time_s(signature, self.unverified_text());
            let time_s = time_s.ok_or_else(|| signature.bad())?;
            match found.iter_mut().find(|earlier| earlier.key == *key) {
                Some(earlier) => earlier.time_s = earlier.time_s.max(time_s),
                None => found.push(Cosignature {
                    key: key.clone(),
                    time_s,
                }),
            }
        }
        Ok(found)
    }

    /// Takes over, from what a witness answered, the cosignatures that verify under its key.
    ///
    /// `lines` is untrusted: other lines in it are ignored, as the protocol asks
    /// (c2sp.org/tlog-witness, "add-checkpoint"). An older cosignature of the same key gives way.
    ///
    /// # Errors
    /// [`CheckpointError::Note`] with [`NoteError::BadSignature`] or [`NoteError::NotSigned`] if
    /// the witness's line is bad or missing, or with the errors of [`Signature::parse_lines`] and
    /// [`Note::add`]; those of [`Checkpoint::parse`] if this note is not of a checkpoint.
    pub fn add_cosignature(
        &mut self,
        lines: &str,
        key: &WitnessKey,
    ) -> Result<Cosignature, CheckpointError> {
        Checkpoint::parse(self.unverified_text())?;
        let lines = Signature::parse_lines(lines).map_err(CheckpointError::Note)?;
        let mut best: Option<(u64, Signature)> = None;
        for line in lines.into_iter().filter(|line| line.is_of(&key.0)) {
            let time_s = key.time_s(&line, self.unverified_text());
            let time_s = time_s.ok_or_else(|| CheckpointError::Note(line.bad()))?;
            if best.as_ref().is_none_or(|(latest, _)| *latest < time_s) {
                best = Some((time_s, line));
            }
        }
        let (time_s, line) = best.ok_or(CheckpointError::Note(NoteError::NotSigned))?;
        self.add(line).map_err(CheckpointError::Note)?;
        let key = key.clone();
        Ok(Cosignature { key, time_s })
    }
}

/// What is signed (c2sp.org/tlog-cosignature, "Ed25519 signed message").
fn message(time_s: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time_s}\n{text}")
}

const fn check_time(time_s: u64) -> Result<(), CosignError> {
    if time_s == 0 || time_s > COSIGNATURE_TIME_S_MAX {
        return Err(CosignError::Time { time_s });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
