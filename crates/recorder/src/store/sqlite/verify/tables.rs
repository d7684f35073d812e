//! Compares the tables of two files row by row.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

/// Every table that is made from the ledger, and how many columns its key has.
pub(in super::super) const TABLES: [(&str, usize); 18] = [
    ("org", 1),
    ("environment", 2),
    ("snapshot", 3),
    ("artifact", 2),
    ("artifact_label", 3),
    ("interval", 4),
    ("coverage", 3),
    ("first_seen", 4),
    ("flow", 2),
    ("flow_name", 2),
    ("trail", 2),
    ("trail_change", 3),
    ("artifact_report", 2),
    ("attestation", 2),
    ("deployment", 3),
    ("allowance", 2),
    ("attachment", 2),
    // Always empty.
    ("probe", 1),
];

/// The first table whose rows are not the wanted ones, and the key of the first such row, as text.
pub(super) fn first_differing_row(
    found: &Connection,
    wanted: &Connection,
) -> rusqlite::Result<Option<(String, String)>> {
    for (table, key) in TABLES {
        if let Some(row) = first_differing_key(found, wanted, table, key)? {
            return Ok(Some((table.to_owned(), row)));
        }
    }
    Ok(None)
}

/// The key of the first row of a table that differs, is missing or is not wanted.
fn first_differing_key(
    found: &Connection,
    wanted: &Connection,
    table: &str,
    key: usize,
) -> rusqlite::Result<Option<String>> {
    let order: Vec<_> = (1..=key).map(|column| column.to_string()).collect();
    let sql = format!("SELECT * FROM {table} ORDER BY {}", order.join(", "));
    let (mut found, mut wanted) = (found.prepare(&sql)?, wanted.prepare(&sql)?);
    let columns = wanted.column_count();
    let (mut found, mut wanted) = (found.query([])?, wanted.query([])?);
    loop {
        match (found.next()?, wanted.next()?) {
            (None, None) => return Ok(None),
            (Some(row), None) | (None, Some(row)) => return format_key(row, key).map(Some),
            (Some(one), Some(other)) => {
                for column in 0..columns {
                    if one.get_ref(column)? != other.get_ref(column)? {
                        return format_key(one, key).map(Some);
                    }
                }
            }
        }
    }
}

/// The first `columns` columns of a row as text for a message, separated by commas.
pub(super) fn format_key(row: &Row<'_>, columns: usize) -> rusqlite::Result<String> {
    let column = |column| {
        row.get_ref(column).map(|value| match value {
            ValueRef::Integer(number) => number.to_string(),
            // What the file has as a text may move a cursor.
            ValueRef::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
            _ => "…".to_owned(),
        })
    };
    Ok((0..columns).map(column).collect::<rusqlite::Result<Vec<_>>>()?.join(", "))
}
