//! Reading requests: credentials, addresses, bodies. Strict, bounded, and clear about what is wrong.

use std::{borrow::Cow, future::Future as _, net::IpAddr, task::Poll};

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    response::IntoResponse as _,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use ipnet::IpNet;
use jeton_core::refusal::{Blame, Refusal};
use serde::de::DeserializeOwned;

use crate::{
    http::{error::Problem, strict::Strict},
    net::Peer,
};

/// The largest body of an order or a question, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// The largest body that defines an API, in bytes.
pub const CATALOGUE_BYTES_MAX: usize = 1024 * 1024;
/// The deepest nesting of JSON.
pub const DEPTH_MAX: usize = 16;
/// The longest time to send a body.
pub const BODY_TIME_MAX: core::time::Duration = core::time::Duration::from_secs(10);

/// The header fields of a request, however they lie in memory.
pub trait Fields {
    /// The values of all fields of a name, which is given in lower case.
    fn values<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a [u8]>;
}

impl Fields for HeaderMap {
    fn values<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name).iter().map(HeaderValue::as_bytes)
    }
}

impl Fields for [httparse::Header<'_>] {
    fn values<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        let named = move |h: &&httparse::Header<'_>| h.name.eq_ignore_ascii_case(name);
        self.iter().filter(named).map(|h| h.value)
    }
}

/// The text of a field, if it is printable ASCII.
fn visible(value: &[u8]) -> Option<&str> {
    let printable = |b: &u8| matches!(b, b' '..=b'~' | b'\t');
    let text = core::str::from_utf8(value).ok();
    text.filter(|_| value.iter().all(printable))
}

/// The credential of a request: `Authorization: Bearer`, Basic (the password), or `X-API-Key`.
///
/// # Errors
/// [`Refusal::CredentialAmbiguous`] for two (RFC 6750 §2), [`Refusal::CredentialMissing`] for none.
pub fn credential<F: Fields + ?Sized>(headers: &F) -> Result<Cow<'_, str>, Refusal> {
    let mut authorization = headers.values("authorization");
    let mut keys = headers.values("x-api-key");
    match (authorization.next(), keys.next()) {
        (None, None) => Err(Refusal::CredentialMissing),
        (Some(_), Some(_)) => Err(Refusal::CredentialAmbiguous),
        (Some(one), None) => match authorization.next() {
            Some(_) => Err(Refusal::CredentialAmbiguous),
            None => scheme(visible(one).ok_or(Refusal::TokenMalformed)?),
        },
        (None, Some(one)) => match keys.next() {
            Some(_) => Err(Refusal::CredentialAmbiguous),
            None => visible(one)
                .map(Cow::Borrowed)
                .ok_or(Refusal::TokenMalformed),
        },
    }
}

/// Reads `Bearer` and `Basic`; a scheme's name has no case (RFC 9110 §11.1).
fn scheme(value: &str) -> Result<Cow<'_, str>, Refusal> {
    let (name, rest) = value.split_once(' ').ok_or(Refusal::TokenMalformed)?;
    let rest = rest.trim_start_matches(' ');
    if name.eq_ignore_ascii_case("bearer") {
        return Ok(Cow::Borrowed(rest));
    }
    if name.eq_ignore_ascii_case("basic") {
        let bytes = data_encoding::BASE64.decode(rest.as_bytes()).ok();
        let text = bytes
            .and_then(|b| String::from_utf8(b).ok())
            .ok_or(Refusal::TokenMalformed)?;
        let (_, password) = text.split_once(':').ok_or(Refusal::TokenMalformed)?;
        return Ok(Cow::Owned(password.to_owned()));
    }
    Err(Refusal::TokenMalformed)
}

