//! The payloads of ledger entries.
//!
//! The stored form is separate from the API's. A payload is written as canonical JSON (RFC 8785):
//! no white space, no floats, and keys in ascending order, which here is the order in which the
//! fields are declared.

use serde::{Deserialize, Serialize};

use super::Micros;
use super::provenance::{
    AllowanceWithdrawn, Allowed, ArtifactReported, AttestationReported, DeploymentReported,
    FlowArchived, FlowChanged, FlowCreated, FlowRenamed, TrailBegun, TrailChanged,
};

/// What an entry of a ledger records: an event in an organization.
///
/// An environment is identified by the sequence number of the entry that created it, since names
/// change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// An environment was created.
    EnvironmentCreated(EnvironmentCreated),
    /// Settings of an environment were changed.
    EnvironmentChanged(EnvironmentChanged),
    /// An environment was given another name.
    EnvironmentRenamed(EnvironmentRenamed),
    /// An environment was archived, with all that was recorded in it.
    EnvironmentArchived(EnvironmentArchived),
    /// An archived environment is in use again.
    EnvironmentRestored(EnvironmentRestored),
    /// A report differed from the latest snapshot and made the next one.
    Snapshot(SnapshotTaken),
    /// Reports found the latest snapshot unchanged.
    Confirmed(Confirmed),
    /// The clock was found to be behind what was recorded before.
    ClockCorrected(ClockCorrected),
    /// A flow was created.
    FlowCreated(FlowCreated),
    /// Settings of a flow were changed.
    FlowChanged(FlowChanged),
    /// A flow was given another name; the old one works until another flow takes it.
    FlowRenamed(FlowRenamed),
    /// A flow was archived.
    FlowArchived(FlowArchived),
    /// A trail was begun.
    TrailBegun(TrailBegun),
    /// What is known of a trail was changed.
    TrailChanged(TrailChanged),
    /// An artifact was built.
    ArtifactReported(ArtifactReported),
    /// There is evidence for a trail or for artifacts.
    AttestationReported(AttestationReported),
    /// A deployment was announced.
    DeploymentReported(DeploymentReported),
    /// Software without provenance is allowed to run.
    Allowed(Allowed),
    /// It is not allowed any longer.
    AllowanceWithdrawn(AllowanceWithdrawn),
}

/// An environment was created: see [`Payload::EnvironmentCreated`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentCreated {
    pub description: String,
    /// Whether a change of replicas alone makes a snapshot.
    pub include_scaling: bool,
    /// The environments in a logical one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub included_environments: Option<Vec<String>>,
    /// Unique in the organization.
    pub name: String,
    /// Names of policies; they are kept and mean nothing here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<Vec<String>>,
    /// `ECS`, or `logical`.
    #[serde(rename = "type")]
    pub environment_type: String,
}

/// Settings of an environment were changed: see [`Payload::EnvironmentChanged`]. What is absent stays as it
/// was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentChanged {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub environment: i64,
    /// Whether a change of replicas alone makes a snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_scaling: Option<bool>,
    /// The environments in a logical one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub included_environments: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<Vec<String>>,
}

/// An environment was given another name: see [`Payload::EnvironmentRenamed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentRenamed {
    pub environment: i64,
    /// The previous name.
    pub from: String,
    /// The new name, which logical environments that include it use as well.
    pub to: String,
}

/// An environment was archived: see [`Payload::EnvironmentArchived`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentArchived {
    pub environment: i64,
}

/// An archived environment is in use again: see [`Payload::EnvironmentRestored`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentRestored {
    pub environment: i64,
}

/// A report made a new snapshot: see [`Payload::Snapshot`]. Holds only what changed since the snapshot
/// before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotTaken {
    /// In the order of the artifacts' identities.
    pub changes: Vec<Change>,
    /// Of everything that runs in the snapshot, changed or not.
    pub content_hash: String,
    /// The start of the covered time that contains this entry; the time of this entry if a gap
    /// ended with it, or the clock was set back.
    pub covered_from: Micros,
    pub environment: i64,
    /// The reporter's heartbeat in seconds, if it announced one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<u32>,
    /// Its index in the environment: 1, 2, 3 … without gaps.
    pub index: u32,
    /// The time of the report before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_report: Option<Micros>,
}

