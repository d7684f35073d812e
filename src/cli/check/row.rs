//! The result of one check.

use std::fmt::{self, Write as _};

use serde::Serialize;
use serde_json::Value;

use crate::cli::escape::{replace_invisible, wrap};
use crate::cli::terminal::{Colour, Terminal};
use crate::ecs::EcsError;
use crate::report::{ErrorKind, RemedyContext};

/// Of the longest [`CheckStatus::label`], in terminal columns.
const RESULT_WIDTH: usize = 7;

/// In terminal columns: with less, a text would be printed letter by letter.
const MIN_TEXT_WIDTH: usize = 24;

/// The result of one check, with what to do if it failed: one line of the output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) check: String,
    pub(super) result: CheckStatus,
    pub(super) detail: String,
    /// Sentences without a final full stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    /// The statement of an IAM policy that allows the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<Value>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum CheckStatus {
    Ok,
    Failed,
    /// It was not tried: it is not needed, or needs something that failed.
    Skipped,
}

impl CheckStatus {
    fn label(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Failed => "FAILED",
            Self::Skipped => "SKIPPED",
        }
    }

    fn colour(self) -> Colour {
        match self {
            Self::Ok => Colour::Green,
            Self::Failed => Colour::Red,
            Self::Skipped => Colour::Faint,
        }
    }
}

impl Row {
    fn new(check: impl Into<String>, result: CheckStatus, detail: impl fmt::Display) -> Self {
        let detail = detail.to_string();
        Self { check: check.into(), result, detail, remedy: None, statement: None }
    }

    pub(super) fn ok(check: impl Into<String>, detail: impl fmt::Display) -> Self {
        Self::new(check, CheckStatus::Ok, detail)
    }

    pub(super) fn skipped(check: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self::new(check, CheckStatus::Skipped, reason)
    }

    pub(super) fn failed(
        check: impl Into<String>,
        detail: impl fmt::Display,
        remedy: impl Into<String>,
    ) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::new(check, CheckStatus::Failed, detail) }
    }

    /// A failure with the remedy of its kind of error.
    pub(super) fn failed_as(
        check: impl Into<String>,
        detail: impl fmt::Display,
        kind: ErrorKind,
    ) -> Self {
        Self::failed(check, detail, kind.remedy(RemedyContext::Terminal))
    }

    pub(super) fn failed_call(check: impl Into<String>, error: &EcsError) -> Self {
        Self::failed_as(check, error, error.into())
    }

    /// Adds the statement of an IAM policy that would allow the call.
    pub(super) fn with_statement(self, statement: Value) -> Self {
        Self { statement: Some(statement), ..self }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.result == CheckStatus::Failed
    }
}

/// A row for each check; what to do is below a failure. Texts wrap at the terminal's width, and a
/// statement does not, so that it can be copied.
pub(super) fn table(rows: &[Row], terminal: &Terminal) -> String {
    let width =
        rows.iter().map(|row| replace_invisible(&row.check).chars().count()).max().unwrap_or(0);
    let wrap_below = |text: &str, indent: usize| {
        let room = terminal.width.saturating_sub(indent).max(MIN_TEXT_WIDTH);
        let lines = wrap(&replace_invisible(text), room);
        let lines: Vec<_> = lines.iter().map(|line| line.trim_end()).collect();
        lines.join(&format!("\n{:indent$}", ""))
    };
    let mut text = String::new();
    for Row { check, result, detail, remedy, statement } in rows {
        let name = terminal.paint(result.colour(), &format!("{:<RESULT_WIDTH$}", result.label()));
        let detail = wrap_below(detail, RESULT_WIDTH + 2 + width + 2);
        let check = replace_invisible(check);
        let _infallible = writeln!(text, "{name}  {check:<width$}  {detail}");
        let indent = RESULT_WIDTH + 2;
        if let Some(remedy) = remedy {
            let remedy = wrap_below(&format!("{remedy}."), indent);
            let _infallible = writeln!(text, "{:indent$}{remedy}", "");
        }
        if let Some(statement) = statement {
            let statement = replace_invisible(&statement.to_string());
            let _infallible = writeln!(text, "{:indent$}{statement}", "");
        }
    }
    text
}
