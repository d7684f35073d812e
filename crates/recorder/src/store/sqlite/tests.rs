//! The store as its callers use it, beside a model that keeps every snapshot whole.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use envsnap_model::expression::Interval;
use envsnap_model::snapshot::Fingerprint;
use envsnap_model::wire::ECS;
use proptest::prelude::*;

use super::*;
use crate::domain::{EntryHash, ReportEntry, SnapshotArtifact};

const START: i64 = 1_661_161_162;

/// A store whose clock only the test moves, in seconds since the Unix epoch.
pub(super) struct Fixture {
    pub(super) store: SqliteStore,
    clock: Arc<AtomicI64>,
}

impl Fixture {
    pub(super) fn in_memory() -> Self {
        Self::with(SqliteStore::in_memory().unwrap())
    }

    pub(super) fn with(store: SqliteStore) -> Self {
        let clock = Arc::new(AtomicI64::new(START));
        let seconds = Arc::clone(&clock);
        #[expect(clippy::cast_precision_loss, reason = "whole seconds of this century")]
        let store = store.with_clock(Clock::from_fn(move || seconds.load(Ordering::SeqCst) as f64));
        Self { store, clock }
    }

    pub(super) fn advance(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(super) async fn create(&self, name: &str) -> Head {
        self.create_in("acme", name).await
    }

    pub(super) async fn create_in(&self, org: &str, name: &str) -> Head {
        self.store.save_environment(org, settings(name), true, "admin").await.unwrap()
    }

    /// A report of nothing.
    pub(super) fn empty() -> Report {
        Report::new(&[]).unwrap()
    }

    pub(super) async fn report(&self, name: &str, running: &[(u8, u64)]) -> ReportOutcome {
        let report = Report::new(&report(running, self.clock.load(Ordering::SeqCst))).unwrap();
        self.store.record_report("acme", name, report, "reporter").await.unwrap()
    }

    pub(super) async fn snapshot(&self, text: &str) -> SnapshotRecord {
        let [found] =
            self.store.snapshots("acme", [text.parse().unwrap()], |found| found).await.unwrap();
        found
    }

    pub(super) async fn spans(&self, name: &str) -> Vec<SnapshotSpan> {
        let page = Page { number: 1, size: u32::MAX };
        self.store.snapshot_spans("acme", name, Interval::default(), page, true).await.unwrap()
    }
}

fn settings(name: &str) -> EnvironmentSettings {
    EnvironmentSettings {
        name: name.to_owned(),
        environment_type: ECS.to_owned(),
        description: String::new(),
        include_scaling: None,
        included_environments: None,
        policies: None,
    }
}

/// Each artifact with so many tasks, all of which started at `started`. Those from 200 on have no
/// fingerprint.
/// The artifact that has a registry of its own.
pub(super) const IN_OTHER_REGISTRY: u8 = 199;

fn image_name(artifact: u8) -> String {
    match artifact {
        IN_OTHER_REGISTRY => "ghcr.io/acme/web:1".to_owned(),
        _ => format!("image:{artifact}"),
    }
}

fn report(running: &[(u8, u64)], started: i64) -> Vec<ReportEntry> {
    let entry = |&(artifact, replicas): &(u8, u64)| {
        (0..replicas).map(move |replica| {
            let fingerprint = (artifact < 200).then(|| Fingerprint::from([artifact; 32]));
            ReportEntry {
                task_arn: format!("task/{artifact}-{replica}-{started}").into(),
                cluster_name: Some("app".into()),
                service_name: Some(format!("service-{}", replica % 2).into()),
                digests: vec![(image_name(artifact).into(), fingerprint)],
                started_at: started,
                origin: None,
            }
        })
    };
    running.iter().flat_map(entry).collect()
}

/// Label, replicas before and replicas now.
fn counts(artifacts: &[SnapshotArtifact]) -> Vec<(String, u64, u64)> {
    let mut counts: Vec<_> = artifacts.iter().map(|it| (it.name.clone(), it.was, it.now)).collect();
    counts.sort();
    counts
}

fn count(artifact: u8, was: u64, now: u64) -> (String, u64, u64) {
    (format!("image:{artifact}"), was, now)
}

/// So many seconds after the start of the clock.
pub(super) fn at(seconds: i64) -> Micros {
    Micros((START + seconds) * 1_000_000)
}

#[tokio::test]
async fn a_snapshot_has_running_and_just_exited_artifacts() {
    let fixture = Fixture::in_memory();
    fixture.create("prod").await;
    let reports: [&[(u8, u64)]; 4] =
        [&[(1, 3), (2, 1)], &[(1, 3), (2, 1)], &[(1, 2), (3, 1)], &[(1, 2), (2, 1)]];
    let mut created = Vec::new();
    for running in reports {
        let recorded = fixture.report("prod", running).await;
        created.push((recorded.created, recorded.index));
        fixture.advance(60);
    }
    assert_eq!(created, [(true, 1), (false, 1), (true, 2), (true, 3)]);
    let first = fixture.snapshot("prod#1").await;
    assert_eq!(counts(&first.artifacts), [count(1, 0, 3), count(2, 0, 1)]);
    assert_eq!(first.recorded_at, at(0));
    assert_eq!(first.confirmed_until, at(60));
    assert_eq!(first.next_recorded_at, Some(at(120)));
    let second = fixture.snapshot("prod#2").await;
    assert_eq!(counts(&second.artifacts), [count(1, 3, 2), count(2, 1, 0), count(3, 0, 1)]);
    let third = fixture.snapshot("prod").await;
    assert_eq!(counts(&third.artifacts), [count(1, 2, 2), count(2, 0, 1), count(3, 1, 0)]);
    assert_eq!(third.next_recorded_at, None);
}

#[tokio::test]
async fn latest_snapshot_has_start_times_of_latest_report_and_earlier_ones_keep_theirs() {
    let fixture = Fixture::in_memory();
    fixture.create("prod").await;
    fixture.report("prod", &[(1, 2), (2, 1)]).await;
    fixture.advance(60);
    assert!(!fixture.report("prod", &[(1, 2), (2, 1)]).await.created);
    let started = |snapshot: &SnapshotRecord| -> Vec<_> {
        snapshot.artifacts.iter().map(|it| it.started_at.clone()).collect()
    };
    let latest = fixture.snapshot("prod").await;
    assert_eq!(started(&latest), [vec![START + 60; 2], vec![START + 60]]);
    assert_eq!(latest.artifacts[0].places.len(), 2);
    fixture.advance(60);
    assert!(fixture.report("prod", &[(1, 2)]).await.created);
    let earlier = fixture.snapshot("prod#1").await;
    assert_eq!(started(&earlier), [vec![START; 2], vec![START]]);
    let now = fixture.snapshot("prod#2").await;
    assert_eq!(started(&now), [vec![START + 120; 2], vec![]]);
}

#[tokio::test]
async fn replica_change_alone_makes_no_snapshot_if_include_scaling_is_false() {
    let fixture = Fixture::in_memory();
    let settings = EnvironmentSettings { include_scaling: Some(false), ..settings("prod") };
    fixture.store.save_environment("acme", settings, true, "admin").await.unwrap();
    assert!(fixture.report("prod", &[(1, 1)]).await.created);
    assert!(!fixture.report("prod", &[(1, 5)]).await.created);
    assert!(!fixture.report("prod", &[(1, 5)]).await.created);
    let latest = fixture.snapshot("prod").await;
    assert_eq!(counts(&latest.artifacts), [count(1, 0, 1)]);
    assert_eq!(latest.artifacts[0].started_at.len(), 1, "as many as there are replicas");
    assert!(fixture.report("prod", &[(1, 5), (2, 1)]).await.created);
    assert_eq!(counts(&fixture.snapshot("prod").await.artifacts), [count(1, 1, 5), count(2, 0, 1)]);
}

#[tokio::test]
async fn empty_report_makes_a_snapshot_only_if_artifacts_ran_before() {
    let fixture = Fixture::in_memory();
    fixture.create("prod").await;
    let recorded = fixture.report("prod", &[]).await;
    assert_eq!((recorded.created, recorded.index, recorded.head.seq), (false, 0, 1));
    assert!(fixture.report("prod", &[(1, 1)]).await.created);
    assert!(fixture.report("prod", &[]).await.created);
    assert!(!fixture.report("prod", &[]).await.created);
    assert_eq!(counts(&fixture.snapshot("prod").await.artifacts), [count(1, 1, 0)]);
}

#[tokio::test]
async fn report_is_refused_if_its_expected_index_is_not_the_latest() {
    let fixture = Fixture::in_memory();
    fixture.create("prod").await;
    fixture.report("prod", &[(1, 1)]).await;
    let expecting = |index| Report {
        expected_index: Some(index),
        ..Report::new(&report(&[(2, 1)], START)).unwrap()
    };
    let refused = fixture.store.record_report("acme", "prod", expecting(0), "r").await;
    assert!(
        matches!(refused, Err(Error::LatestSnapshotMoved { expected: 0, actual: 1 })),
        "{refused:?}"
    );
    let recorded = fixture.store.record_report("acme", "prod", expecting(1), "r").await.unwrap();
    assert_eq!((recorded.created, recorded.index), (true, 2));
}

#[tokio::test]
async fn writes_return_the_ledger_head_even_if_nothing_changed() {
    let fixture = Fixture::in_memory();
    let created = fixture.create("prod").await;
    assert_eq!((created.org.as_str(), created.seq), ("acme", 1));
    let reported = fixture.report("prod", &[(1, 1)]).await.head;
    assert_eq!(reported.seq, 2);
    assert_eq!(fixture.report("prod", &[(1, 1)]).await.head, reported);
    assert_eq!(fixture.store.head("acme").await.unwrap(), reported);
    let renamed = fixture.store.rename_environment("acme", "prod", "live", "admin").await.unwrap();
    assert_eq!(renamed.seq, 3);
    let none = Head { org: "other".to_owned(), seq: 0, hash: EntryHash::NONE };
    assert_eq!(fixture.store.head("other").await.unwrap(), none);
}

#[tokio::test]
async fn time_without_reports_beyond_the_heartbeat_is_a_report_gap() {
    let fixture = Fixture::in_memory();
    fixture.create("prod").await;
    fixture.report("prod", &[(1, 1)]).await;
    for _ in 0..3 {
        fixture.advance(3_600);
        assert_eq!(fixture.report("prod", &[(1, 1)]).await.head.seq, 2, "covered");
    }
    fixture.advance(10 * 3_600);
    let after = fixture.report("prod", &[(1, 1)]).await.head;
    assert_eq!(after.seq, 3, "a time that is not covered has ended");
    fixture.advance(60);
    fixture.report("prod", &[(2, 1)]).await;
    let spans = fixture.spans("prod").await;
    let gap = crate::domain::ReportGap { from: at(3 * 3_600), until: Some(at(13 * 3_600)) };
    assert_eq!(spans[0].gaps, [gap]);
    assert_eq!(spans[1].gaps, []);
    fixture.advance(3 * 3_600);
    let open = crate::domain::ReportGap { from: at(13 * 3_600 + 60), until: None };
    assert_eq!(fixture.spans("prod").await[1].gaps, [open], "it has not ended");
    // A heartbeat makes it longer or shorter.
    let hourly =
        Report { heartbeat: Some(3_600), ..Report::new(&report(&[(2, 1)], START)).unwrap() };
    fixture.store.record_report("acme", "prod", hourly, "reporter").await.unwrap();
    fixture.advance(4_200);
    assert_eq!(fixture.spans("prod").await[1].gaps.len(), 1);
    fixture.advance(1);
    assert_eq!(fixture.spans("prod").await[1].gaps.len(), 2);
}

#[tokio::test]
async fn unchanged_reports_append_a_confirmation_entry_every_six_hours() {
    let fixture = Fixture::in_memory();
    fixture.create("prod").await;
    let mut last = fixture.report("prod", &[(1, 1)]).await.head.seq;
    let mut entries = Vec::new();
    for hour in 1..=24 {
        fixture.advance(3_600);
        let seq = fixture.report("prod", &[(1, 1)]).await.head.seq;
        if seq > last {
            entries.push(hour);
            last = seq;
        }
    }
    assert_eq!(entries, [6, 12, 18, 24]);
    assert!(fixture.spans("prod").await[0].gaps.is_empty());
}

#[tokio::test]
async fn clock_set_back_appends_one_correction_entry_and_keeps_snapshot_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshots.db");
    let fixture = Fixture::with(SqliteStore::open(&path).unwrap());
    fixture.create("prod").await;
    fixture.report("prod", &[(1, 1)]).await;
    fixture.advance(-3_600);
    let head = fixture.report("prod", &[(2, 1)]).await.head;
    assert_eq!(head.seq, 4, "the correction, and the snapshot");
    fixture.advance(1);
    let head = fixture.report("prod", &[(3, 1)]).await.head;
    assert_eq!(head.seq, 5, "once");
    let latest = fixture.snapshot("prod").await;
    assert_eq!((latest.index, latest.recorded_at), (3, at(-3_599)));
    verify_file(&path, &head);
}

