//! Provenance, from reports to what they say of what runs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use envsnap_model::provenance::{Origin, State};
use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};
use sha2::{Digest as _, Sha256};

use super::super::tests::Fixture;
use super::super::{AttachmentCheck, SqliteStore, VerifyError, verify};
use super::*;
use crate::domain::SnapshotArtifact;
use crate::domain::provenance::{
    ArtifactProvenance, AttachmentFile, Details, RecordId, StoredTemplate, TrailEventKind,
};
use crate::store::Store as _;
use crate::store::provenance::ArtifactSelector;

pub(super) const COMMIT: &str = "16d9990ad23a40eecaf087abac2a58a2d2a4b3f4";

pub(in super::super) fn details(json: &str) -> Details {
    Details::new(json.to_owned()).unwrap()
}

/// Details of this many bytes with a commit's URL and user data.
fn details_of_length(bytes: usize) -> Details {
    let json = |data: &str| format!("{{\"commit_url\":\"https://c/1\",\"user_data\":\"{data}\"}}");
    let data = "x".repeat(bytes - json("").len());
    details(&json(&data))
}

/// 64 hexadecimal digits: the byte `artifact`, 32 times.
pub(super) fn fingerprint(artifact: u8) -> String {
    hex::encode([artifact; 32])
}

/// A report of artifact "runner" with this number, in a trail.
pub(crate) fn artifact(artifact: u8, trail: &str) -> ArtifactReport {
    ArtifactReport {
        fingerprint: fingerprint(artifact),
        name: format!("image:{artifact}"),
        commit: COMMIT.to_owned(),
        template_name: Some("runner".to_owned()),
        trail: Some(trail.to_owned()),
        details: details("{\"commit_url\":\"https://c/1\"}"),
    }
}

/// A generic attestation of artifact "runner" by its template name and [`COMMIT`].
pub(super) fn attestation(name: &str, is_compliant: bool) -> AttestationReport {
    AttestationReport {
        kind: "generic".to_owned(),
        name: name.to_owned(),
        fingerprint: None,
        targets: vec!["runner".to_owned()],
        commit: Some(COMMIT.to_owned()),
        is_compliant: Some(is_compliant),
        is_override: false,
        details: details("{\"age\":0.85}"),
        attachment: None,
    }
}

/// Requires the attestations "test" and "scan" of artifact "runner".
fn template() -> StoredTemplate {
    let rules = envsnap_model::provenance::Template::with_attestations(
        "runner",
        ["test", "scan"].into_iter(),
    );
    StoredTemplate { content: "version: 1".to_owned(), rules }
}

pub(super) fn settings(name: &str, template: Option<StoredTemplate>) -> FlowSettings {
    FlowSettings { name: name.to_owned(), description: String::new(), visibility: None, template }
}

fn attachment_file(bytes: &[u8]) -> AttachmentFile {
    AttachmentFile {
        filename: "a.xml".to_owned(),
        sha256: Sha256::digest(bytes).into(),
        content: bytes.to_vec(),
    }
}

impl Fixture {
    /// Reports a flow with a template, a trail, an artifact, an attestation with a file, a deployment and an
    /// allowance to organization "acme", which has an environment "prod".
    pub(in super::super) async fn report_provenance(&self) {
        let store = &self.store;
        store.save_flow("acme", settings("runner", Some(template())), "ci").await.unwrap();
        let begun = TrailReport {
            name: "t".to_owned(),
            details: details("{\"description\":\"d\"}"),
            template: None,
        };
        store.save_trail("acme", "runner", begun.clone(), "ci").await.unwrap();
        let changed = TrailReport { details: details("{\"description\":\"e\"}"), ..begun };
        store.save_trail("acme", "runner", changed, "ci").await.unwrap();
        store.report_artifact("acme", "runner", artifact(1, "t"), "ci").await.unwrap();
        let attachment = Some(attachment_file(b"<testsuites/>"));
        let report = AttestationReport { attachment, ..attestation("test", true) };
        store.report_attestation("acme", "runner", "t", report, "ci").await.unwrap();
        self.announce(1, "prod").await;
        let allowance = AllowanceRequest {
            environment: Some("prod".to_owned()),
            fingerprint: fingerprint(9),
            name: "nginx".to_owned(),
            pattern: String::new(),
            reason: "r".to_owned(),
        };
        store.allow("acme", allowance, "admin").await.unwrap();
    }