/// The client's address: the peer's, or what trusted proxies say of it, read from the right as long as they are trusted.
#[must_use]
pub fn client_address<F: Fields + ?Sized>(
    peer: &Peer,
    headers: &F,
    trusted: &[IpNet],
) -> Option<IpAddr> {
    let trusts = |ip: &IpAddr| trusted.iter().any(|n| n.contains(ip));
    let mut at = match peer {
        Peer::Tcp(address) => Some(address.ip().to_canonical()),
        Peer::Unix { .. } => None,
    };
    if at.is_some_and(|ip| !trusts(&ip)) {
        return at;
    }
    let fields = headers.values("x-forwarded-for").filter_map(visible);
    let hops: Vec<&str> = fields.flat_map(|f| f.split(',')).map(str::trim).collect();
    for hop in hops.iter().rev() {
        let Ok(ip) = hop.parse::<IpAddr>() else {
            return at;
        };
        let ip = ip.to_canonical();
        at = Some(ip);
        if !trusts(&ip) {
            break;
        }
    }
    at
}

/// Whether a peer is a proxy that stands in the requests' way: on the unix socket, or listed.
#[must_use]
pub fn is_proxy(peer: &Peer, trusted: &[IpNet]) -> bool {
    match peer {
        Peer::Unix { .. } => true,
        Peer::Tcp(address) => trusted
            .iter()
            .any(|n| n.contains(&address.ip().to_canonical())),
    }
}

/// Whether a header is there that some servers turn into another: `x_api_key` for `x-api-key`. Nobody sends it in good faith.
#[must_use]
pub fn underscored(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        let name = name.as_str();
        let meant = name.replace('_', "-");
        let ours = ["x-api-key", "x-forwarded-", "jeton-"];
        name.contains('_') && ours.iter().any(|start| meant.starts_with(start))
    })
}

/// Reads a whole body within its bounds of size and time.
///
/// # Errors
/// [`Refusal::BodyTooLarge`]; [`Refusal::BodyInvalid`] for one that does not come.
pub async fn read_body<B>(body: B, most: usize) -> Result<Bytes, Refusal>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn core::error::Error + Send + Sync>>,
{
    let mut read = std::pin::pin!(Limited::new(body, most).collect());
    // Nearly always all of it is here already, and no timer is needed.
    let first = std::future::poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await;
    let read = match first {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => tokio::time::timeout(BODY_TIME_MAX, read).await,
    };
    match read {
        Err(_) => Err(Refusal::BodyInvalid),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::BodyTooLarge),
        Ok(Err(_)) => Err(Refusal::BodyInvalid),
    }
}

/// Reads JSON: at most so deep, no field unknown, and an error that names the field.
///
/// # Errors
/// [`Refusal::BodyInvalid`] for what is not JSON, [`Refusal::FieldInvalid`] for a field of another shape.
pub fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Blame> {
    let not_json = |rule: String| Blame {
        refusal: Refusal::BodyInvalid,
        field: None,
        rule: Some(rule),
    };
    if too_deep(bytes) {
        return Err(not_json(format!("nested more than {DEPTH_MAX} deep")));
    }
    let mut from = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(Strict(&mut from)).map_err(|error| {
        let path = shown_path(&error.path().to_string());
        let inner = error.into_inner();
        match inner.classify() {
            serde_json::error::Category::Data => {
                let rule = plain(&inner);
                let field = if path == "." {
                    named_field(&rule)
                } else {
                    Some(path)
                };
                Blame {
                    refusal: Refusal::FieldInvalid,
                    field,
                    rule: Some(rule),
                }
            }
            serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof
            | serde_json::error::Category::Io => not_json(plain(&inner)),
        }
    })?;
    from.end().map_err(|error| not_json(plain(&error)))?;
    Ok(value)
}

/// The longest unknown name that an error repeats: shorter than any secret, which may stand in the wrong place.
const NAME_SHOWN_MAX: usize = 24;

/// The way to a field, up to the first name that is too long to be one of ours: what is not known stands there too.
fn shown_path(path: &str) -> String {
    let steps = path
        .split('.')
        .take_while(|step| step.len() <= NAME_SHOWN_MAX);
    let shown = steps.collect::<Vec<_>>().join(".");
    if shown.is_empty() {
        ".".to_owned()
    } else {
        shown
    }
}

