//! The documents of the snapshot server's API, version 2.
//!
//! Written whole and read leniently: what a reader here does not need may be missing.

mod diff;
mod environment;
mod history;
mod report;
mod snapshot;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

pub use diff::{DiffArtifact, DiffItem, EnvironmentDiff};
pub use environment::{
    Environment, EnvironmentRequest, PagedEnvironments, RenameRequest, is_environment_name,
};
pub use history::{EnvironmentEvent, Silence, SnapshotListEntry};
pub use report::{EcsReport, ReportEntry};
pub use snapshot::{Annotation, EcsContext, EcsPlace, RecordedArtifact, RecordedSnapshot};

/// The type of an environment whose software ECS runs.
pub const ECS: &str = "ECS";

/// The header with which the recorder answers a report: the link of the last snapshot in its whole
/// file, as 64 hexadecimal digits. Who keeps it can tell later whether the file was rewritten.
pub const HEAD: &str = "x-envsnap-head";

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A sentence.
    pub message: String,
    /// What is wrong with each field of the request, by the field's path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, Value>,
}

/// A field that a server may write as `null`, which says nothing.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    field: D,
) -> Result<T, D::Error> {
    Option::deserialize(field).map(Option::unwrap_or_default)
}
