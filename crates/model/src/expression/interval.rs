//! Ranges of snapshots.

use std::ops::RangeInclusive;
use std::str::FromStr;

use super::quote_for_error;
use super::{Expression, TimePoint, Timeline};
use crate::time::parse_unix_seconds;

/// A range of snapshots, both ends included.
#[derive(Debug, Clone, PartialEq)]
pub struct Interval {
    /// The first snapshot.
    pub from: Bound,
    /// The last snapshot.
    pub to: Bound,
}

/// An end of an interval.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// A snapshot.
    Snapshot(Expression),
    /// The snapshots recorded from this time on, or until it.
    Time(TimePoint),
}

/// The text is not an interval, or not an end of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseIntervalError {
    /// Neither an expression nor two of them with `..` between them.
    #[error(
        "'{0}' is not an interval. Use A..B, where A and B each are N (counted from 1), ~N (N \
         behind the latest) or NOW, and NOW may be left out"
    )]
    Malformed(String),
    /// Neither a snapshot nor a time.
    #[error(
        "'{0}' is neither a snapshot (N, counted from 1, negative from the end) nor a time (NOW, \
         1hour, 2days, 30mins, or seconds since 1970)"
    )]
    MalformedBound(String),
}

/// A whole number from this on (2001-09-09) is a time in seconds since the Unix epoch, and not an
/// index.
const MIN_UNIX_SECONDS: i64 = 1_000_000_000;

impl Interval {
    /// The indexes of the existing snapshots in the interval; `None` if there are none. Two ends
    /// that are both existing snapshots may be in either order.
    ///
    /// # Errors
    /// The timeline's own.
    pub fn resolve<T: Timeline>(
        &self,
        timeline: &T,
    ) -> Result<Option<RangeInclusive<u32>>, T::Error> {
        let at = |point: &TimePoint| point.seconds(timeline.now());
        let mut from = match &self.from {
            Bound::Snapshot(expression) => expression.resolve(timeline)?,
            Bound::Time(point) => i64::from(timeline.before(at(point))?) + 1,
        };
        let mut to = match &self.to {
            Bound::Snapshot(expression) => expression.resolve(timeline)?,
            Bound::Time(point) => point.count_recorded(timeline)?.into(),
        };
        let count = i64::from(timeline.count());
        // An interval after the latest snapshot is empty: the latest must not be returned for it.
        if from > count {
            return Ok(None);
        }
        if let (Bound::Snapshot(_), Bound::Snapshot(_)) = (&self.from, &self.to) {
            (from, to) = (from.min(to), from.max(to));
        }
        Ok(match (u32::try_from(from.max(1)), u32::try_from(to.min(count))) {
            (Ok(from), Ok(to)) if from <= to => Some(from..=to),
            _ => None,
        })
    }
}

impl Default for Interval {
    /// All snapshots.
    fn default() -> Self {
        Self { from: Bound::first(), to: Bound::latest() }
    }
}

impl Bound {
    /// The first snapshot.
    pub fn first() -> Self {
        Self::Snapshot(Expression::first())
    }

    /// The latest snapshot.
    pub fn latest() -> Self {
        Self::Snapshot(Expression::latest())
    }
}

/// `A..B` or `A`, where A and B are each an expression, `NOW`, or empty, which is `NOW`. An empty
/// text is everything.
impl FromStr for Interval {
    type Err = ParseIntervalError;

    fn from_str(text: &str) -> Result<Self, ParseIntervalError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let end = |text: &str| match text {
            "" => Some(Bound::latest()),
            now if now.eq_ignore_ascii_case("now") => Some(Bound::latest()),
            expression => expression.parse().ok().map(Bound::Snapshot),
        };
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        match (end(from), end(to)) {
            (Some(from), Some(to)) => Ok(Self { from, to }),
            _ => Err(ParseIntervalError::Malformed(quote_for_error(text))),
        }
    }
}

/// An index, `NOW`, a duration before now (`1hour`), or seconds since the Unix epoch.
impl FromStr for Bound {
    type Err = ParseIntervalError;

