//! The body that gives an environment another name.

use serde::Deserialize;

use super::environment::LONGEST_NAME;
use super::json::{FromJson, parse};
use super::text::Text;
use crate::api::wire::RenameRequest;
use crate::recorder::answer::Refusal;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    new_name: Text<LONGEST_NAME>,
}

/// Whether the name can be one is for the answer in the server's own words.
impl FromJson for RenameRequest {
    fn from_json(body: &[u8]) -> Result<Self, Refusal> {
        let Fields { new_name } = parse(body)?;
        Ok(Self { new_name: new_name.into() })
    }
}