    /// Announces a deployment of the artifact with this number, by flow "runner".
    pub(in super::super) async fn announce(&self, artifact: u8, environment: &str) {
        let deployment = DeploymentReport {
            fingerprint: fingerprint(artifact),
            environment: environment.to_owned(),
            details: details("{}"),
        };
        self.store.report_deployment("acme", "runner", deployment, "ci").await.unwrap();
    }

    /// The numbers of the deployments that were announced to the environment.
    async fn announced_to(&self, environment: &str) -> Vec<u32> {
        let query = DeploymentQuery::To(environment.to_owned());
        let deployments = self.store.deployments("acme", query).await.unwrap();
        assert!(deployments.iter().all(|it| it.environment == environment), "{deployments:?}");
        deployments.iter().map(|deployment| deployment.number).collect()
    }

    /// The provenance of the artifact with this number in a snapshot such as `prod#1`.
    async fn provenance(&self, snapshot: &str, artifact: u8) -> ArtifactProvenance {
        let found = self.snapshot(snapshot).await;
        let wanted = format!("image:{artifact}");
        let is_wanted = |it: &SnapshotArtifact| it.name == wanted;
        *found.artifacts.into_iter().find(is_wanted).unwrap().provenance.unwrap()
    }
}

/// The ids of environment "prod" and of its organization.
pub(super) fn org_and_environment(connection: &Connection) -> (i64, i64) {
    let sql = "SELECT org_id, id FROM environment WHERE name = 'prod'";
    connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

/// How many statements run, and how many rows they return.
pub(super) fn count_statements_and_rows(
    path: &Path,
    question: impl FnOnce(&Connection, (i64, i64)),
) -> (usize, usize) {
    let mut connection = Connection::open(path).unwrap();
    // Before it counts, because SQLite reads the schema with it.
    let environment = org_and_environment(&connection);
    let counters = <Arc<[AtomicUsize; 2]>>::default();
    let counted = Arc::clone(&counters);
    let count = move |event: TraceEvent<'_>| {
        let kind = usize::from(matches!(event, TraceEvent::Row(_)));
        counted[kind].fetch_add(1, Ordering::Relaxed);
    };
    let events = TraceEventCodes::SQLITE_TRACE_STMT | TraceEventCodes::SQLITE_TRACE_ROW;
    connection.trace_v2(events, Some(count)).unwrap();
    question(&connection, environment);
    let [statements, rows] = &*counters;
    (statements.load(Ordering::Relaxed), rows.load(Ordering::Relaxed))
}

fn in_memory_fixture() -> Fixture {
    Fixture::with(SqliteStore::in_memory().unwrap())
}

#[tokio::test]
async fn reports_with_details_over_4096_bytes_have_only_the_fields_of_a_snapshot_in_it() {
    let fixture = in_memory_fixture();
    fixture.create("prod").await;
    for (number, bytes) in [(1, 4096), (2, 4097)] {
        let report = ArtifactReport { details: details_of_length(bytes), ..artifact(number, "t") };
        fixture.store.report_artifact("acme", "runner", report, "ci").await.unwrap();
    }
    fixture.report("prod", &[(1, 1), (2, 1)]).await;
    let shown = async |artifact| fixture.provenance("prod#1", artifact).await.flows.remove(0);
    assert_eq!(shown(1).await.details.len(), 4096);
    assert_eq!(shown(2).await.details, "{\"commit_url\":\"https://c/1\"}");
}

