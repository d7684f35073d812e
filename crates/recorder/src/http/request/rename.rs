//! The body that renames an environment.

use serde::Deserialize;

use super::json::{FromJson, parse};
use super::text::Text;
use crate::domain::{Error, MAX_ENVIRONMENT_NAME_BYTES};
use envsnap_model::wire::RenameRequest;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RenameFields {
    new_name: Text<MAX_ENVIRONMENT_NAME_BYTES>,
}

/// The handler checks the name, since the API has its own message for that.
impl FromJson for RenameRequest {
    fn from_json(body: &[u8]) -> Result<Self, Error> {
        let RenameFields { new_name } = parse(body)?;
        Ok(Self { new_name: new_name.into() })
    }
}
