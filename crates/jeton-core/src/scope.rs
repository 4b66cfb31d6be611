//! What an API can be asked to allow: its catalogue of scopes, and sets of them.

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// The most scopes that one API's catalogue may hold, retired ones included.
pub const SCOPES_MAX: usize = 256;
/// The longest scope name, in bytes.
pub const SCOPE_NAME_BYTES_MAX: usize = 96;
/// The longest description of a scope, in bytes.
pub const SCOPE_DESCRIPTION_BYTES_MAX: usize = 500;

/// Whether the text may name a scope: RFC 6749 §3.3 `scope-token`, at most 96 bytes.
#[must_use]
pub fn is_scope_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= SCOPE_NAME_BYTES_MAX
        && text
            .bytes()
            .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// A set of scopes of one API, by their numbers in its catalogue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct ScopeSet([u64; SCOPES_MAX / 64]);

impl ScopeSet {
    /// The set without a scope.
    pub const EMPTY: Self = Self([0; SCOPES_MAX / 64]);

    /// The set of every scope that there can be.
    pub const FULL: Self = Self([u64::MAX; SCOPES_MAX / 64]);

    /// The set of one scope.
    #[must_use]
    pub fn one(number: u8) -> Self {
        let mut set = Self::EMPTY;
        set.insert(number);
        set
    }

    /// The scopes as two words, if the numbers of all are below 128.
    #[must_use]
    pub fn low(&self) -> Option<[u64; 2]> {
        let [a, b, c, d] = self.0;
        (c | d == 0).then_some([a, b])
    }

    /// The set of scopes whose numbers are the bits of two words.
    #[must_use]
    pub const fn from_low([a, b]: [u64; 2]) -> Self {
        Self([a, b, 0, 0])
    }

    /// Adds a scope.
    pub fn insert(&mut self, number: u8) {
        if let Some(word) = self.0.get_mut(usize::from(number / 64)) {
            *word |= 1 << (number % 64);
        }
    }

    /// Whether the scope is in the set.
    #[must_use]
    pub fn contains(&self, number: u8) -> bool {
        self.0
            .get(usize::from(number / 64))
            .is_some_and(|w| w >> (number % 64) & 1 == 1)
    }

    /// Whether every scope of `other` is in this set.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| b & !a == 0)
    }

    /// The scopes in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut out = *self;
        for (a, b) in out.0.iter_mut().zip(&other.0) {
            *a |= b;
        }
        out
    }

    /// The scopes in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut out = *self;
        for (a, b) in out.0.iter_mut().zip(&other.0) {
            *a &= b;
        }
        out
    }

    /// The scopes of this set that `other` lacks.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut out = *self;
        for (a, b) in out.0.iter_mut().zip(&other.0) {
            *a &= !b;
        }
        out
    }

    /// Whether there is no scope in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|w| *w == 0)
    }

    /// The numbers in it, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.iter().zip(0u8..).flat_map(|(word, at)| {
            let mut left = *word;
            core::iter::from_fn(move || {
                let bit =
                    u8::try_from(left.checked_ilog2().map(|_| left.trailing_zeros())?).ok()?;
                left &= left - 1;
                Some(at * 64 + bit)
            })
        })
    }
}

impl FromIterator<u8> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = u8>>(numbers: I) -> Self {
        let mut set = Self::EMPTY;
        for n in numbers {
            set.insert(n);
        }
        set
    }
}

// Bytes, little-endian, trailing zeros cut: the shortest form is the only form.
impl<C> Encode<C> for ScopeSet {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|w| w.to_le_bytes()).collect();
        let used = bytes
            .iter()
            .rposition(|b| *b != 0)
            .map_or(0, |last| last + 1);
        e.bytes(bytes.get(..used).unwrap_or_default())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for ScopeSet {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let bytes = d.bytes()?;
        if bytes.len() > SCOPES_MAX / 8 || bytes.last() == Some(&0) {
            return Err(decode::Error::message(
                "a scope set is at most 32 bytes, the last not zero",
            ));
        }
        let bit = |(i, b): (usize, &u8)| {
            let byte = *b;
            (0..8u8)
                .filter(move |n| byte >> n & 1 == 1)
                .filter_map(move |n| u8::try_from(i * 8 + usize::from(n)).ok())
        };
        Ok(bytes.iter().enumerate().flat_map(bit).collect())
    }
}

