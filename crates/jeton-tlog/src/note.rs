//! Signed notes: a text, a blank line, and the signatures of those who vouch for it.
//!
//! One format serves log, witnesses and tools (c2sp.org/signed-note). Parsing says only that bytes
//! have the shape of a note; the text may be used once a key that is trusted has signed it, which is
//! what [`VerifiedNote`] says and nothing else can.

use std::fmt;

use crate::base64;
use crate::key::{KeyError, KeyId, Named, NamedKey, SigningKey, VerifierKey, check_name};

/// The longest note this crate reads or writes: 16 KiB, signatures included.
///
/// Enough for a checkpoint with a log's and 16 witnesses' Ed25519 signatures, or with three of
/// ML-DSA-44; witnesses hold requests to the same bound.
pub const NOTE_BYTES_MAX: usize = 16 * 1_024;

/// The most signatures in a note; the specification asks for at least 16.
pub const NOTE_SIGNATURES_MAX: usize = 64;

const DASH: &str = "\u{2014} ";
const KEY_ID_BYTES: usize = 4;

/// Why bytes are not a note, or a note is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The note is longer than [`NOTE_BYTES_MAX`].
    #[error("a note has at most 16384 bytes, not {actual}")]
    TooLong {
        /// Its length.
        actual: usize,
    },
    /// The note is not UTF-8, or has a control character other than the newline.
    #[error("the note is not plain text")]
    NotPlainText,
    /// The text does not end with a newline.
    #[error("the text does not end with a newline")]
    TextUnfinished,
    /// There is no blank line, or no signature line after the last one.
    #[error("the note has no signatures")]
    NoSignatures,
    /// A line after the blank line is not a signature line.
    #[error("line {line} of the signatures is not a signature")]
    SignatureLine {
        /// Which line after the blank one, from 1.
        line: usize,
    },
    /// There are more than [`NOTE_SIGNATURES_MAX`] signatures.
    #[error("a note has at most 64 signatures")]
    TooManySignatures,
    /// A key that is trusted did not make the signature that bears its name and id.
    #[error("the signature of {name}+{id} is bad")]
    BadSignature {
        /// The name of the key.
        name: String,
        /// The id of the key.
        id: KeyId,
    },
    /// Two different trusted keys have the same name and id, and the note has a signature of it.
    #[error("two trusted keys are called {name}+{id}")]
    AmbiguousKey {
        /// The name of the keys.
        name: String,
        /// The id of the keys.
        id: KeyId,
    },
    /// No trusted key has signed the note.
    #[error("no trusted key has signed the note")]
    NotSigned,
    /// The key could not sign.
    #[error("signing the note")]
    Signing(#[source] KeyError),
}

/// A signature of a note as it stands there: claimed, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    name: String,
    id: KeyId,
    bytes: Vec<u8>,
}

impl Signature {
    /// The name of the key that is said to have signed.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of the key that is said to have signed.
    #[must_use]
    pub const fn key_id(&self) -> KeyId {
        self.id
    }

    /// The signature after the key id: 64 bytes for Ed25519, at least one for any type.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
        check_name(name).ok()?;
        let decoded = base64::decode(encoded)?;
        let (id, bytes) = decoded.split_first_chunk::<KEY_ID_BYTES>()?;
        let (name, id) = (name.to_owned(), KeyId::from_bytes(*id));
        (!bytes.is_empty()).then(|| Self {
            name,
            id,
            bytes: bytes.to_vec(),
        })
    }

    /// The signature that a key has just made.
    pub(crate) fn new(key: &NamedKey, bytes: Vec<u8>) -> Self {
        let (name, id) = (key.name().to_owned(), key.key_id());
        Self { name, id, bytes }
    }

    /// Reads signature lines, each ended by a newline: those of a note, or what a witness answers.
    ///
    /// # Errors
    /// [`NoteError::TooLong`], [`NoteError::NoSignatures`], [`NoteError::TooManySignatures`],
    /// [`NoteError::SignatureLine`].
    pub fn parse_lines(lines: &str) -> Result<Vec<Self>, NoteError> {
        check_length(lines.len())?;
        let count = lines.split_inclusive('\n').count();
        match count {
            0 => return Err(NoteError::NoSignatures),
            1..=NOTE_SIGNATURES_MAX => {}
            _ => return Err(NoteError::TooManySignatures),
        }
        let mut signatures = Vec::with_capacity(count);
        for (before, line) in lines.split_inclusive('\n').enumerate() {
            let signature = line.strip_suffix('\n').and_then(Self::parse);
            signatures.push(signature.ok_or(NoteError::SignatureLine { line: before + 1 })?);
        }
        Ok(signatures)
    }

    /// Whether it bears the name and the id of this key; that says nothing of who made it.
    pub(crate) fn is_of(&self, key: &NamedKey) -> bool {
        self.name == key.name() && self.id == key.key_id()
    }

    pub(crate) fn bad(&self) -> NoteError {
        let (name, id) = (self.name.clone(), self.id);
        NoteError::BadSignature { name, id }
    }
}

/// The signature line with its newline, `— name base64(key id || signature)`, as it was read.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.id.as_bytes().as_slice(), &self.bytes].concat();
        let encoded = base64::encode(&bytes);
        writeln!(f, "{DASH}{} {encoded}", self.name)
    }
}

