//! Since when something runs, and what never ran before: the same in every answer.

use roxmltree::{Document, Node};
use serde_json::{Value, json};

use super::answers::ask;
use crate::recorder::page::{self, Page};
use crate::recorder::server::{Recorder, digest, task};

/// IANA name of a time zone.
const UTC: &str = "UTC";

/// When the first snapshot is recorded, in seconds since the Unix epoch.
const FIRST_SNAPSHOT_AT: f64 = 1_661_161_162.5;

/// JSON output of `envsnap` with these arguments.
async fn json_output(recorder: &Recorder, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["-o", "json"]].concat();
    serde_json::from_str(&ask(&recorder.url, UTC, &arguments).await.success()).unwrap()
}

/// Six snapshots of `prod`, with reports each minute. `web` runs from `#1`; `job` from `#2`, with
/// two replicas from `#3`, of which the first is replaced, until `#5`, and again from `#6`; a miner
/// in `#4`.
async fn recorder_with_six_snapshots() -> Recorder {
    let recorder = Recorder::start().await;
    recorder.create("prod", None).await;
    let web = || task(1, "ecr.example/web:1", &digest(1), 10);
    let job = |id, started| task(id, "ecr.example/job:1", &digest(2), started);
    let miner = || task(9, "docker.io/xmrig:6", &digest(6), 900);
    for artifacts in [
        vec![web()],                                    // #1
        vec![web(), job(2, 100)],                       // #2
        vec![web(), job(2, 100), job(3, 160)],          // #3
        vec![web(), job(3, 160), job(4, 220)],          // confirms #3
        vec![web(), job(3, 160), job(4, 220), miner()], // #4
        vec![web()],                                    // #5
        vec![web(), job(5, 400)],                       // #6
        vec![web(), job(5, 400)],                       // confirms #6
    ] {
        recorder.report("prod", &artifacts).await;
        recorder.advance(60.0);
    }
    recorder
}

/// Of an artifact in a JSON document: when it started, when, in which snapshot and whether at the
/// latest it was first seen, and until when it is confirmed.
fn run_times(artifact: &Value) -> Value {
    ["started", "first_seen", "first_snapshot", "first_seen_at_the_latest", "confirmed_until"]
        .map(|key| artifact[key].clone())
        .into_iter()
        .collect()
}

/// The same as a page shows it, with times in whole seconds, for each list in a table row that
/// contains `name`.
fn run_times_on_page(page: &Page, name: &str) -> Vec<Value> {
    let xml = page.xml();
    let document = Document::parse(&xml).unwrap();
    let is_named = |row: Node<'_, '_>| row.has_tag_name("tr") && page::words(row).contains(name);
    let lists = document.descendants().filter(|node| node.attribute("class") == Some("since"));
    let since = lists.filter(|list| list.ancestors().any(is_named)).map(|list| {
        let value = |term: &str| {
            let term = list.children().find(|it| it.has_tag_name("dt") && it.text() == Some(term));
            term.and_then(|term| term.next_sibling_element())
        };
        let time = |term: &str| {
            let time = value(term)?.descendants().find(|it| it.has_tag_name("time"))?;
            Some(time.attribute("datetime")?.parse::<jiff::Timestamp>().unwrap().as_second())
        };
        let first = value("first seen").map(page::words).unwrap();
        let (_, snapshot) = first.split_once('#').unwrap();
        let at_the_latest = first.contains("at the latest");
        json!([
            time("started"),
            time("first seen"),
            snapshot.parse::<u64>().unwrap(),
            at_the_latest,
            time("confirmed until")
        ])
    });
    since.collect()
}

/// The same with times rounded down to whole seconds, as pages have them.
fn with_whole_seconds(since: &Value) -> Value {
    let whole = |value: &Value| match value.as_f64() {
        #[expect(clippy::cast_possible_truncation, reason = "a time")]
        Some(number) => json!(number.floor() as i64),
        None => value.clone(),
    };
    since.as_array().unwrap().iter().map(whole).collect()
}