/// One scope of a catalogue. Its number is its place there, and never changes.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Scope {
    /// The name that requests and tokens carry.
    #[n(0)]
    pub name: String,
    /// What it allows, in the words of a consent screen.
    #[n(1)]
    pub description: String,
    /// Whether a token gets it when nothing is asked for.
    #[n(2)]
    pub default: bool,
    /// A retired scope is given to nobody any more; tokens that have it keep its number.
    #[n(3)]
    pub retired: bool,
}

/// The scopes of one API, each at its number.
#[derive(Clone, PartialEq, Eq, Debug, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Catalogue(#[n(0)] Vec<Scope>);

impl Catalogue {
    /// From scopes in the order of their numbers. `None` with more than [`SCOPES_MAX`] or a name twice.
    #[must_use]
    pub fn new(scopes: Vec<Scope>) -> Option<Self> {
        let mut names: Vec<_> = scopes.iter().map(|s| s.name.as_str()).collect();
        names.sort_unstable();
        let twice = names.windows(2).any(|w| w.first() == w.last());
        (scopes.len() <= SCOPES_MAX && !twice).then_some(Self(scopes))
    }

    /// The scopes in the order of their numbers.
    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        &self.0
    }

    /// The number of a scope that may be given, by name.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u8> {
        self.0
            .iter()
            .position(|s| s.name == name && !s.retired)
            .and_then(|n| u8::try_from(n).ok())
    }

    /// The name at a number.
    #[must_use]
    pub fn name(&self, number: u8) -> Option<&str> {
        self.0.get(usize::from(number)).map(|s| s.name.as_str())
    }

    /// The names of a set, ascending by number.
    pub fn names<'a>(&'a self, set: &'a ScopeSet) -> impl Iterator<Item = &'a str> + 'a {
        set.iter().filter_map(|n| self.name(n))
    }

    /// What a token gets when nothing is asked for.
    #[must_use]
    pub fn defaults(&self) -> ScopeSet {
        self.live(|s| s.default)
    }

    /// Every scope that may still be given.
    #[must_use]
    pub fn all(&self) -> ScopeSet {
        self.live(|_| true)
    }

    fn live(&self, keep: impl Fn(&Scope) -> bool) -> ScopeSet {
        let numbered = self.0.iter().enumerate();
        numbered
            .filter(|(_, s)| !s.retired && keep(s))
            .filter_map(|(n, _)| u8::try_from(n).ok())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_encode_in_one_shortest_form() {
        for numbers in [&[][..], &[0], &[7, 8], &[255], &[0, 64, 128, 192, 255]] {
            let set: ScopeSet = numbers.iter().copied().collect();
            let bytes = minicbor::to_vec(set).unwrap();
            assert_eq!(minicbor::decode::<ScopeSet>(&bytes).unwrap(), set);
            assert_eq!(set.iter().collect::<Vec<_>>(), numbers);
        }
        assert!(minicbor::decode::<ScopeSet>(&[0x42, 1, 0]).is_err());
    }

    #[test]
    fn names_follow_the_oauth_alphabet() {
        assert!(is_scope_name("read:user"));
        assert!(is_scope_name("https://example.test/auth/x"));
        for bad in ["", "two words", "quo\"te", "back\\slash", "ümlaut", "tab\t"] {
            assert!(!is_scope_name(bad), "{bad}");
        }
        assert!(is_scope_name(&"a".repeat(SCOPE_NAME_BYTES_MAX)));
        assert!(!is_scope_name(&"a".repeat(SCOPE_NAME_BYTES_MAX + 1)));
    }
}
