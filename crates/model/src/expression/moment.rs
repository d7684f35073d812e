//! Points in time, as expressions name them.

use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp};

/// A point in time: given, or reckoned from the moment of the request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Moment {
    /// The moment of the request.
    Now,
    /// Seconds since the Unix epoch.
    At(f64),
    /// So long before the moment of the request.
    Ago {
        /// How many units.
        count: u32,
        /// Of what.
        unit: Unit,
    },
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// So many seconds.
    Seconds(u32),
    /// Of the calendar, in UTC: a month before the 31st is the last day of the month before.
    Months,
}

impl Unit {
    const MINUTES: Self = Self::Seconds(60);
    const HOURS: Self = Self::Seconds(60 * 60);
    const DAYS: Self = Self::Seconds(24 * 60 * 60);
    const WEEKS: Self = Self::Seconds(7 * 24 * 60 * 60);
}

impl Moment {
    /// In seconds since the Unix epoch. Now is after everything that was recorded, even where the
    /// clock was set back since.
    pub fn seconds(self, now: f64) -> f64 {
        match self {
            Self::Now => f64::INFINITY,
            Self::At(seconds) => seconds,
            Self::Ago { count, unit: Unit::Seconds(each) } => {
                now - f64::from(count) * f64::from(each)
            }
            // As far back as the calendar does not go, nothing was recorded.
            Self::Ago { count, unit: Unit::Months } => {
                months_before(count, now).unwrap_or(f64::NEG_INFINITY)
            }
        }
    }

    /// What stands between the braces of `@{…}`: `now`, `2023-10-02T12:00:00` in UTC, or
    /// `2.hours.ago`.
    pub fn in_braces(text: &str) -> Option<Self> {
        if text == "now" {
            return Some(Self::Now);
        }
        if let Some((count, unit)) = text.strip_suffix(".ago").and_then(|ago| ago.split_once('.')) {
            let unit = match unit {
                "hour" | "hours" => Unit::HOURS,
                "day" | "days" => Unit::DAYS,
                "week" | "weeks" => Unit::WEEKS,
                "month" | "months" => Unit::Months,
                _ => return None,
            };
            return Some(Self::Ago { count: positive(count)?, unit });
        }
        // Not parsed as any date: an offset would be read over.
        let time = DateTime::strptime("%Y-%m-%dT%H:%M:%S", text).ok()?;
        let time = Offset::UTC.to_timestamp(time).ok()?;
        Some(Self::At(time.as_duration().as_secs_f64()))
    }
}

/// `1hour`, `1h`, `2days` or `30mins` before now, as the start or the end of an interval.
impl FromStr for Moment {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or(())?;
        let (count, unit) = text.split_at(digits);
        let unit = match unit {
            "m" | "min" | "mins" | "minute" | "minutes" => Unit::MINUTES,
            "h" | "hour" | "hours" => Unit::HOURS,
            "d" | "day" | "days" => Unit::DAYS,
            "w" | "week" | "weeks" => Unit::WEEKS,
            "month" | "months" => Unit::Months,
            _ => return Err(()),
        };
        Ok(Self::Ago { count: positive(count).ok_or(())?, unit })
    }
}

fn positive(digits: &str) -> Option<u32> {
    digits.parse().ok().filter(|count| *count > 0 && !digits.starts_with('+'))
}

fn months_before(count: u32, now: f64) -> Option<f64> {
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds, of a clock")]
    let whole = Timestamp::from_second(now.floor() as i64).ok()?;
    let span = Span::new().try_months(count).ok()?;
    let before = whole.to_zoned(TimeZone::UTC).checked_sub(span).ok()?;
    Some(before.timestamp().as_duration().as_secs_f64() + now.fract())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2023-10-31T12:00:00.5Z.
    const NOW: f64 = 1_698_753_600.5;

    #[test]
    fn a_moment_is_given_or_reckoned_from_the_request() {
        let cases = [
            ("now", f64::INFINITY),
            ("2023-10-02T12:00:00", 1_696_248_000.0),
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
            ("4294967295.months.ago", f64::NEG_INFINITY),
        ];
        for (text, seconds) in cases {
            let found = Moment::in_braces(text).unwrap().seconds(NOW);
            let is_same = found.total_cmp(&seconds).is_eq() || (found - seconds).abs() < 1e-6;
            assert!(is_same, "{text} {found}");
        }
    }

    #[test]
    fn anything_else_is_no_moment() {
        for text in [
            "",
            "NOW",
            "yesterday",
            "0.hours.ago",
            "-1.hours.ago",
            "+1.hours.ago",
            "1.5.hours.ago",
            "2.fortnights.ago",
            "4294967296.hours.ago",
            "2 hours ago",
            "2023-10-02T12:00:00Z",
            "2023-10-02T12:00:00+02:00",
            "2023-02-29T12:00:00",
            "2023-10-02",
            "12:00:00",
        ] {
            assert_eq!(Moment::in_braces(text), None, "{text}");
        }
    }

    #[test]
    fn a_distance_is_short_or_spelled_out() {
        for (text, before) in
            [("1h", 3_600.0), ("1hour", 3_600.0), ("30mins", 1_800.0), ("2days", 172_800.0)]
        {
            let moment: Moment = text.parse().unwrap();
            assert!((NOW - moment.seconds(NOW) - before).abs() < 1e-6, "{text}");
        }
        for text in ["", "1", "h", "0h", "1 h", "1y", "-1h", "é"] {
            assert_eq!(text.parse::<Moment>(), Err(()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9]{0,12}.{0,12}|[0-9-]{0,20}T[0-9:.]{0,20}", now: f64) {
            for moment in [Moment::in_braces(&text), text.parse().ok()].into_iter().flatten() {
                let _ = moment.seconds(now);
            }
        }
    }
}