fn artifact_named<'a>(artifacts: &'a Value, name: &str) -> &'a Value {
    let mut artifacts = artifacts.as_array().unwrap().iter();
    artifacts.find(|it| it["name"].as_str().unwrap().contains(name)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn start_first_seen_and_confirmed_times_of_a_run_agree_in_text_json_and_pages() {
    let recorder = recorder_with_six_snapshots().await;
    let at = |minute: u32| FIRST_SNAPSHOT_AT + 60.0 * f64::from(minute);
    let web = json!([10, at(0), 1, true, at(7)]);
    let first_run = json!([100, at(1), 2, false, at(4)]);
    // A snapshot that is not the latest has the tasks with which it was recorded.
    let scaled = json!([100, at(1), 2, false, at(4)]);
    let second_run = json!([400, at(6), 6, false, at(7)]);
    for (snapshot, name, expected) in [
        ("prod#1", "web", &web),
        ("prod#2", "job", &first_run),
        ("prod#3", "job", &scaled),
        ("prod#4", "web", &web),
        ("prod#4", "job", &scaled),
        ("prod#6", "job", &second_run),
        ("prod#6", "web", &web),
    ] {
        let shown = json_output(&recorder, &["env", "get", snapshot]).await;
        assert_eq!(
            &run_times(artifact_named(&shown["artifacts"], name)),
            expected,
            "{snapshot} {name}"
        );
        let path = snapshot.replace("prod#", "/acme/environments/prod/snapshots/");
        let shown = run_times_on_page(&page::get(&recorder, &path).await, &format!("{name} :1"));
        assert_eq!(shown, [with_whole_seconds(expected)], "{path} {name}");
    }
    let shown = page::get(&recorder, "/acme/environments/prod").await;
    assert_eq!(run_times_on_page(&shown, "job :1"), [with_whole_seconds(&second_run)]);
    let shown = page::get(&recorder, "/acme/environments/prod/snapshots/5").await;
    let mut exited = with_whole_seconds(&first_run);
    exited[0] = Value::Null;
    assert_eq!(run_times_on_page(&shown, "job :1"), [exited]);
    for (from, to, expected) in [(4, 5, &scaled), (5, 6, &second_run), (2, 3, &scaled)] {
        let path = format!("/acme/compare?from=prod%23{from}&to=prod%23{to}");
        let shown = run_times_on_page(&page::get(&recorder, &path).await, "job :1");
        assert_eq!(shown, [with_whole_seconds(expected)], "{path}");
    }
    let path = format!("/acme/artifacts/{}", digest(2));
    let shown = run_times_on_page(&page::get(&recorder, &path).await, "prod");
    assert_eq!(shown, [with_whole_seconds(&second_run), with_whole_seconds(&scaled)]);
    let exited = json_output(&recorder, &["env", "get", "prod#5"]).await;
    let exited = artifact_named(&exited["artifacts"], "job");
    assert_eq!((&exited["started"], &exited["confirmed_until"]), (&Value::Null, &json!(at(4))));

    let diff = json_output(&recorder, &["env", "diff", "prod#4", "prod#5"]).await;
    assert_eq!(run_times(artifact_named(&diff["snappish1"]["artifacts"], "job")), scaled);
    let diff = json_output(&recorder, &["env", "diff", "prod#5", "prod#6"]).await;
    assert_eq!(run_times(artifact_named(&diff["snappish2"]["artifacts"], "job")), second_run);
    let diff = json_output(&recorder, &["env", "diff", "prod#2", "prod#3"]).await;
    assert_eq!(run_times(artifact_named(&diff["changed"]["artifacts"], "job")), scaled);

    let found = json_output(&recorder, &["artifact", "where", "job"]).await;
    let runs = &found["artifacts"][0]["runs"];
    assert_eq!((run_times(&runs[0]), run_times(&runs[1])), (scaled, second_run));
    let found = json_output(&recorder, &["artifact", "where", "web"]).await;
    assert_eq!(run_times(&found["artifacts"][0]["runs"][0]), web);

    let text = async |arguments: &[&str]| ask(&recorder.url, UTC, arguments).await.success();
    let out = text(&["env", "get", "prod", "-o", "wide"]).await;
    let web = out.lines().find(|line| line.contains("web:1")).unwrap();
    let columns: Vec<_> = web.split("  ").map(str::trim).filter(|it| !it.is_empty()).collect();
    let columns = columns[columns.len() - 4..].join(", ");
    let first = "Mon, 22 Aug 2022 09:39:22 UTC at the latest, #1";
    let expected =
        format!("Thu, 01 Jan 1970 00:00:10 UTC, {first}, Mon, 22 Aug 2022 09:46:22 UTC, 1");
    assert_eq!(columns, expected, "{out}");
    let out = text(&["env", "get", "prod"]).await;
    let label = json_output(&recorder, &["env", "get", "prod"]).await["reported_by"].clone();
    assert!(out.contains(&format!("\nReported by {}\n", label.as_str().unwrap())), "{out}");
    assert!(out.contains(&format!("        First seen: {first}\n")), "{out}");
    let lines = "  Started: Thu, 01 Jan 1970 00:06:40 UTC • ";
    let out = text(&["env", "diff", "prod#5", "prod#6"]).await;
    assert!(out.contains(lines), "{out}");
    let seen = "  First seen: Mon, 22 Aug 2022 09:45:22 UTC\n  Confirmed until: Mon, 22 Aug 2022 09:46:22 UTC\n";
    assert!(out.contains(seen), "{out}");
    let out = text(&["artifact", "where", "job"]).await;
    let lines = "        started Thu, 01 Jan 1970 00:06:40 UTC
        first seen Mon, 22 Aug 2022 09:45:22 UTC
        confirmed until Mon, 22 Aug 2022 09:46:22 UTC\n";
    assert!(out.contains(lines), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn first_time_here_is_marked_only_where_a_new_artifact_starts() {
    let recorder = recorder_with_six_snapshots().await;
    let marks = |artifacts: &Value| -> Vec<(String, String)> {
        let marked = artifacts.as_array().unwrap().iter().filter_map(|it| {
            let name = it["name"].as_str().or(it["artifact_name"].as_str())?;
            Some((name.to_owned(), it["first_time_here"].as_str()?.to_owned()))
        });
        marked.collect()
    };
    let events = json_output(&recorder, &["env", "log", "prod", "1..", "--long"]).await;
    let mark = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
    let (job, miner) = ("ecr.example/job:1", "docker.io/xmrig:6");
    // Nothing in the first snapshot, and nothing that starts again.
    assert_eq!(marks(&events), [mark(miner, "registry"), mark(job, "repository")]);
    for (snapshot, expected) in [
        ("prod#1", None),
        ("prod#2", Some((job, "repository"))),
        ("prod#3", None),
        ("prod#6", None),
    ] {
        let shown = json_output(&recorder, &["env", "get", snapshot]).await;
        let expected: Vec<_> = expected.map(|(name, kind)| mark(name, kind)).into_iter().collect();
        assert_eq!(marks(&shown["artifacts"]), expected, "{snapshot}");
    }
    for (from, to, expected) in [
        ("prod#1", "prod#4", vec![mark(job, "repository"), mark(miner, "registry")]),
        ("prod#1", "prod#6", vec![mark(job, "repository")]),
        ("prod#5", "prod#6", vec![]),
        ("prod#4", "prod#1", vec![]),
    ] {
        let diff = json_output(&recorder, &["env", "diff", from, to]).await;
        assert_eq!(marks(&diff["snappish2"]["artifacts"]), expected, "{from} {to}");
        assert!(marks(&diff["snappish1"]["artifacts"]).is_empty());
    }
    // The page marks the same.
    let words = async |path: &str| page::get(&recorder, path).await.words();
    for (path, expected) in [
        ("/acme/environments/prod/snapshots/1", vec![]),
        ("/acme/environments/prod/snapshots/2", vec!["started first time here: repository"]),
        ("/acme/environments/prod/snapshots/6", vec![]),
        (
            "/acme/environments/prod",
            vec![
                "#4 started xmrig :6 first time here: registry",
                "#2 started job :1 first time here: repository",
            ],
        ),
        (
            "/acme/environments",
            vec![
                "prod#4 started first time here: registry xmrig :6",
                "prod#2 started first time here: repository job :1",
            ],
        ),
        (
            "/acme/compare?from=prod%231&to=prod%234",
            vec!["started first time here: registry", "started first time here: repository"],
        ),
        // In between, the miner started and exited.
        (
            "/acme/compare?from=prod%233&to=prod%235",
            vec!["#4 2022-08-22 09:43:22 UTC first time here: registry #5"],
        ),
        ("/acme/compare?from=prod%234&to=prod%231", vec![]),
    ] {
        let words = words(path).await;
        for mark in &expected {
            assert!(words.contains(mark), "{path}: {mark}: {words}");
        }
        // The timeline has each in the titles of its lane and of its snapshot, and two signs in its legend.
        let count = match path {
            "/acme/environments/prod" => 3 * expected.len() + 2,
            _ => expected.len(),
        };
        assert_eq!(words.matches("first time here").count(), count, "{path}: {words}");
    }
    let picture = page::get(&recorder, "/acme/environments/prod").await.xml();
    let flags = |class: &str| picture.matches(&format!("<path class=\"{class}\"")).count();
    assert_eq!((flags("flag"), flags("flag image")), (3, 1), "two, and the legend: {picture}");
    let titles = words("/acme/environments/prod").await;
    for title in [
        "docker.io/xmrig:6 (0606060), 1 replica: from #4 (first time here: registry) until #5",
        "· + xmrig:6 (first time here: registry)",
    ] {
        assert!(titles.contains(title), "{title}: {titles}");
    }
    // A new version of a known repository.
    recorder.report("prod", &[task(1, "ecr.example/web:2", &digest(7), 10)]).await;
    let shown = json_output(&recorder, &["env", "get", "prod"]).await;
    assert_eq!(shown["artifacts"][0]["first_time_here"], "image");
    let shown = words("/acme/environments/prod").await;
    assert!(shown.contains("started first time here: image"), "{shown}");
    let text = async |arguments: &[&str]| ask(&recorder.url, UTC, arguments).await.success();
    let out = text(&["env", "log", "prod", "1..4", "--long"]).await;
    assert!(out.contains("+ docker.io/xmrig:6 (first time here: registry)\n"), "{out}");
    let out = text(&["env", "log", "prod", "1..4"]).await;
    assert!(out.contains("+1, first time\n"), "{out}");
    assert!(out.contains(" here: registry\n"), "{out}");
    assert!(out.lines().all(|line| line.chars().count() <= 100), "{out}");
    let out = text(&["env", "diff", "prod#3", "prod#4"]).await;
    assert!(out.contains("+ Name:   docker.io/xmrig:6 (first time here: registry)\n"), "{out}");
}
