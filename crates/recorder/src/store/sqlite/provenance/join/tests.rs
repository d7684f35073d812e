//! What is read of many artifacts at a time is what would be read of each.

use std::path::Path;

use proptest::prelude::*;
use rusqlite::OptionalExtension as _;

use super::super::super::SqliteStore;
use super::super::super::tests::Fixture;
use super::super::tests::{
    artifact, attestation, count_statements_and_rows, details, fingerprint, org_and_environment,
    settings,
};
use super::*;
use crate::domain::Error;
use crate::domain::provenance::{ArtifactReport, AttestationReport, DeploymentReport};
use crate::store::Store as _;
use crate::store::provenance::ProvenanceStore as _;

/// Something that is reported, about one of a few flows, trails and artifacts.
#[derive(Debug, Clone)]
enum Step {
    Artifact { flow: u8, trail: Option<u8>, artifact: u8, is_named: bool },
    Attestation { flow: u8, trail: u8, artifact: Option<u8>, is_compliant: bool },
    Deployment { flow: u8, artifact: u8, environment: bool },
    Running(Vec<(u8, u64)>),
}

fn step() -> impl Strategy<Value = Step> {
    let (flow, trail, artifact) = (0..3_u8, 0..3_u8, 1..6_u8);
    // Those from 200 on have no fingerprint.
    let running = (prop_oneof![1..8_u8, 200..202_u8], 1..3_u64);
    prop_oneof![
        4 => (flow.clone(), prop::option::of(trail.clone()), artifact.clone(), any::<bool>())
            .prop_map(|(flow, trail, artifact, is_named)| {
                Step::Artifact { flow, trail, artifact, is_named }
            }),
        3 => (flow.clone(), trail, prop::option::of(artifact.clone()), any::<bool>()).prop_map(
            |(flow, trail, artifact, is_compliant)| {
                Step::Attestation { flow, trail, artifact, is_compliant }
            }
        ),
        2 => (flow, artifact, any::<bool>()).prop_map(|(flow, artifact, environment)| {
            Step::Deployment { flow, artifact, environment }
        }),
        3 => prop::collection::btree_map(running.0, running.1, 0..6)
            .prop_map(|running| Step::Running(running.into_iter().collect())),
    ]
}

async fn apply_step(fixture: &Fixture, step: Step) {
    let (flow_name, trail_name) = (|it: u8| format!("flow-{it}"), |it: u8| format!("trail-{it}"));
    match step {
        Step::Artifact { flow, trail, artifact: number, is_named } => {
            let report = artifact(number, "t");
            let report = ArtifactReport {
                trail: trail.map(trail_name),
                template_name: report.template_name.filter(|_| is_named),
                ..report
            };
            let flow = flow_name(flow);
            fixture.store.report_artifact("acme", &flow, report, "ci").await.unwrap();
        }
        Step::Attestation { flow, trail, artifact, is_compliant } => {
            let report = AttestationReport {
                fingerprint: artifact.map(fingerprint),
                ..attestation("scan", is_compliant)
            };
            let (flow, trail) = (flow_name(flow), trail_name(trail));
            let done = fixture.store.report_attestation("acme", &flow, &trail, report, "ci").await;
            assert!(matches!(done, Ok(_) | Err(Error::ArtifactNotInTrail { .. })), "{done:?}");
        }
        Step::Deployment { flow, artifact, environment } => {
            let report = DeploymentReport {
                fingerprint: fingerprint(artifact),
                environment: if environment { "prod" } else { "beta" }.to_owned(),
                details: details("{}"),
            };
            let flow = flow_name(flow);
            let done = fixture.store.report_deployment("acme", &flow, report, "ci").await;
            let refused =
                matches!(done, Err(Error::FlowNotFound { .. } | Error::ArtifactNotFound { .. }));
            assert!(done.is_ok() || refused, "{done:?}");
        }
        Step::Running(running) => drop(fixture.report("prod", &running).await),
    }
}