#[tokio::test]
async fn an_environment_keeps_its_history_when_renamed_archived_and_restored() {
    let fixture = Fixture::in_memory();
    fixture.create("prod").await;
    fixture.report("prod", &[(1, 1)]).await;
    let logical = EnvironmentSettings {
        environment_type: "logical".to_owned(),
        included_environments: Some(vec!["prod".to_owned()]),
        ..settings("all")
    };
    fixture.store.save_environment("acme", logical, true, "admin").await.unwrap();
    let store = &fixture.store;
    store.rename_environment("acme", "prod", "live", "admin").await.unwrap();
    assert_eq!(fixture.snapshot("live#1").await.artifacts.len(), 1);
    let all = store.environment("acme", "all").await.unwrap();
    assert_eq!(all.included_environments, Some(vec!["live".to_owned()]));
    let gone = store.environment("acme", "prod").await;
    assert!(matches!(gone, Err(Error::EnvironmentNotFound { .. })), "{gone:?}");
    store.archive_environment("acme", "live", "admin").await.unwrap();
    let refused = store.archive_environment("acme", "live", "admin").await;
    assert!(matches!(refused, Err(Error::EnvironmentNotFound { .. })), "{refused:?}");
    let taken = store.rename_environment("acme", "all", "live", "admin").await;
    assert!(matches!(taken, Err(Error::EnvironmentNameTaken { archived: true, .. })), "{taken:?}");
    fixture.create("live").await;
    assert_eq!(fixture.snapshot("live#1").await.artifacts.len(), 1);
    let page = Page { number: 1, size: 10 };
    let (listed, total) =
        store.environments("acme", EnvironmentFilter::default(), Some(page)).await.unwrap();
    assert_eq!((listed.len(), total), (2, 2));
}

