//! Tables as CSV (RFC 4180), for spreadsheets.

use std::io;

/// A CSV file with `header` as its first line, whose cells cannot be taken for formulas.
///
/// # Errors
/// A row has another number of cells than the heading.
pub fn csv_table(
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header)?;
    for row in rows {
        writer.write_record(row.iter().map(|cell| escape_formula(cell)))?;
    }
    writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
}

/// Prefixes a cell with an apostrophe if a spreadsheet would take it for a formula, which could send other
/// cells to a server.
fn escape_formula(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        return format!("'{cell}");
    }
    cell.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_cells_are_quoted_if_needed_formulas_get_an_apostrophe_and_ragged_rows_fail() {
        let row = ["a,b", "say \"x\"", "=1+2", "+1", "-1", "@a", "\tx", "\rx", "a=b", ""];
        let row = row.map(str::to_owned).to_vec();
        let table = csv_table(&["h"; 10], [row]).unwrap();
        assert_eq!(
            String::from_utf8(table).unwrap(),
            "h,h,h,h,h,h,h,h,h,h\n\"a,b\",\"say \"\"x\"\"\",'=1+2,'+1,'-1,'@a,'\tx,\"'\rx\",a=b,\n"
        );
        assert!(csv_table(&["h"], [vec![String::new(); 2]]).is_err());
    }
}
