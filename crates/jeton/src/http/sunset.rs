//! `Sunset` (RFC 8594): an answer says when the credential that got it ends, once that is near.

use http::HeaderValue;
use jeton_core::time::{Span, Time};
use jiff::fmt::rfc2822::DateTimePrinter;

use crate::http::view::rfc3339;

/// How near an end is announced.
pub const NEAR: Span = Span::days(30);

/// The value of `Sunset`: the first of a credential's ends as an HTTP date, if it lies within [`NEAR`].
#[must_use]
pub fn sunset(ends: &[Option<Time>], now: Time) -> Option<HeaderValue> {
    let end = ends.iter().flatten().min();
    let end = end.filter(|at| **at <= now.after(NEAR))?;
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&rfc3339(*end));
    HeaderValue::from_str(&date.ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_end_is_told_when_it_is_near() {
        let at = |s: u64| Some(Time::from_seconds(s));
        let day = 86_400;
        // RFC 9110 §5.6.7 has this date.
        let now = 784_111_777;
        let today = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let last = Some("Tue, 06 Dec 1994 08:49:37 GMT");
        for (ends, due) in [
            (vec![], None),
            (vec![None, None], None),
            (vec![at(now)], today),
            (vec![at(now + 30 * day)], last),
            (vec![at(now + 30 * day + 1)], None),
            (vec![at(now + 300 * day), at(now + 30 * day)], last),
            (vec![at(now + 30 * day), at(now + 31 * day)], last),
            (vec![at(now + 31 * day), at(now + 32 * day)], None),
            (vec![None, at(now)], today),
        ] {
            let told = sunset(&ends, Time::from_seconds(now));
            assert_eq!(told.as_ref().map(|v| v.to_str().unwrap()), due, "{ends:?}");
        }
        // Where time itself ends.
        assert!(sunset(&[Some(Time::MAX)], Time::MAX).is_some());
    }
}
