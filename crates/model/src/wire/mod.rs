//! The documents of the snapshot server's API, version 2.
//!
//! Written whole and read leniently: what a reader here does not need may be missing or `null`, as
//! in the client that the API's authors wrote.

mod diff;
mod environment;
mod history;
mod ledger;
mod provenance;
mod report;
mod since;
mod snapshot;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

pub use diff::{DiffArtifact, DiffItem, EnvironmentDiff};
pub use environment::{
    Environment, EnvironmentRequest, PagedEnvironments, RenameRequest, is_environment_name,
};
pub use history::{ArtifactRun, EnvironmentEvent, ReportGap, SnapshotListEntry};
pub use ledger::{LedgerEntries, LedgerEntry, LedgerHead};
pub use provenance::{
    AllowedArtifact, ArtifactFlow, ArtifactOrigin, Deployment, DerivedDeployment,
    EnvironmentSnapshot, Flow, FlowArtifact, FoundArtifact, HistoryEvent, Paged, Pagination,
    SearchAnswer,
};
pub use report::{EcsReport, ReportEntry};
pub use since::RunningSince;
pub use snapshot::{
    Annotation, EcsContext, EcsPlace, RecordedArtifact, RecordedSnapshot, SnapshotEntry,
};

/// The maximum response size, in bytes, that this project's client reads; the recorder sends less.
/// A snapshot of twelve thousand artifacts takes about half of it.
pub const MAX_RESPONSE_BYTES: usize = 32 << 20;

/// The type of an environment in ECS.
pub const ECS: &str = "ECS";

/// The type of an environment that is made of others. It gets no reports.
pub const LOGICAL: &str = "logical";

/// The header of every response to a write: the [head](crate::Head) of the organization's ledger.
/// It is a [signed one](crate::SignedHead) if the recorder has a key. Kept elsewhere, it shows later
/// whether the ledger was rewritten.
pub const HEAD: &str = "x-envsnap-head";

/// The header with which the recorder announces its extensions of the API, separated by commas.
pub const ACCEPTS: &str = "x-envsnap-accepts";

/// In [`ACCEPTS`]: a report may send the index of the latest snapshot in an `If-Match` header
/// (`"65"`, or `"0"` for none). If the latest snapshot is another one, the response is 412 and the
/// report is not recorded.
pub const IF_MATCH: &str = "if-match";

/// In [`ACCEPTS`]: `GET /artifact-runs/{org}?artifact=PATTERN&environment=NAME` returns when
/// artifacts ran, in one environment or in all.
pub const ARTIFACT_RUNS: &str = "artifact-runs";

/// In [`ACCEPTS`]: entries of a report may have an [origin](ReportEntry::origin). Other servers refuse
/// unknown fields.
pub const ORIGIN: &str = "origin";

/// The header of a report with the maximum number of seconds until the next one, even if nothing
/// changes.
pub const HEARTBEAT: &str = "x-envsnap-heartbeat";

/// The body of an error response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A sentence.
    pub message: String,
    /// The problems of each field of the request, by the field's path.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, Value>,
}

