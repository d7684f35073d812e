//! The commands of the `kosli` client about the history of environments, with the recorder as its server.

use reqwest::Method;
use serde_json::{Value, json};

use crate::programs::{ProgramOutput, command};
use crate::recorder::{ORG, Recorder, WRITE_TOKEN};

/// 64 times `digit`. Comparisons list artifacts in the order of their fingerprints.
fn fingerprint(digit: char) -> String {
    digit.to_string().repeat(64)
}

/// An entry of a report: a task of service `name` with one container, which runs image `name` with the
/// fingerprint of `digit`.
fn task_entry(id: u32, name: &str, digit: char) -> Value {
    json!({
        "taskArn": format!("arn:aws:ecs:eu-central-1:274425519734:task/app/{id}"),
        "cluster_name": "app", "service_name": name, "digests": {name: fingerprint(digit)},
        "creationTimestamp": 1_661_161_157 + id,
    })
}

/// A recorder with the history of three environments.
pub(super) struct HistoryFixture {
    pub(super) recorder: Recorder,
}

impl HistoryFixture {
    /// Starts a recorder. In `aws-prod` it has three snapshots: one task of `web`; three tasks of `web` and
    /// one of `api`; the task of `api` alone. In `aws-beta` it has one, with one task of `web`. `empty` has
    /// no snapshots.
    pub(super) async fn start() -> Self {
        let history = Self { recorder: Recorder::start().await };
        for name in ["aws-prod", "aws-beta", "empty"] {
            let body = json!({
                "name": name, "type": "ECS", "description": name, "include_scaling": true,
            });
            history.put(ORG, &body).await;
        }
        let api = task_entry(4, "api:1", 'b');
        let web = [1, 2, 3].map(|id| task_entry(id, "web:1", 'a'));
        history.report("aws-prod", &web[..1]).await;
        history.report("aws-prod", &[&web[..], std::slice::from_ref(&api)].concat()).await;
        history.report("aws-prod", &[api]).await;
        history.report("aws-beta", &web[..1]).await;
        history
    }

    /// Sends a PUT request below `/api/v2/environments`, and asserts status 201.
    async fn put(&self, path: &str, body: &Value) {
        let url = format!("{}/api/v2/environments/{path}", self.recorder.url);
        let request = reqwest::Client::new().request(Method::PUT, url).bearer_auth(WRITE_TOKEN);
        let response = request.body(body.to_string()).send().await.unwrap();
        assert_eq!(response.status(), 201, "{path}");
    }

    /// Reports these tasks of an environment.
    async fn report(&self, environment: &str, entries: &[Value]) {
        let path = format!("{ORG}/{environment}/report/ECS");
        self.put(&path, &json!({"artifacts": entries})).await;
    }

    /// Runs the `kosli` client with arguments that are separated by spaces.
    async fn kosli(&self, arguments: &str) -> ProgramOutput {
        let mut kosli = command("kosli");
        kosli.args(arguments.split_whitespace()).envs(self.recorder.variables());
        ProgramOutput::run(&mut kosli).await
    }

    /// The JSON that the `kosli` client prints with these arguments and `-o json`.
    pub(super) async fn kosli_json(&self, arguments: &str) -> Value {
        let printed = self.kosli(&format!("{arguments} -o json")).await.success();
        serde_json::from_str(&printed)
            .unwrap_or_else(|error| panic!("{arguments}: {error}: {printed}"))
    }

    /// The lines that the `kosli` client prints and that are not empty, each with one space between words.
    async fn kosli_table(&self, arguments: &str) -> Vec<String> {
        let table = self.kosli(arguments).await.success();
        let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.filter(|line| !line.is_empty()).collect()
    }

    /// Asserts that the `kosli` client exits with 1 and prints an error that contains `expected`.
    async fn assert_kosli_fails(&self, arguments: &str, expected: &str) {
        let output = self.kosli(arguments).await;
        assert_eq!(output.code, Some(1), "{arguments}: {output:?}");
        let error = output.stderr.trim_end();
        assert!(
            error.starts_with("Error: ") && error.contains(expected),
            "{arguments}: {output:?}"
        );
    }
}

/// The value of `field` of each element of `list`.
fn field_of_each<'a>(list: &'a Value, field: &str) -> Vec<&'a Value> {
    list.as_array().unwrap().iter().map(|element| &element[field]).collect()
}

/// The end of the error about an environment that does not exist.
fn environment_not_found(name: &str) -> String {
    format!("] Environment named '{name}' does not exist for organization '{ORG}'")
}

