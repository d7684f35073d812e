//! How much a recorder takes, and that its readers can read all of it.

use envsnap::api::{Client, EnvironmentApi as _, HistoryQuery, LatestSnapshot, ServerApi as _};
use envsnap::token::TokenSource;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::server::Recorder;

/// This project's own client, which refuses responses over a limit of its own.
fn client(recorder: &Recorder) -> Client {
    let token = TokenSource::Given("any".to_owned().into());
    Client::new(recorder.url.parse().unwrap(), "acme".to_owned(), token).unwrap()
}

/// Body of a report of `count` tasks in many services, each of which runs an artifact of its own.
fn report(count: u32, version: u8) -> String {
    let entries: Vec<_> = (0..count)
        .map(|n| {
            let name =
                format!("274425519734.dkr.ecr.eu-central-1.amazonaws.com/team/service-{n}:{version}");
            json!({
                "taskArn": format!("arn:aws:ecs:eu-central-1:274425519734:task/production/{n:032x}"),
                "cluster_name": "production",
                "service_name": format!("service-{n}"),
                "digests": {name: format!("{version:032x}{n:032x}")},
                "creationTimestamp": 1_661_161_157,
            })
        })
        .collect();
    json!({ "artifacts": entries }).to_string()
}

/// Path to which reports are sent.
const REPORT_PATH: &str = "/environments/acme/env/report/ECS";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long"]
async fn snapshot_diff_and_events_of_12000_replaced_artifacts_fit_the_limits_of_the_client() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    for version in [1, 2] {
        let answer = recorder.put(REPORT_PATH, report(12_000, version)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    }
    let client = client(&recorder);
    let environment = client.environment("env", None);
    let LatestSnapshot::Snapshot { snapshot, .. } = environment.latest_snapshot().await.unwrap()
    else {
        panic!("there is a snapshot");
    };
    assert_eq!(snapshot.artifacts().len(), 12_000);
    assert_eq!(environment.snapshot_response("-1").await.unwrap().document.artifacts.len(), 24_000);
    let diff = client.diff("env#1", "env#2", None).await.unwrap().document;
    let counts = [diff.snappish1.artifacts.len(), diff.snappish2.artifacts.len()];
    assert_eq!(counts, [12_000, 12_000]);
    let last = HistoryQuery { per_page: 100, ..HistoryQuery::default() };
    assert_eq!(environment.events(last).await.unwrap().total, Some(36_000));
}

#[tokio::test]
async fn a_report_over_a_limit_is_refused_with_the_limit() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    let repeated = |entry: Value, count: usize| {
        let entries = vec![entry.to_string(); count].join(",");
        format!("{{\"artifacts\": [{entries}]}}")
    };
    let tiny = json!({"taskArn": "", "digests": {"w": ""}, "creationTimestamp": 1});
    // Each artifact would repeat what stands once in the report.
    let digests: serde_json::Map<_, _> =
        (0..50).map(|n| (format!("container-{n}"), json!(""))).collect();
    let mut wide = Vec::new();
    for n in 0..2_500 {
        let digests: serde_json::Map<_, _> =
            digests.iter().map(|(name, _)| (format!("{n}-{name}"), json!(""))).collect();
        wide.push(
            json!({"taskArn": "a".repeat(1_024), "digests": digests, "creationTimestamp": 1}),
        );
    }
    for (what, body, status, said) in [
        ("artifacts", report(20_001, 1), 413, "may hold 20000 artifacts, and this one would hold"),
        (
            "replicas",
            repeated(tiny.clone(), 100_001),
            400,
            "must not hold more than 100000 entries",
        ),
        (
            "names",
            json!({ "artifacts": wide }).to_string(),
            413,
            "may hold 15728640 bytes of names",
        ),
    ] {
        assert!(body.len() < 10 << 20, "{what}: {}", body.len());
        let refused = recorder.put(REPORT_PATH, body).await;
        assert_eq!(refused.status.as_u16(), status, "{what}: {refused:?}");
        assert!(refused.body.to_string().contains(said), "{what}: {refused:?}");
    }
    let latest = recorder.get("/snapshots/acme/env/-1").await;
    assert_eq!(latest.status, StatusCode::NOT_FOUND, "nothing of it was recorded");
}

#[tokio::test]
async fn too_long_organization_names_and_descriptions_are_refused() {
    let recorder = Recorder::start().await;
    let body = |description: &str| {
        json!({"name": "env", "type": "ECS", "description": description}).to_string()
    };
    let longest = "o".repeat(100);
    for (org, description, status, said) in [
        (&*longest, "d".repeat(2_000), 201, ""),
        ("acme", "d".repeat(2_001), 400, "must not be longer than 2000 bytes"),
        ("acme", "d".repeat(9_900_000), 400, "must not be longer than 2000 bytes"),
        (&*format!("{longest}o"), String::new(), 400, "is longer than 100"),
        (&*"o".repeat(12_000), String::new(), 400, "is longer than 100"),
    ] {
        let answer = recorder.put(&format!("/environments/{org}"), body(&description)).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        let message = answer.body.to_string();
        assert!(message.contains(said) && message.len() < 1_000, "{message}");
    }
}

#[tokio::test]
#[ignore = "takes long"]
async fn environments_beyond_the_list_limit_are_not_created() {
    let recorder = Recorder::start().await;
    let names = vec!["n".repeat(255); 100];
    let environment = |n: u32| {
        // Each of these characters is written as six.
        json!({
            "name": format!("env-{n}"), "type": "logical", "description": "\u{1}".repeat(2_000),
            "included_environments": names, "policies": names,
        })
        .to_string()
    };
    let mut created = 0;
    let refused = loop {
        let answer = recorder.put("/environments/acme", environment(created)).await;
        if answer.status != StatusCode::CREATED {
            break answer;
        }
        created += 1;
    };
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(refused.message().contains("would take more than 25165824 bytes"), "{refused:?}");
    let listed = client(&recorder).environments(None).await.unwrap().document;
    assert_eq!(listed.len(), usize::try_from(created).unwrap());
    assert!(created > 300, "{created}");
    let small = json!({"name": "env", "type": "ECS", "description": ""}).to_string();
    assert_eq!(recorder.put("/environments/other", small).await.status, StatusCode::CREATED);
}