/// Deserializes `null` as the default.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    field: D,
) -> Result<T, D::Error> {
    Option::deserialize(field).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    /// Adds the JSON pointer of every field in `document`, whose own pointer is `at`.
    fn collect_pointers(document: &Value, at: &str, pointers: &mut Vec<String>) {
        match document {
            Value::Object(fields_of) => {
                for (name, value) in fields_of {
                    let pointer = format!("{at}/{name}");
                    collect_pointers(value, &pointer, pointers);
                    pointers.push(pointer);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    collect_pointers(item, &format!("{at}/{index}"), pointers);
                }
            }
            _ => {}
        }
    }

    /// Asserts that each field of a complete document can be `null`, with the same result as if it were
    /// missing, and that a required field can be neither.
    fn assert_null_reads_as_missing<T: DeserializeOwned + Serialize>(
        document: &Value,
        required: &[&str],
    ) {
        let read = |document: Value| {
            serde_json::from_value::<T>(document).map(|read| serde_json::to_value(read).unwrap())
        };
        let name = std::any::type_name::<T>();
        let complete = read(document.clone()).unwrap();
        let mut pointers = Vec::new();
        collect_pointers(document, "", &mut pointers);
        for pointer in &pointers {
            assert_eq!(complete.pointer(pointer), document.pointer(pointer), "{name}{pointer}");
            // The names in a map are the server's own.
            let maps = ["/tags/", "/artifact_compliance_count/", "/errors/", "/evidence/"];
            if maps.iter().any(|map| pointer.starts_with(map)) {
                continue;
            }
            let mut with_null = document.clone();
            *with_null.pointer_mut(pointer).unwrap() = Value::Null;
            let mut without = document.clone();
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            without.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(field).unwrap();
            if required.contains(&pointer.as_str()) {
                assert!(read(with_null).is_err(), "{name}{pointer} is null");
                assert!(read(without).is_err(), "{name}{pointer} is missing");
            } else {
                let with_null = read(with_null);
                assert!(with_null.is_ok(), "{name}{pointer} is null: {with_null:?}");
                assert_eq!(with_null.unwrap(), read(without).unwrap(), "{name}{pointer}");
            }
        }
        for pointer in required {
            assert!(pointers.iter().any(|known| known == pointer), "{name}{pointer} is not there");
        }
    }

    #[test]
    fn null_is_accepted_for_every_optional_field_of_a_snapshot() {
        let flow = json!({
            "flow_name": "f", "trail_name": "t", "template_reference_name": "r",
            "git_commit": "c", "commit_url": "u", "build_url": "b", "git_commit_info": 1,
            "html_url": "h", "flow_html_url": "h", "artifact_compliance_in_flow": true,
            "flow_reasons_for_non_compliance": [1], "deployments": [1],
            "commit_lead_time": 1.5, "deployment_diff": 1, "reported_at": 1.5,
            "state": "COMPLIANT", "problems": ["p"],
        });
        let context = json!({
            "task_arn": "t", "cluster_name": "c", "service_name": "s", "service_url": "u",
            "task_definition_url": "u",
            "origin": {"task_definition": "d", "started_by": "b", "launch_type": "EC2",
                       "availability_zone": "z"},
        });
        let document = json!({
            "index": 65, "is_latest": true, "next_snapshot_timestamp": 2.5,
            "artifact_compliance_count": {"true": 1, "false": 2, "null": 3}, "timestamp": 1.5,
            "confirmed_until": 3.5, "reported_by": "ci", "type": "ECS", "compliant": true, "html_url": "h",
            "applied_policies": ["p"],
            "artifacts": [{
                "name": "web:1", "fingerprint": "ab", "compliant": true, "deployments": [1],
                "policy_decisions": [1], "reasons_for_incompliance": [1],
                "creationTimestamp": [7], "pods": 1,
                "annotation": {"type": "unchanged", "was": 1, "now": 1},
                "flow_name": "f", "git_commit": "c", "commit_url": "u", "html_url": "h",
                "flow_html_url": "h", "deployment_diff": 1, "commit_lead_time": 1.5,
                "flows": [flow],
                "origin": {"status": "late", "first_started_at": 1, "delay": 1.5, "allowed": "a"},
                "ecs_context": context,
                "ecs_places": [{"cluster_name": "c", "service_name": "s", "replicas": 1}],
                "started": 7, "first_seen": 1.5, "first_snapshot": 2,
                "first_seen_at_the_latest": false, "confirmed_until": 2.5, "first_time_here": "image",
            }],
        });
        assert_null_reads_as_missing::<RecordedSnapshot>(
            &document,
            &[
                "/index",
                "/type",
                "/artifacts",
                "/artifacts/0/name",
                "/artifacts/0/annotation",
                "/artifacts/0/annotation/type",
                "/artifacts/0/annotation/was",
                "/artifacts/0/annotation/now",
                "/artifacts/0/ecs_places/0/replicas",
                "/artifacts/0/origin/status",
                "/artifacts/0/origin/first_started_at",
            ],
        );
    }

    #[test]
    fn null_is_accepted_for_every_optional_field_of_an_environment() {
        let document = json!({
            "org": "acme", "name": "aws-prod", "type": "ECS", "description": "d",
            "last_modified_at": 1.5, "last_reported_at": 2.5, "last_changed_at": 3.5,
            "state": true, "include_scaling": true, "tags": {"team": "a"}, "policies": ["p"],
            "included_environments": ["e"],
        });
        assert_null_reads_as_missing::<Environment>(&document, &["/name", "/type"]);
    }

    #[test]
    fn null_is_accepted_for_every_optional_field_of_flows_artifacts_and_allowances() {
        let document = json!({
            "name": "runner", "description": "d", "visibility": "public", "org": "acme",
            "template": "version: 1", "repo_url": "u", "tags": {"a": "b"}, "latest_activity_at": 1.5,
            "latest_state": "COMPLIANT", "last_deployment_at": 1.5,
        });
        assert_null_reads_as_missing::<Flow>(&document, &["/name"]);
        let event = json!({"event": "Artifact created", "timestamp": 1.5,
            "derived_deployment": {"environment_name": "e", "snapshot_index": 1}});
        let document = json!({
            "id": "i", "filename": "f", "fingerprint": "ab", "flow_name": "f", "trail_name": "t",
            "template_reference_name": "r", "git_commit": "c", "git_commit_info": 1, "repo_info": 1,
            "commit_url": "u", "build_url": "b", "repo_url": "r", "html_url": "h", "api_url": "a",
            "state": "COMPLIANT", "state_info": "s", "created_at": "1.5", "last_modified_at": "1.5",
            "deployments": [1], "evidence": {"e": 1}, "template": ["t"],
            "running": [{"environment_name": "e", "snapshot_index": 1}],
            "exited": [{"environment_name": "e", "snapshot_index": 1}], "history": [event],
            "user_data": 1, "external_urls": 1, "annotations": 1,
        });
        assert_null_reads_as_missing::<FlowArtifact>(
            &document,
            &[
                "/filename",
                "/fingerprint",
                "/history/0/event",
                "/history/0/derived_deployment/environment_name",
                "/history/0/derived_deployment/snapshot_index",
                "/running/0/environment_name",
                "/running/0/snapshot_index",
                "/exited/0/environment_name",
                "/exited/0/snapshot_index",
            ],
        );
        let document = json!({
            "fingerprint": "ab", "name": "n", "has_provenance": true, "flow": "f", "pipeline": "f",
            "trail": "t", "template_reference_name": "r", "git_commit": "c", "commit_url": "u",
            "build_url": "b", "compliance_state": "s", "running_in": ["e"], "exited_from": ["e"],
            "html_url": "h", "api_url": "a", "history": [event],
        });
        assert_null_reads_as_missing::<FoundArtifact>(
            &document,
            &[
                "/fingerprint",
                "/history/0/event",
                "/history/0/derived_deployment/environment_name",
                "/history/0/derived_deployment/snapshot_index",
            ],
        );
        let document = json!({
            "artifact_name": "n", "fingerprint": "ab", "environment_name": "e", "timestamp": 1.5,
            "user_name": "u", "description": "d", "id": "i", "name_pattern": "p",
        });
        assert_null_reads_as_missing::<AllowedArtifact>(&document, &[]);
    }

    #[test]
    fn null_is_accepted_for_every_optional_field_of_a_snapshot_list_and_an_event() {
        let document = json!({
            "index": 65, "from": 1.5, "to": 2.5, "compliant": true, "duration": 1.5,
            "confirmed_until": 2.25, "gaps": [{"from": 1.5, "until": 2.0}],
        });
        assert_null_reads_as_missing::<SnapshotListEntry>(
            &document,
            &["/index", "/from", "/gaps/0/from"],
        );
        let document = json!({
            "environment_name": "aws-prod", "snapshot_index": 65, "artifact_name": "web:1",
            "sha256": "ab", "description": "1 instance changed", "reported_at": 1.5,
            "pipeline": "p", "deployments": [1], "flows": [1], "artifact_compliance": true,
            "snapshot_compliance": true, "type": "exited", "code_diff": "d", "_links": 1,
            "first_time_here": "repository",
        });
        assert_null_reads_as_missing::<EnvironmentEvent>(&document, &["/type"]);
    }

    #[test]
    fn null_is_accepted_for_every_optional_field_of_a_diff_and_of_an_error() {
        let item = json!({
            "snapshot_id": "aws-prod#65",
            "artifacts": [{
                "fingerprint": "ab", "name": "web:1", "most_recent_timestamp": 1, "flow": "f",
                "commit_url": "u", "instance_count": 1, "s1_instance_count": 2,
                "s2_instance_count": 3, "started": 1, "first_seen": 1.5, "first_snapshot": 2,
                "first_seen_at_the_latest": false, "confirmed_until": 2.5, "first_time_here": "image",
            }],
        });
        let document = json!({
            "snappish1": item, "snappish2": item, "changed": item, "not-changed": item,
        });
        assert_null_reads_as_missing::<EnvironmentDiff>(
            &document,
            &[
                "/snappish1/artifacts/0/name",
                "/snappish2/artifacts/0/name",
                "/changed/artifacts/0/name",
                "/not-changed/artifacts/0/name",
            ],
        );
        assert_null_reads_as_missing::<ErrorBody>(
            &json!({"message": "m", "errors": {"a": "b"}}),
            &["/message"],
        );
    }
}
