//! The shape of a backup: a line that names the format, then frames, `u8 kind | u32 length | CBOR`, in a fixed order.
//!
//! ```text
//! "jeton backup 1\n"  header  keyring?  checkpoint*  event*  use*  trailer  end
//! ```
//!
//! Checkpoints stand before events, so that one reading can hold each signed root against the leaves. Numbers are big-endian. A
//! kind is never used for another thing; what has another order or an unknown kind is refused.

use std::io::{ErrorKind, Read, Write};

use jeton_core::{event::RECORD_BYTES_MAX, leaf::LEAF_BYTES};
use minicbor::{Decode, Encode};

/// What a backup begins with.
pub const MAGIC: &[u8; 15] = b"jeton backup 1\n";
/// The longest words beside an event, in bytes: more than the body of any request.
pub const WORDS_BYTES_MAX: usize = 1 << 20;
/// The longest wrapped keyring, in bytes: as much as a node reads.
pub const KEYRING_BYTES_MAX: usize = 64 << 20;
/// The most checkpoints.
pub const CHECKPOINTS_MAX: u64 = 1 << 20;
/// What a frame has beside what it carries.
const AROUND: usize = 1024;
/// The longest note of a checkpoint, in bytes.
const NOTE_BYTES_MAX: usize = 64 << 10;

/// What the backup is of.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Header {
    /// The name of the ledger.
    #[n(0)]
    pub origin: String,
    /// How many events it holds.
    #[n(1)]
    pub size: u64,
    /// The root of their tree.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub root: [u8; 32],
    /// The checkpoint of that size, as it was signed.
    #[n(3)]
    pub checkpoint: String,
    /// When it was made, in milliseconds since 1970, by the clock of its machine.
    #[n(4)]
    pub made_ms: u64,
}

/// A checkpoint that was kept.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Kept {
    /// Of how many events.
    #[n(0)]
    pub size: u64,
    /// The signed note.
    #[n(1)]
    pub note: String,
}

/// One event.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Event {
    /// Its leaf.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub leaf: [u8; LEAF_BYTES],
    /// What opens it, unless that was erased.
    #[n(1)]
    pub opening: Option<Opening>,
    /// The words beside it, unless there are none or they were erased.
    #[n(2)]
    pub aside: Option<Words>,
    /// Whose it was, if its opening was erased: a later event must say so as well.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub erased: Option<[u8; 16]>,
}

/// What opens a leaf.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Opening {
    /// What blinds the commitment.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub salt: [u8; 32],
    /// The canonical record.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub record: Vec<u8>,
}

/// Erasable words.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Words {
    /// What blinds their hash.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub salt: [u8; 16],
    /// JSON.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub words: Vec<u8>,
}

/// The last use of a token: an observation, which no leaf vouches for.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Use {
    /// Which token, by its raw id.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub token: [u8; 16],
    /// At which second.
    #[n(1)]
    pub at_s: u32,
    /// From where.
    #[n(2)]
    pub address: Option<String>,
}

/// What must have come before the end.
#[derive(Clone, PartialEq, Eq, Debug, Default, Encode, Decode)]
#[cbor(map)]
pub struct Trailer {
    /// So many events.
    #[n(0)]
    pub events: u64,
    /// So many checkpoints.
    #[n(1)]
    pub checkpoints: u64,
    /// So many last uses.
    #[n(2)]
    pub uses: u64,
    /// The root that the leaves gave.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub root: [u8; 32],
}

/// One frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// The first.
    Header(Header),
    /// The wrapped keyring, if it was asked for.
    Keyring(Vec<u8>),
    /// A checkpoint.
    Checkpoint(Kept),
    /// An event.
    Event(Event),
    /// A last use.
    Use(Use),
    /// The last.
    Trailer(Trailer),
}

impl Frame {
    /// The kind's byte; frames come in its order.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Header(_) => 1,
            Self::Keyring(_) => 2,
            Self::Checkpoint(_) => 3,
            Self::Event(_) => 4,
            Self::Use(_) => 5,
            Self::Trailer(_) => 6,
        }
    }

    fn encode(&self, body: &mut Vec<u8>) {
        let encoded = match self {
            Self::Header(header) => minicbor::encode(header, body),
            Self::Keyring(bytes) => {
                body.extend_from_slice(bytes);
                Ok(())
            }
            Self::Checkpoint(kept) => minicbor::encode(kept, body),
            Self::Event(event) => minicbor::encode(event, body),
            Self::Use(seen) => minicbor::encode(seen, body),
            Self::Trailer(trailer) => minicbor::encode(trailer, body),
        };
        debug_assert!(encoded.is_ok(), "encoding into memory");
    }

    fn decode(kind: u8, body: Vec<u8>) -> Option<Self> {
        match kind {
            1 => minicbor::decode(&body).ok().map(Self::Header),
            2 => Some(Self::Keyring(body)),
            3 => minicbor::decode(&body).ok().map(Self::Checkpoint),
            4 => minicbor::decode(&body).ok().map(Self::Event),
            5 => minicbor::decode(&body).ok().map(Self::Use),
            6 => minicbor::decode(&body).ok().map(Self::Trailer),
            _ => None,
        }
    }
}

