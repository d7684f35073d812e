//! The `kosli` client, used with the recorder as its server.

use envsnap::standin::{Cluster, StandIn, Task, World};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::emulator::aws_variables;
use crate::programs::{ACCOUNT, ProgramOutput, REGION, command, envsnap};
use crate::recorder::{ENVIRONMENT, ORG, READ_TOKEN, Recorder};

// Fingerprints of images. The first two are those of the tutorial of the `kosli` client.
const RUNNER: &str = "9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625";
const DIFFER: &str = "d8440b94f7f9174c180324ceafd4148360d9d7c916be2b910f132c58b8a943ae";
const NEW_DIFFER: &str = "76c442c04283c4ca1af22d882750eb960cf53c0aa041bbdb2db9df2f2c1282be";

/// When every task started: 2022-08-22T09:39:17Z, in seconds since the Unix epoch.
const STARTED: i64 = 1_661_161_157;

/// An ECS stand-in and a recorder.
struct TestBed {
    ecs: StandIn,
    recorder: Recorder,
}

impl TestBed {
    /// Three tasks of `runner` and one of `differ` in cluster `app`, and an empty recorder.
    async fn start() -> Self {
        let runner = task("runner", "runner:16d9990", RUNNER);
        let cluster = Cluster::new("app").tasks(3, &runner).task(differ_task("1a2b170", DIFFER));
        let ecs = StandIn::start(World::new(REGION, ACCOUNT).cluster(cluster)).await.unwrap();
        Self { ecs, recorder: Recorder::start().await }
    }

    /// Runs `envsnap report`, and returns the environment's outcome, an element of `environments`.
    async fn report(&self) -> Value {
        let mut report = envsnap();
        report.args(["report", "-o", "json"]).envs(self.recorder.variables());
        report.envs(aws_variables(&self.ecs.endpoint()));
        report.env("KOSLI_ENVIRONMENT", ENVIRONMENT).env("AUTO_CREATE_ENVIRONMENT", "true");
        let output: Value =
            serde_json::from_str(&ProgramOutput::run(&mut report).await.success()).unwrap();
        output["environments"][0].clone()
    }

    /// Runs `envsnap report`, and asserts that the recorder made a new snapshot.
    async fn report_new_snapshot(&self) {
        let outcome = self.report().await;
        assert_eq!(outcome["created"], true, "{outcome}");
    }

    /// Runs the `kosli` client with a token that may write.
    async fn kosli(&self, arguments: &[&str]) -> ProgramOutput {
        self.kosli_with(arguments, &[]).await
    }

    /// Runs the `kosli` client with further environment variables.
    async fn kosli_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> ProgramOutput {
        let mut kosli = command("kosli");
        kosli.args(arguments).envs(self.recorder.variables());
        kosli.envs(aws_variables(&self.ecs.endpoint())).envs(variables.iter().copied());
        ProgramOutput::run(&mut kosli).await
    }
}

/// A running task of a service, whose one container has this image and fingerprint.
fn task(service: &str, image: &str, fingerprint: &str) -> Task {
    Task::in_service(service).running_since(Timestamp::from_second(STARTED).unwrap()).container(
        service,
        &format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{image}"),
        &format!("sha256:{fingerprint}"),
    )
}

/// A running task of service `differ`, of image `differ` with this tag.
fn differ_task(tag: &str, fingerprint: &str) -> Task {
    task("differ", &format!("differ:{tag}"), fingerprint)
}

fn parse_json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The lines of a table that are not empty, each with one space between words.
fn table_lines(table: &str) -> Vec<String> {
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect()
}

