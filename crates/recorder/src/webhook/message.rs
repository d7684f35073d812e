//! Messages, in the format that the hosted server publishes, with a few fields more.

use std::str::FromStr;

use serde::Serialize;

use super::ParseWebhookError;
use crate::domain::{EntryHash, Event, FirstTime, Micros, SnapshotArtifact, hash_fields};
use crate::http::views;

/// The version of the message format.
const VERSION: &str = "1.0";

/// What a message is about, for filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    Started,
    Exited,
    Scaled,
    /// Started without a flow that had reported it, and is not allowed.
    Rogue,
    /// Started with an image, a repository or a registry that never ran in the environment.
    FirstTimeHere,
    /// No report came for longer than the heartbeat allows.
    NoReport,
}

impl Topic {
    pub(super) const ALL: [Self; 6] = [
        Self::Started,
        Self::Exited,
        Self::Scaled,
        Self::Rogue,
        Self::FirstTimeHere,
        Self::NoReport,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Exited => "exited",
            Self::Scaled => "scaled",
            Self::Rogue => "rogue",
            Self::FirstTimeHere => "first-time-here",
            Self::NoReport => "no-report",
        }
    }

    /// All names, separated by commas, for an error message.
    pub(super) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The topics of an event.
    pub(super) fn of_event(event: &Event) -> Vec<Self> {
        let SnapshotArtifact { was, now, provenance, .. } = &event.artifact;
        match (was, now) {
            (0, 1..) => {
                let is_rogue = provenance.as_ref().is_some_and(|it| it.origin.is_rogue());
                let mut topics = vec![Self::Started];
                topics.extend(is_rogue.then_some(Self::Rogue));
                topics.extend(event.first_time_here().map(|_| Self::FirstTimeHere));
                topics
            }
            (1.., 0) => vec![Self::Exited],
            _ => vec![Self::Scaled],
        }
    }
}

impl FromStr for Topic {
    type Err = ParseWebhookError;

    fn from_str(text: &str) -> Result<Self, ParseWebhookError> {
        let known = Self::ALL.into_iter().find(|topic| topic.name() == text);
        known.ok_or_else(|| ParseWebhookError::Topic(text.to_owned()))
    }
}

/// The JSON body of a request to a webhook.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Message {
    /// The same whenever it is repeated. It is sent in a header.
    #[serde(skip)]
    pub(super) id: String,
    version: &'static str,
    /// RFC 3339, in UTC: when what it says happened.
    timestamp: String,
    org: String,
    environment: String,
    event_type: &'static str,
    description: String,
    snapshot: Option<Snapshot>,
    artifact: Option<Artifact>,
}

/// The snapshot that a message is about.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Snapshot {
    index: u32,
    /// Nothing is decided about environments.
    status: Option<String>,
    html_url: String,
    api_url: String,
}

/// The artifact that started, exited or was scaled.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Artifact {
    name: String,
    /// Empty if it is unknown.
    fingerprint: String,
    /// Ours: replicas before and after.
    was: u64,
    now: u64,
    /// Ours: `known`, `allowed`, `late`, `unknown` or `rogue`; `None` if no flow reports provenance.
    origin: Option<&'static str>,
    /// Ours: `registry`, `repository` or `image`, the widest that never ran in the environment before.
    first_time_here: Option<&'static str>,
    provenance: Option<Provenance>,
}

/// What the first flow that reported the artifact knows of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Provenance {
    flow: String,
    status: &'static str,
    commit: String,
    commit_url: String,
    build_url: String,
    html_url: String,
    api_url: String,
}

/// Where the recorder is reached, without a slash at the end; empty if that is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PublicUrl(pub(super) String);

impl Message {
    /// A message that an artifact started, exited or was scaled. `entry` is the hash of the ledger entry that
    /// recorded its snapshot.
    pub(super) fn of_event(
        url: &PublicUrl,
        org: &str,
        environment: &str,
        entry: EntryHash,
        event: &Event,
        has_provenance: bool,
    ) -> Self {
        let Event { index, recorded_at, artifact } = event;
        let (event_type, verb) = match (artifact.was, artifact.now) {
            (0, _) => ("ARTIFACT_STARTED", "started"),
            (_, 0) => ("ARTIFACT_EXITED", "exited"),
            _ => ("ARTIFACT_SCALED", "was scaled"),
        };
        let replicas = format!("from {} to {} replicas", artifact.was, artifact.now);
        let PublicUrl(base) = url;
        Self {
            // Another environment may get the name and the numbers of this one's snapshots.
            id: message_id(&[&entry.to_string(), &identity(artifact)]),
            version: VERSION,
            timestamp: recorded_at.rfc3339(),
            org: org.to_owned(),
            environment: environment.to_owned(),
            event_type,
            description: format!("{} {verb} in {environment}#{index} ({replicas})", artifact.name),
            snapshot: Some(Snapshot {
                index: *index,
                status: None,
                html_url: format!("{base}{}", views::html_url(org, environment, *index)),
                api_url: format!("{base}/api/v2/snapshots/{org}/{environment}/{index}"),
            }),
            artifact: Some(artifact_document(base, org, event, has_provenance)),
        }
    }

    /// A message about a time that no report covers, which began with the last report.
    pub(super) fn no_report(org: &str, environment: &str, last_report: Micros) -> Self {
        let since = last_report.rfc3339();
        Self {
            id: message_id(&[org, environment, "no report", &last_report.0.to_string()]),
            version: VERSION,
            timestamp: since.clone(),
            org: org.to_owned(),
            environment: environment.to_owned(),
            event_type: "NO_REPORT",
            description: format!(
                "no report to {environment} since {since}: what runs is not known"
            ),
            snapshot: None,
            artifact: None,
        }
    }
}

fn artifact_document(base: &str, org: &str, event: &Event, has_provenance: bool) -> Artifact {
    let artifact = &event.artifact;
    let provenance = artifact.provenance.as_ref();
    let first = provenance.and_then(|it| it.flows.first()).map(|report| {
        let details = crate::domain::provenance::fields(&report.details);
        let fingerprint = identity(artifact);
        Provenance {
            flow: report.flow.clone(),
            status: report.state.as_str(),
            commit: report.commit.clone(),
            commit_url: views::text(&details, "commit_url"),
            build_url: views::text(&details, "build_url"),
            html_url: format!("{base}{}", views::artifact_url(org, &fingerprint)),
            api_url: format!(
                "{base}/api/v2/artifacts/{org}/{}/fingerprint/{fingerprint}",
                report.flow
            ),
        }
    });
    Artifact {
        name: artifact.name.clone(),
        fingerprint: artifact.fingerprint.map(|known| known.to_string()).unwrap_or_default(),
        was: artifact.was,
        now: artifact.now,
        origin: provenance.filter(|_| has_provenance).map(|it| it.origin.as_str()),
        first_time_here: event.first_time_here().map(FirstTime::as_str),
        provenance: first,
    }
}

/// The same for the same fields, so that receivers recognize a repeated message.
fn message_id(fields: &[&str]) -> String {
    let hash = hash_fields(fields.iter().map(|field| field.as_bytes()));
    format!("msg_{}", hex::encode(&hash[..16]))
}

/// The fingerprint, or the name if that is unknown.
fn identity(artifact: &SnapshotArtifact) -> String {
    artifact.fingerprint.map_or_else(|| artifact.name.clone(), |known| known.to_string())
}