#[tokio::test]
async fn running_artifact_has_its_flows_oldest_first_and_origin_known_rogue_late_or_allowed() {
    let fixture = in_memory_fixture();
    fixture.create("prod").await;
    for flow in ["promotion", "runner", "scan"] {
        fixture.store.report_artifact("acme", flow, artifact(1, "t"), "ci").await.unwrap();
        fixture.advance(1);
    }
    fixture.advance(60);
    fixture.report("prod", &[(1, 1), (2, 1)]).await;
    let known = fixture.provenance("prod#1", 1).await;
    let flows: Vec<_> = known.flows.iter().map(|flow| &*flow.flow).collect();
    assert_eq!(flows, ["promotion", "runner", "scan"]);
    assert_eq!((known.origin, known.updated), (Origin::Known, false));
    let rogue = fixture.provenance("prod#1", 2).await;
    assert_eq!((rogue.origin, rogue.flows.len()), (Origin::Rogue, 0));

    // Provenance that arrives late makes no snapshot, is visible at once, and marks the next one.
    fixture.advance(600);
    fixture.store.report_artifact("acme", "runner", artifact(2, "t2"), "ci").await.unwrap();
    let late = fixture.provenance("prod#1", 2).await;
    assert_eq!((late.origin, late.updated), (Origin::Late, false));
    fixture.advance(60);
    fixture.report("prod", &[(1, 2), (2, 1)]).await;
    assert!(fixture.provenance("prod#2", 2).await.updated);
    assert!(!fixture.provenance("prod#2", 1).await.updated);

    // Stopping and starting again does not make it known.
    fixture.advance(60);
    fixture.report("prod", &[(1, 2)]).await;
    fixture.advance(60);
    fixture.report("prod", &[(1, 2), (2, 1)]).await;
    assert_eq!(fixture.provenance("prod#4", 2).await.origin, Origin::Late);

    let allowance = AllowanceRequest {
        environment: None,
        fingerprint: String::new(),
        name: String::new(),
        pattern: "image".to_owned(),
        reason: "accepted".to_owned(),
    };
    fixture.store.allow("acme", allowance, "admin").await.unwrap();
    let allowed = fixture.provenance("prod#4", 2).await;
    assert_eq!(allowed.origin, Origin::Allowed);
    assert_eq!(allowed.allowed.as_deref(), Some("accepted"));
    let [entry] = &fixture.store.allowances("acme").await.unwrap()[..] else { panic!() };
    assert_eq!(entry.allowed_by, "admin");
    let id = entry.id.to_string();
    fixture.store.withdraw_allowance("acme", &id, "admin").await.unwrap();
    assert_eq!(fixture.provenance("prod#4", 2).await.origin, Origin::Late);
    assert!(fixture.store.withdraw_allowance("acme", &id, "admin").await.is_err());
}

/// The state of the artifact in flow "runner", and the names of missing or failed attestations.
async fn state_and_problems(fixture: &Fixture, artifact: u8) -> (State, Vec<String>) {
    let query = ArtifactQuery {
        flow: "runner".to_owned(),
        selector: ArtifactSelector::Fingerprint(fingerprint(artifact)),
        trail: None,
        attestation: None,
    };
    let mut found = fixture.store.artifacts("acme", query).await.unwrap();
    let report = found.remove(0).report.unwrap();
    (report.state, report.problems)
}

#[tokio::test]
async fn attestations_bind_to_artifact_by_template_name_and_commit_even_if_reported_first() {
    let fixture = in_memory_fixture();
    let store = &fixture.store;
    store.save_flow("acme", settings("runner", Some(template())), "ci").await.unwrap();
    let report = |report| store.report_attestation("acme", "runner", "t", report, "ci");
    report(attestation("test", true)).await.unwrap();
    let other = AttestationReport { commit: Some("ffff".to_owned()), ..attestation("scan", true) };
    report(other).await.unwrap();
    store.report_artifact("acme", "runner", artifact(1, "t"), "ci").await.unwrap();
    assert_eq!(state_and_problems(&fixture, 1).await, (State::Incomplete, vec!["scan".to_owned()]));
    report(attestation("scan", false)).await.unwrap();
    assert_eq!(
        state_and_problems(&fixture, 1).await,
        (State::NonCompliant, vec!["scan".to_owned()])
    );
    let overridden = AttestationReport { is_override: true, ..attestation("scan", true) };
    report(overridden).await.unwrap();
    assert_eq!(state_and_problems(&fixture, 1).await, (State::Compliant, vec![]));

    // One that names an artifact which was not reported in the trail is refused.
    let unknown_artifact =
        AttestationReport { fingerprint: Some(fingerprint(2)), ..attestation("test", true) };
    let error = report(unknown_artifact).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "Artifact with fingerprint {} does not exist in trail \"t\" of flow \"runner\" \
             belonging to organization \"acme\"",
            fingerprint(2)
        )
    );
    let override_of_none = AttestationReport { is_override: true, ..attestation("lint", true) };
    assert!(matches!(report(override_of_none).await, Err(Error::AttestationNotFound { .. })));
}

