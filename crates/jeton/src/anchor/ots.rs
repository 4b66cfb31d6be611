//! OpenTimestamps proofs: by what hashing a file's digest comes to what a block, or a calendar, attests.
//!
//! A detached proof (`.ots`) is a tree: each edge an operation on a message, each leaf an attestation of the message there.
//! Reading it computes every message, so a tree whose operations cannot be done is no proof. What is written has the order of
//! the reference implementation, so that one proof has one spelling. Nothing is believed here: see
//! [`super::bitcoin::Header::check`].

mod bytes;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use bytes::{Reader, write_bytes, write_number};

/// The most bytes of a proof that are read or written: 64 KiB.
pub const PROOF_BYTES_MAX: usize = 64 * 1024;
/// The most bytes of a calendar's answer, as in the reference client.
pub const ANSWER_BYTES_MAX: usize = 10_000;
/// The most edges from the file's digest to an attestation.
pub const DEPTH_MAX: usize = 256;
/// The most edges and leaves in a proof.
pub const STEPS_MAX: usize = 4_096;
/// The longest message on the way, in bytes; the longest argument too.
pub const MESSAGE_BYTES_MAX: usize = 4_096;
/// The longest payload of an attestation, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 8_192;
/// The longest URI of a calendar, in bytes.
pub const URI_BYTES_MAX: usize = 1_000;
/// The bytes of chance between a file and a calendar, which learns nothing of the file.
pub const NONCE_BYTES: usize = 16;

const MAGIC: &[u8; 31] = b"\x00OpenTimestamps\x00\x00Proof\x00\xbf\x89\xe2\xe8\x84\xe8\x92\x94";
const VERSION: u64 = 1;
const MORE: u8 = 0xff;
const ATTESTATION: u8 = 0x00;
const SHA256: u8 = 0x08;
const BITCOIN: Tag = [0x05, 0x88, 0x96, 0x0d, 0x73, 0xd7, 0x19, 0x01];
const PENDING: Tag = [0x83, 0xdf, 0xe3, 0x0d, 0x2e, 0xf9, 0x0c, 0x8e];
/// No query, no user, no escape: a proof must not be able to make anybody ask for anything odd.
const URI_MARKS: &[u8] = b"-._/:";

/// The name of a kind of attestation.
type Tag = [u8; 8];

/// Why bytes are not a proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OtsError {
    /// They are more than a proof may have.
    #[error("a proof has at most {most} bytes, not {actual}")]
    TooLong {
        /// How many there are.
        actual: usize,
        /// How many there may be.
        most: usize,
    },
    /// They do not begin as a detached proof does.
    #[error("this is no OpenTimestamps proof")]
    NoProof,
    /// The proof is of another version of the format.
    #[error("version {0} of the format is not known")]
    Version(u64),
    /// The file was hashed by something other than SHA-256.
    #[error("the file was hashed by operation 0x{0:02x}, not by SHA-256")]
    FileHash(u8),
    /// They end in the middle.
    #[error("the proof is cut off")]
    CutOff,
    /// Something follows the proof.
    #[error("something follows the proof")]
    Trailing,
    /// A number is not written as shortly as it can be, or is too large.
    #[error("a number in the proof is malformed")]
    Number,
    /// A length is beyond its bound.
    #[error("the proof has {what} that is empty or too long")]
    Length {
        /// What is too long.
        what: &'static str,
    },
    /// An operation of which nobody knows what it does.
    #[error("the proof has the unknown operation 0x{0:02x}")]
    Operation(u8),
    /// The tree is too deep or too large.
    #[error("the proof has too many steps")]
    TooManySteps,
    /// A calendar's URI has letters that it may not have.
    #[error("the proof names a calendar by a URI that is not plain")]
    Uri,
    /// Something follows the content of an attestation.
    #[error("an attestation in the proof is malformed")]
    Attestation,
}

/// An edge: what is done to a message.
///
/// In the order of the tags, which is the order in which they are written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// SHA-1.
    Sha1,
    /// RIPEMD-160, which is kept and not computed.
    Ripemd160,
    /// SHA-256.
    Sha256,
    /// Keccak-256, which is kept and not computed.
    Keccak256,
    /// These bytes behind it.
    Append(Vec<u8>),
    /// These bytes before it.
    Prepend(Vec<u8>),
    /// Its bytes, the last first.
    Reverse,
    /// Its lower-case hexadecimal digits.
    Hexlify,
}