#[tokio::test]
async fn saving_unchanged_environment_settings_appends_no_ledger_entry() {
    let fixture = Fixture::in_memory();
    let head = fixture.create("prod").await;
    assert_eq!(fixture.create("prod").await, head);
    let change = SettingsChange { description: Some("live".to_owned()), ..Default::default() };
    let store = &fixture.store;
    let changed = store.change_environment("acme", "prod", change.clone(), "admin").await.unwrap();
    assert_eq!(changed.seq, head.seq + 1);
    assert_eq!(store.change_environment("acme", "prod", change, "admin").await.unwrap(), changed);
    assert_eq!(store.environment("acme", "prod").await.unwrap().description, "live");
    let other = EnvironmentSettings { environment_type: "logical".to_owned(), ..settings("prod") };
    let refused = store.save_environment("acme", other, true, "admin").await;
    assert!(matches!(refused, Err(Error::EnvironmentTypeMismatch { .. })), "{refused:?}");
}

#[tokio::test]
async fn saving_an_environment_without_a_description_keeps_the_one_it_has_and_a_change_clears_it() {
    let fixture = Fixture::in_memory();
    let store = &fixture.store;
    let described = EnvironmentSettings { description: "live".to_owned(), ..settings("prod") };
    let head = store.save_environment("acme", described, true, "admin").await.unwrap();
    assert_eq!(fixture.create("prod").await, head, "nothing changed");
    let scaling = EnvironmentSettings { include_scaling: Some(false), ..settings("prod") };
    store.save_environment("acme", scaling, true, "admin").await.unwrap();
    let saved = store.environment("acme", "prod").await.unwrap();
    assert_eq!((&*saved.description, saved.include_scaling), ("live", false));
    store.archive_environment("acme", "prod", "admin").await.unwrap();
    fixture.create("prod").await;
    assert_eq!(store.environment("acme", "prod").await.unwrap().description, "live");
    let other = EnvironmentSettings { description: "beta".to_owned(), ..settings("prod") };
    store.save_environment("acme", other, true, "admin").await.unwrap();
    assert_eq!(store.environment("acme", "prod").await.unwrap().description, "beta");
    let change = SettingsChange { description: Some(String::new()), ..Default::default() };
    store.change_environment("acme", "prod", change, "admin").await.unwrap();
    assert_eq!(store.environment("acme", "prod").await.unwrap().description, "");
}