#[tokio::test]
async fn same_report_of_a_token_within_600_seconds_is_recorded_once_and_later_again() {
    let fixture = in_memory_fixture();
    let store = &fixture.store;
    let artifact = || store.report_artifact("acme", "runner", artifact(1, "t"), "ci");
    let evidence = |actor: &'static str| {
        store.report_attestation("acme", "runner", "t", attestation("test", true), actor)
    };
    let deployment = || {
        let report = DeploymentReport {
            fingerprint: fingerprint(1),
            environment: "prod".to_owned(),
            details: details("{}"),
        };
        store.report_deployment("acme", "runner", report, "ci")
    };
    let first = artifact().await.unwrap();
    assert_eq!(artifact().await.unwrap(), first);
    let first = evidence("ci").await.unwrap();
    fixture.advance(500);
    assert_eq!(evidence("ci").await.unwrap(), first);
    assert_eq!(evidence("other").await.unwrap().seq, first.seq + 1, "of another token");
    assert_eq!(deployment().await.unwrap().0, 1);
    assert_eq!(deployment().await.unwrap().0, 1);
    fixture.advance(700);
    assert_eq!(deployment().await.unwrap().0, 2);
    let again = artifact().await.unwrap();
    assert!(again.seq > first.seq, "{again}");
    let trail = store.trail("acme", "runner", "t").await.unwrap();
    assert_eq!(trail.events.len(), 5, "{:?}", trail.events);
}

#[tokio::test]
async fn repeated_attestation_is_recorded_again_if_any_other_has_taken_its_place() {
    let of_kind = |kind: &str, targets: &[&str], named: Option<u8>| AttestationReport {
        kind: kind.to_owned(),
        targets: targets.iter().map(|&target| target.to_owned()).collect(),
        fingerprint: named.map(fingerprint),
        ..attestation("test", true)
    };
    for (what, first, second, is_replaced) in [
        (
            "another type",
            ("junit", &["runner"][..], None),
            ("generic", &["runner"][..], None),
            true,
        ),
        ("by fingerprint", ("junit", &["runner"], None), ("generic", &[], Some(1)), true),
        ("after one by fingerprint", ("junit", &[], Some(1)), ("generic", &["runner"], None), true),
        ("of the trail", ("junit", &[], None), ("generic", &[], None), true),
        ("not reported yet", ("junit", &["a", "b"], None), ("generic", &["b"], None), true),
        ("of another artifact", ("junit", &["runner"], None), ("generic", &[], Some(2)), false),
        ("of another target", ("junit", &["runner"], None), ("generic", &["web"], None), false),
        ("of an artifact", ("junit", &[], None), ("generic", &["runner"], None), false),
    ] {
        let fixture = in_memory_fixture();
        let store = &fixture.store;
        store.report_artifact("acme", "runner", artifact(1, "t"), "ci").await.unwrap();
        let web = ArtifactReport { template_name: Some("web".to_owned()), ..artifact(2, "t") };
        store.report_artifact("acme", "runner", web, "ci").await.unwrap();
        let report = async |(kind, targets, named)| {
            let report = of_kind(kind, targets, named);
            store.report_attestation("acme", "runner", "t", report, "ci").await.unwrap().seq
        };
        report(first).await;
        let replacing = report(second).await;
        let again = report(first).await;
        assert_eq!(again > replacing, is_replaced, "{what}");
        assert_eq!(report(first).await, again, "{what}, repeated at once");
    }
}

#[tokio::test]
async fn renamed_flow_is_found_by_its_old_name_until_another_flow_takes_that_name() {
    let fixture = in_memory_fixture();
    let store = &fixture.store;
    store.save_flow("acme", settings("a", None), "ci").await.unwrap();
    store.rename_flow("acme", "a", "b", "ci").await.unwrap();
    assert_eq!(store.flow("acme", "a").await.unwrap().name, "b");
    assert!(store.save_flow("acme", settings("c", None), "ci").await.unwrap().created);
    let taken = store.rename_flow("acme", "c", "b", "ci").await.unwrap_err();
    assert!(matches!(taken, Error::FlowNameTaken { .. }));
    store.rename_flow("acme", "c", "a", "ci").await.unwrap();
    assert_eq!(store.flow("acme", "a").await.unwrap().name, "a");
    store.archive_flow("acme", "a", "ci").await.unwrap();
    assert!(matches!(store.flow("acme", "a").await, Err(Error::FlowNotFound { .. })));
    assert!(store.save_flow("acme", settings("a", None), "ci").await.unwrap().created);
    let (flows, total) = store.flows("acme", FlowFilter::default(), None).await.unwrap();
    let names: Vec<_> = flows.iter().map(|flow| &*flow.name).collect();
    assert_eq!((names, total), (vec!["a", "b"], 2));
}

