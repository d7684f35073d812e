//! The server's own client, which reads the recorder and writes to it.

use envsnap::standin::{Cluster, StandIn, Task, World};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::emulator::aws_variables;
use crate::programs::{ACCOUNT, ProgramOutput, REGION, command, envsnap};
use crate::recorder::{ENVIRONMENT, ORG, READS, Recorder};

/// From the first tutorial that shows such a snapshot.
const RUNNER: &str = "9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625";
const DIFFER: &str = "d8440b94f7f9174c180324ceafd4148360d9d7c916be2b910f132c58b8a943ae";
const NEW_DIFFER: &str = "76c442c04283c4ca1af22d882750eb960cf53c0aa041bbdb2db9df2f2c1282be";

/// 2022-08-22T09:39:17Z, in seconds since the Unix epoch.
const STARTED: i64 = 1_661_161_157;

struct TestBed {
    ecs: StandIn,
    recorder: Recorder,
}

impl TestBed {
    /// Three tasks of `runner` and one of `differ` in cluster `app`, and an empty recorder.
    async fn start() -> Self {
        let runner = task("runner", "runner:16d9990", RUNNER);
        let cluster = Cluster::new("app").tasks(3, &runner).task(differ("1a2b170", DIFFER));
        let ecs = StandIn::start(World::new(REGION, ACCOUNT).cluster(cluster)).await.unwrap();
        Self { ecs, recorder: Recorder::start().await }
    }

    /// Reports what runs as the function would, and gives what became of the environment.
    async fn report(&self) -> Value {
        let mut report = envsnap();
        report.args(["report", "-o", "json"]).envs(self.recorder.variables());
        report.envs(aws_variables(&self.ecs.endpoint()));
        report.env("KOSLI_ENVIRONMENT", ENVIRONMENT).env("AUTO_CREATE_ENVIRONMENT", "true");
        let outcome: Value =
            serde_json::from_str(&ProgramOutput::wait(&mut report).await.success()).unwrap();
        outcome["environments"][0].clone()
    }

    /// Reports what runs, of which the recorder has to make a new snapshot.
    async fn record(&self) {
        let outcome = self.report().await;
        assert_eq!(outcome["created"], true, "{outcome}");
    }

    /// What the client does, with a token that may write.
    async fn kosli(&self, arguments: &[&str]) -> ProgramOutput {
        self.kosli_with(arguments, &[]).await
    }

    async fn kosli_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> ProgramOutput {
        let mut kosli = command("kosli");
        kosli.args(arguments).envs(self.recorder.variables());
        kosli.envs(aws_variables(&self.ecs.endpoint())).envs(variables.iter().copied());
        ProgramOutput::wait(&mut kosli).await
    }
}

fn task(service: &str, image: &str, fingerprint: &str) -> Task {
    Task::in_service(service).running_since(Timestamp::from_second(STARTED).unwrap()).container(
        service,
        &format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{image}"),
        &format!("sha256:{fingerprint}"),
    )
}

fn differ(tag: &str, fingerprint: &str) -> Task {
    task("differ", &format!("differ:{tag}"), fingerprint)
}

fn json_of(shown: &str) -> Value {
    serde_json::from_str(shown).unwrap_or_else(|error| panic!("{error}: {shown}"))
}

/// The lines of a table that are not empty, each with one space between words.
fn lines(table: &str) -> Vec<String> {
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect()
}

