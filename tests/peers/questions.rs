//! The query commands of `envsnap` and of the `kosli` client, compared: both print the same JSON.

use serde_json::Value;

use crate::history::HistoryFixture;
use crate::programs::{ProgramOutput, envsnap};

/// The fields that only `envsnap env diff` has.
const ENVSNAP_ONLY_FIELDS: [&str; 2] = ["between", "replaced"];

/// `answer` without the fields that depend on the time of the query or are only `envsnap`'s.
fn comparable_part(mut answer: Value) -> Value {
    if let Some(fields) = answer.as_object_mut() {
        fields.retain(|name, _| !ENVSNAP_ONLY_FIELDS.contains(&&**name));
    }
    if let Some(snapshots) = answer.as_array_mut() {
        for snapshot in snapshots.iter_mut().filter_map(Value::as_object_mut) {
            // That of the latest snapshot grows until the query.
            snapshot.remove("duration");
        }
    }
    answer
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn envsnap_and_kosli_queries_print_the_same_json() {
    let history = HistoryFixture::start().await;
    for (envsnap_arguments, kosli_arguments) in [
        ("env ls", "list environments"),
        ("env inspect aws-prod", "get environment aws-prod"),
        ("env get aws-prod", "get snapshot aws-prod"),
        ("env get aws-prod#1", "get snapshot aws-prod#1"),
        ("env get aws-prod~1", "get snapshot aws-prod~1"),
        ("env get aws-prod@{now}", "get snapshot aws-prod@{now}"),
        ("env log aws-prod", "list snapshots aws-prod"),
        ("env log aws-prod 1..2", "list snapshots aws-prod --interval 1..2"),
        ("env log aws-prod --long", "log environment aws-prod"),
        ("env diff aws-prod#1 aws-prod#2", "diff snapshots aws-prod#1 aws-prod#2"),
        ("env diff aws-beta aws-prod", "diff snapshots aws-beta aws-prod"),
    ] {
        let mut envsnap = envsnap();
        envsnap
            .args(envsnap_arguments.split(' '))
            .args(["-o", "json"])
            .envs(history.recorder.variables());
        let stdout = ProgramOutput::run(&mut envsnap).await.success();
        let answer: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(
            comparable_part(answer),
            comparable_part(history.kosli_json(kosli_arguments).await),
            "{envsnap_arguments}"
        );
    }
}