#[tokio::test]
async fn equal_attachments_are_stored_once_and_verify_finds_changed_or_missing_chunks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshots.db");
    {
        let fixture = Fixture::with(SqliteStore::open(&path).unwrap());
        fixture.create("prod").await;
        fixture.report_provenance().await;
        let mut id = String::new();
        for name in ["scan", "lint"] {
            let attachment = Some(attachment_file(&vec![7; 600_000]));
            let report = AttestationReport { attachment, ..attestation(name, true) };
            let head = fixture.store.report_attestation("acme", "runner", "t", report, "ci").await;
            id = RecordId::new("acme", head.unwrap().seq).to_string();
        }
        let (name, content) = fixture.store.attachment("acme", &id).await.unwrap().unwrap();
        assert_eq!((&*name, content), ("a.xml", vec![7; 600_000]));
        assert_eq!(fixture.store.attachment("acme", "no").await.unwrap(), None);
    }
    verify(&path, None, AttachmentCheck::Content).unwrap();
    // Each closed again: a log beside the file would be another program's.
    let open = || rusqlite::Connection::open(&path).unwrap();
    let chunks: i64 =
        open().query_row("SELECT count(*) FROM attachment_chunk", [], |row| row.get(0)).unwrap();
    assert_eq!(chunks, 1 + 3, "the small one, and once the large one");
    let change = |sql| assert_eq!(open().execute(sql, []).unwrap(), 1);
    change("UPDATE attachment_chunk SET bytes = zeroblob(length(bytes)) WHERE number = 1");
    verify(&path, None, AttachmentCheck::Sizes).unwrap();
    let error = verify(&path, None, AttachmentCheck::Content).unwrap_err();
    assert!(matches!(error, VerifyError::Attachment { .. }), "{error}");
    change("DELETE FROM attachment_chunk WHERE number = 2");
    let error = verify(&path, None, AttachmentCheck::Sizes).unwrap_err();
    assert!(matches!(error, VerifyError::Attachment { .. }), "{error}");
}

#[tokio::test]
async fn search_finds_reported_commits_and_artifacts_that_run_without_any_report() {
    let fixture = in_memory_fixture();
    fixture.create("prod").await;
    fixture.report("prod", &[(1, 1), (2, 1)]).await;
    fixture.store.report_artifact("acme", "runner", artifact(1, "t"), "ci").await.unwrap();
    let found = fixture.store.search("acme", &COMMIT[..7]).await.unwrap();
    assert_eq!(found.commits, [COMMIT]);
    assert_eq!(found.artifacts.len(), 1);
    let found = fixture.store.search("acme", &fingerprint(2)[..6]).await.unwrap();
    assert_eq!(found.artifacts[0].report, None);
    assert_eq!(found.artifacts[0].runs.len(), 1);
    assert!(matches!(fixture.store.search("acme", "00000").await, Err(Error::NoMatches { .. })));
    assert!(matches!(fixture.store.search("none", "16d9990").await, Err(Error::NoMatches { .. })));
}

#[tokio::test]
async fn trail_has_all_events_and_at_most_8_mb_of_what_was_reported_with_attestations() {
    let fixture = in_memory_fixture();
    let store = &fixture.store;
    store.save_flow("acme", settings("runner", None), "ci").await.unwrap();
    store.report_artifact("acme", "runner", artifact(1, "t"), "ci").await.unwrap();
    let text = "x".repeat(4_000);
    let long = serde_json::json!({
        "description": text, "reason": text, "control": text, "repo_info": {"name": text},
    });
    for number in 0..600 {
        let name = format!("scan-{number}");
        let report =
            AttestationReport { details: details(&long.to_string()), ..attestation(&name, true) };
        store.report_attestation("acme", "runner", "t", report, "ci").await.unwrap();
    }
    let trail = store.trail("acme", "runner", "t").await.unwrap();
    let lengths: Vec<_> = trail
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            TrailEventKind::Attestation(attestation) => Some(attestation.details.len()),
            _ => None,
        })
        .collect();
    assert_eq!(lengths.len(), 600);
    assert!(lengths[0] > 16_000 && lengths.iter().sum::<usize>() <= 8 << 20, "{lengths:?}");
}