#[tokio::test]
async fn caller_without_permission_to_change_can_only_create_environments() {
    let fixture = Fixture::in_memory();
    let save = |settings| fixture.store.save_environment("acme", settings, false, "reporter");
    let head = save(settings("prod")).await.unwrap();
    assert_eq!(save(settings("prod")).await.unwrap(), head, "a second attempt");
    let changed = EnvironmentSettings { description: "mine".to_owned(), ..settings("prod") };
    let refused = save(changed).await;
    assert!(matches!(refused, Err(Error::Forbidden)), "{refused:?}");
    assert_eq!(fixture.store.environment("acme", "prod").await.unwrap().description, "");
    fixture.store.archive_environment("acme", "prod", "admin").await.unwrap();
    let refused = save(settings("prod")).await;
    assert!(matches!(refused, Err(Error::Forbidden)), "{refused:?}");
}

#[tokio::test]
#[ignore = "takes long"]
async fn environment_is_refused_if_the_list_of_all_would_exceed_its_byte_limit() {
    let fixture = Fixture::in_memory();
    let names = (0..100).map(|n| format!("{n:0200}")).collect::<Vec<_>>();
    let long = |name: String| EnvironmentSettings {
        included_environments: Some(names.clone()),
        environment_type: "logical".to_owned(),
        ..settings(&name)
    };
    let mut saved = 0;
    let refused = loop {
        let settings = long(format!("all-{saved}"));
        match fixture.store.save_environment("acme", settings, true, "admin").await {
            Ok(_) => saved += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::TooManyEnvironments { .. }), "{refused}");
    assert!(saved > 1_000, "{saved}");
    assert_eq!(fixture.store.head("acme").await.unwrap().seq, saved, "nothing of it is left");
}