/// The words on an unknown field, without its name if that is too long to be a slip.
fn name_withheld(text: String) -> String {
    let Some(rest) = text.strip_prefix("unknown field `") else {
        return text;
    };
    let ends = ["`, expected ", "`, there are no fields"];
    match ends.iter().filter_map(|end| rest.find(end)).min() {
        Some(at) if at <= NAME_SHOWN_MAX => text,
        Some(at) => format!("unknown field{}", rest.get(at + 1..).unwrap_or_default()),
        None => "unknown field".to_owned(),
    }
}

/// The error's words without what was read: a value may be a secret.
fn plain(error: &serde_json::Error) -> String {
    let text = name_withheld(error.to_string());
    let safe = [
        "missing field",
        "unknown field",
        "EOF while",
        "expected",
        "trailing",
        "must be",
        "lies before",
    ];
    let starts_safe = safe.iter().any(|s| text.starts_with(s));
    if starts_safe {
        return text;
    }
    match text.rfind("expected ") {
        Some(at) => text.get(at..).unwrap_or("not readable").to_owned(),
        None => "not readable".to_owned(),
    }
}

/// The field in "missing field `x`" and "unknown field `x`".
fn named_field(rule: &str) -> Option<String> {
    let rest = rule
        .strip_prefix("missing field `")
        .or_else(|| rule.strip_prefix("unknown field `"))?;
    rest.split_once('`').map(|(name, _)| name.to_owned())
}

/// Whether JSON nests deeper than allowed, by one pass over its brackets.
fn too_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for byte in bytes {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_text = !in_text,
            (false, b'{' | b'[') => depth += 1,
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return true;
        }
    }
    false
}

/// A JSON body of an order, of at most `MOST` bytes; remembers the bytes for idempotency.
pub struct Order<T, const MOST: usize = BODY_BYTES_MAX> {
    /// What it says.
    pub value: T,
    /// As it was sent.
    pub bytes: Bytes,
}

impl<S: Sync, T: DeserializeOwned, const MOST: usize> FromRequest<S> for Order<T, MOST> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let kind = request
            .headers()
            .get(http::header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok());
        let json = kind.is_some_and(|k| {
            k.split(';')
                .next()
                .is_some_and(|k| k.trim().eq_ignore_ascii_case("application/json"))
        });
        if !json {
            return Err(Refusal::MediaTypeRefused.into());
        }
        let bytes = read_body(request.into_body(), MOST).await?;
        Ok(Self {
            value: read_json(&bytes)?,
            bytes,
        })
    }
}

/// Query parameters: none unknown, none twice.
pub struct Params<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let read = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        read.map(|q| Self(q.0)).map_err(|error| {
            let text =
                core::error::Error::source(&error).map_or_else(String::new, ToString::to_string);
            let text = name_withheld(text);
            let field = named_field(&text);
            let known = text.starts_with("unknown field") || text.starts_with("missing field");
            let rule = if known {
                text
            } else {
                "a query parameter is not readable".to_owned()
            };
            Blame {
                refusal: Refusal::FieldInvalid,
                field,
                rule: Some(rule),
            }
            .into()
        })
    }
}

/// One id in the path.
pub struct PathId<I>(pub I);

impl<S: Send + Sync, I: core::str::FromStr> FromRequestParts<S> for PathId<I> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        // An id of another shape names nothing here, like one that was never given.
        let text = path.map_err(|_| Problem::of(Refusal::NotFound))?.0;
        text.parse().map(Self).map_err(|_| Refusal::NotFound.into())
    }
}

/// What no route serves.
pub async fn nothing_here() -> axum::response::Response {
    Problem::of(Refusal::NotFound).into_response()
}

