//! The grammar of durations, for options, variables and expressions alike.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp};

/// `1h`, `30mins`, `2 days`, `6mo`, `1h 30m` or `PT1H`: [jiff's friendly format](jiff::fmt::friendly)
/// or ISO 8601, never negative. `m` is minutes and `mo` months.
pub fn parse_span(text: &str) -> Option<Span> {
    text.parse().ok().filter(|span: &Span| !span.is_negative())
}

/// The same grammar without months and years, whose length depends on the calendar. A day has 24
/// hours.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let duration = parse_span(text)?.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    duration.try_into().ok()
}

/// The time `span` before `now`, both in seconds since the Unix epoch, by the calendar in UTC: a
/// month before the 31st is the last day of the month before. Before the calendar's first year it
/// is minus infinity.
pub fn seconds_before(span: Span, now: f64) -> f64 {
    // jiff has nanoseconds, and a float of a current time less than microseconds: the fraction is
    // added afterwards.
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds, of a clock")]
    let whole_seconds = now.floor() as i64;
    let before = Timestamp::from_second(whole_seconds)
        .and_then(|time| time.to_zoned(TimeZone::UTC).checked_sub(span));
    before.map_or(f64::NEG_INFINITY, |before| {
        before.timestamp().as_duration().as_secs_f64() + (now - now.floor())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn duration_may_be_abbreviated_spelled_out_or_iso_8601_but_not_negative_or_in_months() {
        for (text, seconds) in [
            ("0s", 0),
            ("100ms", 0),
            ("15m", 900),
            ("30mins", 1_800),
            ("1h", 3_600),
            ("1hour", 3_600),
            ("1 hour", 3_600),
            ("1h 30m", 5_400),
            ("1.5h", 5_400),
            ("PT1H", 3_600),
            ("2days", 172_800),
            ("1w", 604_800),
        ] {
            assert_eq!(parse_duration(text).map(|it| it.as_secs()), Some(seconds), "{text}");
        }
        for text in ["", "1", "h", "-1h", "1h ago", "1month", "1y", "é", "99999999999999999999h"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn seconds_before_subtracts_months_by_the_calendar() {
        // 2023-10-31T12:00:00.5Z, 2023-09-30 and 2023-02-28 at the same time of day.
        let now = 1_698_753_600.5;
        for (text, expected) in
            [("1month", 1_696_075_200.5), ("8mo", 1_677_585_600.5), ("1w", 1_698_148_800.5)]
        {
            let before = seconds_before(parse_span(text).unwrap(), now);
            assert!((before - expected).abs() < 1e-6, "{text}: {before}");
        }
        assert!(seconds_before(parse_span("15000y").unwrap(), now).is_infinite());
    }

    proptest! {
        #[test]
        fn parsing_and_subtracting_a_duration_never_panics(text in "[0-9]{0,12}.{0,12}", now: f64) {
            let _ = parse_duration(&text);
            if let Some(span) = parse_span(&text) {
                let _ = seconds_before(span, now);
            }
        }
    }
}
