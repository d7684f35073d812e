//! What the process remembers of the server, walked through.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use envsnap::api::Client;
use envsnap::ecs::AwsEcs;
use envsnap::report::{OutcomeKind, ReportReason, Reporter, Trigger, TriggerKind};
use envsnap::standin::{Cluster, Container, StandIn, Task};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{Bench, Clock, ENVIRONMENT, app, aws, error_type, reporter, run, task, world};
use crate::scripted::Scripted;

const MINUTE: Duration = Duration::from_mins(1);

/// Cluster `app` with so many tasks of `runner`.
fn scaled_to(count: usize) -> envsnap::standin::World {
    world(Cluster::new("app").tasks(count, &task("runner", 1)))
}

#[tokio::test]
async fn latest_snapshot_is_fetched_again_only_after_the_recheck_interval() {
    let bench = Bench::start(app(), &[("QUOTA_SHARE", "1")]).await;
    bench.tick().await;
    let mut calls = Vec::new();
    for minute in 1..=31 {
        bench.advance(MINUTE);
        let outcome = bench.tick().await;
        assert_eq!(outcome.outcome, OutcomeKind::Unchanged);
        if outcome.calls.server > 0 {
            calls.push((minute, outcome.calls.server));
        }
    }
    assert_eq!(calls, [(15, 2), (30, 2)], "the latest snapshot and the environment");
}

#[tokio::test]
async fn recheck_interval_of_zero_fetches_the_latest_snapshot_at_every_run() {
    let bench = Bench::start(app(), &[("RECHECK", "0s")]).await;
    bench.tick().await;
    let outcome = bench.tick().await;
    assert_eq!((outcome.outcome, outcome.calls.server), (OutcomeKind::Unchanged, 1));
}

#[tokio::test]
async fn new_process_posts_nothing_if_the_server_has_the_same_snapshot() {
    let bench = Bench::start(app(), &[]).await;
    bench.tick().await;
    let cold = bench.cold(&[]).await;
    let outcome = run(&cold, &Trigger::new(TriggerKind::Schedule)).await;
    assert_eq!((outcome.outcome, outcome.calls.server), (OutcomeKind::Unchanged, 2));
}

#[tokio::test]
async fn snapshot_of_another_writer_is_corrected_after_the_recheck_interval() {
    let bench = Bench::start(scaled_to(3), &[]).await;
    bench.tick().await;
    bench.ecs.set_world(scaled_to(2));
    run(&bench.cold(&[]).await, &Trigger::new(TriggerKind::Schedule)).await;
    bench.ecs.set_world(scaled_to(3));
    assert_eq!(bench.recorded().await, (2, vec![("runner:1".to_owned(), 2)]));

    bench.advance(15 * MINUTE);
    assert_eq!(bench.tick().await.outcome, OutcomeKind::Posted);
    assert_eq!(bench.recorded().await, (3, vec![("runner:1".to_owned(), 3)]));
}

#[tokio::test]
async fn process_that_skipped_a_run_fetches_the_latest_snapshot_at_its_next_run() {
    let bench = Bench::start(scaled_to(3), &[]).await;
    bench.tick().await;
    bench.ecs.set_world(scaled_to(2));
    bench.advance(MINUTE);
    run(&bench.cold(&[]).await, &Trigger::new(TriggerKind::Schedule)).await;
    bench.ecs.set_world(scaled_to(3));
    assert_eq!(bench.recorded().await, (2, vec![("runner:1".to_owned(), 2)]));

    // With a run a minute, some seconds early.
    bench.advance(Duration::from_secs(55));
    let woken = bench.tick().await;
    assert_eq!((woken.outcome, woken.calls.server), (OutcomeKind::Posted, 2));
    assert_eq!(bench.recorded().await, (3, vec![("runner:1".to_owned(), 3)]));
    bench.advance(MINUTE);
    assert_eq!(bench.tick().await.calls.server, 0, "it is awake again");
}

