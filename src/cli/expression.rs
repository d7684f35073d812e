//! Syntax of snapshots and intervals on the command line.

use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::terminal::{Terminal, time_zone};
use crate::api::wire::is_environment_name;
use envsnap_model::expression::{Interval, Snappish};
use envsnap_model::time::{TimeError, WrittenTime, format_in_both, parse_time};

/// How a snapshot is written, for help and errors.
pub(super) const SNAPSHOT_SYNTAX: &str = "\
A snapshot is written as one of
  NAME                         the latest one of environment NAME
  NAME#N                       the one with index N, from 1; below 0 from the end: #-1 the latest
  NAME~N                       N behind the latest
  NAME@{2026-11-26 16:00}      the one that was the latest then
  NAME@{2.hours.ago}           the same; also minutes, days, weeks, months and years
  NAME@{now}                   the latest one
A time is a date, a date and a time, also with UTC or an offset (2026-11-26T15:00:00Z), a time as it
is printed, yesterday 14:05, today 09:00, 2 hours ago or now. Without a zone it is in the zone of the
output (TZ), and without a fraction it is the end of its second. A time that did not exist, or
occurred twice, because the clock was set is refused.";

/// How an interval of snapshots is written, for errors.
const INTERVAL_SYNTAX: &str = "\
An interval is A..B, where A and B each are
  N      the snapshot with index N, from 1
  ~N     N behind the latest (in quotes: some shells read ~ as a home)
  NOW    the latest; it may be left out, as in 60..
or one of these alone, for one snapshot";

/// A snapshot as it is named on the command line: an environment and an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SnapshotName {
    pub(super) environment: String,
    /// As it follows the name: `#65`, or `-1` for the latest. A time is in UTC.
    pub(super) expression: String,
    /// The requested time, unless it is the current one.
    pub(super) time: Option<Timestamp>,
    text: String,
}

impl SnapshotName {
    /// The requested time, at the end of its second unless it has a fraction.
    pub(super) fn moment(&self) -> Option<Timestamp> {
        self.time.map(end_of_second)
    }

    /// The name and the expression in one, as the server reads it.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Self, String> {
        let (text, time) = match text.split_once('@') {
            Some((name, rest)) if rest.starts_with('{') => {
                let (expression, time) = resolve_time(&format!("@{rest}"), now, zone)
                    .map_err(|error| format!("{error}.\n\n{SNAPSHOT_SYNTAX}"))?;
                (format!("{name}{expression}"), time)
            }
            _ => (text.to_owned(), None),
        };
        let Snappish { environment, expression } =
            text.parse().map_err(|_| format!("it is not a snapshot.\n\n{SNAPSHOT_SYNTAX}"))?;
        let environment = environment_name(&environment)
            .map_err(|error| format!("{error}.\n\n{SNAPSHOT_SYNTAX}"))?;
        let expression = match expression.to_string() {
            latest if latest.is_empty() => "-1".to_owned(),
            expression => expression,
        };
        Ok(Self { environment, expression, time, text })
    }
}

impl FromStr for SnapshotName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, Timestamp::now(), &time_zone())
    }
}

/// Replaces the time in `@{…}` by the same time as every server reads it: in UTC, to the second
/// unless a fraction was written. Returns the time, too. `@{now}` and other expressions stay as they
/// are.
fn resolve_time(
    text: &str,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<(String, Option<Timestamp>), TimeError> {
    let Some(time) = text.strip_prefix("@{").and_then(|text| text.strip_suffix('}')) else {
        return Ok((text.to_owned(), None));
    };
    let written: WrittenTime = time.parse()?;
    if written.is_now() {
        return Ok(("@{now}".to_owned(), None));
    }
    let time = written.resolve(now, zone)?;
    // `2 hours ago` is not meant to the nanosecond.
    let time = if time.subsec_nanosecond() == now.subsec_nanosecond() {
        Timestamp::from_second(time.as_second()).unwrap_or(time)
    } else {
        time
    };
    Ok((format!("@{{{}}}", time.strftime("%Y-%m-%dT%H:%M:%S%.f")), Some(time)))
}

/// A time without a fraction, moved to the end of its second: printed times are cut to seconds, and the
/// printed time of a snapshot is to find that snapshot.
pub(super) fn end_of_second(time: Timestamp) -> Timestamp {
    // Snapshots are recorded to the microsecond.
    let end = time.checked_add(SignedDuration::from_micros(999_999)).unwrap_or(time);
    if time.subsec_nanosecond() == 0 { end } else { time }
}

/// Parses the value of an option that takes a time; without a zone it is in the zone of the output.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    parse_time(text, Timestamp::now(), &time_zone()).map_err(|error| error.to_string())
}