/// `[name, fingerprint, replicas before, replicas now, start times]` of each artifact of a snapshot, sorted
/// by name.
fn artifact_rows(snapshot: &Value) -> Vec<Value> {
    let mut artifacts: Vec<_> = snapshot["artifacts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|artifact| {
            let name = artifact["name"].as_str().unwrap().rsplit('/').next().unwrap();
            let annotation = &artifact["annotation"];
            let starts = &artifact["creationTimestamp"];
            json!([name, artifact["fingerprint"], annotation["was"], annotation["now"], starts])
        })
        .collect();
    artifacts.sort_by_key(|artifact| artifact[0].as_str().unwrap().to_owned());
    artifacts
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_client_shows_snapshots_as_json_and_as_a_table() {
    let bed = TestBed::start().await;
    bed.report_new_snapshot().await;
    let first = [
        json!(["differ:1a2b170", DIFFER, 0, 1, [STARTED]]),
        json!(["runner:16d9990", RUNNER, 0, 3, [STARTED, STARTED, STARTED]]),
    ];
    let latest = bed.kosli(&["get", "snapshot", ENVIRONMENT, "-o", "json"]).await.success();
    let latest = parse_json(&latest);
    assert_eq!((&latest["index"], &latest["type"]), (&json!(1), &json!("ECS")), "{latest}");
    assert_eq!(artifact_rows(&latest), first, "{latest}");

    bed.ecs.update(|world| {
        let app = world.cluster_mut("app");
        app.tasks_of("differ").for_each(Task::stop);
        app.add(differ_task("7c45272", NEW_DIFFER));
    });
    bed.report_new_snapshot().await;
    let latest = bed.kosli(&["get", "snapshot", ENVIRONMENT, "-o", "json"]).await.success();
    let latest = parse_json(&latest);
    assert_eq!(latest["index"], 2, "{latest}");
    assert_eq!(
        artifact_rows(&latest),
        [
            json!(["differ:1a2b170", DIFFER, 1, 0, []]),
            json!(["differ:7c45272", NEW_DIFFER, 0, 1, [STARTED]]),
            json!(["runner:16d9990", RUNNER, 3, 3, [STARTED, STARTED, STARTED]]),
        ],
        "{latest}"
    );
    let first_snapshot = format!("{ENVIRONMENT}#1");
    let before = bed.kosli(&["get", "snapshot", &first_snapshot, "-o", "json"]).await.success();
    let before = parse_json(&before);
    assert_eq!((&before["index"], artifact_rows(&before)), (&json!(1), first.to_vec()), "{before}");

    let table = bed.kosli(&["get", "snapshot", ENVIRONMENT]).await.success();
    let image = |name: &str| format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{name}");
    assert_eq!(
        table_lines(&table),
        [
            "COMMIT ARTIFACT FLOW COMPLIANCE RUNNING_SINCE REPLICAS",
            &format!("N/A Name: {} N/A NON-COMPLIANT 2022-08-22 1", image("differ:7c45272")),
            &format!("Fingerprint: {NEW_DIFFER}"),
            &format!("N/A Name: {} N/A NON-COMPLIANT 2022-08-22 3", image("runner:16d9990")),
            &format!("Fingerprint: {RUNNER}"),
        ],
        "{table}"
    );
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_client_creates_environments_and_lists_them() {
    let bed = TestBed::start().await;
    let create = ["create", "environment", ENVIRONMENT, "--type", "ECS", "--description", "Ours"];
    let output = bed.kosli_with(&create, &[("KOSLI_API_TOKEN", READ_TOKEN)]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("You don't have permission"), "{output:?}");
    let printed = bed.kosli(&create).await.success();
    assert_eq!(printed, format!("environment {ENVIRONMENT} was created\n"));

    // The lines of state and last report, and whether the list has a time of the last report.
    let shown_environment = async || {
        let table = bed.kosli(&["get", "environment", ENVIRONMENT]).await.success();
        let shown = table_lines(&table);
        let fixed = ["Name: aws-prod", "Type: ECS", "Description: Ours"];
        assert_eq!(shown[..3], fixed, "{table}");
        let list = bed.kosli(&["list", "environments", "-o", "json"]).await.success();
        let list = parse_json(&list);
        let [listed] = <[Value; 1]>::try_from(list.as_array().unwrap().clone()).unwrap();
        assert_eq!((&listed["name"], &listed["type"]), (&json!(ENVIRONMENT), &json!("ECS")));
        (shown[3].clone(), shown[4].clone(), listed["last_reported_at"].is_number())
    };
    let (state, last_reported, is_reported) = shown_environment().await;
    assert_eq!((state.as_str(), last_reported.as_str()), ("State: N/A", "Last Reported At: N/A"));
    assert!(!is_reported);

    bed.report_new_snapshot().await;
    let (state, last_reported, is_reported) = shown_environment().await;
    assert_eq!(state, "State: N/A", "there is no policy, so nothing is decided");
    assert!(last_reported.contains(" UTC "), "{last_reported}");
    assert!(is_reported);
    let table = bed.kosli(&["list", "environments"]).await.success();
    let shown = table_lines(&table);
    assert_eq!(shown[0], "NAME TYPE LAST REPORT LAST MODIFIED TAGS POLICIES", "{table}");
    assert!(shown[1].starts_with("aws-prod ECS 20"), "{table}");
    assert_eq!(shown.len(), 2, "{table}");
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_client_s_command_snapshot_ecs_reports_to_the_recorder() {
    let bed = TestBed::start().await;
    let not_found =
        format!("Environment named '{ENVIRONMENT}' does not exist for organization '{ORG}'");
    let report = ["snapshot", "ecs", ENVIRONMENT, "--clusters", "app"];
    for arguments in [&report[..], &["get", "snapshot", ENVIRONMENT]] {
        let output = bed.kosli(arguments).await;
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains(&not_found), "{output:?}");
    }

    let create = ["create", "environment", ENVIRONMENT, "--type", "ECS"];
    bed.kosli(&create).await.success();
    let printed = bed.kosli(&report).await.success();
    assert!(printed.contains("[4] containers were reported"), "{printed}");
    let snapshot = bed.kosli(&["get", "snapshot", ENVIRONMENT, "-o", "json"]).await.success();
    assert_eq!(
        artifact_rows(&parse_json(&snapshot)),
        [
            json!(["differ:1a2b170", DIFFER, 0, 1, [STARTED]]),
            json!(["runner:16d9990", RUNNER, 0, 3, [STARTED, STARTED, STARTED]]),
        ],
        "{snapshot}"
    );

    // `envsnap report` finds what the client has reported, and posts nothing.
    let outcome = bed.report().await;
    assert_eq!(outcome["outcome"], "unchanged", "{outcome}");
}
