//! The command line's questions beside those of the server's own client.

use serde_json::Value;

use crate::history::History;
use crate::programs::{ProgramOutput, envsnap};

/// What our command line adds to the server's document of a difference.
const OURS: [&str; 2] = ["between", "replaced"];

/// What must be equal in two answers that were given at two moments.
fn timeless(mut answer: Value) -> Value {
    if let Some(fields) = answer.as_object_mut() {
        fields.retain(|name, _| !OURS.contains(&&**name));
    }
    if let Some(snapshots) = answer.as_array_mut() {
        for snapshot in snapshots.iter_mut().filter_map(Value::as_object_mut) {
            // Of the latest, until the question.
            snapshot.remove("duration");
        }
    }
    answer
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn both_command_lines_are_given_the_same_documents() {
    let history = History::start().await;
    for (ours, theirs) in [
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
        envsnap.args(ours.split(' ')).args(["-o", "json"]).envs(history.recorder.variables());
        let shown = ProgramOutput::wait(&mut envsnap).await.success();
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(timeless(shown), timeless(history.json(theirs).await), "{ours}");
    }
}
