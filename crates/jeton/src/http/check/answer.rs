//! The prepared answer of an allowed check: the same bytes that serde would write, without its detours.

use jeton_core::{check::question::Question, directory::Directory, time::Time};
use jeton_verify::check::Passed;

fn text(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    out.extend_from_slice(value);
    out.push(b'"');
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn two(out: &mut Vec<u8>, value: u32) {
    let digit = |n: u32| b'0' + u8::try_from(n % 10).unwrap_or_default();
    out.extend_from_slice(&[digit(value / 10), digit(value)]);
}

/// An instant as RFC 3339, by the proleptic Gregorian calendar in eras of 400 years that begin on the first of March.
fn instant(out: &mut Vec<u8>, name: &str, at: Time) {
    let s = at.seconds();
    let (days, of_day) = (s / 86_400 + 719_468, s % 86_400);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + u32::from(month <= 2);
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    two(out, year / 100);
    two(out, year % 100);
    out.push(b'-');
    two(out, month);
    out.push(b'-');
    two(out, day);
    out.push(b'T');
    two(out, of_day / 3600);
    out.push(b':');
    two(out, of_day / 60 % 60);
    out.push(b':');
    two(out, of_day % 60);
    out.extend_from_slice(b"Z\"");
}

/// Writes the verdict. Names of scopes need no escapes: their alphabet has neither quote, backslash nor control.
pub(super) fn allowed(
    out: &mut Vec<u8>,
    directory: &Directory,
    question: &Question<'_>,
    passed: &Passed,
) {
    out.extend_from_slice(b"{\"allowed\":true");
    text(out, "token", &passed.token.to_text());
    text(out, "class", passed.class.as_str().as_bytes());
    match passed.subject {
        jeton_core::subject::SubjectId::User(id) => text(out, "subject", &id.to_text()),
        jeton_core::subject::SubjectId::App(id) => text(out, "subject", &id.to_text()),
    }
    text(out, "subject_kind", passed.subject.kind().as_bytes());
    out.extend_from_slice(b",\"scopes\":[");
    if let Some(catalogue) = directory.catalogue(question.tenant, question.api) {
        let mut first = true;
        for name in catalogue.names(&passed.scopes) {
            out.extend_from_slice(if first { b"\"" } else { b",\"" });
            first = false;
            out.extend_from_slice(name.as_bytes());
            out.push(b'"');
        }
    }
    out.push(b']');
    if let Some(at) = passed.expires {
        instant(out, "expires_at", at);
    }
    if let Some(at) = passed.replaced_until {
        instant(out, "replaced_until", at);
    }
    if let Some((limit, remaining)) = passed.limit {
        out.extend_from_slice(b",\"limit\":{\"count\":");
        number(out, limit.count().into());
        out.extend_from_slice(b",\"window_s\":");
        number(out, limit.window_s().into());
        out.extend_from_slice(b"},\"remaining\":");
        number(out, remaining.into());
    }
    out.extend_from_slice(b",\"ledger_size\":");
    number(out, directory.size());
    out.push(b'}');
}

/// The whole message around a verdict.
pub(super) fn message(out: &mut Vec<u8>, date: &str, body: &[u8]) {
    out.extend_from_slice(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncache-control: no-store\r\ncontent-length: ",
    );
    number(out, u64::try_from(body.len()).unwrap_or_default());
    out.extend_from_slice(b"\r\ndate: ");
    out.extend_from_slice(date.as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{check::verdict, view::rfc3339};
    use jeton_core::{
        id::Id, limit::Limit, scope::ScopeSet, subject::SubjectId, token::text::Class,
    };
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn instants_are_those_of_the_calendar_library(s in 0u64..4_294_967_294) {
            let mut out = Vec::new();
            let at = Time::from_seconds(s);
            instant(&mut out, "t", at);
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!(",\"t\":\"{}\"", rfc3339(at)));
        }

        #[test]
        fn the_bytes_are_those_of_serde(
            id in any::<[u8; 16]>(), user in any::<bool>(), limited in any::<bool>(),
            expires in prop::option::of(0u64..4_294_967_294), scopes in prop::collection::vec(0u8..18, 0..5),
        ) {
            let directory = Directory::new();
            let scopes: ScopeSet = scopes.into_iter().collect();
            let question = Question {
                tenant: Id::from_bytes([0; 16]), api: jeton_core::api::JETON_API, needed: scopes,
                resource: None, address: None, method: None, path: None,
            };
            let passed = Passed {
                token: Id::from_bytes(id),
                class: Class::Pat,
                subject: if user { SubjectId::User(Id::from_bytes(id)) } else { SubjectId::App(Id::from_bytes(id)) },
                scopes,
                expires: expires.map(Time::from_seconds),
                replaced_until: expires.map(Time::from_seconds),
                limit: limited.then(|| (Limit::new(7, 60).unwrap(), 3)),
                observe: false,
                rehash: None,
            };
            let mut out = Vec::new();
            allowed(&mut out, &directory, &question, &passed);
            let due = serde_json::to_string(&verdict(&directory, &question, &Ok(passed))).unwrap();
            prop_assert_eq!(String::from_utf8(out).unwrap(), due);
        }
    }
}