/// Every artifact of every snapshot, with the provenance that was read of all of them together.
async fn all_snapshot_artifacts(fixture: &Fixture) -> Vec<SnapshotArtifact> {
    let mut all = Vec::new();
    for index in 1.. {
        let expression = format!("prod#{index}").parse().unwrap();
        let found = fixture.store.snapshots("acme", [expression], |[found]| found.artifacts).await;
        let Ok(found) = found else { break };
        all.extend(found);
    }
    all
}

/// What is known of one artifact, read with a query for each thing.
fn read_one_provenance(
    reader: &Reader<'_>,
    environment: i64,
    artifact: &SnapshotArtifact,
) -> ArtifactProvenance {
    let fingerprint = artifact.fingerprint.map(|it| it.to_string()).unwrap_or_default();
    let reports =
        if fingerprint.is_empty() { Vec::new() } else { reader.reports_of(&fingerprint).unwrap() };
    let mut flows: Vec<i64> = Vec::new();
    for report in &reports {
        if !flows.contains(&report.flow) {
            flows.push(report.flow);
        }
    }
    let flows = flows.into_iter().map(|flow| {
        let reports: Vec<_> = reports.iter().filter(|report| report.flow == flow).collect();
        let latest = *reports.last().unwrap();
        let mut details = reader.short_artifact_details(vec![latest.seq]).unwrap();
        let details = details.remove(&latest.seq).unwrap();
        reader.report_record(&reports, latest, reports[0].recorded_at, details).unwrap()
    });
    let deployments = reader.deployments_of(&fingerprint, None).unwrap().into_iter();
    let deployments = deployments.filter(|it| it.environment == "prod");
    let name = if fingerprint.is_empty() { &*artifact.name } else { "" };
    let first: Option<(Json<Vec<i64>>, i64)> = reader
        .connection
        .prepare(
            "SELECT interval.started_at, snapshot.recorded_at
             FROM artifact, interval, snapshot
             WHERE artifact.org_id = $1 AND fingerprint = $2 AND artifact.name = $3
               AND interval.org_id = $1 AND artifact_id = artifact.id
               AND interval.environment_id = $4 AND snapshot.org_id = $1
               AND snapshot.environment_id = $4 AND snapshot_index = from_index
             ORDER BY from_index LIMIT 1",
        )
        .unwrap()
        .query_row(params![reader.org_id, fingerprint, name, environment], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()
        .unwrap();
    let (Json(started_at), recorded_at) = first.unwrap();
    let first_started_at = started_at[0].min(recorded_at / 1_000_000);
    #[expect(clippy::cast_precision_loss, reason = "seconds of this century")]
    let started = first_started_at as f64;
    let first_reported = reports.first().map(|it| it.recorded_at.seconds());
    ArtifactProvenance {
        flows: flows.collect(),
        deployments: deployments.map(|it| (it.flow, it.number)).collect(),
        first_started_at,
        origin: origin(!fingerprint.is_empty(), false, started, first_reported),
        allowed: None,
        updated: false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn provenance_read_in_batches_equals_provenance_read_one_by_one(
        steps in prop::collection::vec(step(), 1..24),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshots.db");
        let all = runtime.block_on(async {
            let fixture = Fixture::with(SqliteStore::open(&path).unwrap());
            fixture.create("prod").await;
            for step in steps {
                fixture.advance(10);
                apply_step(&fixture, step).await;
            }
            all_snapshot_artifacts(&fixture).await
        });
        let connection = Connection::open(&path).unwrap();
        let (org_id, environment_id) = org_and_environment(&connection);
        // Each several times, so that there is more than one batch.
        let mut many: Vec<_> = all.iter().cycle().take(all.len() * 11).cloned().collect();
        many.extend(all.iter().cycle().take(if all.is_empty() { 0 } else { BATCH_SIZE }).cloned());
        let shown = Shown { org_id, environment_id, environment: "prod", entries: None, origins: None };
        add_provenance(&connection, shown, &mut many).unwrap();
        for origins in [&[Origin::Rogue][..], &[Origin::Known, Origin::Late], &[]] {
            let mut some: Vec<_> =
                all.iter().map(|it| SnapshotArtifact { provenance: None, ..it.clone() }).collect();
            add_provenance(&connection, Shown { origins: Some(origins), ..shown }, &mut some).unwrap();
            for (some, artifact) in some.iter().zip(&many) {
                let known = artifact.provenance.as_ref();
                prop_assert_eq!(
                    some.provenance.as_ref(),
                    known.filter(|known| origins.contains(&known.origin))
                );
            }
        }
        for artifact in many {
            // Nothing is kept from one artifact to the next.
            let reader = Reader::new(&connection, "acme", org_id);
            let expected = read_one_provenance(&reader, environment_id, &artifact);
            let found = *artifact.provenance.clone().unwrap();
            if reader.has_reports().unwrap() {
                prop_assert_eq!(found, expected);
            } else {
                prop_assert_eq!((found.flows, found.origin), (expected.flows, expected.origin));
            }
        }
    }
}

#[tokio::test]
async fn provenance_of_150_artifacts_takes_as_many_statements_as_that_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshots.db");
    let running: Vec<_> = (1..=150).map(|artifact| (artifact, 1)).collect();
    let all = {
        let fixture = Fixture::with(SqliteStore::open(&path).unwrap());
        fixture.create("prod").await;
        for number in 1..=150_u8 {
            let flow = format!("flow-{}", number % 7);
            let step = artifact(number, &format!("trail-{number}"));
            fixture.store.report_artifact("acme", &flow, step, "ci").await.unwrap();
            let trail = format!("trail-{number}");
            let scan = attestation("scan", true);
            fixture.store.report_attestation("acme", &flow, &trail, scan, "ci").await.unwrap();
        }
        fixture.store.save_flow("acme", settings("unused", None), "ci").await.unwrap();
        fixture.report("prod", &running).await;
        all_snapshot_artifacts(&fixture).await
    };
    assert_eq!(all.len(), running.len());
    let add_to = |most: usize| {
        let mut some: Vec<_> = all.iter().take(most).cloned().collect();
        let counted = count_statements_and_rows(&path, |connection, (org_id, environment_id)| {
            let shown =
                Shown { org_id, environment_id, environment: "prod", entries: None, origins: None };
            add_provenance(connection, shown, &mut some).unwrap();
        });
        assert!(some.iter().all(|it| it.provenance.as_ref().unwrap().flows.len() == 1));
        counted
    };
    let ((statements, _), (as_many, rows)) = (add_to(1), add_to(running.len()));
    assert_eq!(statements, as_many);
    // A first start, a report, a trail, an attestation and an entry of each, seven flows, and two that
    // do not depend on them.
    assert_eq!(rows, 5 * running.len() + 7 + 2);
    // If none of them is wanted, only their origins are read.
    let mut none = all.clone();
    let (_, rows) = count_statements_and_rows(&path, |connection, (org_id, environment_id)| {
        let origins = Some(&[Origin::Rogue][..]);
        let shown = Shown { org_id, environment_id, environment: "prod", entries: None, origins };
        add_provenance(connection, shown, &mut none).unwrap();
    });
    assert_eq!(rows, 2 * running.len() + 2);
}

#[tokio::test]
async fn rows_read_for_an_artifact_do_not_grow_with_the_number_of_trails_that_reported_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshots.db");
    let fixture = Fixture::with(SqliteStore::open(&path).unwrap());
    fixture.create("prod").await;
    let report_to = async |trails: std::ops::Range<u32>| {
        for trail in trails {
            let trail = format!("trail-{trail}");
            fixture
                .store
                .report_artifact("acme", "nightly", artifact(1, &trail), "ci")
                .await
                .unwrap();
            let scan = attestation("scan", trail != "trail-0");
            fixture.store.report_attestation("acme", "nightly", &trail, scan, "ci").await.unwrap();
        }
    };
    let read = || {
        let mut artifact = [running_artifact(&path)];
        let counted = count_statements_and_rows(&path, |connection, (org_id, environment_id)| {
            let shown =
                Shown { org_id, environment_id, environment: "prod", entries: None, origins: None };
            add_provenance(connection, shown, &mut artifact).unwrap();
            let reader = Reader::new(connection, "acme", org_id);
            let fingerprint = fingerprint(1);
            reader.search(&fingerprint).unwrap();
            reader.artifact_card(&fingerprint).unwrap();
        });
        let [artifact] = artifact;
        (counted, artifact.provenance.unwrap().flows.remove(0))
    };
    report_to(0..30).await;
    // Another flow, between the reports of the first one.
    fixture.store.report_artifact("acme", "promotion", artifact(1, "p"), "ci").await.unwrap();
    fixture.report("prod", &[(1, 1)]).await;
    let (few, first) = read();
    report_to(30..150).await;
    let (many, flow) = read();
    assert_eq!(few, many);
    // The evidence of the first trail still counts.
    for flow in [first, flow] {
        assert_eq!(flow.flow, "nightly");
        assert_eq!(flow.state, envsnap_model::provenance::State::NonCompliant);
        assert_eq!(flow.state_trail.as_deref(), Some("trail-0"));
    }
}

