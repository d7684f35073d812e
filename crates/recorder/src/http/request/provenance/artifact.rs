//! The bodies that report artifacts and deployments, and that allow artifacts.

use serde::Deserialize;

use super::names::{check_fingerprint, check_template_name};
use super::{
    MAX_DESCRIPTION_BYTES, MAX_LABEL_BYTES, MAX_URL_BYTES, check_common, check_trail_name, details,
    fields,
};
use crate::domain::provenance::{AllowanceRequest, ArtifactReport, DeploymentReport};
use crate::domain::{Error, MAX_ENVIRONMENT_NAME_BYTES};
use crate::http::request::json::{FromJson, invalid, parse};
use crate::http::request::text::Text;

#[derive(Deserialize)]
struct ArtifactFields {
    fingerprint: Text<64>,
    filename: Text<MAX_LABEL_BYTES>,
    #[expect(dead_code, reason = "only that it is there is checked")]
    build_url: Text<MAX_URL_BYTES>,
    #[expect(dead_code, reason = "only that it is there is checked")]
    commit_url: Text<MAX_URL_BYTES>,
    #[serde(default)]
    git_commit: Option<Text<MAX_ENVIRONMENT_NAME_BYTES>>,
    #[serde(default)]
    trail_name: Option<Text<MAX_ENVIRONMENT_NAME_BYTES>>,
    #[serde(default)]
    template_reference_name: Option<Text<MAX_ENVIRONMENT_NAME_BYTES>>,
}

impl FromJson for ArtifactReport {
    fn from_json(body: &[u8]) -> Result<Self, Error> {
        let kept = details(body)?;
        check_common(&fields(body)?)?;
        let fields: ArtifactFields = parse(body)?;
        check_fingerprint("fingerprint", &fields.fingerprint.0)?;
        if fields.filename.0.is_empty() {
            return Err(invalid("filename", "must not be empty"));
        }
        let given = |text: Option<Text<MAX_ENVIRONMENT_NAME_BYTES>>| {
            text.map(String::from).filter(|text| !text.is_empty())
        };
        let (trail, template_name) =
            (given(fields.trail_name), given(fields.template_reference_name));
        if let Some(trail) = &trail {
            check_trail_name("trail_name", trail)?;
        }
        if let Some(name) = &template_name {
            check_template_name("template_reference_name", name)?;
        }
        let commit = given(fields.git_commit).unwrap_or_default().to_ascii_lowercase();
        let is_commit =
            (7..=64).contains(&commit.len()) && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !commit.is_empty() && !is_commit {
            return Err(invalid("git_commit", "must be 7 to 64 hexadecimal digits"));
        }
        Ok(Self {
            fingerprint: fields.fingerprint.into(),
            name: fields.filename.into(),
            commit,
            template_name,
            trail,
            details: kept,
        })
    }
}

#[derive(Deserialize)]
struct DeploymentFields {
    artifact_fingerprint: Text<64>,
    environment: Text<MAX_ENVIRONMENT_NAME_BYTES>,
}

/// The body that announces the deployment of an artifact to an environment.
pub(crate) struct Deployment(pub(crate) DeploymentReport);

impl FromJson for Deployment {
    fn from_json(body: &[u8]) -> Result<Self, Error> {
        let details = details(body)?;
        check_common(&fields(body)?)?;
        let fields: DeploymentFields = parse(body)?;
        check_fingerprint("artifact_fingerprint", &fields.artifact_fingerprint.0)?;
        if !envsnap_model::wire::is_environment_name(&fields.environment.0) {
            let problem = "does not match '^[a-zA-Z0-9][a-zA-Z0-9._-]*$'";
            return Err(invalid("environment", problem));
        }
        Ok(Self(DeploymentReport {
            fingerprint: fields.artifact_fingerprint.into(),
            environment: fields.environment.into(),
            details,
        }))
    }
}

#[derive(Deserialize)]
struct AllowanceFields {
    #[serde(default)]
    artifact_fingerprint: Option<Text<64>>,
    #[serde(default)]
    artifact_name: Option<Text<MAX_LABEL_BYTES>>,
    /// An extension of this recorder, in place of a fingerprint.
    #[serde(default)]
    name_pattern: Option<Text<MAX_LABEL_BYTES>>,
    #[serde(default)]
    description: Option<Text<MAX_DESCRIPTION_BYTES>>,
}

/// How many letters or digits in a row a pattern with `*` has at least. Fewer are in nearly every image name.
const MIN_LITERAL_CHARS: usize = 3;

/// Whether the pattern has a `*`, and too little beside it to tell names from each other; or nothing
/// but separators.
fn matches_most_names(pattern: &str) -> bool {
    let mut words = pattern.split(|c: char| !c.is_alphanumeric());
    if pattern.contains('*') {
        return words.all(|word| word.chars().count() < MIN_LITERAL_CHARS);
    }
    words.all(str::is_empty)
}

/// The environment is in the address.
impl FromJson for AllowanceRequest {
    fn from_json(body: &[u8]) -> Result<Self, Error> {
        let fields: AllowanceFields = parse(body)?;
        let fingerprint: String = fields.artifact_fingerprint.map(Into::into).unwrap_or_default();
        let pattern: String = fields.name_pattern.map(Into::into).unwrap_or_default();
        if pattern.is_empty() && fingerprint.is_empty() {
            return Err(invalid("artifact_fingerprint", "is required, or name_pattern"));
        } else if pattern.is_empty() {
            check_fingerprint("artifact_fingerprint", &fingerprint)?;
        } else if !fingerprint.is_empty() {
            return Err(invalid("name_pattern", "cannot be used with artifact_fingerprint"));
        } else if matches_most_names(&pattern) {
            return Err(invalid(
                "name_pattern",
                format!(
                    "must not allow every name: beside '*' it needs {MIN_LITERAL_CHARS} letters or digits \
                     in a row"
                ),
            ));
        }
        let reason: String = fields.description.map(Into::into).unwrap_or_default();
        if reason.is_empty() && !pattern.is_empty() {
            return Err(invalid("description", "is required: it says why the names are allowed"));
        }
        Ok(Self {
            environment: None,
            fingerprint,
            name: fields.artifact_name.map(Into::into).unwrap_or_default(),
            pattern,
            reason,
        })
    }
}
