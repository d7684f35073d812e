//! What ECS says of where tasks come from, from the reporter to every answer.

use envsnap::report::OutcomeKind;
use envsnap::standin::{Cluster, Task};
use serde_json::{Value, json};

use crate::harness::{Bench, ENVIRONMENT, digest, http_client, started, world};
use crate::questions::ask_at;
use crate::recorder::server::{Recorder, digest as hex_digest};

const TASK_DEFINITION_ARN: &str = "arn:aws:ecs:eu-central-1:274425519734:task-definition/web:1";

fn deployed_by(deployment: &str) -> Task {
    let mut task =
        Task::in_service("web").running_since(started()).container("web", "web:1", &digest(1));
    task.started_by = Some(deployment.to_owned());
    task.availability_zone = Some("eu-central-1a".to_owned());
    task
}

/// The `ecs_context` of the first artifact of the latest snapshot.
async fn ecs_context(recorder: &Recorder) -> Value {
    let path = format!("/snapshots/acme/{ENVIRONMENT}/-1");
    recorder.get(&path).await.documented("Snapshot")["artifacts"][0]["ecs_context"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn task_origin_is_in_api_commands_and_page_and_a_new_origin_alone_is_no_new_snapshot() {
    let bench = Bench::start(world(Cluster::new("app").task(deployed_by("ecs-svc/1"))), &[]).await;
    assert_eq!(bench.tick().await.outcome, OutcomeKind::Posted);
    let shown = ecs_context(&bench.recorder).await;
    let origin = |deployment: &str| {
        json!({
            "task_definition": TASK_DEFINITION_ARN, "started_by": deployment,
            "launch_type": "FARGATE", "availability_zone": "eu-central-1a",
        })
    };
    assert_eq!(shown["origin"], origin("ecs-svc/1"));
    assert_eq!(
        shown["task_definition_url"],
        "https://eu-central-1.console.aws.amazon.com/ecs/v2/task-definitions/web/1/containers?region=eu-central-1"
    );
    assert_eq!(
        shown["service_url"],
        "https://eu-central-1.console.aws.amazon.com/ecs/v2/clusters/app/services/web/health?region=eu-central-1"
    );

    // A deployment of the same image.
    bench.ecs.update(|world| {
        let task = world.cluster_mut("app").tasks_of("web").next().unwrap();
        task.started_by = Some("ecs-svc/2".to_owned());
    });
    assert_eq!(bench.tick().await.outcome, OutcomeKind::Unchanged);
    let forced = bench.manual(|trigger| trigger.force = true).await;
    assert_eq!((forced.outcome, forced.created), (OutcomeKind::Posted, false));
    assert_eq!(ecs_context(&bench.recorder).await["origin"], origin("ecs-svc/2"));
    assert_eq!(bench.recorder.latest(ENVIRONMENT).await.index, 1);

    let ask = async |arguments: &[&str]| ask_at(&bench.recorder.url, arguments).await;
    let out = ask(&["env", "get", ENVIRONMENT, "-o", "wide"]).await.success();
    assert!(out.contains("  TASK_DEFINITION  STARTED_BY  LAUNCH_TYPE  ZONE"), "{out}");
    assert!(out.contains("  web:1            ecs-svc/2   FARGATE      eu-central-1a"), "{out}");
    let rogue = ask(&["rogue", ENVIRONMENT]).await;
    let described = "task definition web:1, started by ecs-svc/2, FARGATE in eu-central-1a";
    let unwrapped = rogue.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(unwrapped.contains(&format!("its latest task: {described}")), "{rogue:?}");
    let rogue = ask(&["rogue", ENVIRONMENT, "-o", "json"]).await;
    let rogue: Value = serde_json::from_str(&rogue.out).unwrap();
    assert_eq!(rogue["artifacts"][0]["task_origin"], origin("ecs-svc/2"));

    let explained = bench.manual(|trigger| trigger.explain = true).await;
    let explained = serde_json::to_value(&explained.explanations.unwrap()[0]).unwrap();
    assert_eq!(explained["origin"], origin("ecs-svc/2"));

    let client = http_client();
    let page = format!("{}/acme/environments/{ENVIRONMENT}/snapshots/1", bench.recorder.url);
    let page = client.get(page).send().await.unwrap().text().await.unwrap();
    for part in ["/task-definitions/web/1/containers?", "/services/web/health?", "ecs-svc/2"] {
        assert!(page.contains(part), "no {part} in {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn task_origin_is_escaped_in_terminal_and_html_and_may_be_missing_in_reports() {
    let recorder = Recorder::start().await;
    recorder.create(ENVIRONMENT, None).await;
    let hostile = "\u{1b}[2J<script>alert(1)</script>\"'\u{202e}";
    let mut task = json!({
        "taskArn": "arn:aws:ecs:eu-central-1:274425519734:task/app/1", "cluster_name": "app",
        "service_name": hostile, "digests": {"web:1": hex_digest(1)}, "creationTimestamp": 1,
    });
    assert_eq!(recorder.report(ENVIRONMENT, &[task.clone()]).await, 201);
    assert_eq!(ecs_context(&recorder).await.get("origin"), None);
    task["origin"] = json!({
        "task_definition": format!("arn:aws:ecs:evil.example/:1:task-definition/{hostile}:1"),
        "started_by": hostile, "launch_type": hostile, "availability_zone": hostile,
    });
    assert_eq!(recorder.report(ENVIRONMENT, &[task]).await, 200, "it is no change");
    let shown = ecs_context(&recorder).await;
    assert_eq!(shown["origin"]["started_by"], hostile);
    assert_eq!(
        (&shown["service_url"], &shown["task_definition_url"]),
        (&Value::Null, &Value::Null)
    );
    for arguments in [
        &["env", "get", ENVIRONMENT, "-o", "wide"][..],
        &["env", "get", ENVIRONMENT, "-o", "json"],
        &["rogue", ENVIRONMENT],
        &["rogue", ENVIRONMENT, "-o", "json"],
    ] {
        let out = ask_at(&recorder.url, arguments).await.out;
        assert!(out.contains("<script>"), "it is shown: {arguments:?} {out}");
        assert!(!out.contains(['\u{1b}', '\u{202e}']), "{arguments:?} {out}");
    }
    let client = http_client();
    let page = format!("{}/acme/environments/{ENVIRONMENT}/snapshots/1", recorder.url);
    let page = client.get(page).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
    assert!(!page.contains("<script>alert") && !page.contains("href=\"https://evil"), "{page}");
}
