//! The body that begins or changes a trail.

use serde_json::Value;

use super::rules::template;
use super::{check_common, check_trail_name, fields};
use crate::domain::Error;
use crate::domain::provenance::{Details, TrailReport};
use crate::http::request::json::invalid;
use crate::http::request::multipart::{FromParts, Parts};

/// The fields of a trail's body that are stored if they are not `null`; all others are dropped.
const STORED_FIELDS: [&str; 6] =
    ["description", "user_data", "git_commit_info", "repo_info", "external_urls", "origin_url"];

impl FromParts for TrailReport {
    fn from_parts(mut parts: Parts) -> Result<Self, Error> {
        let file = parts.take_file("template_file");
        let mut fields = fields(parts.document()?)?;
        check_common(&fields)?;
        let Some(Value::String(name)) = fields.remove("name") else {
            return Err(invalid("name", "must be a string"));
        };
        check_trail_name("name", &name)?;
        fields.retain(|field, value| STORED_FIELDS.contains(&&**field) && !value.is_null());
        Ok(Self { name, details: Details::from_fields(fields), template: template(file)? })
    }
}
