//! Everything that is known of one artifact, and what happened to it.

use super::{
    ArtifactProvenance, ArtifactRecord, AttestationRecord, DeploymentRecord, ReportRecord,
};
use crate::domain::{ArtifactRun, Micros};

/// Everything that is known of one artifact, over all flows and environments.
#[derive(Debug, Clone, PartialEq)]
pub struct ArtifactCard {
    /// 64 lowercase hexadecimal digits.
    pub fingerprint: String,
    /// Its label.
    pub name: String,
    /// As each flow that reported it knows it; the flow that did first comes first.
    pub reports: Vec<ArtifactRecord>,
    /// Announced deployments of it, by any flow, the earliest first.
    pub deployments: Vec<DeploymentRecord>,
    /// When and where it ran, by environment and time.
    pub runs: Vec<ArtifactRun>,
    /// Where it comes from, as each environment in which it ran sees it: by the environment's name.
    pub provenance: Vec<(String, ArtifactProvenance)>,
}

/// Something that happened to an artifact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ArtifactEvent<'a> {
    /// A flow first reported it.
    Created(&'a ReportRecord),
    /// Evidence for it was reported.
    Attested(&'a AttestationRecord),
    /// A deployment of it was announced.
    Deployed(&'a DeploymentRecord),
    /// It started in an environment.
    Started(&'a ArtifactRun),
    /// It was scaled from so many replicas to those of the run.
    Scaled(u64, &'a ArtifactRun),
    /// After this run it no longer ran; that is seen from the snapshot with this index on.
    Exited(&'a ArtifactRun, u32),
}

/// What happened to an artifact, the earliest first.
pub fn artifact_events<'a>(
    reports: impl IntoIterator<Item = &'a ReportRecord>,
    attestations: impl IntoIterator<Item = &'a AttestationRecord>,
    deployments: &'a [DeploymentRecord],
    runs: &'a [ArtifactRun],
) -> Vec<(Micros, ArtifactEvent<'a>)> {
    let mut events = Vec::new();
    for report in reports {
        events.push((report.first_reported_at, ArtifactEvent::Created(report)));
    }
    for attestation in attestations {
        events.push((attestation.reported_at, ArtifactEvent::Attested(attestation)));
    }
    for deployment in deployments {
        events.push((deployment.reported_at, ArtifactEvent::Deployed(deployment)));
    }
    for runs in continuous_runs(runs) {
        let mut before = None;
        for run in runs {
            let event = match before {
                None => ArtifactEvent::Started(run),
                Some(replicas) => ArtifactEvent::Scaled(replicas, run),
            };
            events.push((run.from, event));
            before = Some(run.replicas);
        }
        if let Some(last) = runs.last()
            && let Some((index, at)) = last.to
        {
            events.push((at, ArtifactEvent::Exited(last, index)));
        }
    }
    events.sort_by_key(|(at, _)| *at);
    events
}

/// Groups the runs in one environment that follow each other without an interruption; no group is empty.
pub fn continuous_runs(runs: &[ArtifactRun]) -> impl Iterator<Item = &[ArtifactRun]> {
    runs.chunk_by(|one, next| {
        one.environment == next.environment && one.to.is_some_and(|(to, _)| to == next.from_index)
    })
}

/// Whether the artifact of these runs ran in the deployment's environment at any time after the deployment was
/// announced.
pub fn is_started(deployment: &DeploymentRecord, runs: &[ArtifactRun]) -> bool {
    runs.iter().any(|run| {
        run.environment == deployment.environment
            && run.to.is_none_or(|(_, at)| at > deployment.reported_at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The snapshot with index n is recorded n seconds after the Unix epoch.
    fn run(environment: &str, from: u32, to: Option<u32>, replicas: u64) -> ArtifactRun {
        let at = |index: u32| Micros(i64::from(index) * 1_000_000);
        ArtifactRun {
            environment: environment.to_owned(),
            name: "web:1".to_owned(),
            fingerprint: None,
            replicas,
            started_at: None,
            first_seen: (from, at(from)),
            from_index: from,
            from: at(from),
            to: to.map(|to| (to, at(to))),
            latest_index: 99,
        }
    }

    /// `at` is when it is announced, in seconds since the Unix epoch.
    fn deployment(environment: &str, at: i64) -> DeploymentRecord {
        DeploymentRecord {
            flow: "web".to_owned(),
            number: 1,
            environment: environment.to_owned(),
            fingerprint: String::new(),
            details: "{}".to_owned(),
            reported_by: String::new(),
            reported_at: Micros(at * 1_000_000),
        }
    }

    #[test]
    fn run_after_another_is_a_scaling_and_a_run_after_an_interruption_is_a_start() {
        let runs =
            [run("beta", 1, Some(3), 1), run("beta", 3, Some(5), 4), run("beta", 7, None, 2)];
        let deployments = [deployment("beta", 0)];
        let events = artifact_events([], [], &deployments, &runs);
        let (at, events): (Vec<_>, Vec<_>) =
            events.into_iter().map(|(at, event)| (at.0 / 1_000_000, event)).unzip();
        assert_eq!(at, [0, 1, 3, 5, 7]);
        assert_eq!(
            events,
            [
                ArtifactEvent::Deployed(&deployments[0]),
                ArtifactEvent::Started(&runs[0]),
                ArtifactEvent::Scaled(1, &runs[1]),
                ArtifactEvent::Exited(&runs[1], 5),
                ArtifactEvent::Started(&runs[2]),
            ]
        );
    }

    #[test]
    fn a_deployment_is_started_if_its_artifact_ran_there_afterwards() {
        let ended = [run("beta", 10, Some(20), 1)];
        let lasting = [run("beta", 10, None, 1)];
        for (environment, at, runs, expected) in [
            ("beta", 9, &ended, true),
            ("beta", 15, &ended, true),
            ("beta", 21, &ended, false),
            ("beta", 21, &lasting, true),
            ("prod", 9, &lasting, false),
        ] {
            let started = is_started(&deployment(environment, at), runs);
            assert_eq!(started, expected, "{environment} {at}");
        }
    }
}
