//! The text of an opaque token: `<prefix>_<class>_<30 random base62><6 checksum base62>`, 49 characters at most.
//!
//! The checksum is public (leak scanners use it offline) and never security: it only tells a typo from a token.

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::{refusal::Refusal, secret::Secret};

/// The longest token.
pub const TOKEN_BYTES_MAX: usize = 49;
/// Random characters: 30 of base62 hold 178 bits.
pub const RANDOM_LEN: usize = 30;
/// Checksum characters: 6 of base62 hold a CRC-32.
pub const CHECKSUM_LEN: usize = 6;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The first part of a token: selects the tenant. `[a-z][a-z0-9]{1,7}`, unique in the deployment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix([u8; 8]);

impl Prefix {
    /// Reads a prefix.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (first, rest) = text.split_first()?;
        let legal = first.is_ascii_lowercase()
            && (1..=7).contains(&rest.len())
            && rest
                .iter()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !legal {
            return None;
        }
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(text) {
            *to = *from;
        }
        Some(Self(bytes))
    }

    /// The prefix's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let len = self.0.iter().position(|b| *b == 0).unwrap_or(8);
        self.0
            .get(..len)
            .and_then(|b| core::str::from_utf8(b).ok())
            .unwrap_or_default()
    }

    /// The prefix as one number, for a quick table.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        u64::from_le_bytes(self.0)
    }
}

impl core::fmt::Display for Prefix {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}
impl core::fmt::Debug for Prefix {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}
impl<C> Encode<C> for Prefix {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.str(self.as_str())?.ok()
    }
}
impl<'b, C> Decode<'b, C> for Prefix {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        Self::parse(d.str()?.as_bytes()).ok_or_else(|| decode::Error::message("not a token prefix"))
    }
}

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident $text:literal $n:literal;)*) => {
        /// What a token is, written in its text.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
        #[cbor(index_only)]
        pub enum Class { $($(#[$doc])* #[n($n)] $name,)* }

        impl Class {
            /// Every class.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The three letters.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// From the three letters.
            #[must_use]
            pub fn parse(text: &[u8]) -> Option<Self> {
                $(if text == $text.as_bytes() { return Some(Self::$name); })*
                None
            }

            /// A small number, for compact records.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self { $(Self::$name => $n,)* }
            }

            /// The class at a small number.
            #[must_use]
            pub const fn from_number(n: u8) -> Option<Self> {
                match n { $($n => Some(Self::$name),)* _ => None }
            }
        }
    };
}

classes! {
    /// An API key, of a user or an application.
    Key "key" 0;
    /// A personal token, of a user.
    Pat "pat" 1;
    /// An application token, of no person.
    Svc "svc" 2;
    /// A publishable key: may stand in a page's source, so it never gives and never manages.
    Pub "pub" 3;
    /// An OAuth access token (reserved).
    Acc "acc" 4;
    /// An OAuth refresh token (reserved).
    Ref "ref" 5;
    /// An OAuth client secret (reserved).
    Sec "sec" 6;
}

/// A text that has the shape of a token and whose checksum is right. It says nothing of validity.
///
/// ```compile_fail
/// let forged = jeton_core::token::text::TokenText { text: "x", prefix: todo!(), class: todo!() };
/// ```
#[derive(Clone, Copy)]
pub struct TokenText<'a> {
    text: &'a str,
    prefix: Prefix,
    class: Class,
}

impl<'a> TokenText<'a> {
    /// Reads a token's text: nothing trimmed, nothing folded, nothing longer or shorter.
    ///
    /// # Errors
    /// [`Refusal::TokenMalformed`] for another shape, [`Refusal::TokenChecksum`] for a wrong checksum.
    pub fn parse(text: &'a str) -> Result<Self, Refusal> {
        let bytes = text.as_bytes();
        if bytes.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::TokenMalformed);
        }
        let malformed = Refusal::TokenMalformed;
        let body_at = bytes
            .len()
            .checked_sub(RANDOM_LEN + CHECKSUM_LEN)
            .ok_or(malformed)?;
        let (head, body) = bytes.split_at_checked(body_at).ok_or(malformed)?;
        let head = head.strip_suffix(b"_").ok_or(malformed)?;
        let class_at = head.len().checked_sub(4).ok_or(malformed)?;
        let (prefix, class) = head.split_at_checked(class_at).ok_or(malformed)?;
        let class = class
            .strip_prefix(b"_")
            .and_then(Class::parse)
            .ok_or(malformed)?;
        let prefix = Prefix::parse(prefix).ok_or(malformed)?;
        if !body.iter().all(u8::is_ascii_alphanumeric) {
            return Err(malformed);
        }
        let signed_at = bytes.len().checked_sub(CHECKSUM_LEN).ok_or(malformed)?;
        let (signed, sum) = bytes.split_at_checked(signed_at).ok_or(malformed)?;
        if checksum(signed) != *sum {
            return Err(Refusal::TokenChecksum);
        }
        Ok(Self {
            text,
            prefix,
            class,
        })
    }

    /// The text itself: secret.
    #[must_use]
    pub fn expose_secret(&self) -> &'a str {
        self.text
    }

    /// Selects the tenant.
    #[must_use]
    pub fn prefix(&self) -> Prefix {
        self.prefix
    }

    /// What the text says it is.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut rest = crc32fast::hash(bytes);
    let mut out = [0; CHECKSUM_LEN];
    for slot in out.iter_mut().rev() {
        let digit = usize::try_from(rest % 62).unwrap_or_default();
        *slot = BASE62.get(digit).copied().unwrap_or_default();
        rest /= 62;
    }
    out
}