fn pattern(text: &str) -> ArtifactPattern {
    text.parse().unwrap()
}

#[tokio::test]
async fn runs_of_an_artifact_are_found_by_fingerprint_and_by_label() {
    let fixture = Fixture::in_memory();
    for name in ["beta", "prod"] {
        fixture.create(name).await;
        fixture.report(name, &[(1, 1), (2, 1)]).await;
        fixture.advance(60);
        fixture.report(name, &[(1, 2)]).await;
    }
    let runs = fixture.store.artifact_runs("acme", None, pattern("image:1")).await.unwrap();
    let shown: Vec<_> =
        runs.iter().map(|it| (&*it.environment, it.from_index, it.to.map(|to| to.0))).collect();
    assert_eq!(
        shown,
        [("beta", 1, Some(2)), ("beta", 2, None), ("prod", 1, Some(2)), ("prod", 2, None)]
    );
    let found = fixture.store.artifact_runs("acme", Some("prod"), pattern("02020")).await.unwrap();
    assert_eq!((found.len(), found[0].to), (1, Some((2, at(120)))));
    // Nothing beyond the fingerprints that begin so; case does not matter.
    let first = fixture.store.artifact_runs("acme", None, pattern("sha256:0101010")).await.unwrap();
    assert_eq!(first, runs);
    for text in ["00fff", "01011", "03"] {
        let none = fixture.store.artifact_runs("acme", None, pattern(text)).await.unwrap();
        assert!(none.is_empty(), "{text}");
    }
    // All of its digits lead to it without a look at the others.
    let full = fixture.store.artifact_runs("acme", Some("prod"), pattern(&"02".repeat(32)));
    assert_eq!(full.await.unwrap(), found);
    assert!(fixture.store.artifact_runs("other", None, pattern("*")).await.unwrap().is_empty());
}

