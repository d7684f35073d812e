//! Times as they are printed: each is valid input, and means the same again.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

/// Abbreviations that zones with different offsets share: China, Cuba and Chicago all have CST. For
/// these the offset is printed.
const SHARED_ABBREVIATIONS: [&str; 5] = ["CDT", "CST", "IST", "PDT", "PST"];

/// `Sat, 20 Aug 2022 22:32:43 CEST`, to the second.
pub fn format_time(time: Timestamp, zone: &TimeZone) -> String {
    let civil = zone.to_datetime(time);
    format!("{} {}", civil.strftime("%a, %d %b %Y %H:%M:%S"), zone_label(time, zone))
}

/// `2026-11-26 16:00 CET = 15:00 UTC`: in the time zone and in UTC, with the date in UTC if it is
/// another one; in UTC only if that is the time zone.
pub fn format_in_both(time: Timestamp, zone: &TimeZone) -> String {
    let (local, utc) = (zone.to_datetime(time), Offset::UTC.to_datetime(time));
    let label = zone_label(time, zone);
    let first = format!("{} {} {label}", local.date(), clock_time(local));
    if label == "UTC" {
        return first;
    }
    let day = if utc.date() == local.date() { String::new() } else { format!("{} ", utc.date()) };
    format!("{first} = {day}{} UTC", clock_time(utc))
}

/// The abbreviation of the zone at that time, such as `CET`, or its offset if the abbreviation is not
/// unique.
pub(super) fn zone_label(time: Timestamp, zone: &TimeZone) -> String {
    let info = zone.to_offset_info(time);
    let (name, offset) = (info.abbreviation(), info.offset());
    match name {
        "UTC" if offset == Offset::UTC => name.to_owned(),
        "UTC" | "GMT" if offset != Offset::UTC => format_offset(offset),
        name if is_abbreviation(name) && !SHARED_ABBREVIATIONS.contains(&name) => name.to_owned(),
        _ => format_offset(offset),
    }
}

/// `+01:00`
fn format_offset(offset: Offset) -> String {
    let seconds = offset.seconds();
    let (sign, all) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs());
    let [hours, minutes, seconds] = [all / 3_600, all / 60 % 60, all % 60];
    let rest = if seconds == 0 { String::new() } else { format!(":{seconds:02}") };
    format!("{sign}{hours:02}:{minutes:02}{rest}")
}

/// Whether a text may abbreviate a time zone: two to six letters, since one would be a military zone.
pub(super) fn is_abbreviation(text: &str) -> bool {
    (2..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// `16:00`, and with seconds and their fraction if they are not 0.
pub(super) fn clock_time(time: DateTime) -> String {
    if time.second() == 0 && time.subsec_nanosecond() == 0 {
        time.strftime("%H:%M").to_string()
    } else {
        time.strftime("%H:%M:%S%.f").to_string()
    }
}