#[tokio::test]
async fn change_of_replicas_alone_is_not_posted_if_the_environment_does_not_count_replicas() {
    for variables in [&[("RECHECK", "0s")][..], &[], &[("COMPARE_REPLICAS", "true")]] {
        let bench = Bench::without_environment(scaled_to(3), variables).await;
        bench.recorder.create(ENVIRONMENT, Some(false)).await;
        assert_eq!(bench.tick().await.outcome, OutcomeKind::Posted);
        bench.ecs.set_world(scaled_to(5));
        let schedule = Trigger::new(TriggerKind::Schedule);
        let dry_run = Trigger { dry_run: true, ..Trigger::new(TriggerKind::Manual) };
        for _ in 0..3 {
            bench.advance(MINUTE);
            assert_eq!(bench.tick().await.outcome, OutcomeKind::Unchanged);
            let cold = bench.cold(variables).await;
            for trigger in [&dry_run, &schedule, &dry_run] {
                let outcome = run(&cold, trigger).await;
                assert_eq!(outcome.outcome, OutcomeKind::Unchanged, "{trigger:?}: {outcome:?}");
                assert!(outcome.changes.scaled.is_empty());
            }
        }
        assert_eq!(bench.recorded().await, (1, vec![("runner:1".to_owned(), 3)]));

        bench.ecs.update(|world| world.cluster_mut("app").add(task("shas", 2)));
        let outcome = bench.tick().await;
        assert_eq!((outcome.outcome, outcome.created), (OutcomeKind::Posted, true));
        let expected = [("runner:1".to_owned(), 5), ("shas:2".to_owned(), 1)];
        assert_eq!(
            bench.recorded().await,
            (2, expected.to_vec()),
            "a real change is reported whole"
        );
    }
}

#[tokio::test]
async fn environment_that_counts_replicas_again_is_noticed_after_the_recheck_interval() {
    let bench = Bench::without_environment(scaled_to(3), &[]).await;
    bench.recorder.create(ENVIRONMENT, Some(false)).await;
    bench.tick().await;
    bench.ecs.set_world(scaled_to(5));
    assert_eq!(bench.tick().await.outcome, OutcomeKind::Unchanged);
    bench.recorder.create(ENVIRONMENT, Some(true)).await;
    bench.advance(15 * MINUTE);
    assert_eq!(bench.tick().await.outcome, OutcomeKind::Posted);
    assert_eq!(bench.recorded().await, (2, vec![("runner:1".to_owned(), 5)]));
}

#[tokio::test]
async fn change_of_replicas_is_posted_once_if_include_scaling_is_missing_or_invalid() {
    let schedule = Trigger::new(TriggerKind::Schedule);
    for environment in [json!({"name": "aws-prod"}), json!({"include_scaling": null}), json!("?")] {
        let (_ecs, server, reporter) = with_scripted_server(&[("RECHECK", "0s")]).await;
        server.environment_is(&environment);
        server.then_json(200, &snapshot(1, 1)).then_json(200, &snapshot(1, 1)).then(200, "\"OK\"");
        let outcome = run(&reporter, &schedule).await;
        assert_eq!(
            (outcome.outcome, outcome.created),
            (OutcomeKind::Posted, false),
            "{environment}"
        );
        server.then_json(200, &snapshot(1, 1));
        assert_eq!(
            run(&reporter, &schedule).await.outcome,
            OutcomeKind::Unchanged,
            "{environment}"
        );
    }
}

#[tokio::test]
async fn include_scaling_of_a_new_environment_is_sent_only_if_it_is_configured() {
    for (variables, sent) in [
        (vec![], Value::Null),
        (vec![("INCLUDE_SCALING", "false")], json!(false)),
        (vec![("INCLUDE_SCALING", "true")], json!(true)),
    ] {
        let variables = [vec![("AUTO_CREATE_ENVIRONMENT", "true")], variables].concat();
        let (_ecs, server, reporter) = with_scripted_server(&variables).await;
        server
            .then_json(404, &no_such_environment())
            .then(201, "\"OK\"")
            .then_json(404, &json!({"message": "len(snapshots) == 0"}))
            .then(201, "\"OK\"");
        let outcome = run(&reporter, &Trigger::new(TriggerKind::Schedule)).await;
        assert_eq!((outcome.outcome, outcome.index), (OutcomeKind::Posted, Some(1)));
        let body: Value = serde_json::from_slice(&server.received()[1].body).unwrap();
        assert_eq!(body["include_scaling"], sent);
        assert_eq!(body.get("include_scaling").is_some(), !sent.is_null());
    }
}

