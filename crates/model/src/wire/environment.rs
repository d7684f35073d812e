//! Environments.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::or_default;

/// Whether an environment may be called this: `^[a-zA-Z0-9][a-zA-Z0-9._-]*$`.
pub fn is_environment_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// The body of `PUT /environments/{org}`, which makes an environment or changes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentRequest {
    /// See [`is_environment_name`].
    pub name: String,
    /// `ECS` among others, case-sensitive.
    #[serde(rename = "type")]
    pub environment_type: String,
    /// For people.
    pub description: String,
    /// Whether a change of replicas alone makes a new snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_scaling: Option<bool>,
}

/// An environment: the answer of `GET /environments/{org}/{env}`. Times are in seconds since the
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
    /// For people.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    /// When it was last made, changed or reported to.
    #[serde(default, deserialize_with = "or_default")]
    pub last_modified_at: f64,
    /// When it was last reported to, whether or not that made a snapshot.
    #[serde(default)]
    pub last_reported_at: Option<f64>,
    /// When its latest snapshot was made.
    #[serde(default)]
    pub last_changed_at: Option<f64>,
    /// Whether what runs there is compliant; `null` if no policy decides it.
    #[serde(default)]
    pub state: Option<bool>,
    /// Whether a change of replicas alone makes a new snapshot.
    #[serde(default, deserialize_with = "or_default")]
    pub include_scaling: bool,
    /// Free to use.
    #[serde(default, deserialize_with = "or_default")]
    pub tags: Map<String, Value>,
    /// Names of the policies attached to it.
    #[serde(default)]
    pub policies: Option<Vec<String>>,
    /// The environments in a logical one.
    #[serde(default)]
    pub included_environments: Option<Vec<String>>,
}

/// The body of `PUT /environments/{org}/{env}/rename`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenameRequest {
    /// See [`is_environment_name`].
    pub new_name: String,
}

/// A page of an organization's environments: the answer of `GET /environments/{org}` where one is
/// asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PagedEnvironments {
    /// Where this page and its neighbours are.
    #[serde(default, rename = "_links")]
    pub links: Value,
    /// Its number, from 1.
    pub page: u32,
    /// How many environments a page has at the most.
    pub per_page: u32,
    /// How many pages there are.
    pub total_pages: u64,
    /// How many environments there are on all of them.
    pub total_count: u64,
    /// Those on this page.
    pub environments: Vec<Environment>,
}
