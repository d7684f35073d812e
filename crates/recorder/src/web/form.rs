//! Forms: fields with their errors, in our own words and also without the script.

use envsnap_model::expression::Snappish;
use envsnap_model::time::parse_time;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::artifact_name::{escape_invisible, truncate};
use crate::http::request::Parameters;

/// The most characters of an input that an error message quotes.
pub(crate) const MAX_QUOTE_CHARS: usize = 100;
/// The most characters of a filter by name.
const MAX_FILTER_CHARS: usize = 256;

/// A text field of a form.
#[derive(Debug, Clone, Default)]
pub(crate) struct Field<'a> {
    /// Also its identifier on the page.
    pub(crate) name: &'a str,
    pub(crate) label: &'a str,
    pub(crate) value: String,
    pub(crate) placeholder: &'a str,
    /// A sentence without its final full stop.
    pub(crate) error: Option<String>,
}

impl Field<'_> {
    pub(crate) fn render(&self) -> Markup {
        let Self { name, label, value, placeholder, error } = self;
        let describes = format!("{name}-error");
        html! {
            div.field {
                label for=(name) { (label) }
                input id=(name) name=(name) value=(value) placeholder=(placeholder)
                    autocomplete="off" spellcheck="false"
                    autofocus=[error.as_ref().map(|_| "autofocus")]
                    aria-invalid=[error.as_ref().map(|_| "true")]
                    aria-describedby=[error.as_ref().map(|_| &describes)];
                @if let Some(error) = error {
                    p.error id=(describes) { bdi { (escape_invisible(error)) } "." }
                }
            }
        }
    }
}

/// The form that filters a list by a part of a name. `hidden` are the other parameters to keep.
pub(crate) fn name_filter(label: &str, value: &str, hidden: &[(&str, &str)]) -> Markup {
    html! {
        form.filter method="get" role="search" aria-label="Filter by name" {
            @for (name, value) in hidden { input type="hidden" name=(name) value=(value); }
            label { (label) " name contains "
                input name="name" value=(value) maxlength=(MAX_FILTER_CHARS) autocomplete="off"
                    spellcheck="false";
            }
            button { "Filter" }
            @if !value.is_empty() {
                @let query: Vec<_> =
                    hidden.iter().map(|(name, value)| format!("{name}={}", urlencode(value))).collect();
                a href={"?" (query.join("&"))} { "All" }
            }
        }
    }
}

/// The parameter `name`, which filters a list by a part of a name; empty if all are listed.
pub(crate) fn name_filter_parameter(parameters: &Parameters) -> String {
    parameters.last("name").unwrap_or_default().trim().chars().take(MAX_FILTER_CHARS).collect()
}

/// Whether a name contains this part, case-insensitive.
pub(crate) fn name_contains(name: &str, part: &str) -> bool {
    part.is_empty() || name.to_lowercase().contains(&part.to_lowercase())
}

/// Percent-encodes a value for the query or the path of a URL.
pub(crate) fn urlencode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            encoded.push('%');
            encoded.push_str(&hex::encode_upper([byte]));
        }
        encoded
    })
}

/// The time that was entered, such as `yesterday 14:05`, in UTC unless it names a zone.
///
/// # Errors
/// A sentence that says why the text is not a time.
pub(crate) fn parse_time_field(text: &str, now: f64) -> Result<Timestamp, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("Enter a time, for example yesterday 14:05".to_owned());
    }
    let time = parse_time(text, timestamp(now), &TimeZone::UTC).map_err(|error| {
        let quote = truncate(text, MAX_QUOTE_CHARS);
        format!("\"{quote}\" is not understood: {error}")
    })?;
    // `2 hours ago` is not meant to the nanosecond.
    Ok(if time.subsec_nanosecond() == timestamp(now).subsec_nanosecond() {
        Timestamp::from_second(time.as_second()).unwrap_or(time)
    } else {
        time
    })
}

/// The snapshot that was entered, with its environment, such as `prod#65`.
///
/// # Errors
/// A sentence that says why the text is not one.
pub(crate) fn parse_snapshot_field(text: &str, now: f64) -> Result<Snappish, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("Enter a snapshot, for example aws-prod#65".to_owned());
    }
    text.parse().map_err(|_| {
        let time = text.split_once("@{").and_then(|(_, time)| time.strip_suffix('}'));
        match time.map(|time| parse_time_field(time, now)) {
            Some(Err(error)) => error,
            _ => format!(
                "\"{}\" is not a snapshot: write NAME, NAME#65, NAME~1 or NAME@{{TIME}}",
                truncate(text, MAX_QUOTE_CHARS)
            ),
        }
    })
}

/// The message that a snapshot does not exist. `count` is the number of snapshots of the environment.
pub(crate) fn no_such_snapshot_message(snapshot: &str, environment: &str, count: u32) -> String {
    let snapshot = truncate(snapshot, MAX_QUOTE_CHARS);
    match count {
        0 => format!("Nothing was reported to {environment} yet"),
        1 => format!("There is no snapshot {snapshot}: {environment} has only #1"),
        count => format!("There is no snapshot {snapshot}: {environment} has #1..#{count}"),
    }
}

fn timestamp(seconds: f64) -> Timestamp {
    let duration = jiff::SignedDuration::try_from_secs_f64(seconds).unwrap_or_default();
    Timestamp::from_duration(duration).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-26T15:00:00.25Z, a Thursday.
    const NOW: f64 = 1_795_705_200.25;

    #[test]
    fn time_field_is_parsed_in_utc_unless_it_names_a_zone_and_other_text_is_rejected() {
        for (text, expected) in [
            ("2026-11-25 16:00", "2026-11-25T16:00:00Z"),
            (" yesterday 14:05 ", "2026-11-25T14:05:00Z"),
            ("2026-11-25 16:00 +01:00", "2026-11-25T15:00:00Z"),
            ("2 hours ago", "2026-11-26T13:00:00Z"),
            ("now", "2026-11-26T15:00:00Z"),
            ("Wed, 25 Nov 2026 16:00:00 UTC", "2026-11-25T16:00:00Z"),
        ] {
            assert_eq!(parse_time_field(text, NOW).unwrap().to_string(), expected, "{text}");
        }
        for (text, error) in [
            ("", "Enter a time"),
            ("16 Uhr", "\"16 Uhr\" is not understood: not a time such as 2026-11-26 16:00"),
            ("2026-11-25 16:00 CET", "is not what the time zone is called"),
        ] {
            let found = parse_time_field(text, NOW).unwrap_err();
            assert!(found.contains(error), "{text}: {found}");
        }
    }

    #[test]
    fn invalid_snapshot_field_is_rejected_with_its_syntax_or_the_error_of_its_time() {
        assert_eq!(parse_snapshot_field(" env~1", NOW).unwrap().to_string(), "env~1");
        for (text, error) in [
            ("", "Enter a snapshot"),
            ("#3", "\"#3\" is not a snapshot: write NAME"),
            ("env@{16 Uhr}", "\"16 Uhr\" is not understood: not a time"),
        ] {
            let found = parse_snapshot_field(text, NOW).unwrap_err();
            assert!(found.contains(error), "{text}: {found}");
        }
    }

    proptest! {
        #[test]
        fn parsing_any_text_as_time_or_snapshot_field_does_not_panic(text in ".{0,200}", now: f64) {
            let _ = parse_time_field(&text, now);
            let _ = parse_snapshot_field(&text, now);
        }
    }
}