#[tokio::test]
async fn change_of_replicas_is_posted_unless_compare_replicas_is_false() {
    for (compare, expected) in [("true", OutcomeKind::Posted), ("false", OutcomeKind::Unchanged)] {
        let bench = Bench::start(scaled_to(3), &[("COMPARE_REPLICAS", compare)]).await;
        let before = bench.tick().await;
        bench.ecs.set_world(scaled_to(1));
        let after = bench.tick().await;
        assert_eq!(after.outcome, expected, "COMPARE_REPLICAS={compare}");
        assert_ne!(before.content_hash, after.content_hash, "replicas are always in the hash");
        assert_eq!(bench.tick().await.calls.server, 0);
    }
}

#[tokio::test]
async fn heartbeat_posts_an_unchanged_snapshot_once_per_interval() {
    let bench = Bench::start(app(), &[("HEARTBEAT", "1h")]).await;
    bench.tick().await;
    let mut posted = Vec::new();
    for minute in (10..=150).step_by(10) {
        bench.advance(10 * MINUTE);
        let outcome = bench.tick().await;
        if outcome.outcome == OutcomeKind::Posted {
            assert!(!outcome.created, "an unchanged snapshot is no new one");
            assert_eq!(outcome.reason, Some(ReportReason::Heartbeat));
            posted.push(minute);
        }
    }
    let first = posted[0];
    assert!(first <= 60, "{posted:?}");
    assert_eq!(posted, [first, first + 60, first + 120][..posted.len()], "once an hour");
    assert!(posted.last().unwrap() + 60 > 150, "{posted:?}");
    assert_eq!(bench.recorded().await.0, 1);
}

#[tokio::test]
async fn new_process_measures_the_heartbeat_from_the_last_report_to_the_server() {
    let bench = Bench::start(app(), &[("HEARTBEAT", "1h")]).await;
    bench.tick().await;
    let schedule = Trigger::new(TriggerKind::Schedule);
    // The moment of the hour is the environment's own.
    while bench.tick().await.outcome == OutcomeKind::Unchanged {
        bench.advance(MINUTE);
    }
    bench.advance(58 * MINUTE);
    let cold = bench.cold(&[("HEARTBEAT", "1h")]).await;
    let outcome = run(&cold, &schedule).await;
    assert_eq!((outcome.outcome, outcome.calls.server), (OutcomeKind::Unchanged, 2));
    bench.advance(2 * MINUTE);
    assert_eq!(run(&cold, &schedule).await.outcome, OutcomeKind::Posted);
}

#[tokio::test]
async fn heartbeat_is_due_if_the_server_dates_the_last_report_to_next_month() {
    let (_ecs, server, reporter) = with_scripted_server(&[("HEARTBEAT", "1h")]).await;
    let next_month = jiff::Timestamp::now().as_second() + 30 * 86_400;
    let environment = json!({"include_scaling": true, "last_reported_at": next_month});
    server.environment_is_with("if-match", &environment);
    server.then_with(200, &[("x-envsnap-accepts", "if-match")], snapshot(4, 3).to_string());
    server.then(200, "\"OK\"");
    let schedule = Trigger::new(TriggerKind::Schedule);
    let outcome = run(&reporter, &schedule).await;
    assert_eq!(outcome.reason, Some(ReportReason::Heartbeat), "{outcome:?}");
    // Its own report counts from then on.
    assert_eq!(run(&reporter, &schedule).await.outcome, OutcomeKind::Unchanged);
}

#[tokio::test]
async fn forced_run_fetches_the_latest_snapshot_and_posts_even_if_it_is_unchanged() {
    let bench = Bench::start(app(), &[]).await;
    bench.tick().await;
    let forced = bench.manual(|trigger| trigger.force = true).await;
    assert_eq!((forced.outcome, forced.created), (OutcomeKind::Posted, false));
    assert_eq!((forced.reason, forced.calls.server), (Some(ReportReason::Force), 2));
    assert_eq!(bench.recorded().await.0, 1);
}

