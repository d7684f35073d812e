//! Snapshot expressions: references to snapshots of an environment.

mod interval;
mod snappish;
mod time_point;

use std::fmt;
use std::str::FromStr;

pub use interval::{Bound, Interval, ParseIntervalError};
pub use snappish::Snappish;
pub use time_point::TimePoint;

/// Error messages repeat at most this many characters of a text.
const MAX_QUOTE_CHARS: usize = 100;

/// The beginning of `text`, at most [`MAX_QUOTE_CHARS`] long.
fn quote_for_error(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The recording times of an environment's snapshots, which expressions are resolved against.
pub trait Timeline {
    /// Why the times cannot be read.
    type Error;

    /// The number of snapshots.
    fn count(&self) -> u32;

    /// The current time, in seconds since the Unix epoch.
    fn now(&self) -> f64;

    /// The number of snapshots recorded at or before `time`, in seconds since the Unix epoch, as
    /// far as [their times are plausible](crate::plausible_times).
    ///
    /// # Errors
    /// They cannot be read.
    fn until(&self, time: f64) -> Result<u32, Self::Error>;

    /// The number of snapshots recorded before `time`.
    ///
    /// # Errors
    /// They cannot be read.
    fn before(&self, time: f64) -> Result<u32, Self::Error>;
}

/// A snapshot of an environment, as the text that follows the environment's name.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    selector: Selector,
    text: String,
}

/// How an expression selects a snapshot.
#[derive(Debug, Clone, PartialEq)]
enum Selector {
    /// `N` or `#N`: counted from 1, negative from the end, so that `-1` is the latest.
    Index(i64),
    /// `~N`: N behind the latest; `~` is the latest.
    Behind(i64),
    /// `@{…}`: the latest one at that time.
    At(TimePoint),
}

/// The text is not a snapshot expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a snapshot expression. Use N or #N (counted from 1, negative from the end), ~N \
     (N behind the latest), @{{2023-10-02T12:00:00}} (UTC), @{{2.hours.ago}} (hours, days, weeks \
     or months) or @{{now}}"
)]
pub struct ParseSnapshotExpressionError(String);

impl Expression {
    /// The latest snapshot, as an environment's name without an expression.
    pub fn latest() -> Self {
        Self { selector: Selector::Behind(0), text: String::new() }
    }

    /// The first snapshot.
    fn first() -> Self {
        Self { selector: Selector::Index(1), text: "#1".to_owned() }
    }

    /// The time in `@{…}`, in seconds since the Unix epoch; `None` for `@{now}` and expressions
    /// without a time.
    pub fn time(&self, now: f64) -> Option<f64> {
        match &self.selector {
            Selector::At(time) => Some(time.seconds(now)).filter(|seconds| seconds.is_finite()),
            Selector::Index(_) | Selector::Behind(_) => None,
        }
    }

    /// The index, which may be that of no snapshot.
    ///
    /// # Errors
    /// The timeline's own.
    pub fn resolve<T: Timeline>(&self, timeline: &T) -> Result<i64, T::Error> {
        let count = i64::from(timeline.count());
        Ok(match &self.selector {
            Selector::Index(index) if *index < 0 => (count + 1).saturating_add(*index),
            Selector::Index(index) => *index,
            Selector::Behind(behind) => count.saturating_sub(*behind),
            Selector::At(time) => time.count_recorded(timeline)?.into(),
        })
    }
}

impl FromStr for Expression {
    type Err = ParseSnapshotExpressionError;

    fn from_str(text: &str) -> Result<Self, ParseSnapshotExpressionError> {
        let selector = parse_selector(text)
            .ok_or_else(|| ParseSnapshotExpressionError(quote_for_error(text)))?;
        let bare = matches!(selector, Selector::Index(_)) && !text.starts_with('#');
        let text = if bare { format!("#{text}") } else { text.to_owned() };
        Ok(Self { selector, text })
    }
}

fn parse_selector(text: &str) -> Option<Selector> {
    let number = |digits: &str| digits.parse::<i64>().ok().filter(|_| !digits.starts_with('+'));
    if let Some(behind) = text.strip_prefix('~') {
        let behind = if behind.is_empty() { Some(0) } else { number(behind) };
        behind.filter(|behind| *behind >= 0).map(Selector::Behind)
    } else if let Some(time) = text.strip_prefix("@{").and_then(|it| it.strip_suffix('}')) {
        TimePoint::from_braces(time).map(Selector::At)
    } else {
        number(text.strip_prefix('#').unwrap_or(text)).map(Selector::Index)
    }
}

