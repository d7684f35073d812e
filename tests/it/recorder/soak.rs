//! A recorder under load for a long time: its memory does not grow with what it has recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::crash::Process;
use super::server::task;

/// Clients that report at the same time, each to an environment of its own.
const CLIENTS: u32 = 16;
const ARTIFACTS_PER_REPORT: u32 = 50;

/// Reports of all clients together, without `ENVSNAP_LONG`.
const REPORTS: u32 = 4_000;
/// How long the clients report with `ENVSNAP_LONG=1`.
const LONG_DURATION: Duration = Duration::from_hours(1);

/// How much the memory may grow in the second half: what an allocator keeps for itself varies by some
/// megabytes. By half time the caches are full.
const MAX_GROWTH_BYTES: u64 = 8 << 20;

/// The artifacts in report `number` of an environment: every second report replaces one of them.
fn artifacts_of_report(number: u32) -> Vec<serde_json::Value> {
    let step = number / 2;
    let version = |artifact| (step + ARTIFACTS_PER_REPORT - artifact) / ARTIFACTS_PER_REPORT;
    (0..ARTIFACTS_PER_REPORT)
        .map(|artifact| {
            let name = format!("app/service-{artifact}:{}", version(artifact));
            task(artifact, &name, &format!("{artifact:032x}{:032x}", version(artifact)), 1)
        })
        .collect()
}

/// Resident memory of a process in bytes, without pages of files, which the system takes back.
fn anonymous_memory(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long"]
async fn recorder_memory_does_not_grow_in_the_second_half_of_a_long_load() {
    let (is_long, started) = (std::env::var_os("ENVSNAP_LONG").is_some(), Instant::now());
    // How much of the whole is done after this many reports.
    let percentage = move |reports: u32| {
        if is_long {
            started.elapsed().as_secs() * 100 / LONG_DURATION.as_secs()
        } else {
            u64::from(reports) * 100 / u64::from(REPORTS)
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let recorder = Arc::new(Process::start(&folder.path().join("snapshots.db")).await);
    let id = recorder.child.id().unwrap();
    let at_half_time = Arc::new(AtomicU64::new(0));
    let sent = Arc::new(AtomicU32::new(0));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (recorder, sent) = (Arc::clone(&recorder), Arc::clone(&sent));
        let at_half_time = Arc::clone(&at_half_time);
        clients.spawn(async move {
            let name = format!("env-{client}");
            recorder.create(&name).await;
            for number in 0.. {
                let expected = if number % 2 == 0 { 201 } else { 200 };
                let artifacts = artifacts_of_report(number);
                // A machine that does other work meanwhile is slower than its clients.
                let status = loop {
                    match recorder.report(&name, &artifacts).await {
                        503 if is_long => sleep(Duration::from_secs(5)).await,
                        status => break status,
                    }
                };
                assert_eq!(status, expected);
                if number % 10 == 0 {
                    for path in ["/-1", "/1", "?per_page=20", "?interval=1..&page=2&per_page=5"] {
                        let (status, _) =
                            recorder.get(&format!("/snapshots/acme/{name}{path}")).await;
                        assert_eq!(status, 200, "{path}");
                    }
                    let page = format!("/environments/acme/{name}/events?per_page=100");
                    assert_eq!(recorder.get(&page).await.0, 200);
                }
                let all = 1 + sent.fetch_add(1, Ordering::Relaxed);
                let percentage = percentage(all);
                if percentage >= 50 && at_half_time.load(Ordering::Relaxed) == 0 {
                    at_half_time.store(anonymous_memory(id) >> 10, Ordering::Relaxed);
                }
                if percentage >= 100 {
                    return;
                }
            }
        });
    }
    clients.join_all().await;
    let before = at_half_time.load(Ordering::Relaxed) << 10;
    let reports = sent.load(Ordering::Relaxed);
    let at_the_end = anonymous_memory(id);
    println!("{reports} reports: {before} bytes after half of them, {at_the_end} at the end");
    assert!(
        before > 0 && at_the_end < before + MAX_GROWTH_BYTES,
        "{before} bytes, then {at_the_end}"
    );
}
