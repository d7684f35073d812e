use jiff::SignedDuration;
use jiff::tz::TimeZoneDatabase;
use proptest::prelude::*;

use super::*;

fn zone(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(name).unwrap()
}

/// The current time in these tests: Thursday, 16:30 in Berlin.
const NOW: &str = "2026-11-26T15:30:00Z";

/// The time that `text` means at [`NOW`], in UTC, or the message of the error.
fn parsed(text: &str, zone: &TimeZone) -> Result<String, String> {
    let time = parse_time(text, NOW.parse().unwrap(), zone);
    time.map(|time| time.to_string()).map_err(|error| error.to_string())
}

#[test]
fn every_time_format_is_parsed_in_berlin_and_skipped_or_repeated_times_are_refused() {
    let berlin = zone("Europe/Berlin");
    let skipped = "the clock was set from 02:00 CET to 03:00 CEST in Europe/Berlin";
    let repeated = "02:30 CEST = 00:30 UTC, and 02:30 CET = 01:30 UTC";
    let cases = [
        ("2026-11-26T16:00:00", Ok("2026-11-26T15:00:00Z")),
        ("2026-11-26 16:00:00", Ok("2026-11-26T15:00:00Z")),
        ("2026-11-26T16:00", Ok("2026-11-26T15:00:00Z")),
        ("2026-11-26 16:00", Ok("2026-11-26T15:00:00Z")),
        ("2026-11-26", Ok("2026-11-25T23:00:00Z")),
        ("2026-07-26 16:00", Ok("2026-07-26T14:00:00Z")),
        ("2026-11-26T16:00:00Z", Ok("2026-11-26T16:00:00Z")),
        ("2026-11-26 16:00Z", Ok("2026-11-26T16:00:00Z")),
        ("2026-11-26 16:00 UTC", Ok("2026-11-26T16:00:00Z")),
        ("2026-11-26T16:00:00.25-05:00", Ok("2026-11-26T21:00:00.25Z")),
        ("2026-11-26 16:00 +0530", Ok("2026-11-26T10:30:00Z")),
        ("2026-11-26 16:00 CET", Ok("2026-11-26T15:00:00Z")),
        ("Thu, 26 Nov 2026 16:00:07 CET", Ok("2026-11-26T15:00:07Z")),
        ("Thu, 26 Nov 2026 16:00:07 CET • 30 minutes ago", Ok("2026-11-26T15:00:07Z")),
        ("1795705200.25", Ok("2026-11-26T15:00:00.25Z")),
        ("yesterday 14:05", Ok("2026-11-25T13:05:00Z")),
        ("Yesterday", Ok("2026-11-24T23:00:00Z")),
        ("today 09:00", Ok("2026-11-26T08:00:00Z")),
        ("yesterday 14:05 UTC", Ok("2026-11-25T14:05:00Z")),
        ("2 hours ago", Ok("2026-11-26T13:30:00Z")),
        ("2.hours.ago", Ok("2026-11-26T13:30:00Z")),
        ("30d", Ok("2026-10-27T15:30:00Z")),
        // By the calendar: over the night in October.
        ("5 weeks ago", Ok("2026-10-22T14:30:00Z")),
        ("now", Ok(NOW)),
        // The night in which the clock is set forward.
        ("2026-03-29 01:59:59", Ok("2026-03-29T00:59:59Z")),
        ("2026-03-29 02:00", Err(skipped)),
        ("2026-03-29 02:30", Err(skipped)),
        ("2026-03-29 02:30 CET", Err(skipped)),
        ("2026-03-29 03:00", Ok("2026-03-29T01:00:00Z")),
        ("2026-03-29 02:30+01:00", Ok("2026-03-29T01:30:00Z")),
        ("2026-03-29", Ok("2026-03-28T23:00:00Z")),
        // The one in which it is set back.
        ("2026-10-25 01:59:59", Ok("2026-10-24T23:59:59Z")),
        ("2026-10-25 02:30", Err(repeated)),
        ("2026-10-25 02:30 CEST", Ok("2026-10-25T00:30:00Z")),
        ("2026-10-25 02:30 CET", Ok("2026-10-25T01:30:00Z")),
        ("Sun, 25 Oct 2026 02:30:00 CET", Ok("2026-10-25T01:30:00Z")),
        ("2026-10-25 03:00", Ok("2026-10-25T02:00:00Z")),
        // Names that are wrong then, or there.
        ("2026-07-26 16:00 CET", Err("in Europe/Berlin at that time, but CEST")),
        ("2026-11-26 16:00 EST", Err("EST is not what the time zone is called")),
        ("Fri, 26 Nov 2026 16:00:07 CET", Err("not a time")),
    ];
    for (text, expected) in cases {
        match (parsed(text, &berlin), expected) {
            (found, Ok(expected)) => assert_eq!(found.as_deref(), Ok(expected), "{text}"),
            (Ok(found), Err(_)) => panic!("{text}: {found}"),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{text}: {error}"),
        }
    }
}

