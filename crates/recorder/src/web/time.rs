//! Times in UTC, to the second.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use crate::text::{self, humanize_duration};

pub(crate) use crate::text::two_unit_duration as duration;

/// `None` if it is outside of the calendar.
fn timestamp(seconds: f64) -> Option<Timestamp> {
    SignedDuration::try_from_secs_f64(seconds).ok().and_then(|it| Timestamp::from_duration(it).ok())
}

/// `2022-08-22 09:39:22 UTC`, from seconds since the Unix epoch.
pub(crate) fn utc(seconds: f64) -> String {
    timestamp(seconds).map_or_else(
        || format!("{seconds} s after 1970"),
        |timestamp| timestamp.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// Date and time of the day, `2022-08-22` and `09:39`, with seconds if wanted.
pub(crate) fn day_and_time(seconds: f64, with_seconds: bool) -> (String, String) {
    let time = if with_seconds { "%H:%M:%S" } else { "%H:%M" };
    timestamp(seconds).map_or_else(Default::default, |timestamp| {
        (timestamp.strftime("%Y-%m-%d").to_string(), timestamp.strftime(time).to_string())
    })
}

/// A `<time>` element with the time in UTC, and with a machine-readable attribute.
pub(crate) fn time(seconds: f64) -> Markup {
    html! {
        @match timestamp(seconds) {
            Some(timestamp) => {
                time datetime=(timestamp.strftime("%Y-%m-%dT%H:%M:%SZ")) { (utc(seconds)) }
            },
            None => (utc(seconds)),
        }
    }
}

/// A time in UTC, to which the page's script adds the time in the time zone of the browser.
pub(crate) fn time_in_both(seconds: f64) -> Markup {
    html! { span.both { (time(seconds)) } }
}

/// An age in its largest unit: `2 hours ago`.
pub(crate) fn ago(seconds: f64, now: f64) -> String {
    text::ago(now - seconds)
}

/// For how long an artifact has been running, in words: `for 3 days`.
pub(crate) fn running_for(seconds: f64, now: f64) -> String {
    match now - seconds {
        age @ ..=-60.0 => format!("only in {}", humanize_duration(-age)),
        ..1.0 => "just started".to_owned(),
        age => format!("for {}", humanize_duration(age)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn age_is_shown_in_its_largest_unit() {
        for (age, expected) in [
            (-7_200.0, "in 2 hours"),
            (-5.0, "just now"),
            (0.9, "just now"),
            (1.0, "1 second ago"),
            (119.0, "1 minute ago"),
            (7_200.0, "2 hours ago"),
            (86_400.0 * 11.0 + 5.0, "11 days ago"),
        ] {
            assert_eq!(ago(1_000_000.0 - age, 1_000_000.0), expected, "{age}");
        }
    }

    #[test]
    fn time_element_has_the_time_as_text_and_in_its_datetime_attribute() {
        assert_eq!(
            time(1_661_161_162.48).into_string(),
            "<time datetime=\"2022-08-22T09:39:22Z\">2022-08-22 09:39:22 UTC</time>"
        );
    }

    proptest! {
        #[test]
        fn formatting_any_floating_point_time_does_not_panic(seconds: f64, now: f64) {
            time(seconds);
            day_and_time(seconds, true);
            ago(seconds, now);
            duration(seconds);
        }
    }
}