/// Name, fingerprint, replicas before and now, and starts, of each artifact of a snapshot.
fn artifacts(snapshot: &Value) -> Vec<Value> {
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
    bed.record().await;
    let first = [
        json!(["differ:1a2b170", DIFFER, 0, 1, [STARTED]]),
        json!(["runner:16d9990", RUNNER, 0, 3, [STARTED, STARTED, STARTED]]),
    ];
    let latest = bed.kosli(&["get", "snapshot", ENVIRONMENT, "-o", "json"]).await.success();
    let latest = json_of(&latest);
    assert_eq!((&latest["index"], &latest["type"]), (&json!(1), &json!("ECS")), "{latest}");
    assert_eq!(artifacts(&latest), first, "{latest}");

    bed.ecs.update(|world| {
        let app = world.cluster_mut("app");
        app.tasks_of("differ").for_each(Task::stop);
        app.add(differ("7c45272", NEW_DIFFER));
    });
    bed.record().await;
    let latest = bed.kosli(&["get", "snapshot", ENVIRONMENT, "-o", "json"]).await.success();
    let latest = json_of(&latest);
    assert_eq!(latest["index"], 2, "{latest}");
    assert_eq!(
        artifacts(&latest),
        [
            json!(["differ:1a2b170", DIFFER, 1, 0, []]),
            json!(["differ:7c45272", NEW_DIFFER, 0, 1, [STARTED]]),
            json!(["runner:16d9990", RUNNER, 3, 3, [STARTED, STARTED, STARTED]]),
        ],
        "{latest}"
    );
    let before = format!("{ENVIRONMENT}#1");
    let before = bed.kosli(&["get", "snapshot", &before, "-o", "json"]).await.success();
    let before = json_of(&before);
    assert_eq!((&before["index"], artifacts(&before)), (&json!(1), first.to_vec()), "{before}");

    let table = bed.kosli(&["get", "snapshot", ENVIRONMENT]).await.success();
    let image = |of: &str| format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{of}");
    assert_eq!(
        lines(&table),
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
async fn the_client_makes_environments_and_lists_them() {
    let bed = TestBed::start().await;
    let create = ["create", "environment", ENVIRONMENT, "--type", "ECS", "--description", "Ours"];
    let refused = bed.kosli_with(&create, &[("KOSLI_API_TOKEN", READS)]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("You don't have permission"), "{refused:?}");
    let made = bed.kosli(&create).await.success();
    assert_eq!(made, format!("environment {ENVIRONMENT} was created\n"));

    let reported = async || {
        let table = bed.kosli(&["get", "environment", ENVIRONMENT]).await.success();
        let shown = lines(&table);
        let fixed = ["Name: aws-prod", "Type: ECS", "Description: Ours"];
        assert_eq!(shown[..3], fixed, "{table}");
        let list = bed.kosli(&["list", "environments", "-o", "json"]).await.success();
        let list = json_of(&list);
        let [listed] = <[Value; 1]>::try_from(list.as_array().unwrap().clone()).unwrap();
        assert_eq!((&listed["name"], &listed["type"]), (&json!(ENVIRONMENT), &json!("ECS")));
        (shown[3].clone(), shown[4].clone(), listed["last_reported_at"].is_number())
    };
    let (state, last_reported, listed) = reported().await;
    assert_eq!((state.as_str(), last_reported.as_str()), ("State: N/A", "Last Reported At: N/A"));
    assert!(!listed);

    bed.record().await;
    let (state, last_reported, listed) = reported().await;
    assert_eq!(state, "State: N/A", "there is no policy, so nothing is decided");
    assert!(last_reported.contains(" UTC "), "{last_reported}");
    assert!(listed);
    let table = bed.kosli(&["list", "environments"]).await.success();
    let shown = lines(&table);
    assert_eq!(shown[0], "NAME TYPE LAST REPORT LAST MODIFIED TAGS POLICIES", "{table}");
    assert!(shown[1].starts_with("aws-prod ECS 20"), "{table}");
    assert_eq!(shown.len(), 2, "{table}");
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_client_s_own_reporter_reports_to_the_recorder() {
    let bed = TestBed::start().await;
    let missing =
        format!("Environment named '{ENVIRONMENT}' does not exist for organization '{ORG}'");
    let report = ["snapshot", "ecs", ENVIRONMENT, "--clusters", "app"];
    for arguments in [&report[..], &["get", "snapshot", ENVIRONMENT]] {
        let failed = bed.kosli(arguments).await;
        assert_eq!(failed.code, Some(1), "{failed:?}");
        assert!(failed.stderr.contains(&missing), "{failed:?}");
    }

    let create = ["create", "environment", ENVIRONMENT, "--type", "ECS"];
    bed.kosli(&create).await.success();
    let reported = bed.kosli(&report).await.success();
    assert!(reported.contains("[4] containers were reported"), "{reported}");
    let theirs = bed.kosli(&["get", "snapshot", ENVIRONMENT, "-o", "json"]).await.success();
    assert_eq!(
        artifacts(&json_of(&theirs)),
        [
            json!(["differ:1a2b170", DIFFER, 0, 1, [STARTED]]),
            json!(["runner:16d9990", RUNNER, 0, 3, [STARTED, STARTED, STARTED]]),
        ],
        "{theirs}"
    );

    // What ours would say is what the recorder has by now.
    let ours = bed.report().await;
    assert_eq!(ours["outcome"], "unchanged", "{ours}");
}