impl Op {
    const fn tag(&self) -> u8 {
        match self {
            Self::Sha1 => 0x02,
            Self::Ripemd160 => 0x03,
            Self::Sha256 => SHA256,
            Self::Keccak256 => 0x67,
            Self::Append(_) => 0xf0,
            Self::Prepend(_) => 0xf1,
            Self::Reverse => 0xf2,
            Self::Hexlify => 0xf3,
        }
    }

    /// What the message becomes: `None` behind an operation that is not computed here.
    fn apply(&self, message: &[u8]) -> Result<Option<Vec<u8>>, OtsError> {
        let result = match self {
            Self::Sha1 => digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, message)
                .as_ref()
                .to_vec(),
            Self::Sha256 => Sha256::digest(message).to_vec(),
            Self::Ripemd160 | Self::Keccak256 => return Ok(None),
            Self::Append(suffix) => [message, suffix].concat(),
            Self::Prepend(prefix) => [prefix, message].concat(),
            Self::Reverse => message.iter().rev().copied().collect(),
            Self::Hexlify => HEXLOWER.encode(message).into_bytes(),
        };
        if result.len() > MESSAGE_BYTES_MAX {
            return Err(OtsError::Length { what: "a message" });
        }
        Ok(Some(result))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.tag());
        match self {
            Self::Append(argument) | Self::Prepend(argument) => write_bytes(argument, out),
            Self::Sha1
            | Self::Ripemd160
            | Self::Sha256
            | Self::Keccak256
            | Self::Reverse
            | Self::Hexlify => {}
        }
    }
}

/// A leaf: who says that the message existed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attestation {
    /// The message is the Merkle root in the header of a block of Bitcoin.
    Bitcoin {
        /// The height of the block.
        height: u64,
    },
    /// A calendar has promised to get the message into a block.
    Pending {
        /// The calendar.
        uri: String,
    },
    /// Somebody of whom nothing is known here: kept as it is.
    Unknown {
        /// The kind.
        tag: [u8; 8],
        /// What it says.
        payload: Vec<u8>,
    },
}

impl Attestation {
    const fn tag(&self) -> Tag {
        match self {
            Self::Bitcoin { .. } => BITCOIN,
            Self::Pending { .. } => PENDING,
            Self::Unknown { tag, .. } => *tag,
        }
    }

    fn payload(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Bitcoin { height } => write_number(*height, &mut out),
            Self::Pending { uri } => write_bytes(uri.as_bytes(), &mut out),
            Self::Unknown { payload, .. } => out.clone_from(payload),
        }
        out
    }
}

impl Ord for Attestation {
    fn cmp(&self, other: &Self) -> Ordering {
        let within = || match (self, other) {
            (Self::Bitcoin { height }, Self::Bitcoin { height: of_other }) => height.cmp(of_other),
            (Self::Pending { uri }, Self::Pending { uri: of_other }) => uri.cmp(of_other),
            (one, two) => one.payload().cmp(&two.payload()),
        };
        self.tag().cmp(&other.tag()).then_with(within)
    }
}

impl PartialOrd for Attestation {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What is known of one message: who attests it, and what it becomes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamp {
    attestations: BTreeSet<Attestation>,
    edges: BTreeMap<Op, Stamp>,
}

impl Stamp {
    /// Reads what a calendar answers about a message.
    ///
    /// # Errors
    /// [`OtsError::TooLong`] beyond [`ANSWER_BYTES_MAX`], and all that [`Proof::parse`] finds in a tree.
    pub fn parse(bytes: &[u8], message: &[u8]) -> Result<Self, OtsError> {
        let mut reader = Reader::of(bytes, ANSWER_BYTES_MAX)?;
        let stamp = reader.stamp(Some(message), 0)?;
        reader.end()?;
        Ok(stamp)
    }