#[tokio::test]
async fn ended_run_is_confirmed_by_its_last_snapshot_if_the_last_report_is_not_known() {
    let fixture = Fixture::in_memory();
    fixture.create("prod").await;
    for running in [&[(1, 1), (2, 1)][..], &[(1, 1), (2, 2)]] {
        fixture.report("prod", running).await;
        fixture.advance(60);
    }
    // As in a file that lost what the ledger does not say.
    let lose = |connection: &Connection| Ok(connection.execute_batch("DELETE FROM reporting")?);
    assert!(fixture.store.writer.write_blocking("lose reports", lose).is_ok());
    fixture.report("prod", &[(1, 1)]).await;
    for snapshot in ["prod#1", "prod#2", "prod#3"] {
        let artifacts = fixture.snapshot(snapshot).await.artifacts;
        let mut artifacts = artifacts.into_iter();
        let ended = artifacts.find(|it| it.name == image_name(2)).unwrap().seen.unwrap();
        assert_eq!((ended.first_at, ended.confirmed_until), (at(0), at(60)), "{snapshot}");
    }
}

#[tokio::test]
async fn more_than_50000_artifact_runs_are_refused() {
    let most = 50_000;
    let fixture = Fixture::in_memory();
    fixture.create("prod").await;
    fixture.report("prod", &[(1, 1)]).await;
    let runs = || fixture.store.artifact_runs("acme", None, pattern("image:1"));
    // As if it had been scaled with each of so many snapshots.
    let add = |from: u32, until: u32| {
        let sql = format!(
            "INSERT INTO snapshot
             WITH RECURSIVE n (i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {until})
             SELECT org_id, environment_id, i, seq, recorded_at, NULL, content_hash, 1, 1, i
             FROM snapshot, n WHERE snapshot_index = 1;
             INSERT INTO interval
             WITH RECURSIVE n (i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {until})
             SELECT org_id, artifact_id, environment_id, i, i, i, 1, 1, name, started_at, task, places,
                    1, 1, 1, 1, run_from_at, NULL
             FROM interval, n WHERE from_index = 1"
        );
        let work = move |connection: &Connection| Ok(connection.execute_batch(&sql)?);
        assert!(fixture.store.writer.write_blocking("add runs", work).is_ok());
    };
    add(2, most);
    assert_eq!(runs().await.unwrap().len(), 50_000);
    add(most + 1, most + 1);
    let refused = runs().await.unwrap_err();
    assert!(matches!(refused, Error::TooManyRuns { most: 50_000 }), "{refused}");
    assert_eq!(refused.status(), 413);
    assert!(refused.to_string().contains("More than 50000 runs"), "{refused}");
}

