//! What an artifact replaced when it started.

use std::collections::HashMap;

use envsnap_model::wire::RecordedArtifact;
use serde_json::{Value, json};

use super::text;
use crate::domain::SnapshotArtifact;
use crate::domain::provenance::{ReportRecord, fields};

/// A flow, and a name in its template.
type Build = (String, Option<String>);

/// Of each flow in a snapshot, what ran of it in the snapshot before.
///
/// All of that is in the snapshot itself, as running or as exited, so that nothing further is read.
/// It is what ran before, whenever it was built: after a roll-back it is the newer build.
pub(crate) struct PreviousArtifacts(HashMap<Build, PreviousArtifact>);

/// What ran in the previous snapshot of one flow and name in its template.
struct PreviousArtifact {
    /// By this the best of several is chosen: what exited with the snapshot, then what lost replicas,
    /// then what was reported last.
    rank: (bool, bool, i64),
    name: String,
    fingerprint: String,
    is_running: bool,
    report: ReportRecord,
}

impl PreviousArtifacts {
    pub(crate) fn new(artifacts: &[SnapshotArtifact]) -> Self {
        let mut found: HashMap<Build, PreviousArtifact> = HashMap::new();
        // If nothing started, nothing was replaced.
        let has_started = artifacts.iter().any(has_started);
        for artifact in artifacts.iter().filter(|it| has_started && it.was > 0) {
            let (Some(provenance), Some(fingerprint)) =
                (&artifact.provenance, artifact.fingerprint)
            else {
                continue;
            };
            for report in &provenance.flows {
                let rank =
                    (!artifact.runs(), artifact.now < artifact.was, report.first_reported_at.0);
                let build = (report.flow.clone(), report.template_name.clone());
                if found.get(&build).is_some_and(|other| other.rank >= rank) {
                    continue;
                }
                let previous = PreviousArtifact {
                    rank,
                    name: artifact.name.clone(),
                    fingerprint: fingerprint.to_string(),
                    is_running: artifact.runs(),
                    report: report.clone(),
                };
                found.insert(build, previous);
            }
        }
        Self(found)
    }

    /// What the artifact replaced in each of its flows; nothing if it did not start.
    pub(crate) fn deployment_diffs(&self, artifact: &SnapshotArtifact) -> Vec<Value> {
        let Some(provenance) = artifact.provenance.as_ref().filter(|_| has_started(artifact))
        else {
            return Vec::new();
        };
        let diff = |report: &ReportRecord| {
            let build = (report.flow.clone(), report.template_name.clone());
            self.0.get(&build).map_or(Value::Null, |previous| previous.replaced_by(report))
        };
        provenance.flows.iter().map(diff).collect()
    }
}

/// Adds to the document of an artifact what it replaced in each of its flows.
pub(crate) fn add_deployment_diffs(diffs: Vec<Value>, document: &mut RecordedArtifact) {
    document.deployment_diff = diffs.first().cloned().unwrap_or_default();
    for (flow, diff) in document.flows.iter_mut().zip(diffs) {
        flow.deployment_diff = diff;
    }
}

fn has_started(artifact: &SnapshotArtifact) -> bool {
    artifact.was == 0 && artifact.runs()
}

impl PreviousArtifact {
    /// The document that says that `started` replaced this artifact.
    fn replaced_by(&self, started: &ReportRecord) -> Value {
        let commit_url = |report: &ReportRecord| text(&fields(&report.details), "commit_url");
        let url = commit_url(&self.report);
        let compare =
            compare_url((&url, &self.report.commit), (&commit_url(started), &started.commit));
        let not_empty = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        json!({
            "diff_url": compare,
            "previous_git_commit": not_empty(&self.report.commit),
            "previous_git_commit_url": not_empty(&url),
            "previous_fingerprint": self.fingerprint,
            "previous_artifact_name": self.name,
            "previous_artifact_compliance_state": self.report.state.as_str(),
            "previous_running": self.is_running,
            "previous_trail_name": self.report.trail,
            "previous_template_reference_name": self.report.template_name,
        })
    }
}

/// The page of GitHub or GitLab that compares two commits of one repository, each given with its URL.
fn compare_url((old_url, old): (&str, &str), (new_url, new): (&str, &str)) -> Option<String> {
    let repository = |url: &str, commit: &str| {
        let commits = url.strip_suffix(commit).filter(|_| !commit.is_empty())?;
        commits.strip_suffix("/commit/").map(str::to_owned)
    };
    let (before, after) = (repository(old_url, old)?, repository(new_url, new)?);
    (before == after).then(|| format!("{after}/compare/{old}...{new}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compare_url_is_given_for_two_commits_of_the_same_github_or_gitlab_repository_only() {
        let github = ("https://github.com/a/b/commit/1111111", "1111111");
        let gitlab = ("https://gitlab.com/a/b/-/commit/3333333", "3333333");
        let compare = compare_url(github, ("https://github.com/a/b/commit/2222222", "2222222"));
        assert_eq!(compare.as_deref(), Some("https://github.com/a/b/compare/1111111...2222222"));
        let compare = compare_url(gitlab, ("https://gitlab.com/a/b/-/commit/4444444", "4444444"));
        assert_eq!(compare.as_deref(), Some("https://gitlab.com/a/b/-/compare/3333333...4444444"));
        for other in [gitlab, ("", ""), ("https://github.com/a/b/commit/", "")] {
            assert_eq!(compare_url(github, other), None);
            assert_eq!(compare_url(other, github), None);
        }
    }
}