#[tokio::test]
async fn trails_are_found_by_the_fingerprint_of_an_artifact_in_them_with_or_without_a_flow() {
    let fixture = in_memory_fixture();
    for (flow, number, trail) in
        [("build", 1, "one"), ("build", 2, "two"), ("scan", 1, "three"), ("build", 1, "four")]
    {
        fixture.store.report_artifact("acme", flow, artifact(number, trail), "ci").await.unwrap();
    }
    for (number, flow, expected) in [
        (1, None, &["four", "three", "one"][..]),
        (1, Some("build"), &["four", "one"]),
        (1, Some("scan"), &["three"]),
        (2, None, &["two"]),
        (2, Some("scan"), &[]),
        (3, None, &[]),
    ] {
        let filter = TrailFilter {
            flow: flow.map(str::to_owned),
            fingerprint: Some(fingerprint(number)),
            ..TrailFilter::default()
        };
        let page = Page { number: 1, size: 10 };
        let (trails, total) = fixture.store.trails("acme", filter, page).await.unwrap();
        let names: Vec<_> = trails.iter().map(|trail| &*trail.name).collect();
        assert_eq!((names, total), (expected.to_vec(), expected.len() as u64), "{number} {flow:?}");
    }
}

#[tokio::test]
async fn artifact_built_from_two_commits_is_found_by_each_with_its_own_trail_and_details() {
    let fixture = in_memory_fixture();
    let store = &fixture.store;
    let commits = [1, 2, 3].map(|digit: u8| digit.to_string().repeat(40));
    let build = async |commit: &str, trail: &str| {
        let report = ArtifactReport {
            commit: commit.to_owned(),
            name: format!("image:{trail}"),
            details: details(&format!("{{\"commit_url\":\"https://c/{trail}\"}}")),
            ..artifact(1, trail)
        };
        store.report_artifact("acme", "runner", report, "ci").await.unwrap();
        fixture.advance(1);
    };
    build(&commits[0], "first").await;
    build(&commits[1], "one").await;
    build(&commits[1], "again").await;
    // More reports than are read for the state.
    for number in 0..30 {
        build(&commits[2], &format!("nightly-{number}")).await;
    }
    for (commit, trail) in commits.iter().zip(["first", "again", "nightly-29"]) {
        let query = ArtifactQuery {
            flow: "runner".to_owned(),
            selector: ArtifactSelector::Commit(commit[..7].to_owned()),
            trail: None,
            attestation: None,
        };
        let found = store.artifacts("acme", query).await.unwrap();
        let searched = store.search("acme", &commit[..7]).await.unwrap();
        assert_eq!(searched.commits, std::slice::from_ref(commit));
        assert_eq!(searched.artifacts, found);
        let [found] = &found[..] else { panic!("{found:?}") };
        assert_eq!(found.name, format!("image:{trail}"));
        let report = found.report.as_ref().unwrap();
        assert_eq!((&report.commit, report.trail.as_deref()), (commit, Some(trail)));
        assert_eq!(report.details, format!("{{\"commit_url\":\"https://c/{trail}\"}}"));
        assert_eq!(report.template_name.as_deref(), Some("runner"));
        assert_eq!(report.first_reported_at, Micros::from_seconds(1_661_161_162.0));
    }
    // By its fingerprint, the latest report is shown.
    let searched = store.search("acme", &fingerprint(1)).await.unwrap();
    let latest = searched.artifacts[0].report.as_ref().unwrap();
    assert_eq!(latest.trail.as_deref(), Some("nightly-29"));
}

#[tokio::test]
async fn state_of_an_artifact_found_by_its_commit_includes_reports_that_are_not_the_latest() {
    let fixture = in_memory_fixture();
    let store = &fixture.store;
    let commit = "5".repeat(40);
    store.report_artifact("acme", "runner", artifact(1, "first"), "ci").await.unwrap();
    let report = ArtifactReport { commit: commit.clone(), ..artifact(1, "second") };
    store.report_artifact("acme", "runner", report, "ci").await.unwrap();
    let failed = AttestationReport { commit: Some(commit.clone()), ..attestation("test", false) };
    store.report_attestation("acme", "runner", "second", failed, "ci").await.unwrap();
    for number in 0..30 {
        let report = artifact(1, &format!("nightly-{number}"));
        store.report_artifact("acme", "runner", report, "ci").await.unwrap();
    }
    let found = store.search("acme", &commit).await.unwrap();
    let report = found.artifacts[0].report.as_ref().unwrap();
    assert_eq!((report.state, report.trail.as_deref()), (State::NonCompliant, Some("second")));
    assert_eq!(found.artifacts[0].attestations.len(), 1);
}

