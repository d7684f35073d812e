//! Each question, asked in three time zones, and the one correct answer.

use serde_json::{Value, json};

use super::fixture::{FIRST_DAY, recorder_after_five_days};
use crate::command_line::{envsnap, text};
use crate::questions::Answer;
use crate::recorder::server::{Recorder, digest, task};

/// Runs `envsnap` with these arguments against the recorder at `url`, in this time zone.
pub(super) async fn ask(url: &str, zone: &str, arguments: &[&str]) -> Answer {
    let arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let (url, zone) = (url.to_owned(), zone.to_owned());
    let output = tokio::task::spawn_blocking(move || {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        envsnap(&arguments, &[("KOSLI_HOST", &url), ("KOSLI_ORG", "acme"), ("TZ", &zone)])
    })
    .await
    .unwrap();
    Answer { code: output.status.code(), out: text(&output.stdout), error: text(&output.stderr) }
}

/// IANA name of a time zone.
pub(super) const BERLIN: &str = "Europe/Berlin";
/// IANA name of a time zone.
const NEW_YORK: &str = "America/New_York";
/// IANA name of a time zone.
pub(super) const UTC: &str = "UTC";

/// A time zone, a time, the index of the snapshot of `prod` that was the latest then (0 if there
/// was none), and the first line of the answer. `#1` is from Thursday, `#2` the deployment on
/// Friday at 15:00 UTC, `#3` the miner on Saturday at 18:00 UTC, `#4` without it on Sunday at 06:00
/// UTC.
pub(super) const TIME_CASES: [(&str, &str, u64, &str); 14] = [
    // The deployment is after that time in Berlin, and before it in UTC.
    (BERLIN, "2025-10-24T16:00:00", 1, "2025-10-24 16:00 CEST = 14:00 UTC"),
    (UTC, "2025-10-24T16:00:00", 2, "2025-10-24 16:00 UTC"),
    (BERLIN, "2025-10-24T16:00:00Z", 2, "2025-10-24 18:00 CEST = 16:00 UTC"),
    (NEW_YORK, "2025-10-24 10:59", 1, "2025-10-24 10:59 EDT = 14:59 UTC"),
    (NEW_YORK, "2025-10-24 11:00", 2, "2025-10-24 11:00 EDT = 15:00 UTC"),
    (BERLIN, "2025-10-25 19:59:59", 2, "2025-10-25 19:59:59 CEST = 17:59:59 UTC"),
    (BERLIN, "2025-10-25 20:00", 3, "2025-10-25 20:00 CEST = 18:00 UTC"),
    // The night after which the clock is set back.
    (BERLIN, "2025-10-26 02:30 CEST", 3, "2025-10-26 02:30 CEST = 00:30 UTC"),
    (BERLIN, "Sun, 26 Oct 2025 06:59:59 CET", 3, "2025-10-26 06:59:59 CET = 05:59:59 UTC"),
    (BERLIN, "Sun, 26 Oct 2025 07:00:00 CET", 4, "2025-10-26 07:00 CET = 06:00 UTC"),
    (NEW_YORK, "2025-10-26 01:59", 3, "2025-10-26 01:59 EDT = 05:59 UTC"),
    (BERLIN, "2025-10-23", 0, ""),
    (UTC, "2025-10-23", 1, "2025-10-23 00:00 UTC"),
    (NEW_YORK, "2025-10-24", 1, "2025-10-24 00:00 EDT = 04:00 UTC"),
];

