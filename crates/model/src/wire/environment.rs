//! Environments.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::or_default;

/// Whether the name is valid: `^[a-zA-Z0-9][a-zA-Z0-9._-]*$`.
pub fn is_environment_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// The body of `PUT /environments/{org}`, which creates or changes an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentRequest {
    /// See [`is_environment_name`].
    pub name: String,
    /// `ECS` among others, case-sensitive.
    #[serde(rename = "type")]
    pub environment_type: String,
    /// A text for people.
    pub description: String,
    /// Whether a change of replicas alone makes a new snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_scaling: Option<bool>,
}

/// An environment: the response of `GET /environments/{org}/{env}`. Times are in seconds since the
/// Unix epoch, with fractions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// The organization that owns it.
    #[serde(default, deserialize_with = "or_default")]
    pub org: String,
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub environment_type: String,
    /// A text for people.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    /// The last time it was created, changed or reported to.
    #[serde(default, deserialize_with = "or_default")]
    pub last_modified_at: f64,
    /// The last report, whether or not it made a snapshot.
    #[serde(default)]
    pub last_reported_at: Option<f64>,
    /// The time of its latest snapshot.
    #[serde(default)]
    pub last_changed_at: Option<f64>,
    /// Whether what runs there is compliant; `null` if no policy decides it.
    #[serde(default)]
    pub state: Option<bool>,
    /// Whether a change of replicas alone makes a new snapshot.
    #[serde(default, deserialize_with = "or_default")]
    pub include_scaling: bool,
    /// The user's own labels.
    #[serde(default, deserialize_with = "or_default")]
    pub tags: Map<String, Value>,
    /// Names of the policies attached to it.
    #[serde(default)]
    pub policies: Option<Vec<String>>,
    /// The environments in a logical one.
    #[serde(default)]
    pub included_environments: Option<Vec<String>>,
}

/// The body of `PUT /environments/{org}/{env}/rename` and `PUT /flows/{org}/{flow}/rename`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenameRequest {
    /// See [`is_environment_name`].
    pub new_name: String,
}

/// A page of an organization's environments: the response of `GET /environments/{org}` with a page
/// number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PagedEnvironments {
    /// Links to this page and its neighbours.
    #[serde(default, rename = "_links")]
    pub links: Value,
    /// Its number, from 1.
    pub page: u32,
    /// The maximum number of environments per page.
    pub per_page: u32,
    /// The number of pages.
    pub total_pages: u64,
    /// The number of environments on all pages.
    pub total_count: u64,
    /// The environments on this page.
    pub environments: Vec<Environment>,
}
