//! Why a text is not a time.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use super::TIME_EXAMPLES;
use super::display::{clock_time, zone_label};

/// Why a text does not mean exactly one time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// It has none of the forms.
    #[error("not a time such as {TIME_EXAMPLES}")]
    Malformed,
    /// The clock was set forward past it.
    #[error(
        "{written} did not exist: the clock was set from {from} to {to} {zone}. Write a time before or \
         after that"
    )]
    Skipped {
        /// The time as it was written.
        written: String,
        /// The last time before the clock was set.
        from: String,
        /// The first one after it.
        to: String,
        /// The time zone.
        zone: String,
    },
    /// The clock was set back over it.
    #[error(
        "{written} occurred twice, because the clock was set back {zone}: {first}, and {second}. Write \
         which one is meant, for example {example}"
    )]
    Repeated {
        /// The time as it was written.
        written: String,
        /// The first time, in the zone and in UTC.
        first: String,
        /// The second one.
        second: String,
        /// The time zone.
        zone: String,
        /// The first time, unambiguously.
        example: String,
    },
    /// The time zone does not have this name, or not at that time.
    #[error(
        "{name} is not what the time zone is called {zone} at that time, but {expected}. Write that, no \
         zone, UTC, or an offset such as +01:00"
    )]
    OtherZone {
        /// The name as it was written.
        name: String,
        /// The time zone.
        zone: String,
        /// Its name at that time.
        expected: String,
    },
    /// It is before the year -9999 or after 9999.
    #[error("outside of the calendar, which ends with the year 9999")]
    OutOfRange,
}

impl TimeError {
    /// The error for a local time that the last change of the clock before `from` skipped.
    pub(super) fn skipped(written: String, from: Timestamp, zone: &TimeZone) -> Self {
        let before = zone.preceding(from).next().map(|set| set.timestamp());
        let at = before.unwrap_or(from);
        let just_before = at - jiff::SignedDuration::from_nanos(1);
        let offset = zone.to_offset(just_before);
        Self::Skipped {
            written,
            from: format!(
                "{} {}",
                clock_time(offset.to_datetime(at)),
                zone_label(just_before, zone)
            ),
            to: format!("{} {}", clock_time(zone.to_datetime(at)), zone_label(at, zone)),
            zone: describe(zone),
        }
    }

    /// The error for a local time that occurred at both of these times, when the clock was set back.
    pub(super) fn repeated(
        written: String,
        times: [(Timestamp, Offset); 2],
        zone: &TimeZone,
    ) -> Self {
        let [first, second] = times.map(|(time, offset)| {
            format!(
                "{} {} = {} UTC",
                clock_time(offset.to_datetime(time)),
                zone_label(time, zone),
                clock_time(Offset::UTC.to_datetime(time))
            )
        });
        let (time, offset) = times[0];
        let civil = offset.to_datetime(time);
        let example =
            format!("\"{} {} {}\"", civil.date(), clock_time(civil), zone_label(time, zone));
        Self::Repeated { written, first, second, zone: describe(zone), example }
    }

    /// The error for an abbreviation that `zone` does not have at `time`.
    pub(super) fn other_zone(name: &str, time: Timestamp, zone: &TimeZone) -> Self {
        Self::OtherZone {
            name: name.to_owned(),
            zone: describe(zone),
            expected: zone_label(time, zone),
        }
    }
}

/// `in Europe/Berlin`, or `in the local time zone` if the zone has no IANA name.
fn describe(zone: &TimeZone) -> String {
    format!("in {}", zone.iana_name().unwrap_or("the local time zone"))
}
