//! The output: its width, colours and time zone.

use std::io::{self, IsTerminal as _};

use clap::ValueEnum;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use terminal_size::{Width, terminal_size};

use crate::recorder::text;
use envsnap_model::time::format_time;

/// In columns, if the width of the output is not known.
const DEFAULT_WIDTH: usize = 100;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ColourChoice {
    /// On a terminal that supports them, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Also in a file or a pipe.
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Red,
    Green,
    Yellow,
    Bold,
    Faint,
}

/// The output: its width, colours and time zone.
#[derive(Debug, Clone)]
pub(super) struct Terminal {
    pub(super) now: Timestamp,
    pub(super) zone: TimeZone,
    /// In columns.
    pub(super) width: usize,
    pub(super) use_colour: bool,
}

/// The zone of the times that are printed, and of those that are given without one: that of the
/// system or `TZ`; UTC if it is not set or unknown.
pub(super) fn time_zone() -> TimeZone {
    TimeZone::try_system().unwrap_or(TimeZone::UTC)
}

impl Terminal {
    /// Detects the properties of standard output.
    pub(super) fn detect(coloured: ColourChoice) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        Self {
            now: Timestamp::now(),
            zone: time_zone(),
            width: match terminal_size() {
                Some((Width(width), _)) if is_terminal => usize::from(width),
                _ => DEFAULT_WIDTH,
            },
            use_colour: match coloured {
                ColourChoice::Auto => is_terminal && !is_set("NO_COLOR") && !is_dumb,
                ColourChoice::Always => true,
                ColourChoice::Never => false,
            },
        }
    }

    /// The same output, with `now` set to the current time.
    pub(super) fn refreshed(&self) -> Self {
        Self { now: Timestamp::now(), ..self.clone() }
    }

    pub(super) fn paint(&self, colour: Colour, text: &str) -> String {
        let code = match colour {
            _ if !self.use_colour => return text.to_owned(),
            Colour::Red => 31,
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Bold => 1,
            Colour::Faint => 2,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// `Sat, 20 Aug 2022 22:32:43 CEST`, from seconds since the Unix epoch; `N/A` for 0.
    pub(super) fn time(&self, seconds: f64) -> String {
        #[expect(clippy::cast_possible_truncation, reason = "what is too large is no time either")]
        let whole = seconds.floor() as i64;
        match Timestamp::from_second(whole) {
            Ok(time) if whole != 0 => format_time(time, &self.zone),
            _ => "N/A".to_owned(),
        }
    }

    /// `Sat, 20 Aug 2022 22:32:43 CEST • 13 days ago`.
    pub(super) fn time_and_age(&self, seconds: f64) -> String {
        let time = self.time(seconds);
        if time == "N/A" { time } else { format!("{time} • {}", self.age(seconds)) }
    }

    /// `13 days ago`.
    pub(super) fn age(&self, seconds: f64) -> String {
        text::ago(self.now.as_duration().as_secs_f64() - seconds)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// For tests: an output of 100 columns in the time zone of Berlin, without colours, eleven days
    /// after aws-prod#65.
    pub(in crate::cli) fn berlin() -> Terminal {
        Terminal {
            now: "2022-09-02T12:00:00Z".parse().unwrap(),
            zone: TimeZone::get("Europe/Berlin").unwrap(),
            width: 100,
            use_colour: false,
        }
    }

    #[test]
    fn time_is_printed_in_the_time_zone_of_the_output_or_as_na() {
        let at = 1_661_027_563.9;
        assert_eq!(berlin().time_and_age(at), "Sat, 20 Aug 2022 22:32:43 CEST • 12 days ago");
        let utc = Terminal { zone: TimeZone::UTC, ..berlin() };
        assert_eq!(utc.time(at), "Sat, 20 Aug 2022 20:32:43 UTC");
        for no_time in [0.0, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(utc.time_and_age(no_time), "N/A");
        }
    }

    #[test]
    fn age_is_printed_in_its_largest_whole_unit() {
        let terminal = berlin();
        let now = terminal.now.as_duration().as_secs_f64();
        for (age, expected) in [
            (-7_200.0, "in 2 hours"),
            (-60.0, "in 1 minute"),
            (-59.0, "just now"),
            (0.0, "just now"),
            (1.0, "1 second ago"),
            (59.0, "59 seconds ago"),
            (119.0, "1 minute ago"),
            (7_200.0, "2 hours ago"),
            (950_405.0, "11 days ago"),
        ] {
            assert_eq!(terminal.age(now - age), expected);
        }
    }

    #[test]
    fn colours_are_only_used_if_enabled() {
        let coloured = Terminal { use_colour: true, ..berlin() };
        assert_eq!(coloured.paint(Colour::Red, "-"), "\x1b[31m-\x1b[0m");
        assert_eq!(berlin().paint(Colour::Red, "-"), "-");
    }
}