#[tokio::test]
async fn announced_deployments_follow_an_environment_that_is_renamed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshots.db");
    let fixture = Fixture::with(SqliteStore::open(&path).unwrap());
    let store = &fixture.store;
    for number in [1, 2] {
        store.report_artifact("acme", "runner", artifact(number, "t"), "ci").await.unwrap();
    }
    fixture.create("stage").await;
    fixture.announce(1, "stage").await;
    fixture.announce(1, "prod").await;
    store.rename_environment("acme", "stage", "live", "admin").await.unwrap();
    assert_eq!(fixture.announced_to("live").await, [1]);
    assert!(fixture.announced_to("stage").await.is_empty());
    fixture.report("live", &[(1, 1), (2, 1)]).await;
    let known = fixture.provenance("live#1", 1).await;
    assert_eq!(known.deployments, [("runner".to_owned(), 1)]);
    let card = store.artifact_card("acme", &fingerprint(1)).await.unwrap();
    assert_eq!(card.deployments[0].environment, "live");
    // What was announced to it is not derived from its snapshots.
    let ever = (Micros(i64::MIN), Micros(i64::MAX));
    let derived = store.derived_deployments("acme", "live", ever.0, ever.1).await.unwrap();
    let derived: Vec<_> = derived.iter().map(|deployment| &*deployment.fingerprint).collect();
    assert_eq!(derived, [fingerprint(2)]);

    // A new environment with the old name has its own ones, and goes on to a third name.
    fixture.create("stage").await;
    fixture.announce(2, "stage").await;
    store.rename_environment("acme", "stage", "test", "admin").await.unwrap();
    assert_eq!(fixture.announced_to("test").await, [3]);
    assert_eq!(fixture.announced_to("live").await, [1]);
    assert_eq!(fixture.announced_to("prod").await, [2]);
    drop(fixture);
    verify(&path, None, AttachmentCheck::Content).unwrap();
}

#[tokio::test]
async fn rows_read_for_the_page_of_an_artifact_grow_in_proportion_to_the_flows_that_reported_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshots.db");
    let fixture = Fixture::with(SqliteStore::open(&path).unwrap());
    let store = &fixture.store;
    fixture.create("prod").await;
    fixture.report("prod", &[(1, 1)]).await;
    let report_by_flows = async |flows: std::ops::Range<u32>| {
        for flow in flows.map(|number| format!("flow-{number}")) {
            store.report_artifact("acme", &flow, artifact(1, "t"), "ci").await.unwrap();
            let scan = attestation("scan", true);
            store.report_attestation("acme", &flow, "t", scan, "ci").await.unwrap();
            let deployment = DeploymentReport {
                fingerprint: fingerprint(1),
                environment: "prod".to_owned(),
                details: details("{}"),
            };
            store.report_deployment("acme", &flow, deployment, "ci").await.unwrap();
        }
    };
    // Statements and rows of its page, and of a search for it.
    let count = |flows: usize| {
        let (page, search) = (&mut 0, &mut 0);
        let (_, page_rows) = count_statements_and_rows(&path, |connection, (org_id, _)| {
            let reader = Reader::new(connection, "acme", org_id);
            let card = reader.artifact_card(&fingerprint(1)).unwrap();
            assert!(card.reports.iter().all(|it| it.deployments.len() == 1 && it.runs.len() == 1));
            *page = card.reports.len();
        });
        let (_, search_rows) = count_statements_and_rows(&path, |connection, (org_id, _)| {
            let reader = Reader::new(connection, "acme", org_id);
            *search = reader.search(&fingerprint(1)).unwrap().artifacts.len();
        });
        assert_eq!((*page, *search), (flows, flows));
        (page_rows, search_rows)
    };
    report_by_flows(0..10).await;
    let (page, search) = count(10);
    report_by_flows(10..40).await;
    let (page_of_more, search_of_more) = count(40);
    assert!(page_of_more <= 4 * page, "{page_of_more} instead of {page}");
    assert!(search_of_more <= 4 * search, "{search_of_more} instead of {search}");
}
