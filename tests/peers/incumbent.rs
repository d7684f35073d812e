//! The reporter that the server's own client has, and ours, looking at the same account.

use serde_json::{Value, json};

use crate::emulator::{Emulator, digest_of};
use crate::programs::ProgramOutput;
use crate::reporters::{ours, theirs};

/// The entries of the one report, in a stable order.
fn entries((ended, reports): (ProgramOutput, Vec<Value>)) -> Vec<Value> {
    ended.success();
    let [report] = <[Value; 1]>::try_from(reports).unwrap();
    let fields: Vec<_> = report.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["artifacts"], "{report}");
    let mut entries = report["artifacts"].as_array().unwrap().clone();
    entries.sort_by_key(|entry| entry["taskArn"].as_str().unwrap().to_owned());
    entries
}

/// Cluster, service and digests of each entry, sorted: all that is known before the tasks run.
fn outline(entries: &[Value]) -> Vec<String> {
    let mut outline: Vec<_> = entries
        .iter()
        .map(|entry| json!([entry["cluster_name"], entry["service_name"], entry["digests"]]))
        .map(|entry| entry.to_string())
        .collect();
    outline.sort();
    outline
}

fn expected(rows: &[(&str, Option<&str>, &[&str])]) -> Vec<String> {
    let entry = |(cluster, service, images): &(&str, Option<&str>, &[&str])| {
        let digests: Value = images.iter().map(|image| (*image, digest_of(image))).collect();
        json!([cluster, service, digests]).to_string()
    };
    let mut expected: Vec<_> = rows.iter().map(entry).collect();
    expected.sort();
    expected
}

/// Two clusters with tasks of services, in one of which a task runs two different images and another
/// runs the same image twice, and with tasks of none.
async fn account() -> Emulator {
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
async fn both_say_the_same_of_every_task_of_a_service() {
    let aws = account().await;
    let theirs = entries(theirs(&aws.url, &[]).await);
    let ours = entries(ours(&aws.url, &[]).await);
    let services: [(&str, Option<&str>, &[&str]); 7] = [
        ("app", Some("web"), &["web:1"]),
        ("app", Some("web"), &["web:1"]),
        ("app", Some("web"), &["web:1"]),
        ("app", Some("api"), &["api:1", "proxy:1"]),
        ("app", Some("twin"), &["twin:1"]),
        ("jobs", Some("worker"), &["worker:1"]),
        ("jobs", Some("worker"), &["worker:1"]),
    ];
    assert_eq!(outline(&theirs), expected(&services));

    // What only ours says, taken out of it: nothing else may differ.
    let mut more = Vec::new();
    let mut same: Vec<Value> = Vec::new();
    for entry in ours {
        let standalone = entry.get("service_name").is_none();
        let repeated = same.last().is_some_and(|last| *last == entry);
        if standalone || repeated { &mut more } else { &mut same }.push(entry);
    }
    assert_eq!(same, theirs, "entry by entry, with ARN and start");
    let standalone_tasks_and_the_second_replica: [(&str, Option<&str>, &[&str]); 3] = [
        ("app", None, &["migration:1"]),
        ("jobs", None, &["batch:1", "proxy:1"]),
        ("app", Some("twin"), &["twin:1"]),
    ];
    assert_eq!(outline(&more), expected(&standalone_tasks_and_the_second_replica));
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn a_cluster_that_does_not_exist_is_an_empty_environment_to_them_and_an_error_to_us() {
    let aws = account().await;
    let (theirs, reports) = theirs(&aws.url, &["--clusters", "missing"]).await;
    assert_eq!(theirs.code, Some(0), "{theirs:?}");
    assert_eq!(reports, [json!({"artifacts": []})]);

    let (ours, reports) = ours(&aws.url, &[("ECS_CLUSTERS", "missing")]).await;
    assert_eq!(ours.code, Some(2), "{ours:?}");
    assert!(ours.stderr.contains("aws-prod: ClusterNotFound: "), "{ours:?}");
    assert!(ours.stderr.contains("missing"), "{ours:?}");
    assert_eq!(reports, Vec::<Value>::new());
}