#[tokio::test]
async fn a_missing_environment_is_created_only_if_configured() {
    let bench = Bench::without_environment(app(), &[]).await;
    let outcome = bench.tick().await;
    assert_eq!(error_type(&outcome), "EnvironmentNotFound");
    assert!(outcome.error.unwrap().message.contains("aws-prod"));

    let bench = Bench::without_environment(app(), &[("AUTO_CREATE_ENVIRONMENT", "true")]).await;
    let outcome = bench.tick().await;
    assert_eq!((outcome.outcome, outcome.calls.server), (OutcomeKind::Posted, 4));
    assert_eq!(outcome.index, Some(1));
    let environment = bench.recorder.get("/environments/acme/aws-prod").await.body;
    assert_eq!(environment["type"], "ECS");
    assert_eq!(environment["include_scaling"], true);
    assert_eq!(environment["description"], "Reported by envsnap");
}

#[tokio::test]
async fn an_environment_that_the_server_says_is_archived_is_never_created_again() {
    let bench = Bench::start(app(), &[]).await;
    bench.recorder.put("/environments/acme/aws-prod/archive", "").await;
    let cold = bench.cold(&[("AUTO_CREATE_ENVIRONMENT", "true")]).await;
    let outcome = run(&cold, &Trigger::new(TriggerKind::Schedule)).await;
    assert_eq!(error_type(&outcome), "EnvironmentNotFound");
    assert!(outcome.error.unwrap().message.ends_with("it is archived"));
    assert_eq!(bench.recorder.get("/environments/acme/aws-prod").await.status, 404);
}

#[tokio::test]
async fn report_to_an_environment_of_another_type_is_rejected_by_the_server() {
    let bench = Bench::without_environment(app(), &[("AUTO_CREATE_ENVIRONMENT", "true")]).await;
    let body = r#"{"name": "aws-prod", "type": "logical", "description": "d"}"#;
    bench.recorder.put("/environments/acme", body).await;
    assert_eq!(error_type(&bench.tick().await), "ServerRejected");
}

/// A reporter of cluster `app`, which runs three tasks of `runner`, and a server that gives the scripted
/// answers.
pub(crate) async fn with_scripted_server(
    variables: &[(&str, &str)],
) -> (StandIn, Scripted, Reporter<AwsEcs, Client, Clock>) {
    let ecs = StandIn::start(scaled_to(3)).await.unwrap();
    let server = Scripted::start().await;
    server.environment_is(&json!({"name": "aws-prod", "type": "ECS", "include_scaling": true}));
    let now = Arc::new(Mutex::new(SystemTime::now()));
    let reporter = reporter(&aws(&ecs.endpoint()), &server.url, variables, now).await;
    (ecs, server, reporter)
}

/// Snapshot `index`, in which `runner` has this many replicas.
fn snapshot(index: u64, replicas: usize) -> Value {
    json!({"index": index, "type": "ECS", "artifacts": [{
        "name": "runner:1",
        "fingerprint": "01".repeat(32),
        "annotation": {"type": "changed", "was": 0, "now": replicas},
    }]})
}

fn no_such_environment() -> Value {
    json!({"message": "Environment named 'aws-prod' does not exist for organization 'acme'"})
}

/// `METHOD PATH` of each request that the server received.
fn request_lines(server: &Scripted) -> Vec<String> {
    server.received().into_iter().map(|r| format!("{} {}", r.method, r.path)).collect()
}

const LATEST_REQUEST: &str = "GET /api/v2/snapshots/acme/aws-prod/-1";
const REPORT_REQUEST: &str = "PUT /api/v2/environments/acme/aws-prod/report/ECS";

