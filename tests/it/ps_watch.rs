//! `envsnap ps --watch` beside an account that changes.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use envsnap::standin::{Cluster, Fault, Operation, StandIn};
use serde_json::{Value, json};

use crate::harness::{app, digest, task, world};

/// A running `envsnap ps --watch=1`.
struct Watch {
    process: Child,
    out: BufReader<ChildStdout>,
    error: BufReader<ChildStderr>,
}

impl Watch {
    fn start(ecs: &StandIn, arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_envsnap"))
            .args(["ps", "--watch=1"])
            .args(arguments)
            .env_clear()
            .env("AWS_ENDPOINT_URL", ecs.endpoint())
            .envs([("AWS_REGION", "eu-central-1"), ("TZ", "UTC")])
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let error = BufReader::new(process.stderr.take().unwrap());
        let mut watch = Self { process, out, error };
        assert_eq!(
            watch.next_error_line(),
            "Watching 5 containers of 3 artifacts, every 1 second (- exited, + started, ~ scaled). \
             Ctrl-C ends it.\n"
        );
        watch
    }

    fn next_line(&mut self) -> String {
        let mut line = String::new();
        tokio::task::block_in_place(|| self.out.read_line(&mut line)).unwrap();
        line
    }

    fn next_error_line(&mut self) -> String {
        let mut line = String::new();
        tokio::task::block_in_place(|| self.error.read_line(&mut line)).unwrap();
        line
    }

    fn exit_code(&mut self) -> Option<i32> {
        tokio::task::block_in_place(|| self.process.wait()).unwrap().code()
    }

    /// The rest of the output and of the errors after this signal, and the exit code.
    fn end(mut self, signal: &str) -> (String, String, Option<i32>) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        let code = self.exit_code();
        let (mut out, mut error) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.error.read_to_string(&mut error).unwrap();
        (out, error, code)
    }
}

/// The cluster of [`app`] with `runner` replaced and `shas` scaled.
fn changed_cluster() -> Cluster {
    Cluster::new("app")
        .tasks(2, &task("runner", 7))
        .tasks(2, &task("shas", 2))
        .task(task("differ", 3))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_start_exit_and_change_of_replicas_is_printed_as_a_line() {
    let ecs = StandIn::start(app()).await.unwrap();
    let mut watch = Watch::start(&ecs, &[]);
    ecs.set_world(world(changed_cluster()));
    let lines = [watch.next_line(), watch.next_line(), watch.next_line()];
    let without_time = lines.each_ref().map(|line| line.split_once(" UTC  ").unwrap().1);
    let hex = |byte| digest(byte).replace("sha256:", "");
    assert_eq!(
        without_time,
        [
            format!("- runner:1  3 replicas  app/runner  {}\n", hex(1)),
            format!("+ runner:7  2 replicas  app/runner  {}\n", hex(7)),
            format!("~ shas:2  1 -> 2 replicas  app/shas  {}\n", hex(2)),
        ]
    );
    assert_eq!(watch.end("-INT"), (String::new(), String::new(), Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn json_output_has_one_document_per_line_for_each_change() {
    let ecs = StandIn::start(app()).await.unwrap();
    let mut watch = Watch::start(&ecs, &["-o", "json", "app"]);
    ecs.set_world(world(changed_cluster()));
    let mut changes = Vec::new();
    for _ in 0..3 {
        let mut change: Value = serde_json::from_str(&watch.next_line()).unwrap();
        assert!(change["at"].take().as_i64() > Some(1_700_000_000));
        changes.push(change);
    }
    assert_eq!(
        changes[1],
        json!({
            "at": null, "change": "started", "name": "runner:7", "from": 0, "to": 2,
            "fingerprint": "07".repeat(32), "places": ["app/runner"],
        })
    );
    assert_eq!((&changes[2]["change"], &changes[2]["to"]), (&json!("scaled"), &json!(2)));
    assert_eq!(watch.end("-TERM"), (String::new(), String::new(), Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_exits_with_0_if_its_output_is_closed() {
    let ecs = StandIn::start(app()).await.unwrap();
    let mut watch = Watch::start(&ecs, &[]);
    let out = std::mem::replace(&mut watch.out, BufReader::new(empty_output()));
    drop(out);
    ecs.set_world(world(changed_cluster()));
    assert_eq!(watch.exit_code(), Some(0));
    let mut error = String::new();
    watch.error.read_to_string(&mut error).unwrap();
    assert_eq!(error, "");
}

/// The output of a program that prints nothing.
fn empty_output() -> ChildStdout {
    let mut program = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
    program.wait().unwrap();
    program.stdout.take().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transient_error_is_retried_and_a_permanent_one_ends_the_watch() {
    let ecs = StandIn::start(app()).await.unwrap();
    let mut watch = Watch::start(&ecs, &[]);
    ecs.faults(|faults| {
        faults.always(Operation::ListTasks, Fault::json("no JSON"));
    });
    let failing = watch.next_error_line();
    assert!(failing.ends_with(". Trying again.\n"), "{failing}");
    ecs.faults(|faults| {
        faults.clear();
    });
    ecs.set_world(world(changed_cluster()));
    assert_eq!(watch.next_error_line(), "ECS can be read again.\n");
    assert!(watch.next_line().contains("- runner:1"), "nothing is missed");
    ecs.faults(|faults| {
        faults.always(Operation::ListTasks, Fault::AccessDenied);
    });
    let end = watch.next_error_line();
    assert!(end.starts_with("envsnap: ECS did not list the running tasks"), "{end}");
    assert_eq!(watch.exit_code(), Some(2));
}
