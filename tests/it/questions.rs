//! The questions of the command line, put to a recorder, to its file, and to servers that misbehave.

mod csv;
mod hostile;
mod log;
mod pages;
mod terminal;
mod watching;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::command_line::{envsnap, text};
use crate::recorder::server::{Recorder, digest, task, write_secret};

/// How `envsnap` ended, and what it wrote.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) error: String,
}

/// Runs `envsnap` in UTC, in a process of its own, while this one serves.
pub(crate) async fn ask(arguments: &[&str], variables: &[(&str, &str)]) -> Answer {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let arguments = owned(arguments);
    let (names, values): (Vec<_>, Vec<_>) = variables.iter().copied().unzip();
    let (names, values) = (owned(&names), owned(&values));
    let output = tokio::task::spawn_blocking(move || {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let mut variables: Vec<_> =
            names.iter().zip(&values).map(|(name, value)| (&**name, &**value)).collect();
        variables.push(("TZ", "UTC"));
        envsnap(&arguments, &variables)
    })
    .await
    .unwrap();
    Answer { code: output.status.code(), out: text(&output.stdout), error: text(&output.stderr) }
}

/// Runs `envsnap` for organization `acme` of the server at `url`.
pub(crate) async fn ask_at(url: &str, arguments: &[&str]) -> Answer {
    ask(arguments, &[("KOSLI_HOST", url), ("KOSLI_ORG", "acme")]).await
}

impl Answer {
    /// The output of a run that exited with 0 and wrote no error.
    #[track_caller]
    pub(crate) fn success(self) -> String {
        assert_eq!((self.code, &*self.error), (Some(0), ""), "{self:?}");
        self.out
    }

    /// The error of a run that exited with 2 and wrote no output.
    #[track_caller]
    pub(crate) fn failed(self) -> String {
        assert_eq!((self.code, &*self.out), (Some(2), ""), "{self:?}");
        self.error
    }
}

/// In `aws-prod`, a rollover from `runner:1` to `runner:2` in three snapshots, ten minutes each, and
/// `runner:2` in `aws-beta` since the second, in one snapshot that was confirmed with the third.
async fn roll_over(recorder: &Recorder) {
    recorder.create("aws-prod", Some(true)).await;
    recorder.create("aws-beta", Some(true)).await;
    let old = task(1, "ecr/runner:1", &digest(1), 1_661_027_563);
    let new = |id| task(id, "ecr/runner:2", &digest(2), 1_661_161_157);
    for artifacts in [vec![old.clone()], vec![old, new(2), new(3)], vec![new(2), new(3), new(4)]] {
        recorder.advance(600.0);
        assert_eq!(recorder.report("aws-prod", &artifacts).await, 201);
        if artifacts.len() == 3 {
            recorder.report("aws-beta", &[new(9)]).await;
        }
    }
}

/// A recorder after [`roll_over`].
async fn recorder_with_rollover() -> Recorder {
    let recorder = Recorder::start().await;
    roll_over(&recorder).await;
    recorder
}

