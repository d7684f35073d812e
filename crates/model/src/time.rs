//! The grammar of points in time, for options, requests, expressions and headers alike.

mod display;
mod error;
mod resolve;
#[cfg(test)]
mod tests;
mod written;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;

pub use display::{format_in_both, format_time};
pub use error::TimeError;
pub(crate) use written::Kind;
pub use written::WrittenTime;

/// Of the accepted forms, for error messages.
const TIME_EXAMPLES: &str =
    "2026-11-26 16:00, 2026-11-26T15:00:00Z, yesterday 14:05, 2 hours ago or 30d";

/// The time that `text` means at `now` in `zone`. See [`WrittenTime`] for the grammar.
///
/// # Errors
/// The text is not a time, or no single one in `zone`.
pub fn parse_time(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, TimeError> {
    text.parse::<WrittenTime>()?.resolve(now, zone)
}

/// Seconds since the Unix epoch, with a fraction or without.
pub fn parse_unix_seconds(text: &str) -> Option<f64> {
    text.parse().ok().filter(|seconds: &f64| seconds.is_finite())
}

/// The date of an HTTP header: `Sun, 22 Nov 2026 12:00:07 GMT`.
pub fn parse_http_date(text: &str) -> Option<Timestamp> {
    rfc2822::parse(text).ok().map(|date| date.timestamp())
}
