//! Patterns over resource names and request paths: segments, `*` for one, a final `**` for the rest.

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// The longest pattern or resource name, in bytes.
pub const RESOURCE_BYTES_MAX: usize = 512;
/// The most patterns in one list.
pub const PATTERNS_MAX: usize = 64;

/// Which resources a grant reaches: `projects/42/docs/*`, `projects/**`, or `**` for all.
///
/// Segments are compared byte for byte: no case folding, no decoding. A leading slash is dropped,
/// so that request paths and resource names share one form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Pattern {
    /// Said once, since each check asks: whether the text is `**`.
    everything: bool,
    text: Box<str>,
}

impl<C> Encode<C> for Pattern {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.str(&self.text)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Pattern {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        Self::parse(d.str()?).ok_or_else(|| decode::Error::message("not a resource pattern"))
    }
}

impl Pattern {
    /// The pattern that matches everything, and the absence of a resource too.
    #[must_use]
    pub fn everything() -> Self {
        Self::of("**")
    }

    /// Reads a pattern. `None`: empty, too long, an empty segment, `.` or `..`, `*` within a segment, `**`
    /// elsewhere than last, or a byte outside printable ASCII.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('/').unwrap_or(text);
        let printable = text.bytes().all(|b| b.is_ascii_graphic());
        if text.is_empty() || text.len() > RESOURCE_BYTES_MAX || !printable {
            return None;
        }
        let last = text.split('/').count() - 1;
        let legal = |(at, segment): (usize, &str)| match segment {
            "" | "." | ".." => false,
            "*" => true,
            "**" => at == last,
            other => !other.contains('*'),
        };
        text.split('/')
            .enumerate()
            .all(legal)
            .then(|| Self::of(text))
    }

    fn of(text: &str) -> Self {
        Self {
            everything: text == "**",
            text: text.into(),
        }
    }

    /// The pattern's text, without a leading slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is `**`.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.everything
    }

    /// Whether the pattern reaches this name. A name with an empty, `.` or `..` segment is reached by none.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let name = name.strip_prefix('/').unwrap_or(name);
        if name.len() > RESOURCE_BYTES_MAX {
            return false;
        }
        let mut segments = name.split('/');
        let mut clean = name.split('/').filter(|s| matches!(*s, "" | "." | ".."));
        if clean.next().is_some() {
            return false;
        }
        for part in self.text.split('/') {
            match (part, segments.next()) {
                ("**", _) => return true,
                (_, None) => return false,
                ("*", Some(_)) => {}
                (own, Some(theirs)) if own == theirs => {}
                (_, Some(_)) => return false,
            }
        }
        segments.next().is_none()
    }

    /// Whether every name that `other` reaches is reached by this pattern too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let mut theirs = other.text.split('/');
        for part in self.text.split('/') {
            match (part, theirs.next()) {
                ("**", _) => return true,
                (_, None | Some("**")) => return false,
                ("*", Some(_)) => {}
                (own, Some(their)) if own == their => {}
                (_, Some(_)) => return false,
            }
        }
        theirs.next().is_none()
    }
}

/// Whether `wide` reaches all that `narrow` reaches, pattern by pattern (a union is not pieced together).
#[must_use]
pub fn all_covered(wide: &[Pattern], narrow: &[Pattern]) -> bool {
    narrow.iter().all(|n| wide.iter().any(|w| w.covers(n)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn p(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn matching_is_by_whole_segments() {
        for (pattern, name, reached) in [
            ("**", "a", true),
            ("a/*", "a/b", true),
            ("a/*", "a", false),
            ("a/*", "a/b/c", false),
            ("a/**", "a/b/c", true),
            ("a/**", "a", true),
            ("a/**", "ab", false),
            ("/a/b", "a/b", true),
            ("a/b", "/a/b", true),
            ("a/*", "a/", false),
            ("a/**", "a/../b", false),
            ("a/**", "a/./b", false),
            ("**", "", false),
            ("A", "a", false),
        ] {
            assert_eq!(p(pattern).matches(name), reached, "{pattern} {name}");
        }
    }

    #[test]
    fn illegal_patterns_are_not_read() {
        for bad in ["", "/", "a//b", "a/**/b", "a*", "../a", "a b", "é"] {
            assert_eq!(Pattern::parse(bad), None, "{bad}");
        }
    }

    fn pattern() -> impl Strategy<Value = Pattern> {
        (
            prop::collection::vec(prop::sample::select(vec!["a", "b", "*"]), 1..4),
            any::<bool>(),
        )
            .prop_map(|(mut parts, rest)| {
                if rest {
                    parts.push("**");
                }
                p(&parts.join("/"))
            })
    }

    proptest! {
        #[test]
        fn what_the_narrow_one_reaches_its_cover_reaches(
            wide in pattern(), narrow in pattern(),
            name in prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..6),
        ) {
            let name = name.join("/");
            if wide.covers(&narrow) && narrow.matches(&name) {
                prop_assert!(wide.matches(&name));
            }
            prop_assert!(wide.covers(&wide));
        }
    }
}