    /// Takes what another knows of the same message.
    pub fn merge(&mut self, other: Self) {
        self.attestations.extend(other.attestations);
        for (op, stamp) in other.edges {
            self.edges.entry(op).or_default().merge(stamp);
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut left = self.attestations.len() + self.edges.len();
        let mut more = |out: &mut Vec<u8>| {
            left = left.saturating_sub(1);
            if left > 0 {
                out.push(MORE);
            }
        };
        for attestation in &self.attestations {
            more(out);
            out.push(ATTESTATION);
            out.extend(attestation.tag());
            write_bytes(&attestation.payload(), out);
        }
        for (op, stamp) in &self.edges {
            more(out);
            op.write(out);
            stamp.write(out);
        }
    }

    /// Visits each message with its stamp.
    fn walk<'s>(&'s self, message: Option<&[u8]>, visit: &mut dyn FnMut(Option<&[u8]>, &'s Self)) {
        visit(message, self);
        for (op, stamp) in &self.edges {
            // It was computed when it was read: it can be computed again.
            let next = message.and_then(|m| op.apply(m).ok().flatten());
            stamp.walk(next.as_deref(), visit);
        }
    }

    fn merge_at(&mut self, message: &[u8], at: &[u8], more: &Self) -> bool {
        let here = message == at;
        if here {
            self.merge(more.clone());
        }
        let mut found = here;
        // Below the place itself everything is new, or known already.
        for (op, stamp) in self.edges.iter_mut().filter(|_| !here) {
            if let Ok(Some(next)) = op.apply(message) {
                found |= stamp.merge_at(&next, at, more);
            }
        }
        found
    }
}

/// An attestation, and the message that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What is attested; `None` behind an operation that is not computed here.
    pub message: Option<Vec<u8>>,
    /// By whom.
    pub attestation: Attestation,
}

/// A detached proof about a file, by its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    digest: [u8; 32],
    stamp: Stamp,
}

/// What a calendar is asked to attest: the file's digest behind chance, so that it learns nothing of the file.
#[must_use]
pub fn commitment(digest: &[u8; 32], nonce: &[u8; NONCE_BYTES]) -> [u8; 32] {
    Sha256::new()
        .chain_update(digest)
        .chain_update(nonce)
        .finalize()
        .into()
}

impl Proof {
    /// A proof that goes from the file over the [`commitment`] to what calendars have answered about that.
    #[must_use]
    pub fn begun(digest: [u8; 32], nonce: &[u8; NONCE_BYTES], answered: Stamp) -> Self {
        let edge = |op, stamp| Stamp {
            attestations: BTreeSet::new(),
            edges: BTreeMap::from([(op, stamp)]),
        };
        let stamp = edge(Op::Append(nonce.to_vec()), edge(Op::Sha256, answered));
        Self { digest, stamp }
    }

    /// Reads an `.ots` file.
    ///
    /// # Errors
    /// An [`OtsError`] for whatever is not a proof within the bounds of this file.
    pub fn parse(bytes: &[u8]) -> Result<Self, OtsError> {
        let mut reader = Reader::of(bytes, PROOF_BYTES_MAX)?;
        if reader.take(MAGIC.len()).ok() != Some(MAGIC) {
            return Err(OtsError::NoProof);
        }
        match reader.number()? {
            VERSION => {}
            other => return Err(OtsError::Version(other)),
        }
        match reader.byte()? {
            SHA256 => {}
            other => return Err(OtsError::FileHash(other)),
        }
        let digest = reader.array()?;
        let stamp = reader.stamp(Some(&digest), 0)?;
        reader.end()?;
        Ok(Self { digest, stamp })
    }

    /// Writes the `.ots` file.
    ///
    /// # Errors
    /// An [`OtsError`] if it has grown beyond what [`Proof::parse`] reads.
    pub fn to_bytes(&self) -> Result<Vec<u8>, OtsError> {
        let mut out = MAGIC.to_vec();
        write_number(VERSION, &mut out);
        out.push(SHA256);
        out.extend(self.digest);
        self.stamp.write(&mut out);
        Self::parse(&out)?;
        Ok(out)
    }

    /// The SHA-256 of the file.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// All attestations, in the order of the file.
    #[must_use]
    pub fn claims(&self) -> Vec<Claim> {
        let mut claims = Vec::new();
        self.stamp.walk(Some(&self.digest), &mut |message, stamp| {
            claims.extend(stamp.attestations.iter().map(|attestation| Claim {
                message: message.map(<[u8]>::to_vec),
                attestation: attestation.clone(),
            }));
        });
        claims
    }

    /// Adds what a calendar has answered about a message of this proof; whether there is such a message.
    pub fn merge_at(&mut self, message: &[u8], answered: &Stamp) -> bool {
        self.stamp.merge_at(&self.digest, message, answered)
    }
}
