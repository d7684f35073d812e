//! The body that gives an environment another name.

use serde_json::Value;

use super::Schema;
use super::environment::LONGEST_NAME;
use super::field::{Object, Problems, check_length};
use crate::api::wire::RenameRequest;

/// Whether the name can be one is for the answer in the server's own words.
impl Schema for RenameRequest {
    fn check(body: &Value, problems: &mut Problems) {
        if let Some(body) = Object::of(body, String::new(), &["new_name"], problems)
            && let Some(name) = body.required_string("new_name", problems)
        {
            check_length(name, LONGEST_NAME, || "new_name".to_owned(), problems);
        }
    }
}
