//! Points in time, as expressions name them.

use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{Span, SpanFieldwise, Timestamp};

use super::Timeline;
use crate::duration::{parse_span, seconds_before};
use crate::time::{Kind, WrittenTime};

/// A point in time: absolute, or relative to the time of the request.
#[derive(Debug, Clone, PartialEq)]
pub enum TimePoint {
    /// The time of the request.
    Now,
    /// Seconds since the Unix epoch.
    At(f64),
    /// This long before the time of the request, by the calendar in UTC.
    Ago(SpanFieldwise),
    /// A time of the day of the request or the day before it, in UTC.
    Written(Box<WrittenTime>),
}

impl TimePoint {
    /// In seconds since the Unix epoch. `Now` is after everything that was recorded, even if the
    /// clock was set back since.
    pub fn seconds(&self, now: f64) -> f64 {
        match self {
            Self::Now => f64::INFINITY,
            Self::At(seconds) => *seconds,
            Self::Ago(SpanFieldwise(span)) => seconds_before(*span, now),
            Self::Written(written) => {
                #[expect(clippy::cast_possible_truncation, reason = "whole seconds, of a clock")]
                let now = Timestamp::from_second(now.floor() as i64).unwrap_or_default();
                let time = written.resolve(now, &TimeZone::UTC);
                time.map_or(f64::NEG_INFINITY, |time| time.as_duration().as_secs_f64())
            }
        }
    }

    /// How many snapshots were recorded by then.
    ///
    /// A time without a fraction means the end of its second: times are printed so, and the printed
    /// time of a snapshot has to find it.
    pub(super) fn count_recorded<T: Timeline>(&self, timeline: &T) -> Result<u32, T::Error> {
        let seconds = self.seconds(timeline.now());
        match self {
            Self::At(_) | Self::Written(_) if seconds.fract() == 0.0 => {
                timeline.before(seconds + 1.0)
            }
            _ => timeline.until(seconds),
        }
    }

    /// The text between the braces of `@{…}`: [any time](WrittenTime), in UTC if it names no zone.
    pub fn from_braces(text: &str) -> Option<Self> {
        let written: WrittenTime = text.parse().ok()?;
        Some(match written.kind {
            Kind::Now => Self::Now,
            Kind::Ago(span) => Self::Ago(span),
            // It has to be a time in UTC at any time of a request.
            _ => {
                let time = written.resolve(Timestamp::UNIX_EPOCH, &TimeZone::UTC).ok()?;
                match written.kind {
                    Kind::DaysAgo(..) => Self::Written(Box::new(written)),
                    _ => Self::At(time.as_duration().as_secs_f64()),
                }
            }
        })
    }

    /// `None` unless the span is positive.
    fn ago(span: Span) -> Option<Self> {
        span.is_positive().then_some(Self::Ago(span.fieldwise()))
    }
}

/// `1hour`, `1h`, `2days` or `30mins` before now, as the start or the end of an interval.
impl FromStr for TimePoint {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        parse_span(text).and_then(Self::ago).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2023-10-31T12:00:00.5Z.
    const NOW: f64 = 1_698_753_600.5;

    #[test]
    fn time_in_braces_is_absolute_or_relative_to_now() {
        let cases = [
            ("now", f64::INFINITY),
            ("2023-10-02T12:00:00", 1_696_248_000.0),
            ("2023-10-02T12:00:00Z", 1_696_248_000.0),
            ("2023-10-02T14:00:00+02:00", 1_696_248_000.0),
            ("2023-10-02", 1_696_204_800.0),
            ("2023-10-02 12:00", 1_696_248_000.0),
            ("Mon, 02 Oct 2023 12:00:00 UTC", 1_696_248_000.0),
            ("yesterday 12:00", 1_698_667_200.0),
            ("today", 1_698_710_400.0),
            ("2 hours ago", NOW - 7_200.0),
            ("1969-12-31T23:59:59", -1.0),
            ("1.hour.ago", NOW - 3_600.0),
            ("2.hours.ago", NOW - 7_200.0),
            ("1.day.ago", NOW - 86_400.0),
            ("10.days.ago", NOW - 864_000.0),
            ("1.week.ago", NOW - 604_800.0),
            ("2.weeks.ago", NOW - 1_209_600.0),
            // 2023-09-30 and 2023-02-28, at the same time of the day.
            ("1.month.ago", 1_696_075_200.5),
            ("8.months.ago", 1_677_585_600.5),
            ("200000.months.ago", f64::NEG_INFINITY),
        ];
        for (text, seconds) in cases {
            let found = TimePoint::from_braces(text).unwrap().seconds(NOW);
            let is_same = found.total_cmp(&seconds).is_eq() || (found - seconds).abs() < 1e-6;
            assert!(is_same, "{text} {found}");
        }
    }

    #[test]
    fn malformed_time_in_braces_is_rejected() {
        for text in [
            "",
            "tomorrow",
            "0.hours.ago",
            "-1.hours.ago",
            "+1.hours.ago",
            "1.5.hours.ago",
            "2.fortnights.ago",
            "2.fortnights",
            "4294967296.hours.ago",
            "2023-10-02 12:00 CET",
            "2023-02-29T12:00:00",
            "12:00:00",
        ] {
            assert_eq!(TimePoint::from_braces(text), None, "{text}");
        }
    }

    #[test]
    fn bare_duration_is_a_time_point_that_long_before_now() {
        for (text, before) in
            [("1h", 3_600.0), ("1hour", 3_600.0), ("30mins", 1_800.0), ("2days", 172_800.0)]
        {
            let point: TimePoint = text.parse().unwrap();
            assert!((NOW - point.seconds(NOW) - before).abs() < 1e-6, "{text}");
        }
        for text in ["", "1", "h", "0h", "-1h", "1h ago", "é"] {
            assert_eq!(text.parse::<TimePoint>(), Err(()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn parsing_a_time_point_never_panics(
            text in "[0-9]{0,12}.{0,12}|[0-9-]{0,20}T[0-9:.]{0,20}", now: f64,
        ) {
            for point in [TimePoint::from_braces(&text), text.parse().ok()].into_iter().flatten() {
                let _ = point.seconds(now);
            }
        }
    }
}