#[tokio::test]
async fn rows_read_for_an_artifact_do_not_grow_with_attestations_of_others_in_its_trail() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshots.db");
    let fixture = Fixture::with(SqliteStore::open(&path).unwrap());
    fixture.create("prod").await;
    let report_all = async |artifacts: std::ops::RangeInclusive<u8>| {
        for number in artifacts {
            let commit = format!("{number:040x}");
            let step = ArtifactReport { commit: commit.clone(), ..artifact(number, "main") };
            fixture.store.report_artifact("acme", "runner", step, "ci").await.unwrap();
            // One is bound by the fingerprint, the other one by the commit.
            let scan = AttestationReport {
                fingerprint: Some(fingerprint(number)),
                ..attestation("scan", number == 1)
            };
            let test = AttestationReport { commit: Some(commit), ..attestation("test", true) };
            for report in [scan, test] {
                fixture
                    .store
                    .report_attestation("acme", "runner", "main", report, "ci")
                    .await
                    .unwrap();
            }
        }
    };
    let read = || {
        let mut artifact = [running_artifact(&path)];
        let mut attestations = 0;
        let counted = count_statements_and_rows(&path, |connection, (org_id, environment_id)| {
            let shown =
                Shown { org_id, environment_id, environment: "prod", entries: None, origins: None };
            add_provenance(connection, shown, &mut artifact).unwrap();
            let reader = Reader::new(connection, "acme", org_id);
            attestations = reader.search(&fingerprint(1)).unwrap().artifacts[0].attestations.len();
        });
        let [artifact] = artifact;
        (counted, attestations, artifact.provenance.unwrap().flows.remove(0).state)
    };
    report_all(1..=3).await;
    fixture.report("prod", &[(1, 1)]).await;
    let few = read();
    report_all(4..=100).await;
    assert_eq!(few, read());
    assert_eq!((few.1, few.2), (2, envsnap_model::provenance::State::Compliant));
}

/// An artifact that runs, with fingerprint 1 and the name in the file.
fn running_artifact(path: &Path) -> SnapshotArtifact {
    let connection = Connection::open(path).unwrap();
    let name: String =
        connection.query_row("SELECT name FROM interval LIMIT 1", [], |row| row.get(0)).unwrap();
    SnapshotArtifact {
        name,
        fingerprint: Some(fingerprint(1).parse().unwrap()),
        was: 1,
        now: 1,
        started_at: vec![1],
        task: crate::domain::Task { arn: "arn".to_owned(), ..crate::domain::Task::unknown() },
        places: Vec::new(),
        seen: None,
        provenance: None,
    }
}
