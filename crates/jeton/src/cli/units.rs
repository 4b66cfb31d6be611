//! Spans, limits and instants as people write them: `30d`, `100/60s`, `2030-01-31T12:00:00Z`.

use crate::http::view::LimitView;
use std::fmt::Write as _;

const UNITS: [(char, u64); 6] = [
    ('y', 365 * 86_400),
    ('w', 7 * 86_400),
    ('d', 86_400),
    ('h', 3_600),
    ('m', 60),
    ('s', 1),
];

const SPAN_RULE: &str = "a span is numbers with units: 30d, 12h, 90m, 45s, 2w, 1y, or 1d12h";

/// Reads a span into seconds: numbers, each with its unit. `0` needs none.
pub(super) fn span(text: &str) -> Result<u64, String> {
    if text == "0" {
        return Ok(0);
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!(
            "say the unit: {text}s for seconds, {text}d for days"
        ));
    }
    let (mut total, mut number, mut last) = (0u64, None::<u64>, u64::MAX);
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            let grown = number.unwrap_or(0).checked_mul(10);
            let grown = grown.and_then(|n| n.checked_add(u64::from(digit)));
            number = Some(grown.ok_or("the span is too long")?);
            continue;
        }
        let unit = UNITS.iter().find(|(name, _)| *name == c);
        let (Some((_, seconds)), Some(count)) = (unit, number.take()) else {
            return Err(SPAN_RULE.to_owned());
        };
        // Each unit once, the largest first: `1h1d` and `1h1h` are slips.
        if *seconds >= last {
            return Err(SPAN_RULE.to_owned());
        }
        last = *seconds;
        let more = count
            .checked_mul(*seconds)
            .and_then(|s| total.checked_add(s));
        total = more.ok_or("the span is too long")?;
    }
    if number.is_some() || text.is_empty() {
        return Err(SPAN_RULE.to_owned());
    }
    Ok(total)
}

/// Seconds as a span that [`span`] reads.
pub(super) fn span_text(seconds: u64) -> String {
    if seconds == 0 {
        return "0s".to_owned();
    }
    let mut rest = seconds;
    let mut text = String::new();
    for (name, unit) in UNITS {
        // Weeks and broken years read worse than days: 30d, not 4w2d.
        let odd = name == 'w' || (name == 'y' && !seconds.is_multiple_of(unit));
        if odd || rest < unit {
            continue;
        }
        _ = write!(text, "{}{name}", rest / unit);
        rest %= unit;
    }
    text
}

/// Reads a limit: `100/60s`, `10/m`, `1000/1h`.
pub(super) fn limit(text: &str) -> Result<LimitView, String> {
    let rule = || "a limit is a count and a window: 100/60s, 10/m, 5000/1h".to_owned();
    let (count, window) = text.split_once('/').ok_or_else(rule)?;
    let count: u32 = count.parse().map_err(|_| rule())?;
    let bare = UNITS
        .iter()
        .find(|(name, _)| window.chars().eq(core::iter::once(*name)));
    let window = match bare {
        Some((_, seconds)) => *seconds,
        None => span(window)?,
    };
    let window_s = u32::try_from(window).unwrap_or(u32::MAX);
    if !(1..=1_000_000).contains(&count) || !(1..=86_400).contains(&window_s) {
        return Err("the count is 1 to 1000000, the window 1s to 1d".to_owned());
    }
    Ok(LimitView { count, window_s })
}

/// Reads an instant, and gives it back as it was written.
pub(super) fn instant(text: &str) -> Result<String, String> {
    let read: Result<jiff::Timestamp, _> = text.parse();
    read.map(|_| text.to_owned())
        .map_err(|_| "an instant is written as 2030-01-31T12:00:00Z (RFC 3339)".to_owned())
}

/// Reads a method into upper case, as requests carry it.
#[expect(clippy::unnecessary_wraps, reason = "the shape that clap wants")]
pub(super) fn method(text: &str) -> Result<String, String> {
    Ok(text.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_units() {
        for (text, seconds) in [
            ("0", 0),
            ("45s", 45),
            ("90m", 5_400),
            ("12h", 43_200),
            ("30d", 2_592_000),
            ("2w", 1_209_600),
            ("1y", 31_536_000),
            ("1d12h", 129_600),
            ("0s", 0),
        ] {
            assert_eq!(span(text), Ok(seconds), "{text}");
        }
        for bad in [
            "", "30", "d", "1x", "1d2", "-1d", "1.5h", "1h1d", "1h1h", "1 d", "é", "1D",
        ] {
            assert!(span(bad).is_err(), "{bad}");
        }
        assert!(span("99999999999999999999d").is_err());
        assert!(span("18446744073709551615d").is_err());
        assert!(span("30").unwrap_err().contains("30d"));
    }

    #[test]
    fn spans_are_written_back() {
        for text in ["45s", "1h30m", "30d", "1y", "366d", "1d12h", "0s"] {
            assert_eq!(span_text(span(text).unwrap()), text);
        }
    }

    #[test]
    fn limits_have_count_and_window() {
        for (text, count, window_s) in [
            ("100/60s", 100, 60),
            ("10/m", 10, 60),
            ("5000/1h", 5000, 3600),
            ("1/d", 1, 86_400),
        ] {
            assert_eq!(limit(text), Ok(LimitView { count, window_s }), "{text}");
        }
        for bad in [
            "",
            "100",
            "100/",
            "/60s",
            "0/60s",
            "1000001/s",
            "5/2d",
            "5/60",
            "5/0",
            "x/s",
        ] {
            assert!(limit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn instants_are_rfc_3339() {
        assert!(instant("2030-01-31T12:00:00Z").is_ok());
        assert!(instant("2030-01-31T12:00:00+02:00").is_ok());
        for bad in ["2030-01-31", "tomorrow", "2030-01-31T12:00:00", ""] {
            assert!(instant(bad).is_err(), "{bad}");
        }
    }
}