/// The longest body of a kind, in bytes; `None`: there is no such kind.
const fn body_bytes_max(kind: u8) -> Option<usize> {
    match kind {
        1 | 3 => Some(NOTE_BYTES_MAX + AROUND),
        2 => Some(KEYRING_BYTES_MAX),
        4 => Some(RECORD_BYTES_MAX + WORDS_BYTES_MAX + LEAF_BYTES + AROUND),
        5 | 6 => Some(AROUND),
        _ => None,
    }
}

/// Why a frame was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream failed.
    #[error("the stream failed")]
    Stream(#[source] std::io::Error),
    /// What it holds is no frame.
    #[error("{0}")]
    Shape(&'static str),
}

impl FrameError {
    /// What the stream's own checks found is damage, as a wrong shape is; the rest is the system's.
    fn reading(source: std::io::Error) -> Self {
        let kind = source.kind();
        if kind == ErrorKind::UnexpectedEof {
            return Self::Shape("it ends too early");
        }
        if kind == ErrorKind::InvalidData {
            return Self::Shape("its envelope was changed");
        }
        Self::Stream(source)
    }
}

/// Writes the line that names the format.
///
/// # Errors
/// [`FrameError::Stream`].
pub fn begin(out: &mut impl Write) -> Result<(), FrameError> {
    out.write_all(MAGIC).map_err(FrameError::Stream)
}

/// Writes a frame.
///
/// # Errors
/// [`FrameError::Shape`] for one that is too long to be read again; [`FrameError::Stream`].
pub fn put(out: &mut impl Write, frame: &Frame) -> Result<(), FrameError> {
    let mut body = Vec::with_capacity(512);
    frame.encode(&mut body);
    let long = || FrameError::Shape("a frame is longer than its kind may be");
    if body_bytes_max(frame.kind()).is_none_or(|max| body.len() > max) {
        return Err(long());
    }
    let length = u32::try_from(body.len()).map_err(|_| long())?;
    let write = |out: &mut dyn Write| {
        out.write_all(&[frame.kind()])?;
        out.write_all(&length.to_be_bytes())?;
        out.write_all(&body)
    };
    write(out).map_err(FrameError::Stream)
}

/// Reads the line that names the format. Says whether it is ours.
///
/// # Errors
/// [`FrameError`].
pub fn begins(from: &mut impl Read) -> Result<bool, FrameError> {
    let mut magic = [0; MAGIC.len()];
    from.read_exact(&mut magic).map_err(FrameError::reading)?;
    Ok(magic == *MAGIC)
}

/// Reads a frame; its length is believed only up to what its kind may have, and room is taken as the bytes come.
///
/// # Errors
/// [`FrameError`].
pub fn next(from: &mut impl Read) -> Result<Frame, FrameError> {
    let (mut kind, mut length) = ([0; 1], [0; 4]);
    from.read_exact(&mut kind).map_err(FrameError::reading)?;
    from.read_exact(&mut length).map_err(FrameError::reading)?;
    let ([kind], length) = (kind, u32::from_be_bytes(length));
    let max = body_bytes_max(kind).ok_or(FrameError::Shape("a frame of an unknown kind"))?;
    if usize::try_from(length).is_ok_and(|length| length > max) {
        return Err(FrameError::Shape("a frame is longer than its kind may be"));
    }
    let mut body = Vec::new();
    let read = from.by_ref().take(length.into()).read_to_end(&mut body);
    if u32::try_from(read.map_err(FrameError::reading)?) != Ok(length) {
        return Err(FrameError::Shape("it ends too early"));
    }
    Frame::decode(kind, body).ok_or(FrameError::Shape("a frame cannot be read"))
}

/// Makes sure that nothing follows. Reading to the end is what shows that the envelope was not cut off.
///
/// # Errors
/// [`FrameError`].
pub fn ends(from: &mut impl Read) -> Result<(), FrameError> {
    match from.read(&mut [0; 1]).map_err(FrameError::reading)? {
        0 => Ok(()),
        _ => Err(FrameError::Shape("something follows its end")),
    }
}
