//! Several environments in one process.

use std::cell::RefCell;
use std::time::SystemTime;

use envsnap::api::Client;
use envsnap::ecs::{AwsEcs, Source, connect};
use envsnap::report::{EnvironmentOutcome, Outcome, Reporter, Trigger, TriggerKind, Verdict};
use envsnap::standin::{Cluster, Fault, Operation, World};
use serde_json::{Value, json};

use crate::harness::{Bench, Clock, aws, config, error_type, server, task, world};

const SCHEDULE: TriggerKind = TriggerKind::Schedule;

/// Clusters `app` and `db`, three tasks and one.
fn two_clusters() -> World {
    world(Cluster::named("app").tasks(2, &task("web", 1)).task(task("api", 2)))
        .cluster(Cluster::named("db").task(task("postgres", 3)))
}

/// The variables that configure these environments in place of the harness's own.
fn variables(environments: &str) -> [(&str, &str); 3] {
    [("KOSLI_ENVIRONMENT", ""), ("ECS_CLUSTERS", ""), ("ENVIRONMENTS", environments)]
}

/// A reporter of these environments, all of which the recorder has.
async fn bench(environments: &Value) -> Bench {
    let variables = environments.to_string();
    let bench = Bench::without_environment(two_clusters(), &self::variables(&variables)).await;
    for environment in environments.as_array().unwrap() {
        bench.recorder.create(environment["name"].as_str().unwrap(), Some(true)).await;
    }
    bench
}

async fn run(
    reporter: &Reporter<AwsEcs, Client, Clock>,
    trigger: &Trigger,
) -> Vec<EnvironmentOutcome> {
    let Outcome { environments, .. } = reporter.run(trigger, None).await.unwrap();
    environments
}

fn names(outcomes: &[EnvironmentOutcome]) -> Vec<&str> {
    outcomes.iter().map(|outcome| &*outcome.environment).collect()
}

