//! Counts and durations in words, replacement of invisible characters, and CSV.

mod csv;
mod humanize;
mod invisible;

pub use csv::csv_table;
pub use humanize::{ago, humanize_duration, pluralize, two_unit_duration, unix_secs};
pub use invisible::{is_invisible, replace_invisible, replace_invisible_lines};
