//! What runs without anything behind it.

use serde_json::{Value, json};

use super::story::{RUNNER, Story, new_runner, old_runner, shas, tasks};
use crate::questions::{Answer, ask_at};
use crate::recorder::server::digest;
use crate::scripted::Scripted;

/// Output of a command that ended with exit code 1, because it has findings.
#[track_caller]
fn output_with_findings(answer: Answer) -> String {
    assert_eq!((answer.code, &*answer.error), (Some(1), ""), "{answer:?}");
    answer.out
}

/// The tutorial, and then in `aws-prod` an unreported miner, an agent of AWS's, and an image
/// without a digest.
async fn story_with_miner() -> Story {
    let files = tempfile::tempdir().unwrap();
    let story = Story::tutorial(files.path()).await;
    let miner = tasks("miner:1", &digest(201), "2022-08-22T09:50:00Z", 2);
    let agent = json!({
        "taskArn": "arn:aws:ecs:eu-central-1:274425519734:task/app/agent", "cluster_name": "app",
        "digests": {"aws-guardduty-agent-x1": ""}, "creationTimestamp": 1_661_161_900,
    });
    let unknown = tasks("nodigest:1", "", "2022-08-22T09:50:00Z", 1);
    let all = [new_runner(3), shas(), miner, vec![agent], unknown];
    story.report("aws-prod", "2022-08-22T09:51:00Z", &all).await;
    story
}

