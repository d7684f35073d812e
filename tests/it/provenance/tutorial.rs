//! The commands of the tutorial, with its answers.

use serde_json::Value;

use super::story::{RUNNER, Story};

/// Output of `envsnap pipeline ls` for the twelve pipelines of the tutorial.
pub(crate) const PIPELINE_LIST: &str = "\
NAME                    DESCRIPTION                         VISIBILITY
creator                 UX for Group/Kata creation          public
custom-start-points     Custom exercises choices            public
dashboard               UX for a group practice dashboard   public
differ                  Diff files from two traffic-lights  public
exercises-start-points  Exercises choices                   public
languages-start-points  Language+TestFramework choices      public
nginx                   Reverse proxy                       public
repler                  REPL for Python images              public
runner                  Test runner                         public
saver                   Group/Kata model+persistence        public
shas                    UX for git+image shas               public
web                     UX for practicing TDD               public
";

/// Lines without ages such as `• 3 hours ago`, which depend on the time of the test.
fn without_ages(text: &str) -> Vec<String> {
    let line = |line: &str| line.split(" • ").next().unwrap_or_default().trim_end().to_owned();
    text.lines().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pipeline_ls_and_artifact_get_print_as_in_the_tutorial() {
    let files = tempfile::tempdir().unwrap();
    let story = Story::tutorial(files.path()).await;
    story.report_exit_of_runner().await;
    for command in ["pipeline", "flow"] {
        assert_eq!(story.ask(&[command, "ls"]).await.success(), PIPELINE_LIST);
    }
    let card = "\
Name:        cyberdojo/runner:16d9990
SHA256:      9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625
Created on:  Mon, 22 Aug 2022 09:35:00 UTC
Git commit:  16d9990ad23a40eecaf087abac2a58a2d2a4b3f4
Commit URL:  https://github.com/cyber-dojo/runner/commit/16d9990ad23a40eecaf087abac2a58a2d2a4b3f4
Build URL:   https://github.com/cyber-dojo/runner/actions/runs/2902808452
State:       COMPLIANT
History:
    Artifact created                               Mon, 22 Aug 2022 09:35:00 UTC
    branch-coverage evidence received              Mon, 22 Aug 2022 09:36:02 UTC
    Deployment #1 to aws-beta environment          Mon, 22 Aug 2022 09:37:17 UTC
    Deployment #2 to aws-prod environment          Mon, 22 Aug 2022 09:38:21 UTC
    Reported running in aws-beta#84 environment    Mon, 22 Aug 2022 09:38:28 UTC
    Reported running in aws-prod#65 environment    Mon, 22 Aug 2022 09:39:22 UTC
    No longer running in aws-beta#86 environment   Wed, 24 Aug 2022 16:05:42 UTC
    No longer running in aws-prod#67 environment   Wed, 24 Aug 2022 16:12:28 UTC";
    let card: Vec<_> = card.lines().collect();
    for artifact in [
        "runner:16d9990ad23a40eecaf087abac2a58a2d2a4b3f4",
        "runner:16d9990",
        "runner@9af401c",
        "9af401c",
        RUNNER,
    ] {
        let shown = story.ask(&["artifact", "get", artifact]).await.success();
        assert!(shown.contains("UTC • "), "{shown}");
        // Where columns are as wide as their contents.
        let shown = without_ages(&shown);
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(shown[..8], card[..8], "{artifact}");
        assert_eq!(
            shown.iter().map(|it| words(it)).collect::<Vec<_>>(),
            card.iter().map(|it| words(it)).collect::<Vec<_>>(),
            "{artifact}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn env_get_and_env_diff_show_commits_pipelines_and_compliance() {
    let files = tempfile::tempdir().unwrap();
    let story = Story::tutorial(files.path()).await;
    let shown = story.ask(&["env", "get", "aws-prod#65"]).await.success();
    let words: Vec<_> = shown.split_whitespace().collect();
    let words = words.join(" ");
    for expected in [
        "COMMIT ARTIFACT PIPELINE STARTED REPLICAS STATE 16d9990 Name: 274425519734.dkr.ecr",
        "7c45272 Name: 274425519734.dkr.ecr",
        "85d83c6 Name: 274425519734.dkr.ecr",
        " 3 COMPLIANT ",
        " 1 INCOMPLETE ",
    ] {
        assert!(words.contains(expected), "{expected:?} is not in {shown}");
    }
    assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");

    let shown = story.ask(&["env", "diff", "aws-prod#65", "aws-prod#66"]).await.success();
    let shown = without_ages(&shown);
    assert_eq!(
        shown[4..10],
        [
            "- Name:   274425519734.dkr.ecr.eu-central-1.amazonaws.com/runner:85d83c6",
            "  Sha256: eeb0cfc9ee7f69fbd9531d5b8c1e8d22a8de119e2a422344a714a868e9a8bfec",
            "  Pipeline: runner",
            "  Commit: https://github.com/cyber-dojo/runner/commit/85d83c6ab8e0ce800baeef3dfa4fa9f6eee338a4",
            "  Started: Sat, 20 Aug 2022 20:32:43 UTC",
            "  First seen: Sun, 21 Aug 2022 12:00:00 UTC at the latest",
        ]
    );
    assert!(shown[10].starts_with("  Confirmed until: "), "{shown:?}");
    assert_eq!(shown[11], "  State: INCOMPLETE (missing or non-compliant: branch-coverage)");
}

#[tokio::test(flavor = "multi_thread")]
async fn env_get_and_artifact_where_find_artifacts_by_repository_name() {
    let files = tempfile::tempdir().unwrap();
    let story = Story::tutorial(files.path()).await;
    let shown = story.ask(&["env", "get", "aws-prod#65", "--name", "runner"]).await.success();
    assert_eq!(shown.matches("Name: ").count(), 2, "{shown}");
    assert!(!shown.contains("shas"), "{shown}");
    let shown = story.ask(&["env", "get", "aws-prod#65", "--name", "nginx"]).await.success();
    assert!(shown.contains("Nothing called nginx ran.\n"), "{shown}");
    let found = story.json(&["env", "get", "aws-prod#65", "--name", "shas"]).await;
    let names: Vec<_> =
        found["artifacts"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["274425519734.dkr.ecr.eu-central-1.amazonaws.com/shas:7c45272"]);
    let shown = story.ask(&["artifact", "where", "shas"]).await.success();
    assert!(shown.contains("    aws-prod#1..#66  "), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn artifact_ls_lists_artifacts_of_a_pipeline_up_to_the_limit() {
    let files = tempfile::tempdir().unwrap();
    let story = Story::tutorial(files.path()).await;
    let shown = story.ask(&["artifact", "ls", "runner"]).await.success();
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines[0].starts_with("COMMIT   ARTIFACT "), "{shown}");
    assert!(lines[0].ends_with("STATE       CREATED_AT"), "{shown}");
    assert!(lines[1].starts_with("16d9990  Name: cyberdojo/runner:16d9990  "), "{shown}");
    assert!(lines[4].starts_with("85d83c6  Name: cyberdojo/runner:85d83c6  "), "{shown}");
    let limited = story.ask(&["artifact", "ls", "runner", "--limit", "1"]).await;
    assert_eq!(limited.error, "There are more than 1: --limit says how many are listed.\n");
    assert_eq!(limited.out.matches("Name: ").count(), 1, "{limited:?}");
    assert_eq!(
        story.ask(&["artifact", "ls", "nginx"]).await.success(),
        "Pipeline nginx has reported no artifact yet.\n"
    );
    let error = story.ask(&["artifact", "ls", "none"]).await.failed();
    assert!(error.contains("Flow named 'none' does not exist"), "{error}");
    assert!(error.contains("envsnap pipeline ls lists"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_output_of_pipelines_and_artifacts_equals_the_servers_response() {
    let files = tempfile::tempdir().unwrap();
    let story = Story::tutorial(files.path()).await;
    let by_commit = format!("/artifacts/acme/runner/commit_sha/{}", super::story::COMMIT);
    for (arguments, path) in [
        (&["pipeline", "ls"][..], "/flows/acme"),
        (&["pipeline", "inspect", "runner"], "/flows/acme/runner"),
        (&["artifact", "ls", "runner"], "/artifacts/acme?flow_name=runner"),
        (&["artifact", "get", "runner:16d9990"], &*by_commit),
        (&["artifact", "get", "runner@9af401c"], "/artifacts/acme/runner/fingerprint/9af401c"),
    ] {
        let shown = story.json(arguments).await;
        assert_eq!(shown, story.recorder.get(path).await.body, "{arguments:?}");
    }
    let alone = story.json(&["artifact", "get", "9af401c"]).await;
    assert_eq!(alone[0]["flow_name"], "runner");
    assert!(matches!(alone, Value::Array(list) if list.len() == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_artifacts_and_pipelines_and_invalid_names_fail_with_a_remedy() {
    let files = tempfile::tempdir().unwrap();
    let story = Story::tutorial(files.path()).await;
    for (arguments, expected) in [
        (&["artifact", "get", "runner:abcdef0"][..], "envsnap artifact ls PIPELINE lists"),
        (&["artifact", "get", "runner@abcdef0"], "envsnap artifact ls PIPELINE lists"),
        (&["artifact", "get", "none@abcdef0"], "lists"),
        (&["artifact", "get", "abcdef0"], "envsnap artifact where NAME looks for it"),
        (&["artifact", "get", "runner"], "5 to 64 hexadecimal digits"),
        (&["pipeline", "inspect", "none"], "envsnap pipeline ls lists"),
        (&["pipeline", "create", "a/b"], "the name of a pipeline or trail has letters"),
    ] {
        let error = story.ask(arguments).await.failed();
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}