/// As it follows the environment's name.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// A timeline of these recording times, and the current time.
    pub(super) struct Recorded(pub(super) Vec<f64>, pub(super) f64);

    impl Timeline for Recorded {
        type Error = Infallible;

        fn count(&self) -> u32 {
            self.0.len().try_into().unwrap()
        }

        fn now(&self) -> f64 {
            self.1
        }

        fn until(&self, time: f64) -> Result<u32, Infallible> {
            Ok(self.0.partition_point(|recorded| *recorded <= time).try_into().unwrap())
        }

        fn before(&self, time: f64) -> Result<u32, Infallible> {
            Ok(self.0.partition_point(|recorded| *recorded < time).try_into().unwrap())
        }
    }

    /// Ten snapshots, an hour apart, the first on the hour of 2023-10-02T00:00:00Z.
    pub(super) fn ten_hourly_snapshots() -> Recorded {
        let first = 1_696_204_800.0;
        let times = (0..10).map(|hour| first + 3_600.0 * f64::from(hour)).collect();
        Recorded(times, first + 10.0 * 3_600.0)
    }

    #[test]
    fn expression_selects_by_index_by_distance_from_the_latest_or_by_time() {
        let cases = [
            ("1", 1),
            ("#1", 1),
            ("10", 10),
            ("#10", 10),
            ("99", 99),
            ("0", 0),
            ("-0", 0),
            ("-1", 10),
            ("#-1", 10),
            ("-10", 1),
            ("-11", 0),
            ("-12", -1),
            ("~", 10),
            ("~0", 10),
            ("~9", 1),
            ("~10", 0),
            ("~11", -1),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN + 11),
            ("@{now}", 10),
            ("@{2023-10-01T23:59:59}", 0),
            ("@{2023-10-02T00:00:00}", 1),
            ("@{2023-10-02T00:59:59}", 1),
            ("@{2023-10-02T01:00:00}", 2),
            ("@{2023-10-03T00:00:00}", 10),
            ("@{1696204799.5}", 0),
            ("@{1.hour.ago}", 10),
            ("@{2.hours.ago}", 9),
            ("@{1.day.ago}", 0),
        ];
        for (text, index) in cases {
            let expression: Expression = text.parse().unwrap();
            assert_eq!(expression.resolve(&ten_hourly_snapshots()), Ok(index), "{text}");
        }
    }

    #[test]
    fn now_selects_the_latest_snapshot_even_if_the_clock_was_set_back() {
        let Recorded(times, _) = ten_hourly_snapshots();
        let now: Expression = "@{now}".parse().unwrap();
        assert_eq!(now.resolve(&Recorded(times, 0.0)), Ok(10));
    }

    #[test]
    fn expression_is_printed_as_written_but_a_bare_index_with_a_hash_sign() {
        for (text, shown) in [("-1", "#-1"), ("#23", "#23"), ("~3", "~3"), ("@{now}", "@{now}")] {
            assert_eq!(text.parse::<Expression>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn malformed_expression_is_rejected_with_the_accepted_forms() {
        for text in [
            "",
            "#",
            "~~",
            "##1",
            "~-1",
            "~+1",
            "+1",
            "#+1",
            "1.5",
            "1 ",
            "x",
            "@",
            "@{}",
            "@{now",
            "@now",
            "@{tomorrow}",
            "NOW",
            "9223372036854775808",
        ] {
            let refused = text.parse::<Expression>();
            assert_eq!(refused, Err(ParseSnapshotExpressionError(text.to_owned())));
        }
        let refused = "latest".parse::<Expression>().unwrap_err().to_string();
        assert!(refused.contains("@{2.hours.ago} (hours, days, weeks or months)"), "{refused}");
    }

    proptest! {
        #[test]
        fn parsing_and_resolving_an_expression_never_panics(
            text in "[#~]?-?[0-9]{0,20}|@\\{.{0,20}\\}|.{0,20}", count in 0..20_u16, now: f64,
        ) {
            let timeline = Recorded((0..count).map(f64::from).collect(), now);
            if let Ok(expression) = text.parse::<Expression>() {
                expression.resolve(&timeline).unwrap();
            }
        }
    }
}
