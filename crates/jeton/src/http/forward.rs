//! `GET /check`: the door that a reverse proxy asks about each request (nginx `auth_request`, Caddy, Traefik, HAProxy).
//!
//! What the request needs comes from the routes kept here, never from what the client sent. The answer is a status: 204
//! without a body and with identity headers, always all of them, so that a client's own never pass.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use jeton_core::{
    check::{judge::Refused, question::Question},
    directory::Directory,
    limit::Limit,
    refusal::Refusal,
};
use jeton_verify::check::{Denied, Passed};

use crate::{
    http::{
        door::{Answer, Doors, request_id},
        error::{challenge, status},
        extract,
        query::{self, Source},
        sunset::sunset,
        view::rfc3339,
    },
    net::ConnInfo,
};

/// How the proxy understands statuses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Dialect {
    /// As HTTP means them.
    Plain,
    /// nginx's `auth_request` knows 2xx, 401 and 403 alone: all else becomes 403, the real status in `Jeton-Status`.
    Nginx,
}

/// Answers a proxy.
#[must_use]
pub fn answer(doors: &Doors, conn: &ConnInfo, request: &Request<Incoming>) -> Answer {
    let dialect = if request.uri().path() == "/check/nginx" {
        Dialect::Nginx
    } else {
        Dialect::Plain
    };
    let directory = doors.node.verifier.directory();
    let decided = if !extract::is_proxy(&conn.peer, &doors.trusted) {
        // Whoever is not a proxy of ours learns nothing here.
        Err((Refusal::RouteUnknown.into(), Vec::new()))
    } else if extract::underscored(request.headers()) {
        // The proxy passes it on, and what is behind may read it as one of ours.
        Err((Refusal::RouteUnknown.into(), Vec::new()))
    } else {
        decide(doors, conn, request.headers(), &directory)
    };
    doors.metrics.check(
        decided
            .as_ref()
            .err()
            .map(|(denied, _)| denied.refused.refusal),
    );
    let mut answer = Response::new(Either::Left(Full::new(Bytes::new())));
    let headers = answer.headers_mut();
    let put = |headers: &mut HeaderMap, name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    put(headers, "jeton-request-id", &request_id());
    put(headers, "cache-control", "no-store");
    match decided {
        Ok(admitted) => {
            identity(headers, &directory, &admitted);
            *answer.status_mut() = StatusCode::NO_CONTENT;
        }
        Err((denied, missing)) => {
            let outward = denied.refused.refusal.outward();
            let real = status(outward);
            put(headers, "jeton-refusal", outward.code());
            put(headers, "jeton-status", real.as_str());
            if let Some(text) = challenge(outward, &missing) {
                put(headers, "www-authenticate", &text);
            }
            if let Some(limit) = denied.limit {
                limits(headers, limit, 0, &denied.refused);
            }
            let told = match (dialect, real) {
                (Dialect::Nginx, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
                | (Dialect::Plain, _) => real,
                (Dialect::Nginx, StatusCode::BAD_REQUEST) => StatusCode::UNAUTHORIZED,
                (Dialect::Nginx, _) => StatusCode::FORBIDDEN,
            };
            *answer.status_mut() = told;
        }
    }
    answer
}

/// A yes, and what it is about.
struct Admitted<'a> {
    passed: Passed,
    question: Question<'a>,
    source: Source,
    sunset: Option<HeaderValue>,
}

type Refusing = (Denied, Vec<String>);

fn decide<'a>(
    doors: &Doors,
    conn: &ConnInfo,
    headers: &'a HeaderMap,
    directory: &Directory,
) -> Result<Admitted<'a>, Refusing> {
    let no = |refusal: Refusal| (Denied::from(refusal), Vec::new());
    let one = |name: &'static str| -> Result<Option<&'a str>, Refusing> {
        let mut values = headers.get_all(name).iter();
        let first = values
            .next()
            .map(|v| v.to_str().map_err(|_| no(Refusal::RouteUnknown)));
        // Two of them: one may be the client's.
        if values.next().is_some() {
            Err(no(Refusal::RouteUnknown))
        } else {
            first.transpose()
        }
    };
    let host = one("x-forwarded-host")?.ok_or_else(|| no(Refusal::RouteUnknown))?;
    let host = host.to_ascii_lowercase();
    let method = one("x-forwarded-method")?.ok_or_else(|| no(Refusal::RouteUnknown))?;
    let uri = one("x-forwarded-uri")?.ok_or_else(|| no(Refusal::RouteUnknown))?;
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let api = directory
        .api_of_host(&host)
        .ok_or_else(|| no(Refusal::RouteUnknown))?;
    let needed = plain_path(path).then(|| api.route(method, path)).flatten();
    let needed = needed.ok_or_else(|| no(Refusal::RouteUnknown))?;
    let address = extract::client_address(&conn.peer, headers, &doors.trusted);
    let question = Question {
        tenant: api.tenant,
        api: api.id,
        needed,
        resource: Some(path),
        address,
        method: Some(method),
        path: Some(path),
    };
    let parameter = api.query_parameter.as_deref();
    let (text, source) = query::credential(headers, query, parameter).map_err(no)?;
    doors.metrics.credential(source);
    let now = doors.node.clock.now();
    let passed = doors
        .node
        .verifier
        .check(&text, &question, now)
        .map_err(|denied| {
            let missing = api
                .catalogue
                .names(&denied.refused.missing)
                .map(str::to_owned)
                .collect();
            (denied, missing)
        })?;
    doors.observer.used(&passed, now.time, question.address);
    Ok(Admitted {
        sunset: sunset(&[passed.expires, passed.replaced_until], now.time),
        passed,
        question,
        source,
    })
}

