//! What is stored, in the API's form.

mod comparison;
mod event;
mod history;
mod snapshot;

pub(super) use comparison::comparison;
pub(super) use event::event;
pub(super) use history::history;
pub(super) use snapshot::{largest_size, snapshot};