/// A text with signatures that nobody has verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// Reads a signed note (c2sp.org/signed-note, "Format").
    ///
    /// # Errors
    /// [`NoteError::TooLong`], [`NoteError::NotPlainText`], [`NoteError::NoSignatures`],
    /// [`NoteError::SignatureLine`], [`NoteError::TooManySignatures`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        check_length(bytes.len())?;
        let note = str::from_utf8(bytes).map_err(|_| NoteError::NotPlainText)?;
        check_letters(note)?;
        // The last blank line separates: the text may have blank lines of its own.
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::NoSignatures)?;
        let signatures = Signature::parse_lines(lines)?;
        Ok(Self {
            text: format!("{text}\n"),
            signatures,
        })
    }

    /// The text, with its last newline: to be looked at only to find out which keys to trust.
    #[must_use]
    pub fn unverified_text(&self) -> &str {
        &self.text
    }

    /// The signatures, in the order of the note.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds a signature line; one of the same name and id gives way to it.
    ///
    /// Nothing is verified here: add only what was, or a stranger's line displaces a good one.
    ///
    /// # Errors
    /// [`NoteError::TooManySignatures`], [`NoteError::TooLong`]; the note is then as it was.
    pub fn add(&mut self, signature: Signature) -> Result<(), NoteError> {
        let mut note = self.clone();
        note.signatures
            .retain(|old| old.name != signature.name || old.id != signature.id);
        note.signatures.push(signature);
        if note.signatures.len() > NOTE_SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        check_length(note.to_string().len())?;
        *self = note;
        Ok(())
    }

    /// Believes the text if a trusted key has signed it (c2sp.org/signed-note, "Signatures").
    ///
    /// Signatures of other keys are ignored, also those that share only a name or only an id with a
    /// trusted key. A single bad signature of a trusted key refuses the note, whatever the others
    /// say: a note that lies about one signer is not to be believed at all.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`], [`NoteError::AmbiguousKey`], [`NoteError::NotSigned`].
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<VerifiedNote, NoteError> {
        let mut signers: Vec<Signer> = Vec::new();
        for signature in &self.signatures {
            let Some(key) = trusted(signature, keys)? else {
                continue;
            };
            if !key.made(&signature.bytes, self.text.as_bytes()) {
                return Err(signature.bad());
            }
            // A key that signs twice is still one signer.
            if !signers.iter().any(|signer| signer.key == *key) {
                signers.push(Signer { key: key.clone() });
            }
        }
        if signers.is_empty() {
            return Err(NoteError::NotSigned);
        }
        Ok(VerifiedNote {
            text: self.text.clone(),
            signers,
        })
    }
}

/// The trusted key whose name and id a signature bears, if there is one.
///
/// # Errors
/// [`NoteError::AmbiguousKey`].
pub(crate) fn trusted<'k, K: Named>(
    signature: &Signature,
    keys: &'k [K],
) -> Result<Option<&'k K>, NoteError> {
    let mut found = keys.iter().filter(|key| signature.is_of(key.named()));
    let Some(key) = found.next() else {
        return Ok(None);
    };
    if found.any(|other| other.named() != key.named()) {
        let (name, id) = (signature.name.clone(), signature.id);
        return Err(NoteError::AmbiguousKey { name, id });
    }
    Ok(Some(key))
}

/// The note as it is served: the text, a blank line, the signature lines.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| line.fmt(f))
    }
}

/// A key whose signature on a note was verified.
///
/// ```compile_fail,E0451
/// # fn forge(key: jeton_tlog::VerifierKey) {
/// let forged = jeton_tlog::Signer { key };
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    key: VerifierKey,
}

impl Signer {
    /// The key that signed.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }
}

/// A text that at least one trusted key has signed, made only by [`Note::verify`].
///
/// ```compile_fail,E0451
/// let forged = jeton_tlog::VerifiedNote { text: "believe me\n".to_owned(), signers: Vec::new() };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedNote {
    text: String,
    signers: Vec<Signer>,
}

impl VerifiedNote {
    /// The text that was signed, with its last newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The trusted keys that signed it: each once, at least one.
    #[must_use]
    pub fn signers(&self) -> &[Signer] {
        &self.signers
    }

    /// Whether this key is among those that signed it.
    #[must_use]
    pub fn is_signed_by(&self, key: &VerifierKey) -> bool {
        self.signers.iter().any(|signer| signer.key == *key)
    }
}

impl SigningKey {
    /// Signs a text and gives the signature line: `— name base64(key id || signature)`, newline.
    ///
    /// The same text always gives the same line.
    ///
    /// # Errors
    /// [`NoteError::TooLong`], [`NoteError::NotPlainText`] or [`NoteError::TextUnfinished`] for a
    /// text that cannot be that of a note; [`NoteError::Signing`].
    pub fn sign(&self, text: &str) -> Result<String, NoteError> {
        check_text(text)?;
        let bytes = self.sign_bytes(text.as_bytes());
        let bytes = bytes.map_err(NoteError::Signing)?;
        Ok(Signature::new(self.verifier().named(), bytes).to_string())
    }

    /// Signs a text and gives the whole note: the text, a blank line, the signature line.
    ///
    /// # Errors
    /// As [`SigningKey::sign`]; [`NoteError::TooLong`] if only the signature makes it so.
    pub fn sign_note(&self, text: &str) -> Result<String, NoteError> {
        let line = self.sign(text)?;
        let note = format!("{text}\n{line}");
        check_length(note.len())?;
        Ok(note)
    }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    check_length(text.len())?;
    check_letters(text)?;
    if text.ends_with('\n') {
        Ok(())
    } else {
        Err(NoteError::TextUnfinished)
    }
}

fn check_length(actual: usize) -> Result<(), NoteError> {
    if actual > NOTE_BYTES_MAX {
        Err(NoteError::TooLong { actual })
    } else {
        Ok(())
    }
}

fn check_letters(text: &str) -> Result<(), NoteError> {
    let control = text.bytes().any(|byte| byte < b' ' && byte != b'\n');
    if control {
        Err(NoteError::NotPlainText)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