/// A path that means one thing to every reader: each byte is written in one way only, and nothing that some servers drop,
/// decode or fold before they look (`;x`, `//`, `..`, `%2f`, `%61`, `%2561`, `\\`).
fn plain_path(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'\\' | b';' | b'#' | b'%');
    let mut pieces = path.split('%');
    path.starts_with('/')
        && !path.contains("//")
        && path.split('/').all(|s| !matches!(s, "." | ".."))
        && pieces.next().is_some_and(|first| first.bytes().all(plain))
        && pieces.all(|piece| {
            let escaped = piece.split_at_checked(2);
            escaped.is_some_and(|(hex, rest)| plain_escape(hex) && rest.bytes().all(plain))
        })
}

/// Two digits in upper case, for a byte that may stand in a path in no other way, and that divides nothing.
fn plain_escape(hex: &str) -> bool {
    let byte = data_encoding::HEXUPPER.decode(hex.as_bytes());
    let byte = byte.ok().and_then(|b| b.first().copied());
    byte.is_some_and(|b| {
        let unreserved = b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        !unreserved && !b.is_ascii_control() && !matches!(b, b'/' | b'\\' | b';' | b'%')
    })
}

/// Every identity header, empty where there is nothing to say: what a client sent never passes.
fn identity(headers: &mut HeaderMap, directory: &Directory, admitted: &Admitted<'_>) {
    let Admitted {
        passed,
        question,
        source,
        sunset,
    } = admitted;
    let catalogue = directory.catalogue(question.tenant, question.api);
    let scopes = catalogue.map(|c| c.names(&passed.scopes).collect::<Vec<_>>().join(" "));
    let expires = passed.expires.map(|at| rfc3339(at).to_string());
    let told = [
        ("jeton-subject", passed.subject.to_string()),
        ("jeton-subject-kind", passed.subject.kind().to_owned()),
        ("jeton-token", passed.token.to_string()),
        ("jeton-class", passed.class.as_str().to_owned()),
        ("jeton-tenant", question.tenant.to_string()),
        ("jeton-scopes", scopes.unwrap_or_default()),
        ("jeton-expires", expires.unwrap_or_default()),
        ("jeton-ledger-size", directory.size().to_string()),
        ("jeton-credential-source", source.as_str().to_owned()),
    ];
    for (name, value) in told {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    if let Some(date) = sunset {
        headers.insert(HeaderName::from_static("sunset"), date.clone());
    }
    if let Some((limit, remaining)) = passed.limit {
        limits(headers, limit, remaining, &Refusal::LimitExceeded.into());
    }
}

/// `RateLimit-Policy`, `RateLimit` (draft-ietf-httpapi-ratelimit-headers-09) and, when it is used up, `Retry-After`.
fn limits(headers: &mut HeaderMap, limit: Limit, remaining: u32, refused: &Refused) {
    let retry_s = refused.retry_us.div_ceil(1_000_000);
    let policy = format!("\"token\";q={};w={}", limit.count(), limit.window_s());
    let state = format!("\"token\";r={remaining};t={}", retry_s.max(1));
    for (name, value) in [("ratelimit-policy", policy), ("ratelimit", state)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    if refused.retry_us > 0 {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_s.max(1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_two_readings_are_refused() {
        for good in [
            "/",
            "/documents",
            "/documents/",
            "/documents/7",
            "/a.b/.well-known/x..y",
            "/caf%C3%A9/a%20b",
            "/a:b@c,d=e&f'(g)!*~",
        ] {
            assert!(plain_path(good), "{good}");
        }
        for bad in [
            "",
            "documents",
            "*",
            "//",
            "/a//b",
            "/.",
            "/..",
            "/a/./b",
            "/a/../b",
            "/a/..",
            "/a\\b",
            "/a;x=1",
            "/..;/b",
            "/a#b",
            "/a b",
            "/%",
            "/%4",
            "/%zz",
            "/a%",
            "/%é",
            "/%2e%2e/a",
            "/%2E",
            "/a%2Fb",
            "/a%2fb",
            "/a%5Cb",
            "/a%00",
            "/a%0A",
            "/a%7F",
            "/a%3Bx",
            "/%61dmin",
            "/%5F",
            "/%7E",
            "/a%252Fb",
            "/caf%c3%a9",
            "/é",
        ] {
            assert!(!plain_path(bad), "{bad}");
        }
    }
}