/// How one artifact changed in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// 64 lowercase hexadecimal digits, or `""` if it is unknown.
    pub fingerprint: String,
    /// Its label in the report.
    pub name: String,
    /// Replicas in this snapshot; 0 if it exited.
    pub now: u64,
    /// Every cluster and service of its replicas, sorted; empty if there is only one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<EcsLocation>,
    /// When each replica started, in seconds since the Unix epoch, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub started_at: Vec<i64>,
    /// The task of the replica that started last; none if it exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// Replicas in the snapshot before; 0 if it started.
    pub was: u64,
}

/// A cluster and a service in which an artifact runs, and how many replicas run there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EcsLocation {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    pub replicas: u64,
    /// The service's name; none for a standalone task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// An ECS task: its ARN, its cluster and service, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    pub arn: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Where it comes from, if the reporter says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The service's name; none for a standalone task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

impl Task {
    /// A task of which nothing is known.
    pub fn unknown() -> Self {
        Self { arn: String::new(), cluster: None, origin: None, service: None }
    }
}

/// Where an ECS task comes from, such as its task definition, as ECS describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    /// `FARGATE`, `EC2` and others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch_type: Option<String>,
    /// A deployment, or what was given to `RunTask`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// The ARN of the task definition, with its revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_definition: Option<String>,
}

impl Origin {
    /// Its texts, in the order of the fields.
    pub fn texts(&self) -> [Option<&str>; 4] {
        [&self.availability_zone, &self.launch_type, &self.started_by, &self.task_definition]
            .map(|text| text.as_deref())
    }

    /// The length of its texts in bytes.
    pub fn text_bytes(&self) -> usize {
        self.texts().into_iter().flatten().map(str::len).sum()
    }
}

/// Reports found the latest snapshot of an environment unchanged: see [`Payload::Confirmed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmed {
    pub environment: i64,
    /// The start of the covered time.
    pub from: Micros,
    /// The reporter's heartbeat in seconds, if it announced one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<u32>,
    /// The last report of the covered time. If it differs from the time of this entry, a gap ended
    /// with this entry; if it is later, the clock was set back.
    pub until: Micros,
}

/// The clock was found to be behind the latest time in the ledger: see [`Payload::ClockCorrected`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockCorrected {
    /// The latest time in the ledger before this entry.
    pub latest: Micros,
}

/// An entry that this version of the recorder cannot read.
#[derive(Debug, thiserror::Error)]
pub enum ParsePayloadError {
    /// A newer version of the recorder wrote it, or it was tampered with.
    #[error("unknown kind of entry: {kind} version {version}")]
    UnknownKind { kind: String, version: i64 },
    /// It does not match the schema of its kind.
    #[error("not the payload of an entry of this kind")]
    Malformed(#[from] serde_json::Error),
    /// It parses, but its text is not canonical.
    #[error("the payload is not canonical JSON")]
    NotCanonical,
}

/// The version of the payload's format, for every kind of entry so far.
const VERSION: i64 = 1;

macro_rules! kinds {
    ($($text:literal => $variant:ident),+ $(,)?) => {
        impl Payload {
            /// Its kind, as it is stored.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $text),+ }
            }

            /// Its canonical JSON, as it is stored and hashed.
            ///
            /// # Errors
            /// Never for these types; the signature is serde's.
            pub fn to_text(&self) -> serde_json::Result<String> {
                match self { $(Self::$variant(payload) => serde_json::to_string(payload)),+ }
            }

            /// The payload of an entry as it is stored.
            ///
            /// # Errors
            /// The kind or its version is unknown, or `text` is not the canonical JSON of such a
            /// payload.
            pub fn from_stored(kind: &str, version: i64, text: &str) -> Result<Self, ParsePayloadError> {
                let payload = match (kind, version) {
                    $(($text, VERSION) => Self::$variant(serde_json::from_str(text)?),)+
                    _ => return Err(ParsePayloadError::UnknownKind { kind: kind.to_owned(), version }),
                };
                if payload.to_text()? == text { Ok(payload) } else { Err(ParsePayloadError::NotCanonical) }
            }
        }
    };
}

