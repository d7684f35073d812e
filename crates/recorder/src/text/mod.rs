//! Words for people, and characters that they do not see.

mod hidden;
mod wording;

pub use hidden::{is_hidden, visible, visible_lines};
pub use wording::{ago, counted, lasted, whole};
