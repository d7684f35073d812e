//! Syntax of snapshots and intervals on the command line.

use std::str::FromStr;

use crate::api::wire::is_environment_name;
use envsnap_model::expression::{Interval, Snappish};

/// For help and errors.
pub(super) const SNAPSHOT_SYNTAX: &str = "\
A snapshot is written as one of
  NAME                         the latest one of environment NAME
  NAME#N                       the one with index N, from 1; below 0 from the end: #-1 the latest
  NAME~N                       N behind the latest
  NAME@{2023-10-02T12:00:00}   the one that was the latest then, in UTC
  NAME@{2.hours.ago}           the same; also days, weeks and months
  NAME@{now}                   the latest one";

const INTERVAL_SYNTAX: &str = "\
An interval is A..B, where A and B each are
  N      the snapshot with index N, from 1
  ~N     N behind the latest (in quotes: some shells read ~ as a home)
  NOW    the latest; it may be left out, as in 60..
or one of these alone, for one snapshot";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SnapshotName {
    pub(super) environment: String,
    /// As it follows the name: `#65`, or `-1` for the latest.
    pub(super) expression: String,
    text: String,
}

impl SnapshotName {
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for SnapshotName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Snappish { environment, expression } =
            text.parse().map_err(|_| format!("it is not a snapshot.\n\n{SNAPSHOT_SYNTAX}"))?;
        let environment = environment_name(&environment)?;
        let expression = match expression.to_string() {
            latest if latest.is_empty() => "-1".to_owned(),
            expression => expression,
        };
        Ok(Self { environment, expression, text: text.to_owned() })
    }
}

/// Rejects names with an expression.
pub(super) fn environment_name(text: &str) -> Result<String, String> {
    if is_environment_name(text) {
        return Ok(text.to_owned());
    }
    Err(if text.contains(['#', '~', '@']) {
        "this takes the name of an environment alone, without a snapshot".to_owned()
    } else {
        format!(
            "an environment's name has letters, digits, dots, hyphens and underscores, and begins \
             with a letter or digit.\n\n{SNAPSHOT_SYNTAX}"
        )
    })
}

pub(super) fn interval(text: &str) -> Result<String, String> {
    match text.parse::<Interval>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("it is not an interval.\n\n{INTERVAL_SYNTAX}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_its_environment_and_an_expression() {
        for (text, environment, expression) in [
            ("aws-prod", "aws-prod", "-1"),
            ("aws-prod#65", "aws-prod", "#65"),
            ("aws-prod#-1", "aws-prod", "#-1"),
            ("aws-prod~2", "aws-prod", "~2"),
            ("aws-prod@{2023-10-02T12:00:00}", "aws-prod", "@{2023-10-02T12:00:00}"),
            ("aws-prod@{2.hours.ago}", "aws-prod", "@{2.hours.ago}"),
            ("aws-prod@{now}", "aws-prod", "@{now}"),
        ] {
            let name: SnapshotName = text.parse().unwrap();
            assert_eq!((&*name.environment, &*name.expression), (environment, expression));
            assert_eq!(name.as_str(), text);
        }
    }

    #[test]
    fn an_invalid_snapshot_name_is_refused_with_the_syntax() {
        for text in ["", "#-1", "aws-prod#", "aws-prod#x", "aws prod#1", "aws-prod@{never}", "a/b"]
        {
            let error = text.parse::<SnapshotName>().unwrap_err();
            assert!(error.contains("NAME@{2.hours.ago}"), "{text}: {error}");
        }
        assert!(environment_name("aws-prod#1").unwrap_err().contains("alone"));
    }

    #[test]
    fn an_interval_has_two_ends_or_one() {
        for text in ["1..", "~3..NOW", "60..66", "..", "65", "-3..-1"] {
            assert_eq!(interval(text).as_deref(), Ok(text));
        }
        for text in ["1..x", "1-2", "1...3", "yesterday"] {
            assert!(interval(text).unwrap_err().contains("60.."), "{text}");
        }
    }
}
