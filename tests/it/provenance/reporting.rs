//! What jobs of CI report.

use super::git::git;
use super::story::{RUNNER, Story, seconds_after};
use crate::harness::http_client;
use crate::recorder::server::digest;

/// When the jobs report.
const REPORTED_AT: &str = "2022-08-22T09:35:00Z";

#[tokio::test(flavor = "multi_thread")]
async fn artifact_report_reads_commit_author_and_urls_from_git() {
    let story = Story::at(REPORTED_AT).await;
    let repository = tempfile::tempdir().unwrap();
    let directory = repository.path();
    git(directory, &["init", "-q", "-b", "main"]);
    git(directory, &["remote", "add", "origin", "https://ada:s3cret@git.acme.com/acme/site.git"]);
    git(directory, &["commit", "-q", "--allow-empty", "-m", "First\n\nwith more"]);
    let commit = git(directory, &["rev-parse", "HEAD"]);
    std::fs::write(directory.join("site.zip"), "a\n").unwrap();
    let file = directory.join("site.zip");
    let arguments = [
        "artifact",
        "report",
        "site",
        file.to_str().unwrap(),
        "--git",
        directory.to_str().unwrap(),
        "--build-url",
        "https://ci.acme.com/1",
    ];
    let shown = story.ask(&arguments).await.success();
    assert_eq!(
        shown,
        format!(
            "Reported site.zip to pipeline site, trail {commit}.\nSHA256: \
             87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7\n"
        )
    );
    let found = story.json(&["artifact", "get", &format!("site:{commit}")]).await;
    let info = &found[0]["git_commit_info"];
    assert_eq!(found[0]["git_commit"], *commit);
    assert_eq!(found[0]["commit_url"], format!("https://git.acme.com/acme/site/commit/{commit}"));
    assert_eq!(found[0]["repo_url"], "https://git.acme.com/acme/site");
    assert_eq!(
        (&info["message"], &info["author"]),
        (&"First\n\nwith more".into(), &"Ada <ada@acme.com>".into())
    );
    assert_eq!(info["branch"], "main");
    assert!(!found.to_string().contains("s3cret"), "{found}");

    let error = story
        .ask(&[
            "artifact",
            "report",
            "site",
            "--name",
            "x",
            "--fingerprint",
            RUNNER,
            "--git",
            directory.to_str().unwrap(),
        ])
        .await
        .failed();
    assert!(error.contains("Give --build-url"), "{error}");
    let error = story
        .ask(&[
            "artifact",
            "report",
            "site",
            "--name",
            "x",
            "--fingerprint",
            RUNNER,
            "--git",
            "/",
            "--commit",
            "abc",
        ])
        .await
        .failed();
    assert!(error.contains("Give the whole commit"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_stored_with_its_file_and_decides_compliance() {
    let story = Story::at(REPORTED_AT).await;
    let files = tempfile::tempdir().unwrap();
    let junit = files.path().join("results");
    std::fs::create_dir(&junit).unwrap();
    let xml = "<testsuite name='a'><testcase name='1'/><testcase name='2'/></testsuite>";
    std::fs::write(junit.join("a.xml"), xml).unwrap();
    let commit = super::story::COMMIT;
    let report = [
        "artifact",
        "report",
        "runner",
        "--name",
        "runner:1",
        "--fingerprint",
        RUNNER,
        "--template-name",
        "runner",
    ];
    story.job(REPORTED_AT, "runner", commit, &report).await;
    let unit_test = [
        "artifact",
        "evidence",
        "runner",
        "--name",
        "runner.unit-test",
        "--junit",
        junit.to_str().unwrap(),
        "--fingerprint",
        RUNNER,
    ];
    assert_eq!(
        story.job(&seconds_after(REPORTED_AT, 1), "runner", commit, &unit_test).await,
        format!(
            "Reported unit-test evidence to pipeline runner, trail {commit}.\n\
             2 tests in 1 file: 0 failed, 0 in error, 0 skipped.\n"
        )
    );
    let path = format!("/attestations/acme/runner/artifact/{RUNNER}/unit-test");
    let found = story.recorder.get(&path).await.body;
    assert_eq!(
        (&found[0]["is_compliant"], &found[0]["attestation_type"]),
        (&true.into(), &"junit".into())
    );
    assert_eq!(found[0]["junit_results"][0]["total"], 2);
    let id = found[0]["attestation_id"].as_str().unwrap();
    let url = format!(
        "{}/api/v2/attestations/acme/runner/trail/{commit}/attestation/{id}/evidence",
        story.recorder.url
    );
    let kept = http_client().get(url).send().await.unwrap();
    assert_eq!(kept.text().await.unwrap(), xml);

    // A failure is evidence as well.
    std::fs::write(
        junit.join("b.xml"),
        xml.replace("name='2'/>", "name='2'><failure/></testcase>"),
    )
    .unwrap();
    story.job(&seconds_after(REPORTED_AT, 2), "runner", commit, &unit_test).await;
    let shown = story.ask(&["artifact", "get", "runner@9af401c"]).await.success();
    assert!(shown.contains("State:       NON-COMPLIANT (non-compliant: unit-test)\n"), "{shown}");

    let snyk = files.path().join("snyk.json");
    std::fs::write(&snyk, r#"{"snyk_results": {"schema_version": "1", "tool": {"name": "snyk", "version": "1"}, "results": [{"high_count": 1, "medium_count": 0, "low_count": 0}]}}"#).unwrap();
    let scan = [
        "artifact",
        "evidence",
        "runner",
        "--name",
        "scan",
        "--kind",
        "snyk",
        "--data",
        snyk.to_str().unwrap(),
    ];
    story.job(&seconds_after(REPORTED_AT, 3), "runner", commit, &scan).await;
    let found =
        story.recorder.get(&format!("/attestations/acme/runner/trail/{commit}/scan")).await.body;
    assert_eq!(found[0]["is_compliant"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_evidence_and_deployment_reports_fail_with_the_reason() {
    let story = Story::at(REPORTED_AT).await;
    let files = tempfile::tempdir().unwrap();
    let empty = files.path().to_str().unwrap();
    let evidence = ["artifact", "evidence", "runner", "--name", "x", "--trail", "t", "--git", "/"];
    let unknown = digest(9);
    for (arguments, expected) in [
        (vec!["--junit", empty], "no file *.xml in"),
        (vec!["--generic"], "--compliant"),
        (vec!["--generic", "--compliant", "true", "--attach", empty], "is not a file"),
        (vec!["--kind", "spam", "--data", "x"], "custom:NAME"),
        (vec!["--kind", "snyk", "--data", "/none"], "cannot read /none"),
        (vec![], "--junit"),
        (
            vec!["--generic", "--compliant", "true", "--fingerprint", &unknown],
            "does not exist in trail",
        ),
    ] {
        let error = story.ask(&[&evidence[..], &arguments].concat()).await.failed();
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    let error = story
        .ask(&[
            "artifact",
            "deployment",
            "runner",
            "--environment",
            "aws-prod",
            "--fingerprint",
            RUNNER,
            "--git",
            "/",
        ])
        .await
        .failed();
    assert!(error.contains("does not exist"), "{error}");
    let error = ["pipeline", "create", "x", "--db", "x.db"];
    let error = story.ask(&error).await.failed();
    assert!(error.contains("--db only reads a file"), "{error}");
}
