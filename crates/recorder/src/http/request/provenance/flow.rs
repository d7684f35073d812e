//! The bodies that create and change flows.

use std::collections::BTreeMap;

use envsnap_model::provenance::Template;
use serde::Deserialize;

use super::rules::template;
use super::{MAX_DESCRIPTION_BYTES, check_flow_name};
use crate::domain::provenance::{FlowSettings, StoredTemplate, TagChange};
use crate::domain::{Error, MAX_ENVIRONMENT_NAME_BYTES};
use crate::http::request::json::{FromJson, invalid, parse};
use crate::http::request::multipart::{FromParts, Parts};
use crate::http::request::text::{List, Text};

/// The most attestations that an old-style flow expects.
const MAX_OLD_STYLE_ATTESTATIONS: usize = 100;

/// The most tags in one request.
const MAX_TAGS: usize = 100;

/// The name of the only artifact in an old-style template. In its list of attestations this name stands
/// for the artifact itself and is left out.
const OLD_STYLE_ARTIFACT_NAME: &str = "artifact";

#[derive(Deserialize)]
struct FlowFields {
    name: Text<MAX_ENVIRONMENT_NAME_BYTES>,
    #[serde(default)]
    description: Option<Text<MAX_DESCRIPTION_BYTES>>,
    #[serde(default)]
    visibility: Option<Text<16>>,
    #[serde(default)]
    template: Option<List<Text<MAX_ENVIRONMENT_NAME_BYTES>, MAX_OLD_STYLE_ATTESTATIONS>>,
}

impl FlowFields {
    fn into_settings(self, template: Option<StoredTemplate>) -> Result<FlowSettings, Error> {
        check_flow_name("name", &self.name.0)?;
        let visibility = self.visibility.map(String::from);
        if visibility.as_deref().is_some_and(|it| !["public", "private"].contains(&it)) {
            return Err(invalid("visibility", "must be public or private"));
        }
        Ok(FlowSettings {
            name: self.name.into(),
            description: self.description.map(String::from).unwrap_or_default(),
            visibility,
            template,
        })
    }
}

/// With a template as a file.
impl FromParts for FlowSettings {
    fn from_parts(mut parts: Parts) -> Result<Self, Error> {
        let file = parts.take_file("template_file");
        let fields: FlowFields = parse(parts.document()?)?;
        fields.into_settings(template(file)?)
    }
}

/// Old style: with a list of the names of attestations, which may be of any type.
impl FromJson for FlowSettings {
    fn from_json(body: &[u8]) -> Result<Self, Error> {
        let mut fields: FlowFields = parse(body)?;
        let template = fields.template.take().map(|List(names)| {
            let names =
                names.iter().map(|name| &*name.0).filter(|name| *name != OLD_STYLE_ARTIFACT_NAME);
            Template::with_attestations(OLD_STYLE_ARTIFACT_NAME, names)
        });
        let template = template.map(stored_old_style_template).transpose()?;
        fields.into_settings(template)
    }
}

/// Checks a template that was sent as a list of attestations, and writes it as JSON, which is YAML.
fn stored_old_style_template(rules: Template) -> Result<StoredTemplate, Error> {
    if let Some(problem) = rules.problems().into_iter().next() {
        return Err(invalid("template", problem));
    }
    // JSON is YAML.
    let content = serde_json::to_string(&rules).map_err(|_| Error::Fault)?;
    Ok(StoredTemplate { content, rules })
}

#[derive(Deserialize)]
struct TagFields {
    #[serde(default)]
    set_tags: Option<BTreeMap<String, Text<MAX_ENVIRONMENT_NAME_BYTES>>>,
    #[serde(default)]
    remove_tags: Option<List<Text<MAX_ENVIRONMENT_NAME_BYTES>, MAX_TAGS>>,
}

impl FromJson for TagChange {
    fn from_json(body: &[u8]) -> Result<Self, Error> {
        let fields: TagFields = parse(body)?;
        let set = fields.set_tags.unwrap_or_default();
        if set.keys().any(|key| key.is_empty() || key.len() > MAX_ENVIRONMENT_NAME_BYTES) {
            let problem = format!("keys must have 1 to {MAX_ENVIRONMENT_NAME_BYTES} bytes");
            return Err(invalid("set_tags", problem));
        }
        Ok(Self {
            set: set.into_iter().map(|(key, value)| (key, value.into())).collect(),
            remove: fields
                .remove_tags
                .map(|List(keys)| keys.into_iter().map(String::from).collect())
                .unwrap_or_default(),
        })
    }
}