/// The end of the error about a snapshot that does not exist, in an environment of `count` snapshots:
/// `expression` was resolved to `resolved`.
fn snapshot_not_found(expression: &str, resolved: &str, count: u32) -> String {
    format!(
        "] Org: '{ORG}'. Snapshot '{expression}' resolves to '{resolved}'. \
         len(snapshots) == {count}. Indexes are 1-based"
    )
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_client_finds_a_snapshot_by_every_expression() {
    let history = HistoryFixture::start().await;
    for (expression, index) in [
        ("aws-prod", 3),
        ("aws-prod#1", 1),
        ("aws-prod#3", 3),
        ("aws-prod#-2", 2),
        ("aws-prod~", 3),
        ("aws-prod~0", 3),
        ("aws-prod~2", 1),
        ("aws-prod@{now}", 3),
        ("aws-prod@{2999-12-31T23:59:59}", 3),
    ] {
        let snapshot = history.kosli_json(&format!("get snapshot {expression}")).await;
        assert_eq!(snapshot["index"], index, "{expression}");
        assert_eq!(snapshot["is_latest"], index == 3, "{expression}");
        assert_eq!(snapshot["next_snapshot_timestamp"].is_null(), index == 3, "{expression}");
    }
    let table = history.kosli_table("get snapshot aws-prod~1").await;
    assert_eq!(
        table,
        [
            "COMMIT ARTIFACT FLOW COMPLIANCE RUNNING_SINCE REPLICAS",
            "N/A Name: api:1 N/A NON-COMPLIANT 2022-08-22 1",
            &format!("Fingerprint: {}", fingerprint('b')),
            "N/A Name: web:1 N/A NON-COMPLIANT 2022-08-22 3",
            &format!("Fingerprint: {}", fingerprint('a')),
        ]
    );

    for (expression, resolved) in [
        ("aws-prod#9", "aws-prod#9"),
        ("aws-prod#0", "aws-prod#0"),
        ("aws-prod~3", "aws-prod#0"),
        ("aws-prod@{2023-10-02T12:00:00}", "aws-prod#0"),
        ("aws-prod@{2.hours.ago}", "aws-prod#0"),
        ("aws-prod@{1.day.ago}", "aws-prod#0"),
        ("aws-prod@{3.weeks.ago}", "aws-prod#0"),
        ("aws-prod@{6.months.ago}", "aws-prod#0"),
    ] {
        let expected = snapshot_not_found(expression, resolved, 3);
        history.assert_kosli_fails(&format!("get snapshot {expression}"), &expected).await;
    }
    history
        .assert_kosli_fails("get snapshot empty", &snapshot_not_found("empty#-1", "empty#0", 0))
        .await;
    history.assert_kosli_fails("get snapshot missing", &environment_not_found("missing")).await;
    for expression in ["aws-prod#x", "aws-prod@{tomorrow}", "aws-prod~-1"] {
        let arguments = format!("get snapshot {expression}");
        history.assert_kosli_fails(&arguments, "is not a snapshot expression. Use N or #N").await;
    }
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn assert_snapshot_fails_because_no_snapshot_is_known_to_be_compliant() {
    let history = HistoryFixture::start().await;
    for expression in ["aws-prod", "aws-prod#1", "aws-prod~2"] {
        history
            .assert_kosli_fails(&format!("assert snapshot {expression}"), "] NON-COMPLIANT")
            .await;
    }
    let expected = snapshot_not_found("aws-prod#9", "aws-prod#9", 3);
    history.assert_kosli_fails("assert snapshot aws-prod#9", &expected).await;
    history.assert_kosli_fails("assert snapshot missing", &environment_not_found("missing")).await;
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_client_lists_snapshots_by_interval_and_page() {
    let history = HistoryFixture::start().await;
    for (options, indexes) in [
        ("", vec![3, 2, 1]),
        ("--reverse", vec![1, 2, 3]),
        ("-i 1..2", vec![2, 1]),
        ("-i 1..2 --reverse", vec![1, 2]),
        ("-i NOW", vec![3]),
        ("-i ~1..NOW", vec![3, 2]),
        ("-i 2..", vec![3, 2]),
        ("-n 2", vec![3, 2]),
        ("-n 2 --page 2", vec![1]),
        ("-n 2 --page 3", vec![]),
    ] {
        let list = history.kosli_json(&format!("list snapshots aws-prod {options}")).await;
        assert_eq!(field_of_each(&list, "index"), indexes, "{options}");
    }
    let list = history.kosli_json("list snapshots aws-prod").await;
    assert_eq!((&list[0]["to"], &list[1]["to"]), (&json!(0.0), &list[0]["from"]));

    let table = history.kosli_table("list snapshots aws-prod").await;
    assert_eq!(table[0], "SNAPSHOT FROM TO DURATION COMPLIANT");
    for (line, index) in table[1..].iter().zip(["3 ", "2 ", "1 "]) {
        assert!(line.starts_with(index) && line.ends_with(" false"), "{line}");
    }
    assert!(table[1].contains(" now "), "{}", table[1]);
    assert_eq!(
        history.kosli_table("list snapshots empty").await,
        ["No environment snapshots were found."]
    );

    history.assert_kosli_fails("list snapshots missing", &environment_not_found("missing")).await;
    let expected = "Input payload validation failed: map[interval:'x' is not an interval. Use A..B";
    history.assert_kosli_fails("list snapshots aws-prod -i x", expected).await;
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_client_lists_changes_by_interval_page_and_time() {
    let history = HistoryFixture::start().await;
    let all_events = [
        (3, "web:1", "3 instances stopped running (from 3 to 0)", "exited"),
        (2, "api:1", "1 instance started running (from 0 to 1)", "started-unknown"),
        (2, "web:1", "2 instances started running (from 1 to 3)", "changed"),
        (1, "web:1", "1 instance started running (from 0 to 1)", "started-unknown"),
    ];
    for (options, expected) in [
        ("", vec![0, 1, 2, 3]),
        ("--reverse", vec![3, 2, 1, 0]),
        ("-n 3", vec![0, 1, 2]),
        ("-n 3 --page 2", vec![3]),
        ("-n 3 --page 9", vec![]),
        ("-i 1..2", vec![1, 2, 3]),
        ("-i 2", vec![1, 2]),
        ("-i ~1..NOW --reverse -n 2", vec![2, 1]),
        ("--start 2", vec![0, 1, 2]),
        ("--start 1 --end 2", vec![1, 2, 3]),
        ("--start 1hour", vec![0, 1, 2, 3]),
        ("--end 1hour", vec![]),
        ("--start-ts 1700000000", vec![0, 1, 2, 3]),
        ("--end-ts 1700000000.5", vec![]),
        ("--repo acme/web", vec![]),
    ] {
        let events = history.kosli_json(&format!("log environment aws-prod {options}")).await;
        let listed: Vec<_> = events
            .as_array()
            .unwrap()
            .iter()
            .map(|event| {
                ["snapshot_index", "artifact_name", "description", "type"]
                    .map(|field| event[field].clone())
            })
            .collect();
        let expected: Vec<_> = expected
            .into_iter()
            .map(|position| all_events[position])
            .map(|(index, name, text, kind)| [json!(index), json!(name), json!(text), json!(kind)])
            .collect();
        assert_eq!(listed, expected, "{options}");
    }

    let table = history.kosli_table("log environment aws-prod -n 1").await;
    assert_eq!(
        table[..4],
        [
            "SNAPSHOT EVENT FLOW",
            "#3 Artifact: web:1",
            &format!("Fingerprint: {}", fingerprint('a')),
            "Description: 3 instances stopped running (from 3 to 0)",
        ]
    );
    assert!(table[4].starts_with("Reported at: "), "{}", table[4]);
    assert_eq!(table.len(), 5);
    assert_eq!(
        history.kosli_table("log environment empty").await,
        ["No environment events were found."]
    );

    history.assert_kosli_fails("log environment missing", &environment_not_found("missing")).await;
    let expected = "validation failed: map[interval:'1..x' is not an interval";
    history.assert_kosli_fails("log environment aws-prod -i 1..x", expected).await;
    let expected =
        "validation failed: map[per_page:must be a whole number from 1 to 100, not '101']";
    history.assert_kosli_fails("log environment aws-prod -n 101", expected).await;
    let expected = "validation failed: map[start:'yesterday' is neither a snapshot";
    history.assert_kosli_fails("log environment aws-prod --start yesterday", expected).await;
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_client_compares_snapshots() {
    let history = HistoryFixture::start().await;
    // What `diff snapshots` prints of an artifact.
    let artifact_lines = |name: &str, digit: char, instances: u64| {
        vec![
            format!("Name: {name}"),
            format!("Fingerprint: {}", fingerprint(digit)),
            "Flow: Unknown".to_owned(),
            "Commit URL: Unknown".to_owned(),
            "Started:".to_owned(),
            format!("Instances: {instances}"),
        ]
    };
    // What `diff snapshots` prints, without start times.
    let diff_lines = async |snapshots: &str| {
        let mut lines = history.kosli_table(&format!("diff snapshots {snapshots}")).await;
        for line in &mut lines {
            if line.starts_with("Started:") {
                line.truncate("Started:".len());
            }
        }
        lines
    };
    let concat = |parts: &[&[String]]| parts.concat();
    let title = |title: &str| vec![title.to_owned()];
    assert_eq!(
        diff_lines("aws-prod#1 aws-prod#2").await,
        concat(&[
            &title("Only present in aws-prod#2"),
            &artifact_lines("api:1", 'b', 1),
            &title("aws-prod#1 -> aws-prod#2 scaling"),
            &artifact_lines("web:1", 'a', 3),
            &title("Instances: scaled from 1 to 3"),
        ])
    );
    assert_eq!(
        diff_lines("aws-prod~1 aws-prod -u").await,
        concat(&[
            &title("Only present in aws-prod~1 (snapshot: aws-prod#2)"),
            &artifact_lines("web:1", 'a', 3),
            &title("Not changed in both snapshots"),
            &artifact_lines("api:1", 'b', 1),
        ])
    );
    assert_eq!(diff_lines("aws-prod aws-prod@{now}").await, [""; 0]);
    let diff = history.kosli_json("diff snapshots aws-prod aws-beta").await;
    assert_eq!(diff["snappish1"]["snapshot_id"], "aws-prod#3");
    assert_eq!(diff["snappish2"]["snapshot_id"], "aws-beta#1");
    assert_eq!(field_of_each(&diff["snappish1"]["artifacts"], "name"), ["api:1"]);
    assert_eq!(field_of_each(&diff["snappish2"]["artifacts"], "name"), ["web:1"]);

    history
        .assert_kosli_fails(
            "diff snapshots aws-prod empty",
            &snapshot_not_found("empty", "empty#0", 0),
        )
        .await;
    let expected = snapshot_not_found("aws-prod#9", "aws-prod#9", 3);
    history.assert_kosli_fails("diff snapshots aws-beta aws-prod#9", &expected).await;
    history
        .assert_kosli_fails("diff snapshots aws-prod missing", &environment_not_found("missing"))
        .await;
    let expected = "map[snappish1:'#x' is not a snapshot expression. Use N or #N";
    history.assert_kosli_fails("diff snapshots aws-prod#x aws-prod", expected).await;
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_client_filters_sorts_and_pages_the_list_of_environments() {
    let history = HistoryFixture::start().await;
    for (options, names) in [
        ("", vec!["aws-beta", "aws-prod", "empty"]),
        ("--name PROD", vec!["aws-prod"]),
        ("--name aws --sort name --sort-direction desc", vec!["aws-prod", "aws-beta"]),
        ("--sort last_changed_at", vec!["aws-prod", "aws-beta", "empty"]),
        ("--sort last_modified_at", vec!["empty", "aws-prod", "aws-beta"]),
        ("--type ECS --type K8S", vec!["aws-beta", "aws-prod", "empty"]),
        ("--type lambda", vec![]),
        ("--tag team:a", vec![]),
    ] {
        let list = history.kosli_json(&format!("list environments {options}")).await;
        assert_eq!(field_of_each(&list, "name"), names, "{options}");
    }
    let page = history.kosli_json("list environments -n 2 --page 2").await;
    assert_eq!(field_of_each(&page["environments"], "name"), ["empty"]);
    assert_eq!((&page["total_pages"], &page["total_count"]), (&json!(2), &json!(3)));
    let table = history.kosli_table("list environments -n 2").await;
    assert_eq!(table[0], "NAME TYPE LAST REPORT LAST MODIFIED TAGS POLICIES");
    assert!(table[1].starts_with("aws-beta ECS 20"), "{}", table[1]);
    assert_eq!(table[3], "Showing page 1 of 2, total 3 items");
    assert_eq!(
        history.kosli_table("list environments --name x").await,
        ["No environments were found."]
    );
    let expected = "map[sort:must be one of name, last_modified_at, last_changed_at, not 'type']";
    history.assert_kosli_fails("list environments --sort type", expected).await;
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_client_renames_and_archives_environments() {
    let history = HistoryFixture::start().await;
    let printed = history.kosli("rename environment aws-prod renamed").await.success();
    assert_eq!(printed, "environment aws-prod was renamed to renamed\n");
    history.assert_kosli_fails("get snapshot aws-prod", &environment_not_found("aws-prod")).await;
    assert_eq!(history.kosli_json("get snapshot renamed").await["index"], 3);
    for (names, expected) in [
        ("renamed aws-beta", "] Environment named 'aws-beta' already exists for organization"),
        ("renamed a~b", "] 'a~b' is an invalid name for environments. Valid names should start"),
        ("aws-prod again", &environment_not_found("aws-prod")),
    ] {
        history.assert_kosli_fails(&format!("rename environment {names}"), expected).await;
    }

    let printed = history.kosli("archive environment renamed").await.success();
    assert_eq!(printed, "environment renamed was archived\n");
    for command in [
        "get environment",
        "get snapshot",
        "list snapshots",
        "log environment",
        "archive environment",
    ] {
        history
            .assert_kosli_fails(&format!("{command} renamed"), &environment_not_found("renamed"))
            .await;
    }
    let list = history.kosli_json("list environments").await;
    assert_eq!(field_of_each(&list, "name"), ["aws-beta", "empty"]);

    history.kosli("create environment renamed --type ECS").await.success();
    assert_eq!(history.kosli_json("get snapshot renamed").await["index"], 3, "nothing is lost");
}
