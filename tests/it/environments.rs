//! Several environments in one process.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use envsnap::api::Client;
use envsnap::ecs::{
    self, AwsEcs, CallError, DescribedTasks, DesiredStatus, EcsApi, Page, Source, connect,
};
use envsnap::report::{EnvironmentOutcome, Outcome, OutcomeKind, Reporter, Trigger, TriggerKind};
use envsnap::standin::{Cluster, Fault, Operation, World};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::harness::{Bench, Clock, aws, config, error_type, server, task, world};
use crate::recorder::server::Recorder;

const SCHEDULE: TriggerKind = TriggerKind::Schedule;

/// Clusters `app` and `db`, three tasks and one.
fn two_clusters() -> World {
    world(Cluster::new("app").tasks(2, &task("web", 1)).task(task("api", 2)))
        .cluster(Cluster::new("db").task(task("postgres", 3)))
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

fn environment_names(outcomes: &[EnvironmentOutcome]) -> Vec<&str> {
    outcomes.iter().map(|outcome| &*outcome.environment).collect()
}

fn artifact_names(outcome: &EnvironmentOutcome) -> Vec<&str> {
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
    let outcomes = run(&bench.reporter, &Trigger::new(SCHEDULE)).await;
    assert_eq!(
        environment_names(&outcomes),
        ["all", "web-only", "data"],
        "in the configured order"
    );
    assert!(outcomes.iter().all(|outcome| outcome.outcome == OutcomeKind::Posted), "{outcomes:?}");
    assert_eq!(artifact_names(&outcomes[0]), ["api:2", "postgres:3", "web:1"]);
    assert_eq!(artifact_names(&outcomes[1]), ["web:1"]);
    assert_eq!(artifact_names(&outcomes[2]), ["postgres:3"]);
    assert_eq!(bench.recorder.latest("data").await.running().count(), 1);
}

#[tokio::test]
async fn cluster_in_the_scope_of_several_environments_is_read_once() {
    let environments = json!([
        {"name": "web", "clusters": ["app"], "services": ["web"]},
        {"name": "api", "clusters": ["app"], "services": ["api"]},
        {"name": "app", "clusters_regex": "app"},
        {"name": "db", "clusters_regex": "db"},
    ]);
    let bench = bench(&environments).await;
    let outcomes = run(&bench.reporter, &Trigger::new(SCHEDULE)).await;
    assert!(outcomes.iter().all(|outcome| outcome.outcome == OutcomeKind::Posted), "{outcomes:?}");
    let calls = bench.ecs.calls();
    assert_eq!(calls.count(Operation::ListClusters), 1);
    assert_eq!(calls.count(Operation::ListTasks), 2 * 2, "two listings of two clusters");
    assert_eq!(calls.count(Operation::DescribeTasks), 2);
    let reported: u32 = outcomes.iter().map(|outcome| outcome.calls.ecs).sum();
    assert_eq!(reported, 1 + 4 + 2, "each call is reported once");
}

#[tokio::test]
async fn environment_that_fails_does_not_fail_the_others() {
    let bench = bench(&json!([
        {"name": "app", "clusters": ["app"]},
        {"name": "typo", "clusters": ["ap"]},
        {"name": "nothing", "clusters": ["app"], "services": ["wbe"]},
        {"name": "db", "clusters": ["db"]},
    ]))
    .await;
    let outcomes = run(&bench.reporter, &Trigger::new(SCHEDULE)).await;
    let errors: Vec<_> = outcomes.iter().map(error_type).collect();
    assert_eq!(errors, ["none", "ClusterNotFound", "NothingInScope", "none"]);
}

#[tokio::test]
async fn an_unreadable_cluster_fails_every_environment_with_it_in_scope() {
    let bench = bench(&json!([
        {"name": "web", "clusters": ["app"], "services": ["web"]},
        {"name": "api", "clusters": ["app"], "services": ["api"]},
        {"name": "db", "clusters": ["db"]},
    ]))
    .await;
    bench.ecs.faults(|faults| {
        faults.always_in("app", Operation::DescribeTasks, Fault::AccessDenied);
    });
    let outcomes = run(&bench.reporter, &Trigger::new(SCHEDULE)).await;
    let errors: Vec<_> = outcomes.iter().map(error_type).collect();
    assert_eq!(errors, ["AccessDenied", "AccessDenied", "none"]);
    assert_eq!(bench.ecs.calls().count(Operation::DescribeTasks), 2, "it is not described again");
}

#[tokio::test]
async fn a_task_event_triggers_only_environments_that_may_include_its_cluster() {
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
        ..Trigger::new(TriggerKind::TaskStateChange)
    };
    assert!(run(&bench.reporter, &event(&["other"])).await.is_empty());
    assert_eq!(bench.ecs.calls().total(), 0, "a cluster out of every scope costs no call");
    assert_eq!(environment_names(&run(&bench.reporter, &event(&["db"])).await), ["data"]);
    assert_eq!(environment_names(&run(&bench.reporter, &event(&["other", "app"])).await), ["app"]);
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

/// A region in which no listing of tasks returns before all of another region was read.
#[derive(Clone)]
struct Region {
    is_slow: bool,
    other_is_read: watch::Sender<bool>,
}

fn arn(kind: &str, resource: &str) -> String {
    format!("arn:aws:ecs:eu-central-1:274425519734:{kind}/{resource}")
}

impl EcsApi for Region {
    async fn list_clusters(&self, _: Option<String>) -> Result<Page, CallError> {
        let clusters = if self.is_slow { 20 } else { 1 };
        let arns = (0..clusters).map(|n| arn("cluster", &format!("c{n}"))).collect();
        Ok(Page { arns, next_token: None })
    }

    async fn describe_clusters(&self, clusters: &[String]) -> Result<Vec<ecs::Cluster>, CallError> {
        let active =
            |arn: &String| ecs::Cluster { arn: arn.clone(), status: None, running_tasks: 0 };
        Ok(clusters.iter().map(active).collect())
    }

    async fn list_tasks(
        &self,
        _: &str,
        desired_status: DesiredStatus,
        _: Option<String>,
    ) -> Result<Page, CallError> {
        if self.is_slow {
            self.other_is_read.subscribe().wait_for(|read| *read).await.unwrap();
            return Ok(Page::default());
        }
        let arns = match desired_status {
            DesiredStatus::Running => vec![arn("task", "c0/1")],
            DesiredStatus::Stopped => Vec::new(),
        };
        Ok(Page { arns, next_token: None })
    }

    async fn describe_tasks(&self, _: &str, tasks: &[String]) -> Result<DescribedTasks, CallError> {
        self.other_is_read.send_replace(true);
        let container = ecs::Container {
            image: Some("web:1".to_owned()),
            last_status: Some("RUNNING".to_owned()),
            ..ecs::Container::default()
        };
        let containers = vec![container];
        let task = ecs::Task { arn: tasks[0].clone(), containers, ..ecs::Task::default() };
        Ok(DescribedTasks { tasks: vec![task], failures: Vec::new() })
    }

    async fn list_services(&self, _: &str, _: Option<String>) -> Result<Page, CallError> {
        Ok(Page::default())
    }
}

#[tokio::test]
async fn slow_regions_do_not_delay_the_reading_of_another_region() {
    let slow = ["us-east-1", "us-east-2", "us-west-1", "us-west-2"];
    let environments = slow.map(|region| json!({"name": region, "region": region}));
    let environments = json!([&environments[..], &[json!({"name": "own"})]].concat());
    let recorder = Recorder::start().await;
    for environment in environments.as_array().unwrap() {
        recorder.create(environment["name"].as_str().unwrap(), Some(true)).await;
    }
    let config = config(&recorder.url, &variables(&environments.to_string()));
    let server = server(&config, &aws("http://127.0.0.1:1"));
    let other_is_read = watch::Sender::new(false);
    let region = |source: &Source| Region {
        is_slow: source.region.is_some(),
        other_is_read: other_is_read.clone(),
    };
    let reporter = Reporter::new(config, region, server, SystemTime::now);
    let give_up_at = Some(Instant::now() + Duration::from_secs(30));
    let outcome = reporter.run(&Trigger::new(SCHEDULE), give_up_at).await.unwrap();
    let verdicts: Vec<_> = outcome.environments.iter().map(|e| e.outcome).collect();
    let nothing_new = OutcomeKind::Unchanged;
    assert_eq!(verdicts[..4], [nothing_new; 4], "{outcome:?}");
    assert_eq!(verdicts[4], OutcomeKind::Posted, "{outcome:?}");
}
