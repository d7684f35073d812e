//! A table of artifacts, each with its fingerprint on a line of its own.

use std::fmt::Write as _;
use std::iter::repeat_n;

use unicode_width::UnicodeWidthStr as _;

use super::escape::wrap;
use super::terminal::{Colour, Terminal};

/// Before an artifact's name.
const NAME_LABEL: &str = "Name: ";
const SHA256_LABEL: &str = "SHA256: ";

/// Of the label and 64 hexadecimal digits, in terminal columns.
const FINGERPRINT_WIDTH: usize = SHA256_LABEL.len() + 64;

/// In terminal columns: longer cells of the table's columns beside the artifact's wrap.
const MAX_OTHER_WIDTH: usize = 20;

/// In terminal columns: with less, an artifact's name would be printed letter by letter.
const MIN_ARTIFACT_WIDTH: usize = 24;

/// Spaces between two columns of the table.
const COLUMN_GAP: usize = 2;

pub(super) struct ArtifactRow {
    /// One per column. The artifact's column has the name alone.
    pub(super) cells: Vec<String>,
    /// In hex, or `unknown`.
    pub(super) fingerprint: String,
    /// Sentences below it.
    pub(super) notes: Vec<String>,
}

/// A table whose column `artifact` has names and fingerprints. Unless `wide`, cells wrap on a
/// narrow terminal; fingerprints never do.
pub(super) fn artifact_table(
    headings: &[&str],
    artifact: usize,
    rows: &[ArtifactRow],
    wide: bool,
    terminal: &Terminal,
) -> String {
    let widths = column_widths(headings, artifact, rows, (!wide).then_some(terminal.width));
    let cells = headings.iter().map(|heading| vec![(*heading).to_owned()]);
    let header = row_lines(&cells.collect::<Vec<_>>(), &widths);
    let mut text = format!("{}\n", terminal.paint(Colour::Bold, &header.concat()));
    // The columns to the right of a fingerprint's line are empty, so that it may extend into them.
    let indent = " ".repeat(widths[..artifact].iter().map(|width| width + COLUMN_GAP).sum());
    for (number, row) in rows.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        let cells: Vec<_> = row
            .cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                if column != artifact {
                    return wrap(cell, *width);
                }
                wrap(cell, width - NAME_LABEL.len())
                    .iter()
                    .enumerate()
                    .map(|(line, part)| {
                        let label = if line == 0 { NAME_LABEL } else { "      " };
                        format!("{label}{part}")
                    })
                    .collect()
            })
            .collect();
        for line in row_lines(&cells, &widths) {
            text.push_str(&line);
            text.push('\n');
        }
        let _infallible = writeln!(text, "{indent}{SHA256_LABEL}{}", row.fingerprint);
        let room = if wide { usize::MAX } else { terminal.width.saturating_sub(indent.len()) };
        for note in &row.notes {
            for line in wrap(note, room.max(MIN_ARTIFACT_WIDTH)) {
                let _infallible = writeln!(text, "{indent}{}", line.trim_end());
            }
        }
    }
    text
}

/// The width of each column: its content's, but cells wrap on a narrow `terminal`.
fn column_widths(
    headings: &[&str],
    artifact: usize,
    rows: &[ArtifactRow],
    terminal: Option<usize>,
) -> Vec<usize> {
    let mut widths: Vec<_> = headings
        .iter()
        .enumerate()
        .map(|(column, heading)| {
            let widest = rows.iter().map(|row| row.cells[column].width()).max().unwrap_or(0);
            let widest = if column == artifact { widest + NAME_LABEL.len() } else { widest };
            widest.max(heading.width())
        })
        .collect();
    widths[artifact] = widths[artifact].max(FINGERPRINT_WIDTH);
    if let Some(terminal) = terminal {
        for (_, width) in widths.iter_mut().enumerate().filter(|(column, _)| *column != artifact) {
            *width = (*width).min(MAX_OTHER_WIDTH);
        }
        let others: usize =
            widths.iter().sum::<usize>() - widths[artifact] + COLUMN_GAP * (widths.len() - 1);
        let room = terminal.saturating_sub(others).max(MIN_ARTIFACT_WIDTH);
        widths[artifact] = widths[artifact].min(room);
    }
    widths
}

/// The lines of a row with multi-line cells, without trailing white space.
fn row_lines(cells: &[Vec<String>], widths: &[usize]) -> Vec<String> {
    let height = cells.iter().map(Vec::len).max().unwrap_or(0);
    (0..height)
        .map(|line| {
            let mut text = String::new();
            for (cell, width) in cells.iter().zip(widths) {
                let part = cell.get(line).map_or("", String::as_str);
                text.push_str(part);
                text.extend(repeat_n(' ', width.saturating_sub(part.width()) + COLUMN_GAP));
            }
            text.truncate(text.trim_end().len());
            text
        })
        .collect()
}
