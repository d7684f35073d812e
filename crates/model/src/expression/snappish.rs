//! A snapshot expression with the name of its environment.

use std::fmt;
use std::str::FromStr;

use super::quote_for_error;
use super::{Expression, ParseSnapshotExpressionError};

/// A snapshot of a named environment: `aws-prod#65`, `aws-prod~1`, `aws-prod@{now}`, or `aws-prod`
/// for its latest snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Snappish {
    /// The environment's name.
    pub environment: String,
    /// The snapshot of that environment.
    pub expression: Expression,
}

impl FromStr for Snappish {
    type Err = ParseSnapshotExpressionError;

    /// The name ends at the first character that begins an expression: no environment's name
    /// contains it.
    fn from_str(text: &str) -> Result<Self, ParseSnapshotExpressionError> {
        let (environment, expression) =
            text.split_at(text.find(['#', '~', '@']).unwrap_or(text.len()));
        if environment.is_empty() {
            return Err(ParseSnapshotExpressionError(quote_for_error(text)));
        }
        let expression =
            if expression.is_empty() { Expression::latest() } else { expression.parse()? };
        Ok(Self { environment: environment.to_owned(), expression })
    }
}

impl fmt::Display for Snappish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.environment, self.expression)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::ten_hourly_snapshots;
    use super::*;

    #[test]
    fn environment_name_alone_means_the_latest_snapshot_or_is_followed_by_an_expression() {
        for (text, environment, index) in [
            ("aws-prod", "aws-prod", 10),
            ("aws-prod#3", "aws-prod", 3),
            ("aws-prod#-2", "aws-prod", 9),
            ("aws.prod_1~2", "aws.prod_1", 8),
            ("aws-prod~", "aws-prod", 10),
            ("aws-prod@{2.hours.ago}", "aws-prod", 9),
            // No environment can have this name, and none is found.
            ("aws prod/", "aws prod/", 10),
        ] {
            let snappish: Snappish = text.parse().unwrap();
            assert_eq!(snappish.environment, environment);
            assert_eq!(snappish.expression.resolve(&ten_hourly_snapshots()), Ok(index), "{text}");
            assert_eq!(snappish.to_string(), text);
        }
    }

    #[test]
    fn missing_environment_name_or_malformed_expression_is_rejected() {
        for text in ["", "#3", "~1", "@{now}", "env#", "env#x", "env~1~1", "env@{never}"] {
            assert!(text.parse::<Snappish>().is_err(), "{text}");
        }
    }
}