#[test]
fn text_in_no_supported_time_format_is_malformed() {
    for text in [
        "",
        " ",
        "yesterday14:05",
        "yesterday 14",
        "yesterday 25:00",
        "tomorrow",
        "ago",
        "hours ago",
        "0 hours ago",
        "-1 hours ago",
        "12:00:00",
        "2023-02-29T12:00:00",
        "2023-10-02T",
        "2023-10-02T CET",
        "2023-10-02T12:00:00[Europe/Berlin]",
        "2023-10-02T12:00:00+99:00",
        "2023-10-02 12:00 +",
        "26.11.2026",
        "11/26/2026",
        "169624800",
    ] {
        assert_eq!(text.parse::<WrittenTime>(), Err(TimeError::Malformed), "{text}");
    }
    let error = parsed("soon", &TimeZone::UTC).unwrap_err();
    assert!(error.contains("2026-11-26 16:00"), "{error}");
}

#[test]
fn date_alone_is_the_first_existing_moment_of_that_day_if_the_clock_changes_at_midnight() {
    let havana = zone("America/Havana");
    assert_eq!(parsed("2026-03-08", &havana).as_deref(), Ok("2026-03-08T05:00:00Z"));
    assert_eq!(parsed("2026-11-01", &havana).as_deref(), Ok("2026-11-01T04:00:00Z"));
}

/// Times around each change of the clock, and every 90 days, from 2020 to 2032.
fn sample_times(zone: &TimeZone) -> Vec<Timestamp> {
    let from: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
    let until: Timestamp = "2032-01-01T00:00:00Z".parse().unwrap();
    let mut times: Vec<_> =
        (0..48).map(|quarter| from + SignedDuration::from_hours(2_160 * quarter)).collect();
    for change in zone.following(from).take_while(|change| change.timestamp() < until) {
        for minutes in [-90, -30, -1, 0, 1, 30, 90] {
            times.push(change.timestamp() + SignedDuration::from_mins(minutes));
        }
    }
    times
}

#[test]
fn printed_time_parses_back_to_itself_and_each_zone_label_has_one_offset_in_all_zones() {
    let database = TimeZoneDatabase::bundled();
    let zones: Vec<_> = database.available().map(|name| zone(name.as_str())).collect();
    assert!(zones.len() > 400);
    let mut labels = std::collections::BTreeMap::new();
    for zone in &zones {
        for time in sample_times(zone) {
            for text in [format_time(time, zone), format_in_both(time, zone)] {
                let text = text.split(" = ").next().unwrap();
                let again = parse_time(text, time, zone);
                assert_eq!(again, Ok(time), "{text} in {:?}", zone.iana_name());
            }
            let offset = zone.to_offset(time);
            let other = *labels.entry(display::zone_label(time, zone)).or_insert(offset);
            assert_eq!(other, offset, "{} in {:?}", format_time(time, zone), zone.iana_name());
        }
    }
}

#[test]
fn format_in_both_prints_a_time_in_its_zone_and_in_utc() {
    let berlin = zone("Europe/Berlin");
    for (time, zone, expected) in [
        ("2026-11-26T15:00:00Z", &berlin, "2026-11-26 16:00 CET = 15:00 UTC"),
        ("2026-11-25T23:30:05Z", &berlin, "2026-11-26 00:30:05 CET = 2026-11-25 23:30:05 UTC"),
        ("2026-11-26T15:00:00Z", &TimeZone::UTC, "2026-11-26 15:00 UTC"),
    ] {
        assert_eq!(format_in_both(time.parse().unwrap(), zone), expected);
    }
}

#[test]
fn parse_unix_seconds_refuses_nan_infinity_and_text() {
    assert_eq!(parse_unix_seconds("1661161157.5"), Some(1_661_161_157.5));
    for text in ["", "NaN", "inf", "1e999", "soon"] {
        assert_eq!(parse_unix_seconds(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn parsing_any_text_as_a_time_or_http_date_never_panics(
        text in "[0-9-]{0,20}[T ][0-9:.]{0,20}( [A-Z+0-9:]{0,7})?|(yesterday|today) .{0,12}|.{0,20}",
        now in -100_000_000_000..100_000_000_000_i64,
    ) {
        let now = Timestamp::from_second(now).unwrap();
        let _ = parse_time(&text, now, &zone("Europe/Berlin"));
        let _ = parse_http_date(&text);
    }
}
