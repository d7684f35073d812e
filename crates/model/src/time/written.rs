//! The forms of a time.

use std::str::FromStr;

use jiff::civil::{Date, Time};
use jiff::fmt::strtime;
use jiff::tz::Offset;
use jiff::{Span, SpanFieldwise, Timestamp};

use super::TimeError;
use super::display::is_abbreviation;
use crate::duration::parse_span;

/// A time as a person writes it. To resolve it, the time zone and the current time may be needed. Its
/// forms are:
///
/// - `2026-11-26T15:00:00Z`, `2026-11-26 16:00+01:00`: with an offset;
/// - `2026-11-26 16:00`, `2026-11-26T16:00:00`: in the zone of the output; a date alone is the start
///   of the day;
/// - `Thu, 26 Nov 2026 16:00:00 CET`, `2026-11-26 16:00 CET`: as times are printed, with `UTC`, an
///   offset, or what that zone is called at that time;
/// - `1764169200.5`: seconds since the Unix epoch with ten digits or more, as in JSON;
/// - `yesterday`, `yesterday 14:05`, `today 09:00`;
/// - `2 hours ago`, `2.hours.ago`, `12h`: so long before now, by the calendar;
/// - `now`.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenTime {
    pub(super) text: String,
    pub(crate) kind: Kind,
}

/// Which form a [`WrittenTime`] has, with the values parsed from its text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Now,
    At(Timestamp),
    /// A date and a time; without a time it is the start of the day.
    Civil(Date, Option<Time>, Zone),
    /// The same on the day so many days ago.
    DaysAgo(i32, Option<Time>, Zone),
    /// So long before now.
    Ago(SpanFieldwise),
}

/// The zone of a written time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// None was written.
    Output,
    Fixed(Offset),
    /// An abbreviation, padded with zeros.
    Named([u8; 6]),
}

impl WrittenTime {
    /// Whether it is `now`.
    pub fn is_now(&self) -> bool {
        self.kind == Kind::Now
    }
}

impl FromStr for WrittenTime {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        // The age after a printed time.
        let text = text.split(" • ").next().unwrap_or_default().trim();
        let kind =
            parse_relative(text).or_else(|| parse_absolute(text)).ok_or(TimeError::Malformed)?;
        Ok(Self { text: text.to_owned(), kind })
    }
}

/// `now`, `today 09:00`, `yesterday`, `2 hours ago` or `12h`.
fn parse_relative(text: &str) -> Option<Kind> {
    let lower = text.to_ascii_lowercase();
    if lower == "now" {
        return Some(Kind::Now);
    }
    for (word, days) in [("today", 0), ("yesterday", 1)] {
        let Some(rest) = lower.strip_prefix(word) else { continue };
        // The case of the zone's name counts.
        let rest = &text[text.len() - rest.len()..];
        if rest.is_empty() {
            return Some(Kind::DaysAgo(days, None, Zone::Output));
        }
        let (time, zone) = split_zone(rest.strip_prefix(' ')?.trim_start());
        let time = if time.is_empty() { None } else { Some(time_of_day(time)?) };
        return Some(Kind::DaysAgo(days, time, zone));
    }
    parse_age(&lower).filter(|span| span.is_positive()).map(|span| Kind::Ago(span.fieldwise()))
}

/// `2 hours ago`, `2.hours.ago` or `12h`.
fn parse_age(text: &str) -> Option<Span> {
    if let Some((count, unit)) = text.strip_suffix(".ago").and_then(|ago| ago.split_once('.')) {
        let is_count = count.bytes().all(|byte| byte.is_ascii_digit());
        return parse_span(&format!("{count} {unit}")).filter(|_| is_count);
    }
    // 12:00 is no age of twelve hours.
    parse_span(text.strip_suffix(" ago").unwrap_or(text)).filter(|_| !text.contains(':'))
}

/// Seconds since the Unix epoch, or a date with or without a time of day and a zone.
fn parse_absolute(text: &str) -> Option<Kind> {
    if let Some(time) = unix_seconds(text) {
        return Some(Kind::At(time));
    }
    if let Ok(time) = text.parse() {
        return Some(Kind::At(time));
    }
    let (civil, zone) = split_zone(text);
    for format in ["%a, %d %b %Y %H:%M:%S", "%a, %d %b %Y %H:%M"] {
        if let Ok(time) = strtime::parse(format, civil).and_then(|parsed| parsed.to_datetime()) {
            return Some(Kind::Civil(time.date(), Some(time.time()), zone));
        }
    }
    // jiff's civil times ignore an offset, and a time zone in brackets.
    let (date, time) = civil.split_once(['T', 't', ' ']).unwrap_or((civil, ""));
    let is_plain = |text: &str, other| text.bytes().all(|it| it.is_ascii_digit() || it == other);
    if !is_plain(date, b'-') || !date.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    if time.is_empty() {
        return (date.len() == civil.len())
            .then(|| date.parse().ok())
            .flatten()
            .map(|date| Kind::Civil(date, None, zone));
    }
    Some(Kind::Civil(date.parse().ok()?, Some(time_of_day(time)?), zone))
}

/// `16:00`, `16:00:00` or with a fraction.
fn time_of_day(text: &str) -> Option<Time> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || b":.".contains(&byte));
    text.parse().ok().filter(|_| is_plain && text.contains(':'))
}

/// Seconds since the Unix epoch, with ten to twelve digits: fewer could be a date.
fn unix_seconds(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !(10..=12).contains(&whole.len()) || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let nanos = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Timestamp::new(whole.parse().ok()?, nanos).ok()
}

/// The text without the zone at its end, and the zone.
fn split_zone(text: &str) -> (&str, Zone) {
    let (before, last) = text.rsplit_once(' ').unwrap_or(("", text));
    let zone = match last {
        "Z" | "z" | "UTC" | "GMT" => Some(Zone::Fixed(Offset::UTC)),
        name if is_abbreviation(name) => {
            let mut padded = [0; 6];
            padded[..name.len()].copy_from_slice(name.as_bytes());
            Some(Zone::Named(padded))
        }
        offset => numeric_offset(offset).map(Zone::Fixed),
    };
    zone.map_or((text, Zone::Output), |zone| (before.trim_end(), zone))
}

/// `+01:00`, `+0100` or `-03`.
fn numeric_offset(text: &str) -> Option<Offset> {
    if !text.starts_with(['+', '-']) {
        return None;
    }
    // jiff reads offsets only behind a time.
    let time: Timestamp = format!("2000-01-01T00:00:00{text}").parse().ok()?;
    let midnight = 946_684_800;
    Offset::from_seconds(i32::try_from(midnight - time.as_second()).ok()?).ok()
}