/// What a history does.
#[derive(Debug, Clone)]
enum Step {
    Report(usize, Vec<(u8, u64)>),
    Wait(i64),
    Rename(usize),
    Archive(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let running =
        proptest::collection::btree_map(prop_oneof![0..5_u8, 200..203_u8], 1..4_u64, 0..5);
    let step = prop_oneof![
        8 => (0..2_usize, running).prop_map(|(environment, running)| {
            Step::Report(environment, running.into_iter().collect())
        }),
        3 => (0..20_000_i64).prop_map(Step::Wait),
        1 => (0..2_usize).prop_map(Step::Rename),
        1 => (0..2_usize).prop_map(Step::Archive),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What should be in an environment: its name, and what ran in each snapshot.
#[derive(Default)]
struct Model {
    name: String,
    snapshots: Vec<BTreeMap<u8, u64>>,
}

async fn check(fixture: &Fixture, model: &Model) {
    let mut before = BTreeMap::new();
    let mut events = Vec::new();
    for (index, running) in (1..).zip(&model.snapshots) {
        let snapshot = fixture.snapshot(&format!("{}#{index}", model.name)).await;
        let mut expected: Vec<_> = running
            .iter()
            .map(|(id, now)| count(*id, before.get(id).copied().unwrap_or(0), *now))
            .chain(
                before
                    .iter()
                    .filter(|(id, _)| !running.contains_key(id))
                    .map(|(id, was)| count(*id, *was, 0)),
            )
            .collect();
        expected.sort();
        assert_eq!(counts(&snapshot.artifacts), expected, "{}#{index}", model.name);
        events
            .extend(expected.into_iter().filter(|(_, was, now)| was != now).map(|it| (index, it)));
        before = running.clone();
    }
    let page = Page { number: 1, size: u32::MAX };
    let found =
        fixture.store.events("acme", &model.name, Interval::default(), page, true).await.unwrap();
    let mut shown: Vec<_> = found
        .events
        .iter()
        .map(|it| (it.index, (it.artifact.name.clone(), it.artifact.was, it.artifact.now)))
        .collect();
    shown.sort();
    assert_eq!((shown, found.total), (events.clone(), events.len() as u64));
    // The same, a few at a time.
    let mut paged = Vec::new();
    for number in 1.. {
        let page = Page { number, size: 3 };
        let part = fixture
            .store
            .events("acme", &model.name, Interval::default(), page, true)
            .await
            .unwrap();
        if part.events.is_empty() {
            break;
        }
        paged.extend(part.events);
    }
    assert_eq!(paged, found.events);
    let window = fixture.store.window("acme", &model.name, None, 10).await.unwrap();
    for summary in &window.snapshots {
        let running = &model.snapshots[summary.span.index as usize - 1];
        assert_eq!(summary.artifacts, running.len() as u64);
        assert_eq!(summary.replicas, running.values().sum::<u64>());
    }
    assert_eq!(window.snapshots.len(), model.snapshots.len().min(10));
}

fn verify_file(path: &Path, head: &Head) -> Verified {
    verify(path, Some(head), AttachmentCheck::Sizes).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn random_histories_match_the_reference_model_and_verify(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("snapshots.db");
            let fixture = Fixture::with(SqliteStore::open(&path).unwrap());
            let mut models = [Model::default(), Model::default()];
            for (number, model) in models.iter_mut().enumerate() {
                model.name = format!("env-{number}");
                fixture.create(&model.name).await;
            }
            let mut head = fixture.store.head("acme").await.unwrap();
            for step in steps {
                match step {
                    Step::Report(at, running) => {
                        let recorded = fixture.report(&models[at].name, &running).await;
                        let running: BTreeMap<_, _> = running.into_iter().collect();
                        let none = BTreeMap::new();
                        let latest = models[at].snapshots.last().unwrap_or(&none);
                        assert_eq!(recorded.created, *latest != running);
                        if recorded.created {
                            models[at].snapshots.push(running);
                        }
                        assert_eq!(recorded.index as usize, models[at].snapshots.len());
                        assert!(recorded.head.seq >= head.seq);
                        head = recorded.head;
                    }
                    Step::Wait(seconds) => fixture.advance(seconds),
                    Step::Rename(at) => {
                        let (from, to) = (models[at].name.clone(), format!("{}x", models[at].name));
                        let store = &fixture.store;
                        head = store.rename_environment("acme", &from, &to, "admin").await.unwrap();
                        models[at].name = to;
                    }
                    Step::Archive(at) => {
                        let name = &models[at].name;
                        fixture.store.archive_environment("acme", name, "admin").await.unwrap();
                        head = fixture.create(name).await;
                    }
                }
            }
            for model in &models {
                check(&fixture, model).await;
            }
            let verified = verify_file(&path, &head);
            assert_eq!(verified.ledgers[0].head, head);
            assert_eq!(verified.ledgers[0].after_expected, Some(0));
        });
    }
}

#[tokio::test]
async fn window_has_fewer_snapshots_if_they_have_thousands_of_changes() {
    let fixture = Fixture::in_memory();
    fixture.create("env").await;
    let entry = |version: u32, artifact: u32| ReportEntry {
        task_arn: "arn".into(),
        cluster_name: None,
        service_name: None,
        digests: vec![(format!("{artifact}:{version}").into(), None)],
        started_at: 1,
        origin: None,
    };
    // All of them are replaced each time: 4,000 changes in each snapshot but the first.
    for version in 1..=7 {
        let entries: Vec<_> = (0..2_000).map(|artifact| entry(version, artifact)).collect();
        let report = Report::new(&entries).unwrap();
        assert!(fixture.store.record_report("acme", "env", report, "").await.unwrap().created);
    }
    for (last, size, expected) in
        [(None, 10, 3..=7), (Some(6), 10, 2..=6), (Some(5), 10, 1..=5), (None, 2, 6..=7)]
    {
        let window = fixture.store.window("acme", "env", last, size).await.unwrap();
        let indexes: Vec<_> = window.snapshots.iter().map(|it| it.span.index).collect();
        assert_eq!(indexes, expected.collect::<Vec<_>>(), "{last:?} {size}");
    }
}
