//! The one time that a written time means.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, SpanFieldwise, Timestamp, ToSpan as _};

use super::TimeError;
use super::display::clock_time;
use super::written::{Kind, WrittenTime, Zone};

impl WrittenTime {
    /// The one time that the written text means at `now`, in `zone` if it names no zone.
    ///
    /// # Errors
    /// The time did not exist in `zone`, or occurred twice there: either could be meant, and the
    /// wrong one would be an hour away. Or another zone is named.
    pub fn resolve(&self, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, TimeError> {
        match self.kind {
            Kind::Now => Ok(now),
            Kind::At(time) => Ok(time),
            Kind::Civil(date, time, named) => resolve_civil(date, time, named, zone),
            Kind::DaysAgo(days, time, named) => {
                let today = match named {
                    Zone::Fixed(offset) => offset.to_datetime(now),
                    _ => zone.to_datetime(now),
                };
                let date = today.date().checked_sub(days.days());
                resolve_civil(date.map_err(|_| TimeError::OutOfRange)?, time, named, zone)
            }
            Kind::Ago(SpanFieldwise(span)) => {
                let before = now.to_zoned(zone.clone()).checked_sub(span);
                before.map(|time| time.timestamp()).map_err(|_| TimeError::OutOfRange)
            }
        }
    }
}

/// A date and a time in the `named` zone, or in `zone` if none was written; without a time, the start
/// of that day.
fn resolve_civil(
    date: Date,
    time: Option<Time>,
    named: Zone,
    zone: &TimeZone,
) -> Result<Timestamp, TimeError> {
    let at = date.to_datetime(time.unwrap_or(Time::midnight()));
    match named {
        Zone::Fixed(offset) => timestamp(at, offset),
        Zone::Named(padded) => resolve_with_abbreviation(at, padded, zone),
        Zone::Output => match zone.to_ambiguous_timestamp(at).offset() {
            AmbiguousOffset::Unambiguous { offset } => timestamp(at, offset),
            // The day starts then: a date names no time.
            AmbiguousOffset::Gap { before, .. } | AmbiguousOffset::Fold { before, .. }
                if time.is_none() =>
            {
                let start = timestamp(at, before)?;
                Ok(match zone.to_ambiguous_timestamp(at).offset() {
                    AmbiguousOffset::Gap { .. } => last_change(start, zone),
                    _ => start,
                })
            }
            AmbiguousOffset::Gap { before, .. } => Err(skipped_error(at, before, zone)?),
            AmbiguousOffset::Fold { before, after } => {
                let first = (timestamp(at, before)?, before);
                let second = (timestamp(at, after)?, after);
                Err(TimeError::repeated(format_civil(at), [first, second], zone))
            }
        },
    }
}

/// The local time `at`, if `zone` has this abbreviation then, which is padded with zeros. An abbreviation
/// alone is not enough: it means other offsets elsewhere, and in other years.
fn resolve_with_abbreviation(
    at: DateTime,
    padded: [u8; 6],
    zone: &TimeZone,
) -> Result<Timestamp, TimeError> {
    let bytes: Vec<_> = padded.into_iter().filter(|byte| *byte != 0).collect();
    let name = String::from_utf8(bytes).map_err(|_| TimeError::Malformed)?;
    let offsets = match zone.to_ambiguous_timestamp(at).offset() {
        AmbiguousOffset::Unambiguous { offset } => vec![offset],
        AmbiguousOffset::Gap { before, .. } => return Err(skipped_error(at, before, zone)?),
        AmbiguousOffset::Fold { before, after } => vec![before, after],
    };
    let times = offsets.iter().map(|offset| timestamp(at, *offset).map(|time| (time, *offset)));
    let times = times.collect::<Result<Vec<_>, _>>()?;
    let is_named =
        |(time, _): &&(Timestamp, Offset)| zone.to_offset_info(*time).abbreviation() == name;
    match times.iter().filter(is_named).collect::<Vec<_>>()[..] {
        [] => Err(TimeError::other_zone(&name, times[0].0, zone)),
        [(time, _)] => Ok(*time),
        [first, second, ..] => Err(TimeError::repeated(format_civil(at), [*first, *second], zone)),
    }
}

fn timestamp(at: DateTime, offset: Offset) -> Result<Timestamp, TimeError> {
    offset.to_timestamp(at).map_err(|_| TimeError::OutOfRange)
}

/// The error for a local time that the clock skipped; `before` is the offset before that.
fn skipped_error(at: DateTime, before: Offset, zone: &TimeZone) -> Result<TimeError, TimeError> {
    let after_the_change = timestamp(at, before)? + SignedDuration::from_secs(1);
    Ok(TimeError::skipped(format_civil(at), after_the_change, zone))
}

/// The last change of the clock up to `time`; `time` itself if there was none.
fn last_change(time: Timestamp, zone: &TimeZone) -> Timestamp {
    let up_to = time.checked_add(SignedDuration::from_secs(1)).unwrap_or(time);
    zone.preceding(up_to).next().map_or(time, |change| change.timestamp())
}

/// `2026-11-26 16:00`
fn format_civil(at: DateTime) -> String {
    format!("{} {}", at.date(), clock_time(at))
}
