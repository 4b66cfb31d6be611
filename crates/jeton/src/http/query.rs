//! The credential in a query parameter, where an API has opted in: read strictly, once, and never beside another one.

use std::borrow::Cow;

use http::HeaderMap;
use jeton_core::refusal::Refusal;
use percent_encoding::percent_decode_str;

use crate::http::extract;

/// Where a credential stood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// In `Authorization` or `X-API-Key`.
    Header,
    /// In the query parameter that the API names.
    Query,
}

impl Source {
    /// The word in headers and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Query => "query",
        }
    }
}

/// The credential of a forwarded request, and where it stood. Without a parameter the query is not looked at.
///
/// # Errors
/// [`Refusal::CredentialAmbiguous`] for two, or for one under a disguised name; [`Refusal::CredentialMissing`] for none.
pub fn credential<'a>(
    headers: &'a HeaderMap,
    query: &'a str,
    parameter: Option<&str>,
) -> Result<(Cow<'a, str>, Source), Refusal> {
    let in_header = extract::credential(headers);
    let mut named = parameter
        .into_iter()
        .flat_map(|name| query.split('&').filter_map(move |pair| value(pair, name)));
    match (named.next(), named.next(), in_header) {
        (None, _, in_header) => in_header.map(|text| (text, Source::Header)),
        (Some(Ok(text)), None, Err(Refusal::CredentialMissing)) => {
            decoded(text).map(|text| (text, Source::Query))
        }
        // Whatever the header holds, it is there.
        _ => Err(Refusal::CredentialAmbiguous),
    }
}

/// What stands beside a name; an error where the name is written with escapes, since who removes the parameter on the way
/// may know only its plain form.
fn value<'a>(pair: &'a str, name: &str) -> Option<Result<&'a str, Refusal>> {
    let (written, value) = pair.split_once('=').unwrap_or((pair, ""));
    if written == name {
        return Some(Ok(value));
    }
    let disguised = written.contains('%') && percent_decode_str(written).eq(name.bytes());
    disguised.then_some(Err(Refusal::CredentialAmbiguous))
}

/// The text behind escapes, each of which must be whole (RFC 3986 §2.1). A plus sign is itself: no token has a space.
fn decoded(value: &str) -> Result<Cow<'_, str>, Refusal> {
    let whole = value.split('%').skip(1).all(|piece| {
        let digits = piece.as_bytes().get(..2);
        digits.is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    });
    let text = whole.then(|| percent_decode_str(value).decode_utf8().ok());
    text.flatten().ok_or(Refusal::TokenMalformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = Result<(String, Source), Refusal>;

    fn read(query: &str, parameter: Option<&str>, lines: &[(&'static str, &str)]) -> Read {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let read = credential(&headers, query, parameter);
        read.map(|(text, source)| (text.into_owned(), source))
    }

    fn found(text: &str) -> Read {
        Ok((text.to_owned(), Source::Query))
    }

    #[test]
    fn the_named_parameter_and_no_other() {
        let missing = || Err(Refusal::CredentialMissing);
        let ambiguous = || Err(Refusal::CredentialAmbiguous);
        let malformed = || Err(Refusal::TokenMalformed);
        let cases = [
            ("", missing()),
            ("&&", missing()),
            ("a=1&b", missing()),
            ("key=abc", found("abc")),
            ("a=1&key=abc&b=2", found("abc")),
            // Present and empty is present, as it is in a header.
            ("key", found("")),
            ("key=", found("")),
            ("key=a=b", found("a=b")),
            // Other names.
            ("KEY=abc", missing()),
            ("keys=abc", missing()),
            ("ke=abc", missing()),
            ("=abc", missing()),
            ("a=key", missing()),
            ("a;key=abc", missing()),
            ("?key=abc", missing()),
            ("key[]=abc", missing()),
            ("+key=abc", missing()),
            ("ke%=abc", missing()),
            ("%ffkey=abc", missing()),
            // Twice, even if both say the same.
            ("key=abc&key=abc", ambiguous()),
            ("key&x=1&key=", ambiguous()),
            // In disguise.
            ("%6bey=abc", ambiguous()),
            ("k%65y=abc&x=1", ambiguous()),
            ("%6B%65%79", ambiguous()),
            ("key=abc&%6bey=abc", ambiguous()),
            ("%256bey=abc", missing()),
            // Values.
            ("key=a%62c", found("abc")),
            ("key=a%5F", found("a_")),
            ("key=a%5f", found("a_")),
            ("key=a+b", found("a+b")),
            ("key=a%2562", found("a%62")),
            ("key=%", malformed()),
            ("key=%6", malformed()),
            ("key=a%6g", malformed()),
            ("key=a%%62", malformed()),
            ("key=%+1", malformed()),
            ("key=%ff", malformed()),
            ("key=%c3%a9", found("é")),
            // What stands beside it is the application's.
            ("x=%zz&key=abc", found("abc")),
        ];
        for (query, due) in cases {
            assert_eq!(read(query, Some("key"), &[]), due, "{query}");
        }
    }

    #[test]
    fn a_header_beside_it_is_one_too_many() {
        let header = |text: &str| Ok((text.to_owned(), Source::Header));
        for line in [
            ("authorization", "Bearer abc"),
            ("authorization", "nonsense"),
            ("authorization", ""),
            ("x-api-key", "abc"),
        ] {
            for query in ["key=abc", "key", "%6bey=abc"] {
                let due = Err(Refusal::CredentialAmbiguous);
                assert_eq!(read(query, Some("key"), &[line]), due, "{line:?} {query}");
            }
        }
        let line = [("authorization", "Bearer abc")];
        assert_eq!(read("", Some("key"), &line), header("abc"));
        assert_eq!(read("a=key", Some("key"), &line), header("abc"));
    }

    #[test]
    fn without_a_name_no_query_is_looked_at() {
        let line = [("x-api-key", "abc")];
        for query in ["", "key=abc", "=abc", "key=a&key=b", "%6bey=abc"] {
            let due = Err(Refusal::CredentialMissing);
            assert_eq!(read(query, None, &[]), due, "{query}");
            let due = Ok(("abc".to_owned(), Source::Header));
            assert_eq!(read(query, None, &line), due, "{query}");
        }
    }
}