#[tokio::test]
async fn post_without_a_response_makes_the_next_run_fetch_the_latest_snapshot() {
    let (ecs, server, reporter) = with_scripted_server(&[]).await;
    let schedule = Trigger::new(TriggerKind::Schedule);
    server.then_json(200, &snapshot(1, 3));
    assert_eq!(run(&reporter, &schedule).await.outcome, OutcomeKind::Unchanged);

    ecs.set_world(scaled_to(2));
    server.then_json(200, &snapshot(1, 3)).then_json(200, &snapshot(1, 3)).then_never();
    let soon = Some(Instant::now() + Duration::from_millis(500));
    let outcome = reporter.run(&schedule, soon).await.unwrap();
    assert_eq!(error_type(&outcome.environments[0]), "ServerUnavailable");
    let message = &outcome.environments[0].error.as_ref().unwrap().message;
    assert!(message.contains("record what runs"), "{message}");

    ecs.set_world(scaled_to(3));
    server.then_json(200, &snapshot(2, 2)).then_json(200, &snapshot(2, 2)).then(201, "\"OK\"");
    let outcome = run(&reporter, &schedule).await;
    assert_eq!(
        outcome.outcome,
        OutcomeKind::Posted,
        "what was known before the post is not trusted"
    );
    assert_eq!(
        request_lines(&server),
        [
            LATEST_REQUEST,
            LATEST_REQUEST,
            LATEST_REQUEST,
            REPORT_REQUEST,
            LATEST_REQUEST,
            LATEST_REQUEST,
            REPORT_REQUEST
        ],
        "a server that takes no preconditions is read again directly before a report"
    );
}

/// An attempt without a usable response may have made the snapshot.
#[tokio::test]
async fn post_is_tried_again_only_if_the_latest_snapshot_is_still_the_same() {
    let before = snapshot(1, 1);
    let requests = |more: &[&'static str]| {
        let mut requests = vec![LATEST_REQUEST, LATEST_REQUEST, REPORT_REQUEST, LATEST_REQUEST];
        requests.extend(more);
        requests
    };
    let (_ecs, server, reporter) = with_scripted_server(&[]).await;
    let schedule = Trigger::new(TriggerKind::Schedule);
    server.then_json(200, &before).then_json(200, &before).then(500, "");
    server.then_json(200, &snapshot(2, 3)).then_json(200, &snapshot(2, 3));
    let outcome = run(&reporter, &schedule).await;
    assert_eq!(
        (outcome.outcome, outcome.created, outcome.index),
        (OutcomeKind::Posted, true, Some(2)),
        "by the first attempt"
    );
    assert_eq!(request_lines(&server), requests(&[LATEST_REQUEST]));
    let outcome = run(&reporter, &schedule).await;
    assert_eq!((outcome.outcome, outcome.calls.server), (OutcomeKind::Unchanged, 0));

    let (_ecs, server, reporter) = with_scripted_server(&[]).await;
    server.then_json(200, &before).then_json(200, &before).then(500, "").then_json(200, &before);
    server.then(201, "\"OK\"").then_json(200, &snapshot(2, 3));
    let outcome = run(&reporter, &schedule).await;
    assert_eq!((outcome.outcome, outcome.created), (OutcomeKind::Posted, true), "by the second");
    assert_eq!(request_lines(&server), requests(&[REPORT_REQUEST, LATEST_REQUEST]));
}

#[tokio::test]
async fn environment_that_existed_before_is_not_created_again_after_a_404() {
    let variables = [("AUTO_CREATE_ENVIRONMENT", "true"), ("RECHECK", "0s")];
    let (_ecs, server, reporter) = with_scripted_server(&variables).await;
    let schedule = Trigger::new(TriggerKind::Schedule);
    server.then_json(200, &snapshot(1, 3));
    assert_eq!(run(&reporter, &schedule).await.outcome, OutcomeKind::Unchanged);
    server.then_json(404, &no_such_environment());
    assert_eq!(error_type(&run(&reporter, &schedule).await), "EnvironmentNotFound");
    assert_eq!(request_lines(&server), [LATEST_REQUEST, LATEST_REQUEST]);
}

#[tokio::test]
async fn change_after_a_latest_snapshot_with_index_u64_max_is_posted_as_created() {
    let (_ecs, server, reporter) = with_scripted_server(&[]).await;
    let latest = snapshot(u64::MAX, 1);
    server.then_json(200, &latest).then_json(200, &latest).then(201, "\"OK\"");
    let outcome = run(&reporter, &Trigger::new(TriggerKind::Schedule)).await;
    assert_eq!((outcome.outcome, outcome.created), (OutcomeKind::Posted, true));
}

