//! The grammar of points in time, for options, requests, expressions and headers alike.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;

/// `2023-10-02T12:00:00Z`, or with another offset. Without an offset (`2023-10-02T12:00:00`), or as
/// a date alone, which is the start of the day, it is a time in `zone`.
pub fn parse_time(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    // jiff's civil times ignore a time zone in brackets.
    let civil: DateTime = text.parse().ok().filter(|_| !text.contains('['))?;
    civil.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp())
}

/// Seconds since the Unix epoch, with a fraction or without.
pub fn parse_unix_seconds(text: &str) -> Option<f64> {
    text.parse().ok().filter(|seconds: &f64| seconds.is_finite())
}

/// The date of an HTTP header: `Sun, 22 Nov 2026 12:00:07 GMT`.
pub fn parse_http_date(text: &str) -> Option<Timestamp> {
    rfc2822::parse(text).ok().map(|date| date.timestamp())
}

#[cfg(test)]
mod tests {
    use jiff::tz::Offset;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_without_an_offset_is_in_the_given_zone() {
        let east = Offset::constant(2).to_time_zone();
        for (text, utc) in [
            ("2023-10-02T12:00:00Z", "2023-10-02T12:00:00Z"),
            ("2023-10-02T12:00:00.25Z", "2023-10-02T12:00:00.25Z"),
            ("2023-10-02T12:00:00-01:00", "2023-10-02T13:00:00Z"),
            ("2023-10-02T12:00:00", "2023-10-02T10:00:00Z"),
            ("2023-10-02", "2023-10-01T22:00:00Z"),
        ] {
            assert_eq!(parse_time(text, &east), Some(utc.parse().unwrap()), "{text}");
        }
        for text in [
            "",
            "now",
            "yesterday",
            "12:00:00",
            "2023-02-29T12:00:00",
            "2023-10-02T12:00:00[Europe/Berlin]",
            "1696248000",
        ] {
            assert_eq!(parse_time(text, &east), None, "{text}");
        }
    }

    #[test]
    fn unix_seconds_are_finite() {
        assert_eq!(parse_unix_seconds("1661161157.5"), Some(1_661_161_157.5));
        for text in ["", "NaN", "inf", "1e999", "soon"] {
            assert_eq!(parse_unix_seconds(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9-]{0,20}T[0-9:.]{0,20}|.{0,20}") {
            let _ = (parse_time(&text, &TimeZone::UTC), parse_http_date(&text));
        }
    }
}