fn artifacts(outcome: &EnvironmentOutcome) -> Vec<&str> {
    let mut names: Vec<_> = outcome.artifacts.iter().map(|artifact| &*artifact.name).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn each_environment_has_its_own_outcome_and_snapshot() {
    let bench = bench(&json!([
        {"name": "all"},
        {"name": "web-only", "clusters": ["app"], "services": ["web"]},
        {"name": "data", "clusters_regex": "^d"},
    ]))
    .await;
    let outcomes = run(&bench.reporter, &Trigger::of(SCHEDULE)).await;
    assert_eq!(names(&outcomes), ["all", "web-only", "data"], "in the configured order");
    assert!(outcomes.iter().all(|outcome| outcome.outcome == Verdict::Posted), "{outcomes:?}");
    assert_eq!(artifacts(&outcomes[0]), ["api:2", "postgres:3", "web:1"]);
    assert_eq!(artifacts(&outcomes[1]), ["web:1"]);
    assert_eq!(artifacts(&outcomes[2]), ["postgres:3"]);
    assert_eq!(bench.recorder.latest("data").await.running().count(), 1);
}

#[tokio::test]
async fn a_cluster_that_several_environments_want_is_read_once() {
    let environments = json!([
        {"name": "web", "clusters": ["app"], "services": ["web"]},
        {"name": "api", "clusters": ["app"], "services": ["api"]},
        {"name": "app", "clusters_regex": "app"},
        {"name": "db", "clusters_regex": "db"},
    ]);
    let bench = bench(&environments).await;
    let outcomes = run(&bench.reporter, &Trigger::of(SCHEDULE)).await;
    assert!(outcomes.iter().all(|outcome| outcome.outcome == Verdict::Posted), "{outcomes:?}");
    let calls = bench.ecs.calls();
    assert_eq!(calls.count(Operation::ListClusters), 1);
    assert_eq!(calls.count(Operation::ListTasks), 2 * 2, "two listings of two clusters");
    assert_eq!(calls.count(Operation::DescribeTasks), 2);
    let told: u32 = outcomes.iter().map(|outcome| outcome.calls.ecs).sum();
    assert_eq!(told, 1 + 4 + 2, "each call is told once");
}

#[tokio::test]
async fn one_that_fails_hurts_no_other() {
    let bench = bench(&json!([
        {"name": "app", "clusters": ["app"]},
        {"name": "typo", "clusters": ["ap"]},
        {"name": "nothing", "clusters": ["app"], "services": ["wbe"]},
        {"name": "db", "clusters": ["db"]},
    ]))
    .await;
    let outcomes = run(&bench.reporter, &Trigger::of(SCHEDULE)).await;
    let errors: Vec<_> = outcomes.iter().map(error_type).collect();
    assert_eq!(errors, ["none", "ClusterNotFound", "NothingInScope", "none"]);
}

#[tokio::test]
async fn what_cannot_be_read_fails_every_environment_that_wants_it() {
    let bench = bench(&json!([
        {"name": "web", "clusters": ["app"], "services": ["web"]},
        {"name": "api", "clusters": ["app"], "services": ["api"]},
        {"name": "db", "clusters": ["db"]},
    ]))
    .await;
    bench.ecs.faults(|faults| {
        faults.always_in("app", Operation::DescribeTasks, Fault::AccessDenied);
    });
    let outcomes = run(&bench.reporter, &Trigger::of(SCHEDULE)).await;
    let errors: Vec<_> = outcomes.iter().map(error_type).collect();
    assert_eq!(errors, ["AccessDenied", "AccessDenied", "none"]);
    assert_eq!(bench.ecs.calls().count(Operation::DescribeTasks), 2, "it is not asked again");
}

#[tokio::test]
async fn a_task_event_is_looked_into_only_where_its_cluster_may_belong() {
    let bench = bench(&json!([
        {"name": "app", "clusters": ["app"]},
        {"name": "data", "clusters_regex": "^d"},
        {"name": "elsewhere", "clusters": ["db"], "region": "eu-west-1"},
        {"name": "theirs", "clusters_regex": "^d", "region": "eu-central-1",
         "role_arn": "arn:aws:iam::123456789012:role/envsnap"},
    ]))
    .await;
    let event = |clusters: &[&str]| Trigger {
        clusters: clusters
            .iter()
            .map(|name| {
                format!("arn:aws:ecs:eu-central-1:274425519734:cluster/{name}").parse().unwrap()
            })
            .collect(),
        ..Trigger::of(TriggerKind::TaskStateChange)
    };
    assert!(run(&bench.reporter, &event(&["other"])).await.is_empty());
    assert_eq!(bench.ecs.calls().total(), 0, "what nobody includes costs no call");
    assert_eq!(names(&run(&bench.reporter, &event(&["db"])).await), ["data"]);
    assert_eq!(names(&run(&bench.reporter, &event(&["other", "app"])).await), ["app"]);
}

#[tokio::test]
async fn each_account_region_and_role_is_connected_to_once() {
    let role = "arn:aws:iam::123456789012:role/envsnap";
    let environments = json!([
        {"name": "a"},
        {"name": "b", "clusters": ["db"]},
        {"name": "c", "region": "eu-west-1"},
        {"name": "d", "role_arn": role},
        {"name": "e", "role_arn": role, "external_id": "x1"},
        {"name": "f", "role_arn": role},
    ]);
    let config = config("http://127.0.0.1:1", &variables(&environments.to_string()));
    let aws = aws("http://127.0.0.1:1");
    let ecs = connect(&aws, &Source::default()).await;
    let server = server(&config, &aws);
    let connected = RefCell::new(Vec::new());
    let connect = |source: &Source| {
        connected.borrow_mut().push(source.clone());
        ecs.clone()
    };
    let reporter = Reporter::new(config, connect, server, SystemTime::now);
    assert_eq!(connected.borrow().len(), 4);
    assert_eq!(reporter.progress().count(), 6);
}
