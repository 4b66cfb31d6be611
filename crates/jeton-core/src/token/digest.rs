//! What is kept in place of a token's text: HMAC-SHA-256 under the tenant's pepper, which is not in the database.

use hmac::{Hmac, KeyInit};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use sha2::{Sha256, block_api::compress256};
use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

use crate::token::text::{TOKEN_BYTES_MAX, TokenText};

/// The keyed digest of a token's text, 32 bytes.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// From stored bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a record.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 16 bytes as two words: what the index compares. 128 bits of a keyed digest cannot be aimed at.
    #[must_use]
    pub fn halves(&self) -> [u64; 2] {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = self.0;
        [
            u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            u64::from_le_bytes([i, j, k, l, m, n, o, p]),
        ]
    }
}

impl PartialEq for Digest {
    /// In constant time.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}
impl Eq for Digest {}

impl core::fmt::Debug for Digest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Digest(…)")
    }
}

impl<C> Encode<C> for Digest {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}
impl<'b, C> Decode<'b, C> for Digest {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let bytes = d.bytes()?.try_into();
        bytes
            .map(Self)
            .map_err(|_| decode::Error::message("a digest has 32 bytes"))
    }
}

/// A pepper, its HMAC key schedule prepared: the hash's state after the inner and after the outer key block.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Pepper {
    inner: [u32; 8],
    outer: [u32; 8],
}

/// SHA-256 before the first block (FIPS 180-4 §5.3.3).
const START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];
const BLOCK: usize = 64;
/// The longest message that fits a block with its end mark and its length.
const MESSAGE_BYTES_MAX: usize = BLOCK - 9;
const _: () = assert!(TOKEN_BYTES_MAX <= MESSAGE_BYTES_MAX);

impl Pepper {
    /// Prepares a pepper of 32 bytes.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        let padded = |pad: u8| {
            let mut block = [pad; BLOCK];
            for (to, from) in block.iter_mut().zip(key) {
                *to ^= from;
            }
            let mut state = START;
            compress256(&mut state, &[block]);
            state
        };
        Self {
            inner: padded(0x36),
            outer: padded(0x5c),
        }
    }

    /// The digest of a token: HMAC-SHA-256 (RFC 2104 §2). A token fits one block, so two compressions are all of it.
    #[must_use]
    pub fn digest(&self, token: &TokenText<'_>) -> Digest {
        Digest(self.hmac(token.expose_secret().as_bytes()))
    }

    fn hmac(&self, message: &[u8]) -> [u8; 32] {
        finish(self.outer, &finish(self.inner, message))
    }
}

/// The hash of a message that follows one block which `state` has taken in already.
fn finish(mut state: [u32; 8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; BLOCK];
    // No message here is longer, by the assertion above; the cut only spares a panic.
    let message = message.get(..MESSAGE_BYTES_MAX).unwrap_or(message);
    if let Some((start, rest)) = block.split_at_mut_checked(message.len()) {
        start.copy_from_slice(message);
        if let Some(mark) = rest.first_mut() {
            *mark = 0x80;
        }
    }
    let bits = u64::try_from((BLOCK + message.len()) * 8).unwrap_or_default();
    if let Some(end) = block.last_chunk_mut() {
        *end = bits.to_be_bytes();
    }
    compress256(&mut state, &[block]);
    let mut out = [0; 32];
    for (to, word) in out.chunks_exact_mut(4).zip(state) {
        to.copy_from_slice(&word.to_be_bytes());
    }
    out
}

/// HMAC-SHA-256 keyed with 32 bytes: a length that every HMAC takes.
#[must_use]
pub(crate) fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new(&(*key).into_block())
}

trait IntoBlock {
    fn into_block(self) -> hmac::digest::Key<Hmac<Sha256>>;
}
impl IntoBlock for [u8; 32] {
    /// A key shorter than a block is filled with zeros (RFC 2104 §2).
    fn into_block(self) -> hmac::digest::Key<Hmac<Sha256>> {
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        for (to, from) in block.iter_mut().zip(self) {
            *to = from;
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hmac::Mac as _;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_hmac_sha256(key in any::<[u8; 32]>(), message in prop::collection::vec(any::<u8>(), 0..=MESSAGE_BYTES_MAX)) {
            let due: [u8; 32] = keyed(&key).chain_update(&message).finalize().into_bytes().into();
            prop_assert_eq!(Pepper::new(&key).hmac(&message), due);
        }
    }
}
