//! Lists as CSV.

use super::{ask_at, recorder_with_rollover};
use crate::recorder::server::{Recorder, digest, task};

#[tokio::test(flavor = "multi_thread")]
async fn lists_print_as_csv_with_a_heading_and_other_commands_refuse_csv() {
    let recorder = recorder_with_rollover().await;
    let two = digest(2);
    for (question, heading, row) in [
        (
            "env ls",
            "environment,type,last_reported,last_changed,include_scaling,description",
            "aws-prod,ECS,2022-08-22T10:09:22.5Z,2022-08-22T10:09:22.5Z,true,".to_owned(),
        ),
        (
            "env log aws-prod",
            "environment,snapshot,from,to,confirmed_until",
            "aws-prod,1,2022-08-22T09:49:22.5Z,2022-08-22T09:59:22.5Z,2022-08-22T09:49:22.5Z"
                .to_owned(),
        ),
        (
            "env log --long",
            "environment,snapshot,at,change,artifact,fingerprint,description,first_time_here",
            format!("aws-prod,3,2022-08-22T10:09:22.5Z,changed,ecr/runner:2,{two},"),
        ),
        (
            "env get aws-prod",
            "artifact,fingerprint,replicas,started,first_seen,confirmed_until,commit,pipeline,",
            format!("ecr/runner:2,{two},3,"),
        ),
        (
            "env get aws-prod@02020",
            "artifact,fingerprint,environment,first_snapshot,",
            format!("ecr/runner:2,{two},aws-prod,2,3,"),
        ),
        (
            "env diff aws-prod#1 aws-prod#3",
            "change,artifact,fingerprint,replicas_before,replicas_after,pipeline,commit",
            format!("started,ecr/runner:2,{two},0,3,,"),
        ),
        (
            "artifact where runner:2",
            "artifact,fingerprint,environment,first_snapshot,",
            format!("ecr/runner:2,{two},aws-beta,1,1,2022-08-22T09:59:22.5Z,,1,"),
        ),
        (
            "matrix",
            "repository,environment,version,artifact,",
            format!("ecr/runner,aws-prod,2,ecr/runner:2,{two},"),
        ),
        ("allow --list", "id,environment,artifact,fingerprint,pattern,reason,by,at", String::new()),
        ("pipeline ls", "pipeline,description,visibility,", String::new()),
        (
            "missing aws-prod",
            "problem,artifact,fingerprint,pipeline,deployment,started",
            String::new(),
        ),
        (
            "rogue aws-prod",
            "status,artifact,fingerprint,replicas,",
            format!("rogue,ecr/runner:2,{two},3,"),
        ),
    ] {
        let arguments: Vec<_> = question.split(' ').chain(["-o", "csv"]).collect();
        let answer = ask_at(&recorder.url, &arguments).await;
        assert_ne!(answer.code, Some(2), "{answer:?}");
        let mut lines = answer.out.lines();
        assert!(lines.next().is_some_and(|it| it.starts_with(heading)), "{question}: {answer:?}");
        assert!(
            answer.out.lines().any(|it| it.starts_with(&row)),
            "{question}: no {row} in {answer:?}"
        );
        assert!(row.is_empty() || lines.next().is_some(), "{question}: {answer:?}");
    }
    for question in
        ["env inspect aws-prod", "env watch aws-prod", "pipeline inspect runner", "trace 9af401c"]
    {
        let arguments: Vec<_> = question.split(' ').chain(["-o", "csv"]).collect();
        let error = ask_at(&recorder.url, &arguments).await.failed();
        assert!(error.contains("no list"), "{question}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_cell_that_spreadsheets_take_for_a_formula_begins_with_a_quote() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", None).await;
    recorder.report("aws-prod", &[task(1, "=cmd|'/c calc'!A1,\"", &digest(1), 5)]).await;
    let out = ask_at(&recorder.url, &["env", "get", "aws-prod", "-o", "csv"]).await.success();
    assert!(out.contains("\n\"'=cmd|'/c calc'!A1,\"\"\","), "{out}");
}