/// The requested times, in the zone of the output and in UTC, as the first line of an
/// answer: `2026-11-26 16:00 CET = 15:00 UTC`. Empty if there is none.
pub(super) fn first_line(
    times: impl IntoIterator<Item = (&'static str, Option<Timestamp>)>,
    terminal: &Terminal,
) -> String {
    let described: Vec<_> = times
        .into_iter()
        .filter_map(|(word, time)| {
            let time = time?;
            let future = if time > terminal.now { " (in the future)" } else { "" };
            Some(format!("{word}{}{future}", format_in_both(time, &terminal.zone)))
        })
        .collect();
    if described.is_empty() { String::new() } else { format!("{}\n\n", described.join(", ")) }
}

/// Parses the name of an environment; a snapshot of it (`aws-prod#65`) is rejected.
pub(super) fn environment_name(text: &str) -> Result<String, String> {
    if is_environment_name(text) {
        return Ok(text.to_owned());
    }
    Err(if text.contains(['#', '~', '@']) {
        "this takes the name of an environment alone, without a snapshot".to_owned()
    } else {
        "an environment's name has letters, digits, dots, hyphens and underscores, and begins with a \
         letter or digit"
            .to_owned()
    })
}

/// Parses an interval of snapshots (`A..B`); times in it are converted to UTC, as every server reads
/// them.
pub(super) fn interval(text: &str) -> Result<String, String> {
    interval_at(text, Timestamp::now(), &time_zone())
}

fn interval_at(text: &str, now: Timestamp, zone: &TimeZone) -> Result<String, String> {
    let ends = text.split("..").map(|end| resolve_time(end, now, zone).map(|(end, _)| end));
    let ends = ends.collect::<Result<Vec<_>, _>>();
    let resolved = ends.map_err(|error| format!("{error}.\n\n{INTERVAL_SYNTAX}"))?.join("..");
    match resolved.parse::<Interval>() {
        Ok(_) => Ok(resolved),
        Err(_) => Err(format!("it is not an interval.\n\n{INTERVAL_SYNTAX}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::tests::berlin;

    #[test]
    fn snapshot_name_is_split_into_environment_and_expression() {
        for (text, environment, expression) in [
            ("aws-prod", "aws-prod", "-1"),
            ("aws-prod#65", "aws-prod", "#65"),
            ("aws-prod#-1", "aws-prod", "#-1"),
            ("aws-prod~2", "aws-prod", "~2"),
            ("aws-prod@{now}", "aws-prod", "@{now}"),
        ] {
            let name: SnapshotName = text.parse().unwrap();
            assert_eq!((&*name.environment, &*name.expression), (environment, expression));
            assert_eq!((name.as_str(), name.time), (text, None));
        }
    }

    #[test]
    fn local_time_in_snapshot_name_is_sent_in_utc_and_printed_in_both_zones() {
        let terminal = berlin();
        for (text, sent, echoed) in [
            ("2022-08-22 11:39", "2022-08-22T09:39:00", "2022-08-22 11:39 CEST = 09:39 UTC"),
            (
                "Mon, 22 Aug 2022 11:39:22 CEST",
                "2022-08-22T09:39:22",
                "2022-08-22 11:39:22 CEST = 09:39:22 UTC",
            ),
            (
                "1661161162.48",
                "2022-08-22T09:39:22.48",
                "2022-08-22 11:39:22.48 CEST = 09:39:22.48 UTC",
            ),
            ("2.hours.ago", "2022-09-02T10:00:00", "2022-09-02 12:00 CEST = 10:00 UTC"),
            (
                "2022-09-02 15:00",
                "2022-09-02T13:00:00",
                "2022-09-02 15:00 CEST = 13:00 UTC (in the future)",
            ),
        ] {
            let text = format!("aws-prod@{{{text}}}");
            let name = SnapshotName::parse(&text, terminal.now, &terminal.zone).unwrap();
            assert_eq!(name.expression, format!("@{{{sent}}}"));
            assert_eq!(name.as_str(), format!("aws-prod@{{{sent}}}"));
            assert_eq!(first_line([("", name.time)], &terminal), format!("{echoed}\n\n"));
        }
        let interval = interval_at("@{2022-08-22 11:39}..~1", terminal.now, &terminal.zone);
        assert_eq!(interval.as_deref(), Ok("@{2022-08-22T09:39:00}..~1"));
        let skipped = SnapshotName::parse("e@{2022-03-27 02:30}", terminal.now, &terminal.zone);
        assert!(skipped.unwrap_err().contains("did not exist"));
    }

    #[test]
    fn invalid_snapshot_name_is_rejected_with_the_syntax() {
        for text in ["", "#-1", "aws-prod#", "aws-prod#x", "aws prod#1", "aws-prod@{never}", "a/b"]
        {
            let error = text.parse::<SnapshotName>().unwrap_err();
            assert!(error.contains("NAME@{2.hours.ago}"), "{text}: {error}");
        }
        assert!(environment_name("aws-prod#1").unwrap_err().contains("alone"));
    }

    #[test]
    fn interval_has_one_or_two_ends_and_else_is_rejected_with_the_syntax() {
        for text in ["1..", "~3..NOW", "60..66", "..", "65", "-3..-1"] {
            assert_eq!(interval(text).as_deref(), Ok(text));
        }
        for text in ["1..x", "1-2", "1...3", "yesterday"] {
            assert!(interval(text).unwrap_err().contains("60.."), "{text}");
        }
    }
}
