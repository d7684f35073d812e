use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use envsnap::recorder::domain::provenance::{ArtifactReport, Details};
use envsnap::recorder::domain::{Report, ReportEntry};
use envsnap::recorder::store::Store as _;
use envsnap::recorder::store::provenance::ProvenanceStore as _;
use envsnap::recorder::{Access, Clock, SqliteStore};

use serde_json::json;

use super::*;

/// The most that a page may have, in bytes.
const MAX_PAGE_BYTES: usize = 1_000_000;

/// 400 artifacts whose names have 300 characters; each round has other names and fingerprints.
fn artifacts_with_long_names(round: u32) -> Vec<Value> {
    (0..400_u32)
        .map(|at| {
            let name = format!("{}/{at}:{round:0>290}", "r".repeat(4));
            let digest = format!("{:0>64}", format!("{round:x}{at:03x}"));
            task(at, &name[..300.min(name.len())], &digest, i64::from(round))
        })
        .collect()
}

#[tokio::test]
async fn pages_of_2400_artifacts_with_long_names_are_below_1_mb() {
    let recorder = Recorder::start().await;
    recorder.create("env", Some(true)).await;
    // All of them are replaced each time.
    for round in 0..6 {
        assert_eq!(recorder.report("env", &artifacts_with_long_names(round)).await, 201);
        recorder.advance(60.0);
    }
    for (path, holds) in [
        ("/", "400 artifacts, 400 replicas"),
        ("/acme/environments/env", "Artifacts 1 to 100 of 2400"),
        ("/acme/environments/env?lanes=24", "Artifacts 2301 to 2400 of 2400"),
        ("/acme/environments/env?lanes=99", "Artifacts 2301 to 2400 of 2400"),
        ("/acme/environments/env/snapshots/3", "400 artifacts, 400 replicas; 800 changes since"),
        ("/acme/compare?from=env%231&to=env", "400 exited, 400 started, 0 scaled, 0 unchanged."),
    ] {
        let page = get(&recorder, path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(page.text.len() < MAX_PAGE_BYTES, "{path}: {} bytes", page.text.len());
        let words = page.words();
        assert!(words.contains(holds), "{path}: {words:.2000}");
    }
}

#[tokio::test]
#[ignore = "takes long"]
async fn timeline_of_5000_snapshots_is_paged() {
    let store = SqliteStore::in_memory().unwrap();
    let recorder = Recorder::with(store.clone(), Access::open()).await;
    recorder.create("env", Some(true)).await;
    // Not over HTTP, which takes longer; a minute apart, up to now.
    let minutes = Arc::new(AtomicU32::new(0));
    let clock = Arc::clone(&minutes);
    let store = store.with_clock(Clock::from_fn(move || {
        1_661_161_162.5 - 60.0 * f64::from(5_000 - clock.load(Ordering::Relaxed))
    }));
    for version in 0..5_000 {
        let fingerprint = format!("{version:0>64x}").parse().unwrap();
        let entry = ReportEntry {
            task_arn: "arn".into(),
            cluster_name: None,
            service_name: None,
            digests: vec![(format!("web:{version}").into(), Some(fingerprint))],
            started_at: 1,
            origin: None,
        };
        let report = Report::new(&[entry]).unwrap();
        assert!(store.record_report("acme", "env", report, "").await.unwrap().created);
        minutes.fetch_add(1, Ordering::Relaxed);
    }
    for (query, first, last) in [
        ("", 4_951, 5_000),
        ("?show=200", 4_801, 5_000),
        ("?show=200&upto=4800", 4_601, 4_800),
        ("?show=200&upto=&scale=shortened", 4_801, 5_000),
        ("?show=25&upto=10&scale=true", 1, 10),
        ("?show=100&upto=9999", 4_901, 5_000),
        ("?show=100&upto=4294967295", 4_901, 5_000),
    ] {
        let page = get(&recorder, &format!("/acme/environments/env{query}")).await;
        assert!(page.text.len() < MAX_PAGE_BYTES, "{query}: {} bytes", page.text.len());
        let words = page.words();
        let expected = format!("#{first}..#{last} of 5000 snapshots");
        assert!(words.contains(&expected), "{query}: {words:.2000}");
        let hrefs = page.attributes("href");
        let linked = |upto: String| hrefs.iter().any(|href| href.contains(&upto));
        assert_eq!(linked(format!("upto={}", first - 1)), first > 1, "{query}");
        assert_eq!(words.contains("Latest"), last < 5_000, "{query}");
    }
}

#[tokio::test]
async fn environment_list_has_25_rows_a_page() {
    let recorder = Recorder::start().await;
    for at in 0..60 {
        recorder.create(&format!("env-{at:02}"), None).await;
    }
    for (query, first, last, rows) in [
        ("", "env-00", "env-24", 26),
        ("?page=2", "env-25", "env-49", 26),
        ("?page=3", "env-50", "env-59", 11),
    ] {
        let page = get(&recorder, &format!("/{query}")).await;
        assert_eq!(page.count("tr"), rows, "{query}");
        let words = page.words();
        assert!(words.contains(first) && words.contains(last), "{query}: {words}");
    }
    assert!(get(&recorder, "/?page=9").await.words().contains("Page 9 of 3"));
}

#[tokio::test]
#[ignore = "takes long"]
async fn pages_of_12000_artifacts_with_provenance_are_below_1_mb() {
    let store = SqliteStore::in_memory().unwrap();
    let recorder = Recorder::with(store.clone(), Access::open()).await;
    recorder.create("env", Some(true)).await;
    let name = |number: u32| format!("{}/{number}:1", "team".repeat(60));
    let fingerprint = |number: u32| format!("{number:0>64x}");
    // Not over HTTP, which takes longer.
    for number in 0..1_000 {
        let fields = json!({"commit_url": format!("https://git/{}", "x".repeat(2_000))});
        let report = ArtifactReport {
            fingerprint: fingerprint(number),
            name: name(number),
            commit: format!("{number:0>40x}"),
            template_name: None,
            trail: Some(format!("t{}", number / 10)),
            details: Details::new(fields.to_string()).unwrap(),
        };
        store.report_artifact("acme", "flow", report, "").await.unwrap();
    }
    let entries: Vec<_> = (0..12_000)
        .map(|number| ReportEntry {
            task_arn: "arn".into(),
            cluster_name: None,
            service_name: None,
            digests: vec![(name(number).into(), Some(fingerprint(number).parse().unwrap()))],
            started_at: 1_661_161_200,
            origin: None,
        })
        .collect();
    let report = Report::new(&entries).unwrap();
    assert!(store.record_report("acme", "env", report, "").await.unwrap().created);
    for (path, holds) in [
        ("/", "very many artifacts"),
        ("/acme/environments/env", "12000 artifacts in #1 , of which 100 are shown"),
        ("/acme/environments/env/snapshots/1", "11000 rogue"),
        ("/acme/matrix", "very many artifacts, not shown"),
        ("/acme/flows", "1 pipeline"),
        ("/acme/flows/flow", "1000 artifacts, the latest first."),
        ("/acme/flows/flow?trails=2&artifacts=20", "Page 20 of 20"),
        ("/acme/flows/flow/trails/t7", "COMPLIANT"),
        ("/acme/search?q=team", "50 results for team ; there are more"),
    ] {
        let page = get(&recorder, path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(page.text.len() < MAX_PAGE_BYTES, "{path}: {} bytes", page.text.len());
        let words = page.words();
        assert!(words.contains(holds), "{path}: {holds}: {words:.2000}");
    }
}
