//! The contract `JetonAnchor` as bytes: its code, its calls, its answers.
//!
//! All that goes in and out is 32-byte words, so the few that there are need no library. Selectors and the event's topic are
//! written down here, and a test compares them with what the compiler says of the source (`deploy/anchor/`).

use std::fmt;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The compiler's output, checked in beside the source.
pub const ARTIFACT: &str = include_str!("../../../../deploy/anchor/JetonAnchor.json");

/// `anchor(bytes32,uint64,bytes32,bytes32)`
pub const ANCHOR: [u8; 4] = [0x7f, 0x00, 0xe3, 0x93];
/// `head(bytes32)`
pub const HEAD: [u8; 4] = [0xf3, 0x39, 0xe3, 0xb2];
/// `owner()`
pub const OWNER: [u8; 4] = [0x8d, 0xa5, 0xcb, 0x5b];
/// `Anchored(bytes32,uint64,bytes32,bytes32)`
pub const ANCHORED: Word = [
    0xe0, 0xfe, 0xfe, 0x2c, 0x38, 0x5c, 0x26, 0x8b, 0x40, 0x7a, 0xff, 0xf2, 0xad, 0x80, 0xd6, 0x52,
    0x1e, 0xdf, 0x64, 0x09, 0x53, 0x7f, 0x95, 0xb8, 0x97, 0xf2, 0x28, 0xa0, 0x8e, 0x90, 0x02, 0x05,
];

/// What the machine of the chain calculates with.
pub type Word = [u8; 32];

/// The most bytes that are read from a node's answer as one value.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// The code of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Code {
    /// What a transaction carries to make the contract: hexadecimal, with `0x`.
    pub creation: String,
    /// What then lies on the chain: hexadecimal, with `0x`.
    pub runtime: String,
}

/// The code that [`ARTIFACT`] holds; `None` only if the file is not what the compiler wrote.
#[must_use]
pub fn code() -> Option<Code> {
    serde_json::from_str(ARTIFACT).ok()
}

/// An account or a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address([u8; 20]);

impl Address {
    /// Reads `0x` and 40 hexadecimal digits. Capitals are read and not compared: their checksum (EIP-55) takes a hash
    /// function that jeton has no other use for.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = HEXLOWER_PERMISSIVE
            .decode(text.strip_prefix("0x")?.as_bytes())
            .ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// The address in the last 20 bytes of a word, if the others are zero.
    #[must_use]
    pub fn from_word(word: &Word) -> Option<Self> {
        let (zeros, address) = word.split_last_chunk()?;
        zeros
            .iter()
            .all(|byte| *byte == 0)
            .then_some(Self(*address))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", HEXLOWER.encode_display(&self.0))
    }
}

/// A head of a log, as the contract takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The number of leaves.
    pub size: u64,
    /// The root above them.
    pub root: [u8; 32],
    /// The SHA-256 of the checkpoint's file.
    pub note: [u8; 32],
}

/// A head that the contract holds, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchored {
    /// The head.
    pub head: Head,
    /// The number of the block that it came in.
    pub number: u64,
    /// The block's time, in seconds since 1970.
    pub time_s: u64,
}

/// How the contract names a log: the SHA-256 of its origin.
#[must_use]
pub fn origin_hash(origin: &str) -> Word {
    Sha256::digest(origin).into()
}

/// The call that anchors a head.
#[must_use]
pub fn anchor_call(origin: &Word, head: &Head) -> String {
    call(ANCHOR, &[*origin, word(head.size), head.root, head.note])
}

/// The call that reads a log's last head.
#[must_use]
pub fn head_call(origin: &Word) -> String {
    call(HEAD, &[*origin])
}

/// The call that reads who may anchor.
#[must_use]
pub fn owner_call() -> String {
    call(OWNER, &[])
}

/// What [`head_call`] was answered: `None` if it is no head, `Some(None)` if there is none yet.
#[must_use]
pub fn head_answer(answer: &[u8]) -> Option<Option<Anchored>> {
    let [size, root, note, number, time] = words(answer)?;
    let head = Head {
        size: number_in(&size)?,
        root,
        note,
    };
    let anchored = Anchored {
        head,
        number: number_in(&number)?,
        time_s: number_in(&time)?,
    };
    Some((head.size > 0).then_some(anchored))
}

/// Root and note in the data of the event [`ANCHORED`].
#[must_use]
pub fn event_data(data: &[u8]) -> Option<[Word; 2]> {
    words(data)
}

/// A number as a word.
#[must_use]
pub fn word(number: u64) -> Word {
    let mut word = [0; 32];
    if let Some(last) = word.last_chunk_mut() {
        *last = number.to_be_bytes();
    }
    word
}

/// Bytes as JSON-RPC writes them: `0x` and lower-case digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    format!("0x{}", HEXLOWER.encode_display(bytes))
}

/// The bytes in a JSON-RPC answer, at most 64 KiB.
#[must_use]
pub fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    let short = digits.len() <= 2 * VALUE_BYTES_MAX;
    HEXLOWER_PERMISSIVE
        .decode(digits.as_bytes())
        .ok()
        .filter(|_| short)
}

/// The number in a JSON-RPC answer: `0x` and digits without leading zeroes.
#[must_use]
pub fn number_of(value: &Value) -> Option<u64> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16).ok().filter(|_| plain)
}

fn call(selector: [u8; 4], words: &[Word]) -> String {
    hex(&[&selector[..], &words.concat()].concat())
}

/// Exactly so many words.
fn words<const N: usize>(bytes: &[u8]) -> Option<[Word; N]> {
    let (words, rest) = bytes.as_chunks::<32>();
    words.try_into().ok().filter(|_| rest.is_empty())
}

/// The number in a word, if it fits.
fn number_in(word: &Word) -> Option<u64> {
    let (zeros, number) = word.split_last_chunk()?;
    zeros
        .iter()
        .all(|byte| *byte == 0)
        .then(|| u64::from_be_bytes(*number))
}
