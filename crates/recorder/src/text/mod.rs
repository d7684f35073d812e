//! Counts and durations in words, and replacement of invisible characters.

mod humanize;
mod invisible;

pub use humanize::{ago, humanize_duration, pluralize, unix_secs};
pub use invisible::{is_invisible, replace_invisible, replace_invisible_lines};
