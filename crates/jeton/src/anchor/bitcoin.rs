//! Headers of Bitcoin's blocks: what one says, and what it cost to say it.
//!
//! A header is 80 bytes: version, the block before, the Merkle root of the block's transactions, time, target, nonce. Its
//! double SHA-256 must be at most the target that it names, and that takes work. Nothing here follows the chain: whether the
//! block is in Bitcoin's longest chain is for whoever got the header from a node. But a header may not be cheap: below
//! [`DIFFICULTY_LEAST`] it is refused, so that a forged one costs more than a checkpoint is worth.

use std::fmt;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use sha2::{Digest as _, Sha256};

/// The length of a header.
pub const HEADER_BYTES: usize = 80;

/// The least difficulty that is believed unless told: about 2^75 hashes for a block.
///
/// Bitcoin's has been higher since 2019, and jeton is younger than that.
pub const DIFFICULTY_LEAST: u64 = 10_000_000_000_000;

/// Why a header does not prove that a message existed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The text is not 80 bytes in hexadecimal digits.
    #[error(
        "a header is 160 hexadecimal digits, with its height and a colon before it if you like"
    )]
    Format,
    /// The message is not the header's Merkle root.
    #[error("the block's Merkle root is another")]
    MerkleRoot,
    /// The height that was given with the header is not the attested one.
    #[error("the header is said to be of block {given}, the proof is about block {attested}")]
    Height {
        /// The height with the header.
        given: u64,
        /// The height in the proof.
        attested: u64,
    },
    /// The hash of the header is above the header's own target, or the target is none.
    #[error("the header's hash does not meet its own target: no miner made it")]
    NoWork,
    /// The target is too easy to be Bitcoin's.
    #[error("the block's difficulty is {difficulty}, and less than {least} is not believed")]
    TooEasy {
        /// What it is.
        difficulty: u64,
        /// What it should at least be.
        least: u64,
    },
}

/// The header of a block, as it is hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// As told beside the header.
    height: Option<u64>,
    merkle_root: [u8; 32],
    time_s: u32,
    bits: u32,
    hash: [u8; 32],
}

impl Header {
    /// Takes the 80 bytes of a header.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Self {
        let mut merkle_root = [0; 32];
        let (mut time, mut bits) = ([0; 4], [0; 4]);
        let fields = [
            (36, &mut merkle_root[..]),
            (68, &mut time[..]),
            (72, &mut bits[..]),
        ];
        for (at, field) in fields {
            for (to, from) in field.iter_mut().zip(bytes.iter().skip(at)) {
                *to = *from;
            }
        }
        Self {
            height: None,
            merkle_root,
            time_s: u32::from_le_bytes(time),
            bits: u32::from_le_bytes(bits),
            hash: Sha256::digest(Sha256::digest(bytes)).into(),
        }
    }

    /// Reads `HEX` or `HEIGHT:HEX`, as `bitcoin-cli getblockheader HASH false` prints the former.
    ///
    /// # Errors
    /// [`HeaderError::Format`].
    pub fn parse(text: &str) -> Result<Self, HeaderError> {
        let (height, hex) = match text.split_once(':') {
            Some((height, hex)) => (Some(height.parse().map_err(|_| HeaderError::Format)?), hex),
            None => (None, text),
        };
        let bytes = HEXLOWER_PERMISSIVE
            .decode(hex.as_bytes())
            .map_err(|_| HeaderError::Format)?;
        let bytes: [u8; HEADER_BYTES] = bytes.try_into().map_err(|_| HeaderError::Format)?;
        Ok(Self {
            height,
            ..Self::from_bytes(&bytes)
        })
    }

    /// The time that the miner wrote, in seconds since 1970; the network lets it be wrong by about two hours.
    #[must_use]
    pub const fn time_s(&self) -> u32 {
        self.time_s
    }

    /// How many times harder to make than the easiest block of Bitcoin, rounded down; 0 for a target that is none.
    #[must_use]
    pub fn difficulty(&self) -> u64 {
        let [size, mantissa] = self.compact();
        let Some(steps) = 0x1d_u32.checked_sub(size) else {
            return 0;
        };
        let power = 8_u32
            .checked_mul(steps)
            .and_then(|bits| 1_u128.checked_shl(bits));
        let work = power.and_then(|power| power.checked_mul(0xffff));
        match work {
            Some(work) => {
                let times = work.checked_div(u128::from(mantissa)).unwrap_or(0);
                u64::try_from(times).unwrap_or(u64::MAX)
            }
            None => u64::MAX,
        }
    }

    /// Whether this header proves that `message` existed when its block was made.
    ///
    /// Compared, in this order: the Merkle root, the height if one was told, the hash with the header's own target, that
    /// target's difficulty with `least`.
    ///
    /// # Errors
    /// [`HeaderError::MerkleRoot`], [`HeaderError::Height`], [`HeaderError::NoWork`], [`HeaderError::TooEasy`].
    pub fn check(&self, message: &[u8], height: u64, least: u64) -> Result<(), HeaderError> {
        if message != self.merkle_root {
            return Err(HeaderError::MerkleRoot);
        }
        if let Some(given) = self.height.filter(|given| *given != height) {
            let attested = height;
            return Err(HeaderError::Height { given, attested });
        }
        let mut number = self.hash;
        number.reverse();
        if self.target().is_none_or(|target| number > target) {
            return Err(HeaderError::NoWork);
        }
        let difficulty = self.difficulty();
        if difficulty < least {
            return Err(HeaderError::TooEasy { difficulty, least });
        }
        Ok(())
    }

    /// The size in bytes and the three leading bytes of the target.
    const fn compact(&self) -> [u32; 2] {
        [self.bits >> 24, self.bits & 0x007f_ffff]
    }

    /// The target as a big-endian number: `None` if it is negative, zero, or beyond 256 bits.
    fn target(&self) -> Option<[u8; 32]> {
        let [size, mantissa] = self.compact();
        let negative = self.bits & 0x0080_0000 != 0;
        let [_, mantissa @ ..] = mantissa.to_be_bytes();
        let mut target = [0; 32];
        for (at, byte) in (0_u32..).zip(mantissa) {
            // How many bytes stand behind this one; what would stand behind the last is cut off.
            let Some(behind) = size.checked_sub(at + 1) else {
                continue;
            };
            let place = 31_usize.checked_sub(usize::try_from(behind).ok()?);
            match place.and_then(|place| target.get_mut(place)) {
                Some(place) => *place = byte,
                None if byte == 0 => {}
                None => return None,
            }
        }
        (!negative && target != [0; 32]).then_some(target)
    }
}

/// The block's name: its hash, the last byte first, as everybody writes it.
impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hash = self.hash;
        hash.reverse();
        write!(f, "{}", HEXLOWER.encode_display(&hash))
    }
}