    fn from_str(text: &str) -> Result<Self, ParseIntervalError> {
        if text.eq_ignore_ascii_case("now") {
            return Ok(Self::latest());
        }
        if let Ok(index) = text.parse::<i64>()
            && index < MIN_UNIX_SECONDS
            && let Ok(expression) = text.parse()
        {
            return Ok(Self::Snapshot(expression));
        }
        let seconds = parse_unix_seconds(text);
        let point = seconds.map(TimePoint::At).or_else(|| text.parse().ok());
        point
            .map(Self::Time)
            .ok_or_else(|| ParseIntervalError::MalformedBound(quote_for_error(text)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{Recorded, ten_hourly_snapshots};
    use super::*;

    /// The first and the last index, in a timeline of [`ten_hourly_snapshots`].
    fn resolve_in_ten(interval: &Interval) -> Option<(u32, u32)> {
        let Ok(range) = interval.resolve(&ten_hourly_snapshots());
        range.map(RangeInclusive::into_inner)
    }

    #[test]
    fn interval_includes_both_ends_and_skips_snapshots_that_do_not_exist() {
        let cases = [
            ("", Some((1, 10))),
            ("1..NOW", Some((1, 10))),
            ("..", Some((10, 10))),
            ("NOW", Some((10, 10))),
            ("now", Some((10, 10))),
            ("5", Some((5, 5))),
            ("~2", Some((8, 8))),
            ("3..5", Some((3, 5))),
            ("5..3", Some((3, 5))),
            ("~3..NOW", Some((7, 10))),
            ("~3..~1", Some((7, 9))),
            ("8..", Some((8, 10))),
            ("..8", Some((8, 10))),
            ("8..99", Some((8, 10))),
            ("0..2", Some((1, 2))),
            ("~99..2", Some((1, 2))),
            ("11..99", None),
            ("11..NOW", None),
            ("11..9", None),
            ("~99..~10", None),
            ("-2..-1", Some((9, 10))),
            ("@{2023-10-02T02:30:00}..@{2.hours.ago}", Some((3, 9))),
            ("@{2020-01-01T00:00:00}..2", Some((1, 2))),
            ("-9223372036854775808..9223372036854775807", Some((1, 10))),
        ];
        for (text, range) in cases {
            assert_eq!(resolve_in_ten(&text.parse().unwrap()), range, "{text}");
        }
        for text in ["x", "1..x", "1..2..3", "1...3", "1-3", "1,3", " 1..2"] {
            let refused = text.parse::<Interval>();
            assert_eq!(refused, Err(ParseIntervalError::Malformed(text.to_owned())));
        }
    }

    #[test]
    fn interval_end_is_an_index_now_a_duration_before_now_or_unix_seconds() {
        let cases = [
            ("1", "NOW", Some((1, 10))),
            ("5", "7", Some((5, 7))),
            ("-2", "-1", Some((9, 10))),
            // On the hour of the second, and after it.
            ("1696208400", "NOW", Some((2, 10))),
            ("1696208400.5", "NOW", Some((3, 10))),
            ("1", "1696208400", Some((1, 2))),
            ("1", "1696208399.5", Some((1, 1))),
            ("2hours", "1h", Some((9, 10))),
            ("30mins", "NOW", None),
            ("1week", "1day", None),
        ];
        for (start, end, range) in cases {
            let interval = Interval { from: start.parse().unwrap(), to: end.parse().unwrap() };
            assert_eq!(resolve_in_ten(&interval), range, "{start} to {end}");
        }
        for text in ["", "x", "NaN", "inf", "1h ago", "#1", "~1", "@{now}"] {
            let refused = text.parse::<Bound>();
            assert_eq!(refused, Err(ParseIntervalError::MalformedBound(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn an_interval_yields_only_existing_snapshots(
            text in "[~-]?[0-9]{0,20}(\\.\\.)?[~-]?[0-9]{0,20}|.{0,20}", count in 0..20_u16,
        ) {
            let timeline = Recorded((0..count).map(f64::from).collect(), 20.0);
            if let Ok(interval) = text.parse::<Interval>()
                && let Ok(Some(range)) = interval.resolve(&timeline)
            {
                prop_assert!(1 <= *range.start());
                prop_assert!(range.start() <= range.end());
                prop_assert!(*range.end() <= u32::from(count));
            }
        }
    }
}
