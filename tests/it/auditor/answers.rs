//! Each question, asked in three time zones, and the one correct answer.

use super::fixture::five_days;
use crate::command_line::{envsnap, text};
use crate::questions::Answer;
use crate::recorder::server::{Recorder, digest, task};

/// Asks in a process of its own, in this time zone.
async fn ask(url: &str, zone: &str, arguments: &[&str]) -> Answer {
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

const BERLIN: &str = "Europe/Berlin";
const NEW_YORK: &str = "America/New_York";
const UTC: &str = "UTC";

/// `prod#1` from Thursday, `#2` the deployment on Friday at 15:00 UTC, `#3` the miner from Saturday,
/// 18:00 UTC, `#4` without it from Sunday, 06:00 UTC.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_that_of_the_zone_that_the_answer_is_printed_in() {
    let recorder = five_days().await;
    for (zone, time, index, first_line) in [
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
    ] {
        let snapshot = format!("prod@{{{time}}}");
        let answer = ask(&recorder.url, zone, &["env", "get", &snapshot]).await;
        if index == 0 {
            assert!(answer.failed().contains("there is no such snapshot"), "{zone} {time}");
            continue;
        }
        let out = answer.well();
        assert_eq!(out.lines().next(), Some(first_line), "{out}");
        assert!(out.contains(&format!("prod#{index}, recorded ")), "{zone} {time}: {out}");
        let json = ask(&recorder.url, zone, &["env", "get", &snapshot, "-o", "json"]).await.well();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["index"], index, "{zone} {time}");
        assert!(json["requested_time"].as_str().unwrap().ends_with('Z'), "{json}");
    }
    let twice = ask(&recorder.url, BERLIN, &["env", "get", "prod@{2025-10-26 02:30}"]).await;
    let error = twice.failed();
    assert!(error.contains("02:30 CEST = 00:30 UTC, and 02:30 CET = 01:30 UTC"), "{error}");
}

/// Every time that the log prints finds the snapshot that it stands beside.
#[tokio::test(flavor = "multi_thread")]
async fn a_printed_time_is_valid_input() {
    let recorder = five_days().await;
    for zone in [BERLIN, UTC, NEW_YORK, "Asia/Kolkata", "America/Chicago"] {
        let log = ask(&recorder.url, zone, &["env", "log", "prod"]).await.well();
        let rows: Vec<_> = log.lines().filter(|line| line.starts_with('#')).collect();
        assert_eq!(rows.len(), 4, "{log}");
        for row in rows {
            let columns: Vec<_> = row.split("  ").filter(|column| !column.is_empty()).collect();
            let snapshot = format!("prod@{{{}}}", columns[1]);
            let out = ask(&recorder.url, zone, &["env", "get", &snapshot]).await.well();
            assert!(out.contains(&format!("prod{}, recorded ", columns[0])), "{zone} {row}: {out}");
        }
    }
}

/// A snapshot is recorded at a fraction of a second that is not printed.
#[tokio::test(flavor = "multi_thread")]
async fn the_printed_time_of_a_snapshot_does_not_hide_it() {
    let recorder = Recorder::start().await;
    recorder.create("prod", None).await;
    for byte in [1, 2] {
        recorder.report("prod", &[task(1, "web", &digest(byte), 10)]).await;
        recorder.advance(60.0);
    }
    let get = async |time: &str| {
        ask(&recorder.url, UTC, &["env", "get", &format!("prod@{{{time}}}")]).await.well()
    };
    let out = get("Mon, 22 Aug 2022 09:40:22 UTC").await;
    assert!(out.contains("Within the second after it prod#2 was recorded.\n\nprod#1, "), "{out}");
    let out = get("1661161222.5").await;
    assert!(out.contains("09:40:22.5 UTC\n\nprod#2, "), "{out}");
}
