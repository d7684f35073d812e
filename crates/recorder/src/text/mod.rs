//! Words for people, and characters that they do not see.

mod humanize;
mod invisible;

pub use humanize::{ago, humanize_duration, pluralize, unix_secs};
pub use invisible::{is_invisible, replace_invisible, replace_invisible_lines};
