//! Flows and what they report: the calls of the server's own client, and what hostile ones get.

mod attachments;
mod flows;
mod form;
mod recorded;
mod repeats;
mod replay;
pub(crate) mod requests;
mod running;
mod slow_uploads;
mod states;