/// What a route serves with other methods.
pub async fn other_method() -> axum::response::Response {
    Problem::of(Refusal::MethodUnknown).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in list {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn one_credential_and_no_more() {
        let read = |list: &[(&'static str, &str)]| credential(&headers(list)).map(Cow::into_owned);
        assert_eq!(read(&[("authorization", "bEaReR abc")]), Ok("abc".into()));
        assert_eq!(
            read(&[("authorization", "Basic eDphYmM=")]),
            Ok("abc".into())
        );
        assert_eq!(read(&[("x-api-key", "abc")]), Ok("abc".into()));
        assert_eq!(read(&[]), Err(Refusal::CredentialMissing));
        let two = [("authorization", "Bearer a"), ("x-api-key", "a")];
        assert_eq!(read(&two), Err(Refusal::CredentialAmbiguous));
        let twice = [("authorization", "Bearer a"), ("authorization", "Bearer a")];
        assert_eq!(read(&twice), Err(Refusal::CredentialAmbiguous));
        assert_eq!(
            read(&[("authorization", "DPoP abc")]),
            Err(Refusal::TokenMalformed)
        );
    }

    #[test]
    fn forwarded_addresses_are_believed_from_the_right() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let from = |peer: &str, xff: &str| {
            let peer = Peer::Tcp(format!("{peer}:1").parse().unwrap());
            client_address(&peer, &headers(&[("x-forwarded-for", xff)]), &trusted)
                .unwrap()
                .to_string()
        };
        assert_eq!(from("192.0.2.1", "1.1.1.1"), "192.0.2.1");
        assert_eq!(from("10.0.0.1", "1.1.1.1"), "1.1.1.1");
        assert_eq!(from("10.0.0.1", "6.6.6.6, 1.1.1.1"), "1.1.1.1");
        assert_eq!(from("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2"), "1.1.1.1");
        assert_eq!(from("10.0.0.1", "nonsense"), "10.0.0.1");
    }

    #[test]
    fn json_errors_name_the_field_and_never_the_value() {
        #[derive(serde::Deserialize, Debug)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only read")]
        struct Thing {
            count: u32,
        }
        let blame = read_json::<Thing>(br#"{"count": "acme_key_secret"}"#).unwrap_err();
        assert_eq!(blame.field.as_deref(), Some("count"));
        assert!(!format!("{blame:?}").contains("acme_key"));
        let blame = read_json::<Thing>(br#"{"count": 1, "x": 2}"#).unwrap_err();
        assert_eq!(blame.field.as_deref(), Some("x"));
        #[derive(serde::Deserialize, Debug)]
        #[expect(dead_code, reason = "only read")]
        struct Outer {
            inner: Vec<Thing>,
        }
        let secret = "acme_key_0123456789abcdefghijABCDEFGHIJ123456";
        for body in [
            format!(r#"{{"{secret}": 1}}"#),
            format!(r#"{{"count": "{secret}"}}"#),
            format!(r#"{{"count": 1, "{secret}": 1}}"#),
            format!(r#"{{"count": "expected {secret}"}}"#),
            format!(r#"{{"count": 1}} {secret}"#),
            format!(r#"["{secret}"]"#),
            secret.to_owned(),
        ] {
            let told = format!("{:?}", read_json::<Thing>(body.as_bytes()).unwrap_err());
            assert!(!told.contains("012345"), "{body}: {told}");
            let nested = format!(r#"{{"inner": [{body}]}}"#);
            let told = format!("{:?}", read_json::<Outer>(nested.as_bytes()).unwrap_err());
            assert!(!told.contains("012345"), "{nested}: {told}");
        }
        let blame = read_json::<Thing>(br"{}").unwrap_err();
        assert_eq!(blame.field.as_deref(), Some("count"));
        assert_eq!(
            read_json::<Thing>(b"{").unwrap_err().refusal,
            Refusal::BodyInvalid
        );
        let deep = "[".repeat(17);
        assert_eq!(
            read_json::<Thing>(deep.as_bytes()).unwrap_err().refusal,
            Refusal::BodyInvalid
        );
    }
}
