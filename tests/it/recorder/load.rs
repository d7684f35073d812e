//! Many requests at once: reads wait neither for writes nor for large reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use rusqlite::Connection;
use serde_json::json;

use super::crash::Process;
use super::server::{digest, task};
use crate::harness::http_client;

/// Concurrent reports: more than the runtime has threads for blocking work.
const CONCURRENT_REPORTS: u32 = 600;

#[tokio::test(flavor = "multi_thread")]
async fn reports_blocked_by_another_program_delay_no_read_and_are_refused_soon() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let recorder = Arc::new(Process::start(&file).await);
    recorder.create("env").await;
    assert_eq!(recorder.report("env", &[task(1, "web", &digest(1), 1)]).await, 201);
    let other = Connection::open(&file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let answered = Arc::new(AtomicUsize::new(0));
    let reports: Vec<_> = (0..CONCURRENT_REPORTS)
        .map(|n| {
            let (recorder, answered) = (Arc::clone(&recorder), Arc::clone(&answered));
            tokio::spawn(async move {
                let tasks = [task(n, "web", &format!("{n:064x}"), 1)];
                let status = recorder.report("env", &tasks).await;
                answered.fetch_add(1, Ordering::Relaxed);
                status
            })
        })
        .collect();
    // The first of them is given up after five seconds.
    while answered.load(Ordering::Relaxed) == 0 {
        assert_eq!(recorder.index("env").await, 1);
    }
    let path = "/environments/acme/env/report/ECS";
    // And all that waited behind it with it.
    for report in join_all(reports).await {
        // 503 if it came just when they were given up.
        assert!([409, 503].contains(&report.unwrap()));
    }
    let refused = recorder.put(path, &json!({"artifacts": []})).await;
    assert_eq!(refused.status(), 409);
    assert_eq!(refused.headers()["retry-after"], "5");
    let line = recorder.logged("another program holds its write lock").await;
    assert!(line.contains("WARN"), "{line}");

    other.execute_batch("ROLLBACK").unwrap();
    // What another program took says nothing of how long a report takes.
    let reports = (0..30).map(|n| {
        let recorder = Arc::clone(&recorder);
        async move { recorder.report("env", &[task(n, "web", &format!("{n:064x}"), 1)]).await }
    });
    for status in join_all(reports).await {
        assert_eq!(status, 201);
    }
    assert_eq!(recorder.index("env").await, 31);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long"]
async fn a_small_read_does_not_wait_for_large_ones() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Arc::new(Process::start(&folder.path().join("snapshots.db")).await);
    recorder.create("small").await;
    recorder.create("large").await;
    assert_eq!(recorder.report("small", &[task(1, "web", &digest(1), 1)]).await, 201);
    let name = "x".repeat(200);
    let tasks: Vec<_> = (0..4_000).map(|n| task(n, &format!("{name}{n}"), "", 1)).collect();
    assert_eq!(recorder.report("large", &tasks).await, 201);

    let answered = Arc::new(AtomicUsize::new(0));
    let client = http_client();
    let large: Vec<_> = (0..16)
        .map(|_| {
            let request = client.get(format!("{}/snapshots/acme/large/-1", recorder.url));
            let answered = Arc::clone(&answered);
            tokio::spawn(async move {
                let answer = request.send().await.unwrap();
                answered.fetch_add(1, Ordering::Relaxed);
                answer.bytes().await.unwrap().len()
            })
        })
        .collect();
    while answered.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    // By now all others wait.
    for path in ["/snapshots/acme/small/-1", "/environments/acme", "/snapshots/acme/large"] {
        assert_eq!(recorder.get(path).await.0, 200);
    }
    let before = answered.load(Ordering::Relaxed);
    assert!(before < 12, "{before} of 16 large reads were answered before three small ones");
    for length in join_all(large).await {
        assert!(length.unwrap() > 2_000_000);
    }
}
