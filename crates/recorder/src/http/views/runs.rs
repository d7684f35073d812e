//! View of artifact runs.

use envsnap_model::wire;

use crate::domain::ArtifactRun;

pub(crate) fn artifact_runs(runs: Vec<ArtifactRun>) -> Vec<wire::ArtifactRun> {
    let document = |run: ArtifactRun| wire::ArtifactRun {
        environment: run.environment,
        name: run.name,
        fingerprint: run.fingerprint.map(|known| known.to_string()).unwrap_or_default(),
        replicas: run.replicas,
        first_index: run.from_index.into(),
        from: run.from.seconds(),
        last_index: run.to.map_or(run.latest_index, |(next, _)| next.saturating_sub(1)).into(),
        to: run.to.map(|(_, at)| at.seconds()),
    };
    runs.into_iter().map(document).collect()
}
