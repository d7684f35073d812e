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

/// The header with which the recorder names, in every answer of its API, what it takes beyond that
/// API, separated by commas.
pub const ACCEPTS: &str = "x-envsnap-accepts";

/// In [`ACCEPTS`]: a report may name the index of the latest snapshot in an `If-Match` header
/// (`"65"`, or `"0"` for none). It is answered with 412, and not recorded, if the latest snapshot is
/// another one.
pub const IF_MATCH: &str = "if-match";

/// The header of a report that announces after how many seconds the next one comes at the latest,
/// even if nothing changes.
pub const HEARTBEAT: &str = "x-envsnap-heartbeat";

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
