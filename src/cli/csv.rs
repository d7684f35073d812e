//! Lists as CSV, for spreadsheets.

use serde_json::Value;

use super::escape::replace_invisible;
use crate::recorder::domain::Micros;
use crate::recorder::text::csv_table;

/// A column of a list, with where its value is in the JSON of a row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    Text(&'static str, &'static str),
    /// Seconds since the Unix epoch, shown as RFC 3339; 0 is none.
    Time(&'static str, &'static str),
}

use Column::{Text, Time};

impl Column {
    fn heading(&self) -> &'static str {
        let (Text(heading, _) | Time(heading, _)) = self;
        heading
    }

    fn cell(&self, row: &Value) -> String {
        let (Text(_, pointer) | Time(_, pointer)) = self;
        let value = row.pointer(pointer).unwrap_or(&Value::Null);
        match self {
            Text(..) => cell_text(value),
            Time(..) => {
                let seconds = value.as_f64().or_else(|| value.as_str()?.parse().ok());
                seconds
                    .filter(|seconds| *seconds != 0.0)
                    .map_or_else(String::new, |seconds| Micros::from_seconds(seconds).rfc3339())
            }
        }
    }
}

/// The text of a cell: several values are separated by semicolons, and null is empty.
fn cell_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => replace_invisible(text),
        Value::Array(values) => values.iter().map(cell_text).collect::<Vec<_>>().join("; "),
        value => replace_invisible(&value.to_string()),
    }
}

/// CSV with a line of headings, and a line for each of `rows`.
pub(super) fn list(columns: &[Column], rows: &[Value]) -> anyhow::Result<String> {
    let headings: Vec<_> = columns.iter().map(Column::heading).collect();
    let rows = rows.iter().map(|row| columns.iter().map(|column| column.cell(row)).collect());
    Ok(String::from_utf8(csv_table(&headings, rows)?)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn csv_cells_are_read_by_json_pointer_without_escape_sequences_and_formulas() {
        let columns = [Text("name", "/name"), Time("at", "/times/0"), Text("all", "/all")];
        let rows = [
            json!({"name": "=a,\u{1b}[2J\n", "times": [1.5], "all": ["x", 1, null, true]}),
            json!({"times": ["1661161162.5"], "all": {"a": 1}}),
            json!({"times": [0.0]}),
        ];
        let text = list(&columns, &rows).unwrap();
        assert!(!text.contains('\u{1b}'), "{text}");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert_eq!(lines[0], "name,at,all");
        assert!(lines[1].starts_with("\"'=a,"), "{text}");
        assert!(lines[1].ends_with(",1970-01-01T00:00:01.5Z,x; 1; ; true"), "{text}");
        assert_eq!(lines[2], ",2022-08-22T09:39:22.5Z,\"{\"\"a\"\":1}\"");
        assert_eq!(lines[3], ",,");
    }
}
