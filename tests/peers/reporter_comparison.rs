//! What `envsnap report` and `kosli snapshot ecs` report of the same account in the AWS emulator.

use serde_json::{Value, json};

use crate::emulator::{Emulator, digest_of};
use crate::programs::ProgramOutput;
use crate::reporters::{envsnap_report, kosli_snapshot};

/// The entries of the one report that a reporter sent, sorted by the ARN of their task.
fn entries((output, reports): (ProgramOutput, Vec<Value>)) -> Vec<Value> {
    output.success();
    let [report] = <[Value; 1]>::try_from(reports).unwrap();
    let fields: Vec<_> = report.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["artifacts"], "{report}");
    let mut entries = report["artifacts"].as_array().unwrap().clone();
    entries.sort_by_key(|entry| entry["taskArn"].as_str().unwrap().to_owned());
    entries
}

/// `[cluster, service, digests]` of each entry as JSON text, sorted. The other fields, ARNs and start times,
/// are not known before the tasks run.
fn comparable_rows(entries: &[Value]) -> Vec<String> {
    let mut rows: Vec<_> = entries
        .iter()
        .map(|entry| json!([entry["cluster_name"], entry["service_name"], entry["digests"]]))
        .map(|entry| entry.to_string())
        .collect();
    rows.sort();
    rows
}

/// Cluster, service (if any) and images of a task.
type ExpectedTask<'a> = (&'a str, Option<&'a str>, &'a [&'a str]);

/// The [`comparable_rows`] of these tasks, sorted.
fn expected_rows(tasks: &[ExpectedTask<'_>]) -> Vec<String> {
    let row = |(cluster, service, images): &ExpectedTask<'_>| {
        let digests: Value = images.iter().map(|image| (*image, digest_of(image))).collect();
        json!([cluster, service, digests]).to_string()
    };
    let mut rows: Vec<_> = tasks.iter().map(row).collect();
    rows.sort();
    rows
}

/// An account with two clusters, each with tasks of services and a standalone task. A task of `api` runs two
/// images, and the task of `twin` runs one image twice.
async fn account_of_two_clusters() -> Emulator {
    let aws = Emulator::start().await;
    aws.create_cluster("app").await;
    aws.create_cluster("jobs").await;
    aws.create_service("app", "web", 3, &["web:1"]).await;
    aws.create_service("app", "api", 1, &["api:1", "proxy:1"]).await;
    aws.create_service("app", "twin", 1, &["twin:1", "twin:1"]).await;
    aws.create_service("jobs", "worker", 2, &["worker:1"]).await;
    aws.run_task("app", "migration", &["migration:1"]).await;
    aws.run_task("jobs", "batch", &["batch:1", "proxy:1"]).await;
    aws
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn both_reporters_send_the_same_entries_for_tasks_of_services() {
    let aws = account_of_two_clusters().await;
    let kosli_entries = entries(kosli_snapshot(&aws.url, &[]).await);
    let envsnap_entries = entries(envsnap_report(&aws.url, &[]).await);
    let service_tasks: [ExpectedTask<'_>; 7] = [
        ("app", Some("web"), &["web:1"]),
        ("app", Some("web"), &["web:1"]),
        ("app", Some("web"), &["web:1"]),
        ("app", Some("api"), &["api:1", "proxy:1"]),
        ("app", Some("twin"), &["twin:1"]),
        ("jobs", Some("worker"), &["worker:1"]),
        ("jobs", Some("worker"), &["worker:1"]),
    ];
    assert_eq!(comparable_rows(&kosli_entries), expected_rows(&service_tasks));

    // The entries that only envsnap sends, and the others, which must be those of `kosli`.
    let mut additional_entries = Vec::new();
    let mut common_entries: Vec<Value> = Vec::new();
    for entry in envsnap_entries {
        let standalone = entry.get("service_name").is_none();
        let repeated = common_entries.last().is_some_and(|last| *last == entry);
        if standalone || repeated { &mut additional_entries } else { &mut common_entries }
            .push(entry);
    }
    assert_eq!(common_entries, kosli_entries, "entry by entry, with ARN and start");
    let standalone_tasks_and_second_replica: [ExpectedTask<'_>; 3] = [
        ("app", None, &["migration:1"]),
        ("jobs", None, &["batch:1", "proxy:1"]),
        ("app", Some("twin"), &["twin:1"]),
    ];
    assert_eq!(
        comparable_rows(&additional_entries),
        expected_rows(&standalone_tasks_and_second_replica)
    );
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn for_a_cluster_that_does_not_exist_kosli_sends_an_empty_report_and_envsnap_fails() {
    let aws = account_of_two_clusters().await;
    let (output, reports) = kosli_snapshot(&aws.url, &["--clusters", "missing"]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(reports, [json!({"artifacts": []})]);

    let (output, reports) = envsnap_report(&aws.url, &[("ECS_CLUSTERS", "missing")]).await;
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("aws-prod: ClusterNotFound: "), "{output:?}");
    assert!(output.stderr.contains("missing"), "{output:?}");
    assert_eq!(reports, Vec::<Value>::new());
}