kinds! {
    "environment-created" => EnvironmentCreated,
    "environment-changed" => EnvironmentChanged,
    "environment-renamed" => EnvironmentRenamed,
    "environment-archived" => EnvironmentArchived,
    "environment-restored" => EnvironmentRestored,
    "snapshot" => Snapshot,
    "confirmed" => Confirmed,
    "clock-corrected" => ClockCorrected,
    "flow-created" => FlowCreated,
    "flow-changed" => FlowChanged,
    "flow-renamed" => FlowRenamed,
    "flow-archived" => FlowArchived,
    "trail-begun" => TrailBegun,
    "trail-changed" => TrailChanged,
    "artifact-reported" => ArtifactReported,
    "attestation-reported" => AttestationReported,
    "deployment-reported" => DeploymentReported,
    "allowed" => Allowed,
    "allowance-withdrawn" => AllowanceWithdrawn,
}

impl Payload {
    /// The version of its format.
    pub fn version(&self) -> i64 {
        VERSION
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example_of_every_kind() -> Vec<Payload> {
        let task = Task {
            arn: "arn:aws:ecs:eu-central-1:274425519734:task/app/1".to_owned(),
            cluster: Some("app".to_owned()),
            origin: Some(Origin {
                availability_zone: Some("eu-central-1a".to_owned()),
                launch_type: Some("FARGATE".to_owned()),
                started_by: Some("ecs-svc/1".to_owned()),
                task_definition: Some("web:42".to_owned()),
            }),
            service: Some("web\u{1}\"".to_owned()),
        };
        let place = EcsLocation { cluster: Some("app".to_owned()), replicas: 1, service: None };
        vec![
            Payload::EnvironmentCreated(EnvironmentCreated {
                description: "the café's\n\\ \u{7f}".to_owned(),
                include_scaling: true,
                included_environments: Some(vec!["a".to_owned()]),
                name: "aws-prod".to_owned(),
                policies: Some(vec![]),
                environment_type: "ECS".to_owned(),
            }),
            Payload::EnvironmentChanged(EnvironmentChanged {
                description: Some(String::new()),
                environment: 1,
                include_scaling: Some(false),
                included_environments: Some(vec![]),
                policies: Some(vec!["p".to_owned()]),
            }),
            Payload::EnvironmentRenamed(EnvironmentRenamed {
                environment: 1,
                from: "a".to_owned(),
                to: "b".to_owned(),
            }),
            Payload::EnvironmentArchived(EnvironmentArchived { environment: 1 }),
            Payload::EnvironmentRestored(EnvironmentRestored { environment: 1 }),
            Payload::Snapshot(SnapshotTaken {
                changes: vec![Change {
                    fingerprint: "ab".repeat(32),
                    name: "web:1".to_owned(),
                    now: 2,
                    places: vec![
                        place.clone(),
                        EcsLocation { service: Some("web".to_owned()), ..place },
                    ],
                    started_at: vec![-1, 2],
                    task: Some(task),
                    was: 0,
                }],
                content_hash: "cd".repeat(32),
                covered_from: Micros(1),
                environment: 1,
                heartbeat: Some(3_600),
                index: 65,
                previous_report: Some(Micros(-5)),
            }),
            Payload::Confirmed(Confirmed {
                environment: 1,
                from: Micros(1),
                heartbeat: Some(60),
                until: Micros(2),
            }),
            Payload::ClockCorrected(ClockCorrected { latest: Micros(9) }),
        ]
        .into_iter()
        .chain(super::super::provenance::example_payloads())
        .collect()
    }

    #[test]
    fn payloads_round_trip_as_canonical_json() {
        for payload in example_of_every_kind() {
            let text = payload.to_text().unwrap();
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            let canonical = serde_json_canonicalizer::to_string(&value).unwrap();
            assert_eq!(text, canonical, "keys in order, no white space, the least escapes");
            let read = Payload::from_stored(payload.kind(), payload.version(), &text).unwrap();
            assert_eq!(read, payload);
        }
    }

    #[test]
    fn payload_of_unknown_kind_or_version_or_that_is_not_canonical_json_is_refused() {
        let text = r#"{"environment":1}"#;
        let read = |kind, version, text| Payload::from_stored(kind, version, text);
        assert!(read("environment-archived", 1, text).is_ok());
        for (kind, version, text) in [
            ("environment-archived", 1, r#"{"environment": 1}"#),
            ("environment-archived", 1, r#"{"environment":1,"more":2}"#),
            ("environment-archived", 1, r#"{"environment":1}{}"#),
            ("environment-archived", 1, r#"{"environment":1.0}"#),
            ("environment-archived", 2, text),
            ("environment-gone", 1, text),
            ("snapshot", 1, text),
        ] {
            assert!(read(kind, version, text).is_err(), "{kind} {version} {text}");
        }
    }
}