#[tokio::test]
async fn latest_snapshot_of_another_type_fails_the_run_without_a_report() {
    let (_ecs, server, reporter) = with_scripted_server(&[]).await;
    server.then_json(200, &json!({"index": 4, "type": "K8S", "artifacts": []}));
    let outcome = run(&reporter, &Trigger::new(TriggerKind::Schedule)).await;
    assert_eq!(error_type(&outcome), "ServerRejected");
    assert!(outcome.error.unwrap().message.contains("is of type K8S"));
    assert_eq!(request_lines(&server), [LATEST_REQUEST]);
}

#[tokio::test]
async fn server_that_omits_artifacts_without_digests_gets_one_report_only() {
    let (ecs, server, reporter) = with_scripted_server(&[("RECHECK", "0s")]).await;
    ecs.update(|world| {
        world.cluster_mut("app").add(Task::in_service("mesh").with(Container::new("envoy")));
    });
    let schedule = Trigger::new(TriggerKind::Schedule);
    server.then_json(200, &snapshot(7, 3)).then_json(200, &snapshot(7, 3)).then(200, "\"OK\"");
    assert_eq!(run(&reporter, &schedule).await.outcome, OutcomeKind::Posted);
    for _ in 0..3 {
        server.then_json(200, &snapshot(7, 3));
        assert_eq!(run(&reporter, &schedule).await.outcome, OutcomeKind::Unchanged);
    }
    assert_eq!(
        request_lines(&server).iter().filter(|request| *request == REPORT_REQUEST).count(),
        1
    );
}

#[tokio::test]
async fn report_has_a_heartbeat_header_and_if_match_only_if_the_server_accepts_it() {
    for (accepts, if_match) in [("if-match, origin", Some("\"4\"")), ("origin", None)] {
        let (_ecs, server, reporter) = with_scripted_server(&[("HEARTBEAT", "90m")]).await;
        let latest = snapshot(4, 1).to_string();
        server.environment_is_with(accepts, &json!({"include_scaling": true}));
        server.then_with(200, &[("x-envsnap-accepts", accepts)], latest.clone());
        if if_match.is_none() {
            server.then(200, latest);
        }
        server.then(201, "\"OK\"");
        let outcome = run(&reporter, &Trigger::new(TriggerKind::Schedule)).await;
        assert_eq!(outcome.outcome, OutcomeKind::Posted);
        let report = server.received().pop().unwrap();
        assert_eq!(report.header("if-match"), if_match, "{accepts}");
        assert_eq!(report.header("x-envsnap-heartbeat"), Some("5400"));
        // The last response before the report decides: another server may refuse the field.
        let body = String::from_utf8(report.body).unwrap();
        assert_eq!(body.contains("\"origin\":{\"task_definition\""), if_match.is_some(), "{body}");
    }
}

#[tokio::test]
async fn status_412_after_a_failed_attempt_is_success_if_the_latest_snapshot_is_ours() {
    let (_ecs, server, reporter) = with_scripted_server(&[]).await;
    server.environment_is_with("if-match", &json!({"include_scaling": true}));
    server
        .then_with(200, &[("x-envsnap-accepts", "if-match")], snapshot(1, 1).to_string())
        .then(500, "")
        .then(412, r#"{"message": "the latest snapshot has index 2"}"#)
        .then_json(200, &snapshot(2, 3));
    let outcome = run(&reporter, &Trigger::new(TriggerKind::Schedule)).await;
    assert_eq!((outcome.outcome, outcome.created), (OutcomeKind::Posted, true));
}

#[tokio::test]
async fn run_overtaken_repeatedly_by_other_writers_fails_as_overtaken_without_a_report() {
    let (ecs, server, reporter) = with_scripted_server(&[]).await;
    for index in (1..).step_by(2).take(5) {
        server.then_json(200, &snapshot(index, 1)).then_json(200, &snapshot(index + 1, 1));
    }
    let outcome = run(&reporter, &Trigger::new(TriggerKind::Schedule)).await;
    assert_eq!(error_type(&outcome), "Overtaken");
    assert!(!request_lines(&server).contains(&REPORT_REQUEST.to_owned()));
    drop(ecs);
}