/// Entropy for one token's text: 64 bytes, of which 30 make characters without bias.
pub struct TextDraw(pub [u8; 64]);

/// Mints a token's text. `None`: the draw held too few usable bytes (chance 10^-16); draw again.
///
/// Each character takes one byte below 248 = 4 × 62, so that no character is likelier than another.
#[must_use]
pub fn mint(prefix: Prefix, class: Class, draw: &TextDraw) -> Option<Secret> {
    let mut text = String::with_capacity(TOKEN_BYTES_MAX);
    text.push_str(prefix.as_str());
    text.push('_');
    text.push_str(class.as_str());
    text.push('_');
    let usable = draw.0.iter().filter(|b| **b < 248).take(RANDOM_LEN);
    let letters: Vec<u8> = usable
        .filter_map(|b| BASE62.get(usize::from(b % 62)).copied())
        .collect();
    if letters.len() < RANDOM_LEN {
        return None;
    }
    text.extend(letters.into_iter().map(char::from));
    let sum = checksum(text.as_bytes());
    text.extend(sum.into_iter().map(char::from));
    Some(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(seed: u8) -> Secret {
        let prefix = Prefix::parse(b"acme").unwrap();
        let mut draw = [0; 64];
        for (i, b) in draw.iter_mut().enumerate() {
            *b = u8::try_from((i * 37 + usize::from(seed) * 11) % 248).unwrap();
        }
        mint(prefix, Class::Key, &TextDraw(draw)).unwrap()
    }

    #[test]
    fn what_is_minted_parses() {
        let secret = token(1);
        let text = TokenText::parse(secret.expose_secret()).unwrap_or_else(|_| panic!());
        assert_eq!(text.prefix().as_str(), "acme");
        assert_eq!(text.class(), Class::Key);
        let longest = mint(
            Prefix::parse(b"abcdefgh").unwrap(),
            Class::Pat,
            &TextDraw([9; 64]),
        )
        .unwrap();
        assert_eq!(longest.expose_secret().len(), TOKEN_BYTES_MAX);
    }

    #[test]
    fn every_proper_part_of_a_token_is_refused() {
        let secret = token(2);
        let text = secret.expose_secret();
        for end in 0..text.len() {
            assert!(TokenText::parse(&text[..end]).is_err(), "prefix of {end}");
            assert!(
                TokenText::parse(&text[end + 1..]).is_err(),
                "suffix from {}",
                end + 1
            );
        }
        for more in [" ", "\n", "a", "\0", "="] {
            assert!(TokenText::parse(&format!("{text}{more}")).is_err());
            assert!(TokenText::parse(&format!("{more}{text}")).is_err());
        }
        assert!(TokenText::parse(&text.to_uppercase()).is_err());
    }

    #[test]
    fn the_checksum_is_that_of_the_published_rule() {
        // crc32("123456789") = 0xCBF43926, written in base62 by another program.
        assert_eq!(checksum(b"123456789"), *b"3jZRME");
    }

    #[test]
    fn a_draw_without_enough_bytes_mints_nothing() {
        assert!(
            mint(
                Prefix::parse(b"ab").unwrap(),
                Class::Key,
                &TextDraw([255; 64])
            )
            .is_none()
        );
    }

    proptest! {
        #[test]
        fn one_changed_letter_is_found(seed in any::<u8>(), at in 9usize..45, with in prop::sample::select(BASE62.to_vec())) {
            let secret = token(seed);
            let mut bytes = secret.expose_secret().as_bytes().to_vec();
            prop_assume!(bytes[at] != with);
            bytes[at] = with;
            let text = String::from_utf8(bytes).unwrap();
            prop_assert!(matches!(TokenText::parse(&text), Err(Refusal::TokenChecksum)));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}") {
            let _ = TokenText::parse(&text).is_ok();
        }
    }
}