#[tokio::test(flavor = "multi_thread")]
async fn env_and_artifact_commands_print_the_expected_lines() {
    let recorder = recorder_with_rollover().await;
    for (question, lines) in [
        ("env ls", &["NAME ", "aws-beta  ECS", "aws-prod  ECS"][..]),
        (
            "env get aws-prod#2",
            &[
                "aws-prod#2, recorded Mon, 22 Aug 2022 09:59:22 UTC • ",
                "COMMIT  ARTIFACT",
                "N/A     Name: ecr/runner:2",
                "        SHA256: 02020202020202020202020202020202",
                "N/A     Name: ecr/runner:1",
            ],
        ),
        ("env get aws-prod@{now} -o wide", &["aws-prod#3", "N/A     Name: ecr/runner:2"]),
        (
            "env diff aws-prod#1 aws-prod",
            &[
                "From aws-prod#1 to aws-prod#3 (- exited, + started, ~ scaled)",
                "- Name:   ecr/runner:1",
                "  Started: Sat, 20 Aug 2022 20:32:43 UTC • ",
                "+ Name:   ecr/runner:2",
                "  Replicas: 3",
            ],
        ),
        ("env diff aws-prod~1 aws-prod#3", &["- Name:   ecr/runner:1", "  Replicas: 2 -> 3"]),
        ("env diff aws-prod aws-prod#-1", &["The same runs in aws-prod#3 and aws-prod#3."]),
        (
            "env log aws-prod",
            &[
                "SNAPSHOT  FROM ",
                "#3        Mon, 22 Aug 2022 10:09:22 UTC  now ",
                "#2        Mon, 22 Aug 2022 09:59:22 UTC  Mon, 22 Aug 2022 10:09:22 UTC  10 min ",
                "#1        ",
            ],
        ),
        (
            "env log aws-prod 2..3 --long",
            &[
                "#3  Mon",
                "  - ecr/runner:1",
                "    1 instance stopped running (from 1 to 0)",
                "#2  Mon",
            ],
        ),
        ("env inspect aws-prod", &["Name:          aws-prod", "Snapshots:     3"]),
        (
            "artifact where 02020",
            &[
                "Name:   ecr/runner:2",
                "    aws-beta#1      Mon, 22 Aug 2022 09:59:22 UTC – still running, 1 replica",
                "    aws-prod#2..#3  Mon, 22 Aug 2022 09:59:22 UTC – still running, 3 replicas",
            ],
        ),
        (
            "artifact where runner:1",
            &["    aws-prod#1..#2  Mon, 22 Aug 2022 09:49:22 UTC – Mon, 22 Aug 2022 10:09:22 UTC"],
        ),
    ] {
        let shown = ask_at(&recorder.url, &question.split(' ').collect::<Vec<_>>()).await.success();
        let mut rest = shown.lines();
        for &line in lines {
            assert!(
                rest.any(|shown| shown.starts_with(line)),
                "{question}: no {line:?} in {shown}"
            );
        }
        assert!(!shown.contains('\x1b'), "no colours in a pipe: {shown}");
    }
    let log = ask_at(&recorder.url, &["env", "log", "aws-prod"]).await.success();
    assert_eq!(log.lines().count(), 4, "no note: nothing is missing in {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn artifact_where_with_an_unknown_name_exits_with_1_and_lists_similar_names() {
    let recorder = recorder_with_rollover().await;
    for (wanted, expected) in [
        (
            "runer",
            "runer was not found in 2 environments of acme.\nSimilar names that run: runner.\n",
        ),
        ("nginx", "nginx was not found in 2 environments of acme.\n"),
    ] {
        let answer = ask_at(&recorder.url, &["artifact", "where", wanted]).await;
        assert_eq!((answer.code, &*answer.error), (Some(1), ""), "{answer:?}");
        assert_eq!(answer.out, expected);
    }
    let answer = ask_at(&recorder.url, &["artifact", "where", "runer", "-o", "json"]).await;
    let found: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!((answer.code, &found["similar"]), (Some(1), &serde_json::json!(["runner"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn json_output_equals_the_response_of_the_server() {
    let recorder = recorder_with_rollover().await;
    for (question, path) in [
        ("env ls", "/environments/acme"),
        ("env get aws-prod#2", "/snapshots/acme/aws-prod/2"),
        ("env inspect aws-prod", "/environments/acme/aws-prod"),
        ("env log aws-prod", "/snapshots/acme/aws-prod"),
        ("env log aws-prod --long", "/environments/acme/aws-prod/events"),
        (
            "env diff aws-prod#1 aws-prod#2",
            "/env-diff/acme?snappish1=aws-prod%231&snappish2=aws-prod%232",
        ),
    ] {
        let mut arguments: Vec<_> = question.split(' ').collect();
        arguments.extend(["-o", "json"]);
        let shown = ask_at(&recorder.url, &arguments).await.success();
        let mut shown: Value = serde_json::from_str(&shown).unwrap();
        if question.starts_with("env diff") {
            let shown = shown.as_object_mut().unwrap();
            assert!(shown.remove("between").is_some() && shown.remove("replaced").is_some());
        }
        assert_eq!(shown, recorder.get(path).await.body, "{question}");
    }
    let found =
        ask_at(&recorder.url, &["artifact", "where", "runner", "-o", "json"]).await.success();
    let found: Value = serde_json::from_str(&found).unwrap();
    let runs: Vec<_> = found["artifacts"][1]["runs"].as_array().unwrap().iter().collect();
    assert_eq!(found["artifacts"][1]["fingerprint"], digest(2));
    assert_eq!(
        (&runs[1]["environment"], &runs[1]["first_snapshot"]),
        (&"aws-prod".into(), &2.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn short_token_that_equals_an_artifact_name_is_not_redacted_in_output() {
    let recorder = recorder_with_rollover().await;
    for token in ["runner", "e", "1"] {
        let variables =
            [("KOSLI_HOST", &*recorder.url), ("KOSLI_ORG", "acme"), ("KOSLI_API_TOKEN", token)];
        let shown = ask(&["artifact", "where", "runner"], &variables).await.success();
        assert!(shown.contains("Name:   ecr/runner:2\n"), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_code_is_1_for_a_difference_or_no_match_and_2_for_an_error() {
    let recorder = recorder_with_rollover().await;
    for (arguments, code) in [
        (&["env", "diff", "aws-prod#1", "aws-prod#2", "--exit-code"][..], 1),
        (&["env", "diff", "aws-prod#3", "aws-prod", "--exit-code"], 0),
        (&["env", "diff", "aws-prod#1", "aws-prod#2"], 0),
        (&["env", "diff", "aws-prod#1", "aws-prod#9", "--exit-code"], 2),
        (&["artifact", "where", "nginx"], 1),
        (&["artifact", "where", "runner", "--since", "now"], 0),
    ] {
        let answer = ask_at(&recorder.url, arguments).await;
        assert_eq!(answer.code, Some(code), "{arguments:?} {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_of_an_environment_without_a_snapshot_say_how_to_report_it() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", None).await;
    for arguments in [
        &["env", "get", "aws-prod"][..],
        &["env", "get", "aws-prod~1"],
        &["env", "diff", "aws-prod", "aws-prod#1"],
        &["rogue", "aws-prod"],
        &["missing", "aws-prod"],
    ] {
        let error = ask_at(&recorder.url, arguments).await.failed();
        assert!(error.contains("there is no snapshot of aws-prod yet. "), "{arguments:?}: {error}");
        assert!(error.contains("to report it, run `envsnap report`"), "{arguments:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn matrix_names_environments_without_a_snapshot() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", None).await;
    let matrix = async |arguments: &[&str]| {
        let arguments = [&["matrix"], arguments].concat();
        ask_at(&recorder.url, &arguments).await
    };
    let note =
        "(aws-prod has no snapshot yet: nothing has run there, or nothing has reported it)\n";
    for arguments in [&[][..], &["aws-prod", "--name", "web"], &["aws-prod", "aws-prod"]] {
        assert_eq!(matrix(arguments).await.success(), note, "{arguments:?}");
    }
    let document: Value = serde_json::from_str(&matrix(&["-o", "json"]).await.success()).unwrap();
    assert_eq!(document["without_snapshot"], json!(["aws-prod"]));

    for name in ["aws-beta", "aws-empty"] {
        recorder.create(name, None).await;
    }
    assert_eq!(recorder.report("aws-empty", &[]).await, 200);
    let web = task(1, "web:1", &digest(1), 1_661_161_162);
    assert_eq!(recorder.report("aws-beta", &[web]).await, 201);
    let table = "REPOSITORY  aws-beta  aws-empty  aws-prod\nweb         1         -          -\n";
    let empty = "(aws-empty has no snapshot yet: nothing has run there since its first report)\n";
    for (arguments, first) in [
        (&[][..], table),
        (&["-o", "wide"], table),
        (&["--name", "none"], "Nothing runs that is called so.\n"),
    ] {
        let shown = matrix(arguments).await.success();
        assert_eq!(shown, format!("{first}{empty}{note}"), "{arguments:?}");
    }
    assert_eq!(recorder.report("aws-beta", &[]).await, 201);
    assert_eq!(matrix(&[]).await.success(), format!("Nothing runs.\n{empty}{note}"));

    let logical = json!({"name": "all", "type": "logical", "description": "",
                         "included_environments": ["aws-beta"]});
    assert_eq!(recorder.put("/environments/acme", logical.to_string()).await.status, 201);
    assert_eq!(matrix(&[]).await.success(), format!("Nothing runs.\n{empty}{note}"));
    let error = matrix(&["all"]).await.failed();
    assert!(error.contains("all is a logical environment, which gets no reports"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_reads_is_no_error() {
    let recorder = recorder_with_rollover().await;
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_envsnap"));
    command.args(["env", "get", "aws-prod"]).env_clear().stdout(writer);
    command.envs([("KOSLI_HOST", &*recorder.url), ("KOSLI_ORG", "acme")]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_arguments_and_unknown_names_exit_with_2_and_an_error_message() {
    let recorder = recorder_with_rollover().await;
    for (question, expected) in [
        ("env get nowhere", "'nowhere' does not exist for organization 'acme'. envsnap env ls"),
        ("env get aws-prod#9", "there is no such snapshot: aws-prod#9. The environment has 3"),
        ("env diff aws-prod#1 nowhere", "'nowhere' does not exist"),
        ("env get #-1", "NAME@{2.hours.ago}"),
        ("env get aws-prod@{never}", "NAME@{2.hours.ago}"),
        ("env log aws-prod#1", "alone"),
        ("env log aws-prod 1-2", "60.."),
        ("env ls --host=", "--host"),
        ("env ls --org=", "--org"),
        ("pipeline create site --template-file /dev/null", "/dev/null is empty"),
        ("env watch aws-prod --interval 1ms", "100ms or longer"),
        ("artifact where runner --since never", "not a time such as 2026-11-26 16:00"),
        ("env ls --db x.db --host http://127.0.0.1:1", "cannot be used with"),
        ("env ls --db no-such-file.db", "no-such-file.db"),
        ("env ls --token-file no-such-file", "cannot read the token file no-such-file"),
    ] {
        let error = ask_at(&recorder.url, &question.split(' ').collect::<Vec<_>>()).await.failed();
        assert!(error.contains(expected), "{question}: {error}");
        assert!(error.lines().all(|line| line.chars().count() <= 200), "{question}: {error}");
    }
    let unreachable = ask(&["env", "ls"], &[]).await.failed();
    for expected in ["KOSLI_ORG is not set", "KOSLI_API_TOKEN", "--token-file"] {
        assert!(unreachable.contains(expected), "{unreachable}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_file_can_be_queried_while_a_recorder_writes_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let recorder = Recorder::on(&file).await;
    let db = file.to_str().unwrap();
    let empty = ask(&["env", "ls", "--db", db], &[]).await.failed();
    assert!(empty.contains("holds no environment yet"), "{empty}");

    roll_over(&recorder).await;
    for question in ["env get aws-prod#2", "env diff aws-prod#1 aws-prod#2", "env ls -o json"] {
        let mut arguments: Vec<_> = question.split(' ').collect();
        let served = ask_at(&recorder.url, &arguments).await.success();
        arguments.extend(["--db", db]);
        assert_eq!(ask(&arguments, &[]).await.success(), served, "{question}");
    }
    recorder.stop().await;
    ask(&["env", "get", "aws-prod", "--db", db], &[]).await.success();

    let other = ask(&["env", "ls", "--db", db, "--org", "other"], &[]).await.failed();
    assert!(other.contains("holds no environment of organization \"other\""), "{other}");
    assert!(!Path::new("no-such-file.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn env_get_with_a_fingerprint_lists_the_snapshots_that_contain_it() {
    let recorder = recorder_with_rollover().await;
    let fingerprint = digest(2);
    let question = format!("aws-prod@{}", &fingerprint[..7]);
    let shown = ask_at(&recorder.url, &["env", "get", &question]).await.success();
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines[1], format!("SHA256: {fingerprint}"), "{shown}");
    assert!(lines[2].trim_start().starts_with("aws-prod#2"), "{shown}");
    let nothing = ask_at(&recorder.url, &["env", "get", "aws-prod@00000"]).await.success();
    assert_eq!(nothing, "00000 was not found in aws-prod.\n");
    let nowhere = ask_at(&recorder.url, &["env", "get", "nowhere@00000"]).await.failed();
    assert!(nowhere.contains("'nowhere' does not exist"), "{nowhere}");
}

#[tokio::test(flavor = "multi_thread")]
async fn environments_are_created_renamed_and_archived() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let recorder = Recorder::on(&file).await;
    let at = async |arguments: &[&str]| ask_at(&recorder.url, arguments).await;
    let create =
        ["env", "create", "aws-prod", "--description", "Ours", "--include-scaling", "false"];
    let output = at(&create).await.success();
    assert_eq!(output, "Created environment 'aws-prod' of organization 'acme'.\n");
    let environment = recorder.get("/environments/acme/aws-prod").await.body;
    assert_eq!(environment["type"], "ECS");
    assert_eq!(environment["description"], "Ours");
    assert_eq!(environment["include_scaling"], false);
    recorder.report("aws-prod", &[task(1, "web", &digest(1), 1)]).await;

    let again = at(&["env", "create", "aws-prod"]).await.failed();
    assert!(again.contains("exists already, and nothing was changed"), "{again}");
    assert_eq!(recorder.get("/environments/acme/aws-prod").await.body["description"], "Ours");

    let renamed = at(&["env", "rename", "aws-prod", "live"]).await.success();
    assert_eq!(renamed, "Environment 'aws-prod' is now 'live'.\n");
    assert_eq!(recorder.latest("live").await.index, 1);
    let gone = at(&["env", "rename", "aws-prod", "live"]).await.failed();
    assert!(gone.contains("'aws-prod' does not exist"), "{gone}");

    assert_eq!(at(&["env", "archive", "live"]).await.success(), "Archived environment 'live'.\n");
    assert_eq!(at(&["env", "ls"]).await.success(), "acme has no environment yet.\n");
    let archived = at(&["env", "get", "live"]).await.failed();
    for expected in ["it is archived", "envsnap env create restores it", "envsnap proof"] {
        assert!(archived.contains(expected), "{archived}");
    }
    let restored = at(&["env", "create", "live"]).await.success();
    assert_eq!(restored, "Restored the archived environment 'live' of organization 'acme'.\n");
    assert_eq!(recorder.latest("live").await.index, 1, "it has its history back");

    let db = file.to_str().unwrap();
    let read_only = ask(&["env", "archive", "live", "--db", db], &[]).await.failed();
    assert!(read_only.contains("--db only reads a file"), "{read_only}");
}

#[tokio::test(flavor = "multi_thread")]
async fn api_token_is_read_from_token_file_or_environment_variable() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        write_secret(&path, content);
        path.to_str().unwrap().to_owned()
    };
    let access = file("access", "s3cret-0 label=a org=acme read\n");
    let access = envsnap::recorder::Access::from_token_file(Path::new(&access)).unwrap();
    let store = envsnap::recorder::SqliteStore::in_memory().unwrap();
    let recorder = Recorder::with(store, access).await;
    let good = file("good", "s3cret-0\n");
    let list = ["env", "ls", "--host", &recorder.url, "--org", "acme"];
    let with_file = |path| [&list[..], &["--token-file", path]].concat();

    assert_eq!(ask(&with_file(&good), &[]).await.success(), "acme has no environment yet.\n");
    ask(&with_file(&good), &[("KOSLI_API_TOKEN_SSM_PARAMETER_ARN", "x"), ("KOSLI_OWNER", "y")])
        .await
        .success();
    ask(&list, &[("KOSLI_API_TOKEN", "s3cret-0")]).await.success();
    let refused = ask(&list, &[]).await.failed();
    assert!(refused.contains("401") && refused.contains("Check the API token"), "{refused}");
    let bad = ask(&with_file(&file("bad", "two words")), &[]).await.failed();
    assert!(bad.contains("white space") && !bad.contains("two words"), "{bad}");
}

#[test]
fn help_shows_examples_and_shells_get_their_completions() {
    let help = text(&envsnap(&["help", "env", "get"], &[]).stdout);
    for expected in ["NAME@{2026-11-26 16:00}", "envsnap env get aws-prod#65", "--db <FILE>"] {
        assert!(help.contains(expected), "{help}");
    }
    for question in ["ls", "get", "diff", "log", "inspect", "watch"] {
        let help = text(&envsnap(&["help", "env", question], &[]).stdout);
        assert!(help.contains(&format!("  envsnap env {question}")), "{help}");
        let widest = help.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(101), "{widest:?}: {help}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = text(&envsnap(&["completions", shell], &[]).stdout);
        assert!(script.contains("inspect"), "{shell}");
    }
}
