//! From a commit to what runs, and back.

use serde_json::json;

use super::git::git;
use super::story::{COMMIT, OLD_RUNNER, RUNNER, SHAS, Story, new_runner, old_runner, shas};
use crate::recorder::server::digest;

#[tokio::test(flavor = "multi_thread")]
async fn trace_lists_the_artifacts_of_a_commit_and_where_they_ran() {
    let files = tempfile::tempdir().unwrap();
    let story = Story::tutorial(files.path()).await;
    story.report_exit_of_runner().await;
    let shown = story.ask(&["trace", "16d9990"]).await.success();
    for line in [
        "Name:        cyberdojo/runner:16d9990\n",
        &format!("Pipeline:    runner, trail {COMMIT}\n"),
        "    branch-coverage evidence received ",
        "    Deployment #1 to aws-beta environment ",
        "Environments:\n    aws-beta#84..#85  Mon, 22 Aug 2022 09:38:28 UTC – Wed, 24 Aug 2022 16:05:42 UTC\n",
        "    aws-prod#65..#66  Mon, 22 Aug 2022 09:39:22 UTC – Wed, 24 Aug 2022 16:12:28 UTC\n",
    ] {
        assert!(shown.contains(line), "no {line:?} in {shown}");
    }
    let found = story.json(&["trace", COMMIT]).await;
    assert_eq!(found["artifacts"][0]["runs"][1]["environment"], "aws-prod");
    assert_eq!(found["artifacts"][0]["runs"][1]["first_snapshot"], 65);
    let error = story.ask(&["trace", "abcdef0"]).await.failed();
    assert!(error.contains("--git DIR finds that in a local repository"), "{error}");
    let error = story.ask(&["trace", "HEAD"]).await.failed();
    assert!(error.contains("any name that git knows with --git DIR"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn trace_of_a_commit_without_artifact_finds_the_first_later_commit_that_has_one() {
    let story = Story::at("2022-08-22T09:35:00Z").await;
    let repository = tempfile::tempdir().unwrap();
    let directory = repository.path();
    git(directory, &["init", "-q", "-b", "main"]);
    let commit = |message: &str| {
        git(directory, &["commit", "-q", "--allow-empty", "-m", message]);
        git(directory, &["rev-parse", "HEAD"])
    };
    let [first, _, third, last] = ["1", "2", "3", "4"].map(commit);
    // A commit beside them is later and does not contain the first.
    git(directory, &["checkout", "-q", "--orphan", "other"]);
    let beside = commit("other");
    git(directory, &["checkout", "-q", "main"]);
    let at = directory.to_str().unwrap();
    for (fingerprint, built) in [(digest(1), &beside), (digest(3), &third), (digest(4), &last)] {
        let report = [
            "artifact",
            "report",
            "site",
            "--name",
            "site",
            "--fingerprint",
            &fingerprint,
            "--commit",
            built,
            "--git",
            at,
            "--repo-url",
            "https://github.com/acme/site",
            "--build-url",
            "https://ci/1",
        ];
        story.ask(&report).await.success();
    }
    let shown = story.ask(&["trace", "HEAD~3", "--git", at]).await.success();
    let heading = format!(
        "Commit {first} has no artifact of its own.\nThe first one after it that contains it and has one, \
         2 commits later:\n\nName:        site\nSHA256:      {}\n",
        digest(3)
    );
    assert!(shown.starts_with(&heading), "{shown}");
    assert!(shown.contains("Environments: none: it never ran\n"), "{shown}");
    let found = story.json(&["trace", &first, "--git", at]).await;
    assert_eq!((&found["commit"], &found["later_commit"]), (&json!(first), &json!(third)));
    let error = story.ask(&["trace", "nothing", "--git", at]).await.failed();
    assert!(error.contains("there is no commit nothing in"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn matrix_lists_running_versions_by_repository_and_environment() {
    let files = tempfile::tempdir().unwrap();
    let story = Story::tutorial(files.path()).await;
    assert_eq!(
        story.ask(&["matrix"]).await.success(),
        "\
REPOSITORY  aws-beta  aws-prod
runner      16d9990   16d9990
            85d83c6
shas        7c45272   7c45272
"
    );
    assert_eq!(
        story.ask(&["matrix", "aws-prod", "--name", "runner"]).await.success(),
        "REPOSITORY  aws-prod\nrunner      16d9990\n"
    );
    let found = story.json(&["matrix"]).await;
    let versions = &found["repositories"][0]["versions"]["aws-beta"];
    assert_eq!(
        (&versions[0]["version"], &versions[1]["fingerprint"]),
        (&json!("16d9990"), &json!(OLD_RUNNER))
    );
    assert_eq!(found["without_snapshot"], json!([]));
    assert_eq!(
        story.ask(&["matrix", "--name", "none"]).await.success(),
        "Nothing runs that is called so.\n"
    );
    let error = story.ask(&["matrix", "none"]).await.failed();
    assert!(error.contains("envsnap env ls lists"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_command_compares_announced_deployments_with_what_runs() {
    let files = tempfile::tempdir().unwrap();
    let story = Story::tutorial(files.path()).await;
    let deployment = |pipeline, fingerprint| {
        [
            "artifact",
            "deployment",
            pipeline,
            "--environment",
            "aws-prod",
            "--fingerprint",
            fingerprint,
        ]
    };
    // What runs was announced, except shas.
    let shown = story.ask(&["missing", "aws-prod"]).await.success();
    assert_eq!(shown.matches("Name: ").count(), 1, "{shown}");
    assert!(
        shown.contains("\nnot announced  Name: ") && shown.contains("/shas:7c45272"),
        "{shown}"
    );
    let announced =
        story.job("2022-08-22T10:00:00Z", "shas", COMMIT, &deployment("shas", SHAS)).await;
    assert_eq!(announced, "Deployment #1 of pipeline shas to aws-prod is announced.\n");
    let misspelt = deployment("shas", SHAS).map(|it| if it == "aws-prod" { "aws-prd" } else { it });
    let announced = story.ask(&misspelt).await;
    assert!(announced.error.contains("There is no environment aws-prd yet."), "{announced:?}");
    assert_eq!(
        story.ask(&["missing", "aws-prod", "--exit-code"]).await.success(),
        "What runs in aws-prod#66 is what was announced.\n"
    );

    // The older runner is back.
    story.report("aws-prod", "2022-08-22T10:10:00Z", &[old_runner(), shas()]).await;
    let back = story.ask(&["missing", "aws-prod", "--exit-code"]).await;
    assert_eq!(back.code, Some(1), "{back:?}");
    assert!(back.out.contains("\nrolled back    Name: "), "{}", back.out);
    assert!(
        back.out.contains("deployment #2 of 9af401c was announced later, ran and exited\n"),
        "{}",
        back.out
    );
    let found = story.json(&["missing", "aws-prod"]).await;
    let problems: Vec<_> = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["problem"].as_str().unwrap())
        .collect();
    assert_eq!(problems, ["not announced", "rolled back"]);

    // It is announced again, and does not start.
    story.job("2022-08-22T10:20:00Z", "runner", COMMIT, &deployment("runner", RUNNER)).await;
    let shown = story.ask(&["missing", "aws-prod"]).await.success();
    assert!(shown.contains("\nnot started    Name: cyberdojo/runner:16d9990 "), "{shown}");
    assert!(
        shown.contains("deployment #3 was announced Mon, 22 Aug 2022 10:20:00 UTC • "),
        "{shown}"
    );
    assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
    story.report("aws-prod", "2022-08-22T10:21:00Z", &[new_runner(3), shas()]).await;
    let shown = story.ask(&["missing", "aws-prod"]).await.success();
    assert_eq!(shown, "What runs in aws-prod#68 is what was announced.\n");

    let error = story.ask(&["missing", "none"]).await.failed();
    assert!(error.contains("envsnap env ls lists"), "{error}");
}