#[tokio::test(flavor = "multi_thread")]
async fn time_without_offset_is_read_in_the_users_time_zone_and_printed_with_utc() {
    let recorder = recorder_after_five_days().await;
    for (zone, time, index, first_line) in TIME_CASES {
        let snapshot = format!("prod@{{{time}}}");
        let answer = ask(&recorder.url, zone, &["env", "get", &snapshot]).await;
        if index == 0 {
            assert!(answer.failed().contains("there is no such snapshot"), "{zone} {time}");
            continue;
        }
        let out = answer.success();
        assert_eq!(out.lines().next(), Some(first_line), "{out}");
        assert!(out.contains(&format!("prod#{index}, recorded ")), "{zone} {time}: {out}");
        let json =
            ask(&recorder.url, zone, &["env", "get", &snapshot, "-o", "json"]).await.success();
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["index"], index, "{zone} {time}");
        assert!(json["requested_time"].as_str().unwrap().ends_with('Z'), "{json}");
    }
    // Of another command: nothing was reported to a flow, so that what ran is rogue.
    let rogue = ask(&recorder.url, BERLIN, &["rogue", "prod@{2025-10-25 20:00}"]).await;
    assert!(rogue.out.starts_with("2025-10-25 20:00 CEST = 18:00 UTC\n\n"), "{rogue:?}");
    let twice = ask(&recorder.url, BERLIN, &["env", "get", "prod@{2025-10-26 02:30}"]).await;
    let error = twice.failed();
    assert!(error.contains("02:30 CEST = 00:30 UTC, and 02:30 CET = 01:30 UTC"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn times_printed_by_env_log_select_the_snapshot_of_their_row() {
    let recorder = recorder_after_five_days().await;
    for zone in [BERLIN, UTC, NEW_YORK, "Asia/Kolkata", "America/Chicago"] {
        let log = ask(&recorder.url, zone, &["env", "log", "prod"]).await.success();
        let rows: Vec<_> = log.lines().filter(|line| line.starts_with('#')).collect();
        assert_eq!(rows.len(), 4, "{log}");
        for row in rows {
            let columns: Vec<_> = row.split("  ").filter(|column| !column.is_empty()).collect();
            let snapshot = format!("prod@{{{}}}", columns[1]);
            let out = ask(&recorder.url, zone, &["env", "get", &snapshot]).await.success();
            assert!(out.contains(&format!("prod{}, recorded ", columns[0])), "{zone} {row}: {out}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_recorded_at_a_fraction_of_a_second_is_found_by_its_printed_second() {
    let recorder = Recorder::start().await;
    recorder.create("prod", None).await;
    for byte in [1, 2] {
        recorder.report("prod", &[task(1, "web", &digest(byte), 10)]).await;
        recorder.advance(60.0);
    }
    let get = async |time: &str| {
        ask(&recorder.url, UTC, &["env", "get", &format!("prod@{{{time}}}")]).await.success()
    };
    // Recorded at 09:40:22.5.
    for (time, index) in [
        ("Mon, 22 Aug 2022 09:40:22 UTC", 2),
        ("2022-08-22T09:40:22Z", 2),
        ("2022-08-22 11:40:22+02:00", 2),
        ("1661161222", 2),
        ("1661161222.5", 2),
        ("1661161222.499999", 1),
        ("2022-08-22T09:40:21Z", 1),
        ("2022-08-22T09:40:21.999999Z", 1),
        ("2022-08-22T09:39:22Z", 1),
    ] {
        let out = get(time).await;
        assert!(out.contains(&format!("\n\nprod#{index}, recorded ")), "{time}: {out}");
    }
    let log = async |since: &str, until: &str| {
        ask(&recorder.url, UTC, &["env", "log", "prod", "--since", since, "--until", until])
            .await
            .success()
    };
    for (since, until, listed) in [
        ("2022-08-22 09:40:21", "2022-08-22 09:40:21", "#1"),
        ("2022-08-22 09:40:22", "2022-08-22 09:40:22", "#2"),
        ("2022-08-22 09:40:22.4", "2022-08-22 09:40:22", "#2 #1"),
        ("2022-08-22 09:40:22.4", "2022-08-22 09:40:22.4", "#1"),
    ] {
        let out = log(since, until).await;
        let found: Vec<_> = out.lines().filter(|it| it.starts_with('#')).collect();
        let found: Vec<_> = found.iter().filter_map(|it| it.split(' ').next()).collect();
        assert_eq!(found.join(" "), listed, "{since} {until}: {out}");
    }
}

/// The ten hours without a report, in Berlin and in UTC.
macro_rules! gap {
    () => {
        "no report from Mon, 27 Oct 2025 02:00:00 CET to Mon, 27 Oct 2025 12:00:00 CET: 10 h"
    };
}

macro_rules! gap_utc {
    () => {
        "no report from Mon, 27 Oct 2025 01:00:00 UTC to Mon, 27 Oct 2025 11:00:00 UTC"
    };
}

/// A time zone, a question, what its answer has, and what it must not have.
type Case =
    (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

/// Commands, with texts that their output must contain and texts that it must not contain.
pub(super) const QUESTIONS: [Case; 12] = [
    (
        BERLIN,
        &["env", "get", "prod@{2025-10-27 06:00}"],
        &[
            "2025-10-27 06:00 CET = 05:00 UTC",
            "prod#4, ",
            concat!("Not covered: ", gap!(), ". This"),
        ],
        &[],
    ),
    // One that is covered is not shown as unknown because of another time.
    (
        UTC,
        &["env", "get", "prod@{2025-10-27 00:30}"],
        &["prod#4, ", concat!("(", gap_utc!())],
        &["Not covered"],
    ),
    (
        UTC,
        &["env", "get", "prod#3"],
        &["The latest until Sun, 26 Oct 2025 06:00:00 UTC, #4"],
        &["no report"],
    ),
    (
        UTC,
        &["env", "diff", "prod@{2025-10-25 12:00}", "prod@{2025-10-27 05:00}"],
        &[
            "From 2025-10-25 12:00 UTC, to 2025-10-27 05:00 UTC",
            "prod#2: recorded Fri, 24 Oct 2025 15:00:00 UTC, confirmed until Sat, 25 Oct 2025 17:00:00 UTC",
            concat!("  not covered: ", gap_utc!()),
            "± Name:   docker.io/xmrig:6",
            "started with #3 Sat, 25 Oct 2025 18:00:00 UTC, exited with #4 Sun, 26 Oct 2025 06:00:00 UTC",
            "The same runs in prod#2 and prod#4.",
        ],
        &[],
    ),
    (
        UTC,
        &["env", "diff", "prod@{2025-10-26 12:00}", "prod@{2025-10-27 12:00}"],
        &["The same runs in prod#4 and prod#4.", concat!("Between them ", gap_utc!())],
        &["not covered"],
    ),
    (
        BERLIN,
        &["env", "diff", "prod#1", "prod#2"],
        &[
            "differ 5894f34 -> 4d27021",
            "- Name:   ecr/differ:5894f34",
            "+ Name:   ecr/differ:4d27021",
        ],
        &["±", "no report"],
    ),
    (
        BERLIN,
        &["artifact", "where", "web"],
        &[
            concat!("        (", gap!(), ")"),
            "        confirmed until Tue, 28 Oct 2025 00:00:00 CET",
            "        first seen Thu, 23 Oct 2025 02:00:00 CEST at the latest",
        ],
        &[],
    ),
    (
        NEW_YORK,
        &["artifact", "where", "xmrig"],
        &[
            "    prod#3  Sat, 25 Oct 2025 14:00:00 EDT – Sun, 26 Oct 2025 02:00:00 EDT",
            "        confirmed until Sun, 26 Oct 2025 01:00:00 EDT",
        ],
        &["at the latest", "no report"],
    ),
    (
        BERLIN,
        &["env", "log", "--since", "2025-10-25 12:00", "--until", "2025-10-26 12:00"],
        &[
            "Since 2025-10-25 12:00 CEST = 10:00 UTC, until 2025-10-26 12:00 CET = 11:00 UTC",
            concat!("(prod: ", gap!(), ")"),
            "prod#4   ",
            "prod#3   ",
            "prod#2   ",
            "stage#2  ",
            "dev#1    ",
        ],
        &["prod#1", "stage#1"],
    ),
    (UTC, &["env", "log", "prod", "--until", "2025-10-24"], &["#1  "], &["#2", "no snapshot"]),
    (UTC, &["env", "log", "--until", "2025-10-22"], &["No snapshot."], &["#"]),
    (
        UTC,
        &["env", "log", "prod", "--since", "2025-10-26", "--long"],
        &["  - docker.io/xmrig:6", "  + docker.io/xmrig:6", concat!("(", gap_utc!())],
        &["differ"],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn env_and_artifact_commands_print_snapshots_changes_and_times_without_reports() {
    let recorder = recorder_after_five_days().await;
    for (zone, question, expected, unexpected) in QUESTIONS {
        let out = ask(&recorder.url, zone, question).await.success();
        for expected in expected {
            assert!(out.contains(expected), "{question:?} {expected}\n{out}");
        }
        for unexpected in unexpected {
            assert!(!out.contains(unexpected), "{question:?} {unexpected}\n{out}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_output_has_times_without_reports_replaced_versions_and_requested_times() {
    let recorder = recorder_after_five_days().await;
    let json = async |question: &[&str]| -> Value {
        let question = [question, &["-o", "json"]].concat();
        let answer = ask(&recorder.url, BERLIN, &question).await;
        assert_eq!(answer.code, Some(0), "{answer:?}");
        serde_json::from_str(&answer.out).unwrap()
    };
    let monday = FIRST_DAY + 4 * 86_400;
    let gap = json!({"from": monday + 3_600, "until": monday + 11 * 3_600});
    let is_gap = |found: &Value| {
        let seconds = |gap: &Value| (gap["from"].as_f64().unwrap(), gap["until"].as_f64().unwrap());
        seconds(found) == seconds(&gap)
    };
    let got = json(&["env", "get", "prod@{2025-10-27 06:00}"]).await;
    assert!(is_gap(&got["not_covered"]) && is_gap(&got["gaps"][0]), "{got}");
    assert_eq!(got["requested_time"], "2025-10-27T05:00:00Z");
    let got = json(&["env", "get", "prod@{2025-10-26 12:00}"]).await;
    assert_eq!((&got["not_covered"], got["index"].as_u64()), (&Value::Null, Some(4)));
    let diff = json(&["env", "diff", "prod#1", "prod#4"]).await;
    assert_eq!(
        diff["replaced"][0],
        json!({"repository": "ecr/differ", "from": ["5894f34"], "to": ["4d27021"]})
    );
    assert_eq!(diff["between"]["started_and_exited"][0]["name"], "docker.io/xmrig:6");
    let found = json(&["artifact", "where", "web"]).await;
    let runs = found["artifacts"][0]["runs"].as_array().unwrap().clone();
    let prod = runs.iter().find(|run| run["environment"] == "prod").unwrap();
    assert!(is_gap(&prod["gaps"][0]) && prod["first_seen_at_the_latest"] == true, "{prod}");
    let log = json(&["env", "log", "--since", "2025-10-25 12:00"]).await;
    let rows: Vec<_> = log
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{}{}", row["environment"], row["index"]))
        .collect();
    assert_eq!(rows, ["\"prod\"4", "\"prod\"3", "\"prod\"2", "\"stage\"2", "\"dev\"1"]);
    let page = reqwest::get(format!("{}/acme/environments/prod", recorder.url)).await.unwrap();
    let page = page.text().await.unwrap();
    let hatched = "No report from 2025-10-27 01:00:00 UTC to 2025-10-27 11:00:00 UTC";
    assert!(page.contains(hatched) && page.contains("class=\"uncovered\""), "{page}");
}