#[tokio::test(flavor = "multi_thread")]
async fn rogue_lists_an_unreported_image_with_cluster_service_and_start() {
    let story = story_with_miner().await;
    let shown = output_with_findings(story.ask(&["rogue", "aws-prod"]).await);
    let words: Vec<_> = shown.split_whitespace().collect();
    assert_eq!(words[..5], ["STATUS", "ARTIFACT", "WHERE", "STARTED", "REPLICAS"], "{shown}");
    assert!(
        shown.contains("\nrogue    Name: 274425519734.dkr.ecr.eu-central-1.amazonaws."),
        "{shown}"
    );
    for line in [
        "started Mon, 22 Aug 2022 09:50:00 UTC; no pipeline has reported it\n",
        "it has no digest, so it cannot be checked\n",
        "allowed: the agent of GuardDuty Runtime Monitoring, which AWS adds to tasks\n",
        "\n1 rogue, 1 unknown, 1 allowed among 5 artifacts of aws-prod#67.\n",
    ] {
        assert!(shown.contains(line), "no {line:?} in {shown}");
    }
    assert!(shown.contains("app/miner"), "{shown}");
    assert!(!shown.contains("runner"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");

    // The state of what no pipeline reported.
    let running = story.ask(&["env", "get", "aws-prod"]).await.success();
    let states = |state| running.lines().filter(|line| line.ends_with(state)).count();
    assert_eq!((states(" rogue"), states(" COMPLIANT"), states(" N/A")), (1, 2, 2), "{running}");

    let found = story.ask(&["rogue", "aws-prod", "-o", "json"]).await;
    assert_eq!(found.code, Some(1), "{found:?}");
    let found: Value = serde_json::from_str(&found.out).unwrap();
    let rogue = &found["artifacts"][0];
    assert_eq!(
        (&rogue["status"], &rogue["fingerprint"], &rogue["first_started"]),
        (&json!("rogue"), &json!(digest(201)), &json!(1_661_161_800.0))
    );
    assert_eq!(rogue["places"], json!([{"cluster": "app", "service": "miner", "replicas": 2}]));
    assert_eq!((&found["derived"], &found["running"]), (&json!(false), &json!(5)));
    // Before it started.
    let clean = story.ask(&["rogue", "aws-prod#66"]).await.success();
    assert_eq!(clean, "Of 2 artifacts of aws-prod#66 each was reported before it started.\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn artifact_reported_after_its_start_is_late_until_it_is_allowed() {
    let story = story_with_miner().await;
    let miner = digest(201);
    let report = ["artifact", "report", "tools", "--name", "tools:1", "--fingerprint", &miner];
    story.job("2022-08-22T10:50:00Z", "tools", super::story::COMMIT, &report).await;
    let shown = output_with_findings(story.ask(&["rogue", "aws-prod"]).await);
    let late =
        "started Mon, 22 Aug 2022 09:50:00 UTC; reported by pipeline tools 1 hour after that\n";
    assert!(shown.contains("\nlate ") && shown.contains(late), "{shown}");

    let allow =
        ["allow", "aws-prod", "--fingerprint", &miner, "--name", "tools:1", "--reason", "by hand"];
    let allowed = story.ask(&allow).await.success();
    assert_eq!(allowed, format!("Allowed in aws-prod: tools:1\nSHA256: {miner}\n"));
    let shown = story.ask(&["rogue", "aws-prod"]).await.success();
    assert!(shown.contains("on Mon, 22 Aug 2022 10:50:00 UTC: by hand\n"), "{shown}");

    let listed = story.ask(&["allow", "--list"]).await.success();
    assert!(listed.starts_with(&format!("Name:        tools:1\nSHA256:      {miner}\nEnvironment: aws-prod\nReason:      by hand\n")), "{listed}");
    assert!(listed.contains("    aws-guardduty-agent*\n"), "{listed}");
    let id = story.json(&["allow", "--list"]).await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        story.ask(&["allow", "--remove", &id]).await.success(),
        format!("Withdrawn: {id}.\n")
    );
    output_with_findings(story.ask(&["rogue", "aws-prod"]).await);

    // Without a name, that with which it ran.
    let allow = ["allow", "aws-beta", "--fingerprint", &miner, "--reason", "by hand"];
    story.ask(&allow).await.success();
    let of_beta = story.json(&["allow", "aws-beta", "--list"]).await;
    let ran_as = "274425519734.dkr.ecr.eu-central-1.amazonaws.com/miner:1";
    assert_eq!(of_beta[0]["artifact_name"], ran_as);

    let pattern = "274425519734.dkr.ecr.eu-central-1.amazonaws.com/miner*";
    let allow = ["allow", "--everywhere", "--pattern", pattern, "--reason", "a game"];
    story.ask(&allow).await.success();
    let shown = story.ask(&["rogue", "aws-prod"]).await.success();
    assert!(shown.contains("a game"), "{shown}");
    let other = story.ask(&["allow", "aws-beta", "--list"]).await.success();
    assert!(
        other.contains(&format!("Pattern:     {pattern}\nEnvironment: every one\n")),
        "{other}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rogue_lists_artifacts_with_missing_evidence_only_with_the_evidence_option() {
    let files = tempfile::tempdir().unwrap();
    let story = Story::tutorial(files.path()).await;
    story.report("aws-prod", "2022-08-22T09:45:00Z", &[old_runner(), shas()]).await;
    story.ask(&["rogue", "aws-prod"]).await.success();
    let shown = output_with_findings(story.ask(&["rogue", "aws-prod", "--evidence"]).await);
    assert!(shown.contains("\nINCOMPLETE  Name: "), "{shown}");
    let missing = "pipeline runner: INCOMPLETE, missing or non-compliant: branch-coverage\n";
    assert!(shown.contains(missing), "{shown}");
    let allow = [
        "allow",
        "aws-prod",
        "--fingerprint",
        super::story::OLD_RUNNER,
        "--name",
        "r",
        "--reason",
        "old",
    ];
    story.ask(&allow).await.success();
    story.ask(&["rogue", "aws-prod", "--evidence"]).await.success();
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_allow_and_rogue_arguments_fail_with_the_reason() {
    let story = Story::at("2022-08-22T09:00:00Z").await;
    for (arguments, expected) in [
        (&["allow", "aws-prod"][..], "--fingerprint"),
        (
            &["allow", "--pattern", "x", "--reason", "y"],
            "Name the one where it may run, or give --everywhere",
        ),
        (&["allow", "aws-prod", "--pattern", "x"], "--reason is required"),
        (&["allow", "aws-prod", "--pattern", "*", "--reason", "y"], "must not allow every name"),
        (
            &["allow", "none", "--fingerprint", RUNNER, "--name", "n", "--reason", "y"],
            "does not exist",
        ),
        (&["allow", "aws-prod", "--fingerprint", RUNNER, "--reason", "y"], "--name"),
        (&["allow", "--remove", "1"], "envsnap allow --list lists"),
        (&["rogue", "none"], "envsnap env ls lists"),
    ] {
        let error = story.ask(arguments).await.failed();
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rogue_derives_origins_from_flows_if_the_server_returns_none() {
    let server = Scripted::start().await;
    let artifact = |name: &str, fingerprint: &str, flows: Value| {
        json!({
            "name": name, "fingerprint": fingerprint, "flows": flows, "creationTimestamp": [1_661_161_157],
            "annotation": {"type": "unchanged", "was": 1, "now": 1},
            "ecs_context": {"task_arn": "t", "cluster_name": "app", "service_name": "web"},
        })
    };
    // What this server counts is not known.
    let counts = json!({"true": u64::MAX, "false": 1, "null": 3});
    let snapshot = json!({"index": 7, "type": "ECS", "timestamp": 1_661_161_200,
        "artifact_compliance_count": counts, "artifacts": [
        artifact("web:1", &digest(1), json!([{"flow_name": "web"}])),
        artifact("miner:1", &digest(2), json!([])),
        artifact("tool:1", &digest(3), json!([])),
    ]});
    let allowed = json!([{
        "artifact_name": "tool", "fingerprint": digest(3), "environment_name": "aws-prod",
        "timestamp": 1_661_161_000, "user_name": "Ada", "description": "a tool",
    }]);
    let reported =
        json!({"filename": "web:1", "fingerprint": digest(1), "created_at": "1661161217.0"});
    for document in [&snapshot, &allowed, &reported] {
        server.then_json(200, document);
    }
    let shown = output_with_findings(ask_at(&server.url, &["rogue", "aws-prod"]).await);
    for line in [
        "\nrogue    Name: miner:1 ",
        "\nlate     Name: web:1 ",
        "reported by pipeline web 1 minute after that\n",
        "allowed by Ada on Mon, 22 Aug 2022 09:36:40 UTC: a tool\n",
        "\n1 rogue, 1 late, 1 allowed among 3 artifacts of aws-prod#7.\n",
        "The server does not say where artifacts come from.",
    ] {
        assert!(shown.contains(line), "no {line:?} in {shown}");
    }
    let query = "?origin=allowed&origin=late&origin=unknown&origin=rogue";
    let path = "/api/v2/snapshots/acme/aws-prod/-1";
    assert_eq!(server.received()[0].path, format!("{path}{query}"));
    for document in [&snapshot, &allowed, &reported] {
        server.then_json(200, document);
    }
    let before = server.received().len();
    output_with_findings(ask_at(&server.url, &["rogue", "aws-prod", "--evidence"]).await);
    assert_eq!(server.received()[before].path, path);
    server.then_json(200, &snapshot);
    let error = ask_at(&server.url, &["missing", "aws-prod"]).await.failed();
    assert!(error.contains("keeps no announced deployments"), "{error}");
}
