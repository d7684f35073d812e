//! An environment of two hundred artifacts, and how its reports are timed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use envsnap_model::snapshot::Fingerprint;
use envsnap_recorder::domain::{Clock, EnvironmentSettings, ReportEntry};
use sha2::{Digest as _, Sha256};

pub(crate) const ORG: &str = "acme";
/// When the first artifacts start, in seconds since the Unix epoch.
pub(crate) const FIRST_START: i64 = 1_661_161_157;
/// Artifacts in each report.
pub(crate) const ARTIFACTS: u64 = 200;

/// The fingerprint of this version of an artifact in a report.
pub(crate) fn fingerprint(artifact: u64, version: u64) -> Fingerprint {
    Fingerprint::from(<[u8; 32]>::from(Sha256::digest(format!("{artifact} {version}"))))
}

/// Two hundred artifacts, of which one has been replaced `step` times, one after the other.
pub(crate) fn report(step: u64) -> Vec<ReportEntry> {
    (0..ARTIFACTS)
        .map(|artifact| {
            let version = (step + ARTIFACTS - artifact) / ARTIFACTS;
            let name = format!(
                "274425519734.dkr.ecr.eu-central-1.amazonaws.com/service-{artifact}:{version:07x}"
            );
            ReportEntry {
                task_arn: format!(
                    "arn:aws:ecs:eu-central-1:274425519734:task/app/{artifact:016x}{version:016x}"
                )
                .into(),
                cluster_name: Some("app".into()),
                service_name: Some(format!("service-{artifact}").into()),
                digests: vec![(name.into(), Some(fingerprint(artifact, version)))],
                started_at: FIRST_START + i64::try_from(version).unwrap_or(0),
                origin: None,
            }
        })
        .collect()
}

/// Settings of an ECS environment, all but the name at their defaults.
pub(crate) fn settings(name: &str) -> EnvironmentSettings {
    EnvironmentSettings {
        name: name.to_owned(),
        environment_type: "ECS".to_owned(),
        description: String::new(),
        include_scaling: None,
        included_environments: None,
        policies: None,
    }
}

/// A clock that shows this time in seconds since the Unix epoch, and advances by one second each time it is
/// read.
pub(crate) fn clock(start: u64) -> Clock {
    let seconds = AtomicU64::new(start);
    #[expect(clippy::cast_precision_loss, reason = "seconds of this century")]
    Clock::from_fn(move || seconds.fetch_add(1, Ordering::SeqCst) as f64)
}

/// How many per second.
pub(crate) fn rate(count: u64, took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let count = count as f64;
    count / took.as_secs_f64()
}

pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
