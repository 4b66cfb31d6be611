//! Typed identifiers: `UUIDv7` with a prefix that says of what. An id names; it never authenticates.

use core::{cmp::Ordering, fmt, hash, marker::PhantomData, str::FromStr};

use data_encoding::{Encoding, Specification};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::time::Time;

/// What an id names; its prefix stands before the underscore.
pub trait Kind: 'static {
    /// Three lower-case letters, unique among kinds.
    const PREFIX: &'static str;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $alias:ident $prefix:literal;)*) => {$(
        $(#[$doc])*
        pub enum $kind {}
        impl Kind for $kind { const PREFIX: &'static str = $prefix; }
        $(#[$doc])*
        pub type $alias = Id<$kind>;
    )*};
}

kinds! {
    /// An isolated API provider.
    TenantKind TenantId "ten";
    /// A person.
    UserKind UserId "usr";
    /// A program that stands for itself.
    AppKind AppId "app";
    /// A named set of rights.
    RoleKind RoleId "rol";
    /// A protected resource with a catalogue of scopes.
    ApiKind ApiId "api";
    /// A credential.
    TokenKind TokenId "tok";
}

/// A 16-byte identifier of one kind, written `prefix_` and 26 characters of Crockford's base32.
pub struct Id<K: Kind> {
    bytes: [u8; 16],
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> Id<K> {
    /// From stored bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self {
            bytes,
            kind: PhantomData,
        }
    }

    /// A new id: `UUIDv7` (RFC 9562 §5.7) of the given instant and ten bytes of entropy.
    #[must_use]
    pub const fn from_draw(now: Time, draw: [u8; 10]) -> Self {
        let [_, _, t0, t1, t2, t3, t4, t5] = now.millis().to_be_bytes();
        let [a, b, c, d, e, f, g, h, i, j] = draw;
        Self::from_bytes([
            t0,
            t1,
            t2,
            t3,
            t4,
            t5,
            0x70 | (a & 0x0f),
            b,
            0x80 | (c & 0x3f),
            d,
            e,
            f,
            g,
            h,
            i,
            j,
        ])
    }

    /// The raw bytes, as tags and rows hold them.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.bytes
    }

    /// The instant that the id carries (the issuer's claim), in milliseconds precision.
    #[must_use]
    pub const fn born(&self) -> Time {
        let [a, b, c, d, e, f, ..] = self.bytes;
        Time::from_millis(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }
}

/// Crockford's base32 in lower case, without padding; a fixed alphabet, so the build cannot fail.
fn base32() -> &'static Encoding {
    static ENCODING: std::sync::LazyLock<Encoding> = std::sync::LazyLock::new(|| {
        let mut spec = Specification::new();
        spec.symbols.push_str("0123456789abcdefghjkmnpqrstvwxyz");
        spec.encoding().unwrap_or(data_encoding::BASE32HEX_NOPAD)
    });
    &ENCODING
}

/// The length of an id's text.
pub const ID_TEXT_LEN: usize = 30;

impl<K: Kind> Id<K> {
    /// Writes the 30 characters without allocating.
    #[must_use]
    pub fn to_text(&self) -> [u8; ID_TEXT_LEN] {
        let mut out = [b'_'; ID_TEXT_LEN];
        let (head, tail) = out.split_at_mut(4);
        for (to, from) in head.iter_mut().zip(K::PREFIX.bytes()) {
            *to = from;
        }
        base32().encode_mut(&self.bytes, tail);
        out
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.to_text()).unwrap_or_default())
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not an id of this kind: wrong prefix, length or alphabet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAnId;

impl<K: Kind> FromStr for Id<K> {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let rest = text
            .strip_prefix(K::PREFIX)
            .and_then(|r| r.strip_prefix('_'))
            .ok_or(NotAnId)?;
        if rest.len() != ID_TEXT_LEN - 4 {
            return Err(NotAnId);
        }
        let mut bytes = [0; 16];
        match base32().decode_mut(rest.as_bytes(), &mut bytes) {
            Ok(16) => Ok(Self::from_bytes(bytes)),
            _ => Err(NotAnId),
        }
    }
}

impl<K: Kind> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K: Kind> Copy for Id<K> {}
impl<K: Kind> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}
impl<K: Kind> Eq for Id<K> {}
impl<K: Kind> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<K: Kind> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes.cmp(&other.bytes)
    }
}
impl<K: Kind> hash::Hash for Id<K> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}
impl<C, K: Kind> Encode<C> for Id<K> {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.bytes)?.ok()
    }
}
impl<'b, C, K: Kind> Decode<'b, C> for Id<K> {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let bytes: [u8; 16] = d
            .bytes()?
            .try_into()
            .map_err(|_| decode::Error::message("an id has 16 bytes"))?;
        Ok(Self::from_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_is_strict() {
        let id = TokenId::from_draw(Time::from_seconds(1_800_000_000), [7; 10]);
        let text = id.to_string();
        assert_eq!(text.len(), ID_TEXT_LEN);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.parse::<UserId>(), Err(NotAnId));
        assert_eq!(text.to_uppercase().parse::<TokenId>(), Err(NotAnId));
        assert_eq!(text[..29].parse::<TokenId>(), Err(NotAnId));
        assert_eq!(format!("{text}0").parse::<TokenId>(), Err(NotAnId));
        assert_eq!(id.born(), Time::from_seconds(1_800_000_000));
    }

    #[test]
    fn the_version_and_variant_are_those_of_uuid_v7() {
        let id = TokenId::from_draw(Time::from_millis(1), [0xff; 10]);
        assert_eq!(id.bytes()[6] >> 4, 7);
        assert_eq!(id.bytes()[8] >> 6, 0b10);
    }
}
