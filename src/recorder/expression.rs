//! Which snapshot of an environment is meant.

use std::fmt;
use std::str::FromStr;

/// A snapshot of an environment, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expression {
    /// `N` or `#N`: counted from 1, or from the end where negative, so that `-1` is the latest.
    Index(i64),
    /// `~N`: so many behind the latest; `~` is the latest.
    Behind(i64),
}

/// The text names no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotAnExpression {
    #[error(
        "This recorder does not support snapshots by time yet: '{0}'. Use N or #N (counted from \
         1, negative from the end), or ~N (N behind the latest)"
    )]
    ByTime(String),
    #[error(
        "'{0}' is not a snapshot expression. Use N or #N (counted from 1, negative from the end), \
         or ~N (N behind the latest)"
    )]
    Malformed(String),
}

impl Expression {
    /// The index that is meant where there are `count` snapshots; no snapshot may have it.
    pub(super) fn resolve(self, count: u32) -> i64 {
        let count = i64::from(count);
        match self {
            Self::Index(index) if index < 0 => (count + 1).saturating_add(index),
            Self::Index(index) => index,
            Self::Behind(behind) => count.saturating_sub(behind),
        }
    }
}

impl FromStr for Expression {
    type Err = NotAnExpression;

    fn from_str(text: &str) -> Result<Self, NotAnExpression> {
        let number = |digits: &str| digits.parse::<i64>().ok().filter(|_| !digits.starts_with('+'));
        let expression = match text.strip_prefix('~') {
            Some("") => Some(Self::Behind(0)),
            Some(behind) => number(behind).filter(|behind| *behind >= 0).map(Self::Behind),
            None => number(text.strip_prefix('#').unwrap_or(text)).map(Self::Index),
        };
        expression.ok_or_else(|| {
            let refused = text.to_owned();
            if text.starts_with("@{") {
                NotAnExpression::ByTime(refused)
            } else {
                NotAnExpression::Malformed(refused)
            }
        })
    }
}

/// As it follows the environment's name.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "#{index}"),
            Self::Behind(behind) => write!(f, "~{behind}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_expression_counts_from_the_first_or_from_the_latest() {
        let cases = [
            ("1", 1),
            ("#1", 1),
            ("10", 10),
            ("#10", 10),
            ("99", 99),
            ("0", 0),
            ("-0", 0),
            ("-1", 10),
            ("#-1", 10),
            ("-10", 1),
            ("-11", 0),
            ("-12", -1),
            ("~", 10),
            ("~0", 10),
            ("~9", 1),
            ("~10", 0),
            ("~11", -1),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN + 11),
        ];
        for (text, index) in cases {
            assert_eq!(text.parse::<Expression>().map(|it| it.resolve(10)), Ok(index), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_forms_that_exist() {
        for text in [
            "",
            "#",
            "~~",
            "##1",
            "~-1",
            "~+1",
            "+1",
            "#+1",
            "1.5",
            "1 ",
            "x",
            "@",
            "NOW",
            "9223372036854775808",
        ] {
            let refused = text.parse::<Expression>();
            assert_eq!(refused, Err(NotAnExpression::Malformed(text.to_owned())));
        }
        for text in ["@{now}", "@{2.hours.ago}", "@{2023-10-02T12:00:00}"] {
            let refused = text.parse::<Expression>();
            assert_eq!(refused, Err(NotAnExpression::ByTime(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn no_expression_panics(text in "[#~]?-?[0-9]{0,20}|.{0,20}", count in any::<u32>()) {
            if let Ok(expression) = text.parse::<Expression>() {
                expression.resolve(count);
            }
        }
    }
}
