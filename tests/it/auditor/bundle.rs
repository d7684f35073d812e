//! The same questions, put to a proof bundle: without the recorder, and by reading its files.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::answers::{QUESTIONS, TIME_CASES, UTC, ask};
use super::fixture::recorder_after_five_days_with_provenance;
use crate::recorder::server::digest;

/// A directory with `prod.tar`, a proof bundle of the five days in `prod`, whose recorder is
/// stopped.
async fn bundle_of_five_days() -> TempDir {
    let recorder = recorder_after_five_days_with_provenance().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prod.tar");
    ask(&recorder.url, UTC, &["proof", "prod", "-o", file.to_str().unwrap()]).await.success();
    recorder.stop().await;
    folder
}

/// Runs a query on the bundle; exit code, standard output, and standard error without the note that
/// the bundle is only consistent with itself.
async fn ask_bundle(
    folder: &TempDir,
    zone: &str,
    question: &[&str],
) -> (Option<i32>, String, String) {
    let file = folder.path().join("prod.tar");
    let question = [question, &["--db", file.to_str().unwrap()]].concat();
    // No server is there.
    let answer = ask("http://127.0.0.1:1", zone, &question).await;
    let (note, error) = answer.error.split_once('\n').unwrap();
    assert!(note.contains("prod.tar is a proof bundle, and consistent with itself"), "{answer:?}");
    (answer.code, answer.out.clone(), error.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn proof_bundle_answers_the_same_queries_as_its_recorder() {
    let bundle = bundle_of_five_days().await;
    for (zone, time, index, first_line) in TIME_CASES {
        let snapshot = format!("prod@{{{time}}}");
        let (code, out, error) = ask_bundle(&bundle, zone, &["env", "get", &snapshot]).await;
        if index == 0 {
            assert!(error.contains("there is no such snapshot"), "{zone} {time}: {error}");
            continue;
        }
        assert_eq!((code, out.lines().next()), (Some(0), Some(first_line)), "{out}{error}");
        assert!(out.contains(&format!("prod#{index}, recorded ")), "{zone} {time}: {out}");
    }
    for (zone, question, expected, unexpected) in QUESTIONS {
        let (code, out, error) = ask_bundle(&bundle, zone, question).await;
        assert_eq!((code, &*error), (Some(0), ""), "{question:?}");
        for expected in expected {
            assert!(out.contains(expected), "{question:?} {expected}\n{out}");
        }
        for unexpected in unexpected {
            assert!(!out.contains(unexpected), "{question:?} {unexpected}\n{out}");
        }
    }
    // What ran later is not in it, and is not claimed.
    let (_, out, _) = ask_bundle(&bundle, UTC, &["env", "get", "prod@{2025-11-15 00:00}"]).await;
    let unknown = "Not covered: no report from Mon, 27 Oct 2025 23:00:00 UTC";
    assert!(out.contains(unknown), "{out}");
    let (_, out, _) =
        ask_bundle(&bundle, UTC, &["rogue", "prod@{2025-10-26 00:00}", "-o", "json"]).await;
    for expected in ["docker.io/xmrig:6", "built by hand"] {
        assert!(out.contains(expected), "{expected}: {out}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proof_env_archive_verify_and_serve_refuse_a_proof_bundle_given_as_db() {
    let bundle = bundle_of_five_days().await;
    let file = bundle.path().join("prod.tar");
    let (file, second) = (file.to_str().unwrap(), bundle.path().join("second.tar"));
    for (command, message) in [
        (&["proof", "prod", "-o", second.to_str().unwrap()][..], "is a proof bundle already"),
        (&["env", "archive", "prod"], "is a proof bundle: nothing in it can be changed"),
        (&["env", "watch", "prod"], "is a proof bundle: nothing in it will change"),
    ] {
        let answer = ask("http://127.0.0.1:1", UTC, &[command, &["--db", file]].concat()).await;
        assert!(answer.code != Some(0) && answer.error.contains(message), "{answer:?}");
    }
    assert!(!second.exists());
    for command in ["verify", "serve"] {
        let answer = ask("http://127.0.0.1:1", UTC, &[command, "--db", file]).await;
        assert!(answer.error.contains("'envsnap verify FILE'"), "{command}: {answer:?}");
    }
}

/// Rows of a CSV file of the unpacked bundle, by column name.
fn csv_rows(folder: &Path, table: &str) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(folder.join(table)).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn unpacked_bundle_files_show_runs_gaps_reporters_allowances_and_evidence() {
    let bundle = bundle_of_five_days().await;
    let folder = bundle.path();
    let unpacked =
        std::process::Command::new("tar").args(["xf", "prod.tar"]).current_dir(folder).status();
    assert!(unpacked.unwrap().success());
    let report = std::fs::read_to_string(folder.join("report.html")).unwrap();
    let report = report.replace("<bdi>", "").replace("</bdi>", "");
    let runs = csv_rows(folder, "runs.csv");
    let run = |name: &str| runs.iter().find(|run| run["artifact"] == name).unwrap();
    let values = |row: &BTreeMap<String, String>, columns: &[&str]| {
        columns.iter().map(|column| row[*column].clone()).collect::<Vec<_>>()
    };

    // What ran in the night from Saturday to Sunday?
    for (time, expected) in [
        ("2025-10-24T14:00:00Z", &["ecr/differ:5894f34", "ecr/web:1"][..]),
        ("2025-10-26T00:30:00Z", &["docker.io/xmrig:6", "ecr/differ:4d27021", "ecr/web:1"]),
        ("2025-10-26T06:00:00Z", &["ecr/differ:4d27021", "ecr/web:1"]),
    ] {
        let ran = |run: &&BTreeMap<String, String>| {
            *run["from"] <= *time && (run["to"].is_empty() || *run["to"] > *time)
        };
        let ran: Vec<_> = runs.iter().filter(ran).map(|run| run["artifact"].clone()).collect();
        assert_eq!(ran, expected, "{time}");
    }
    // Since when did the miner run, and until when? Did it run before?
    let columns =
        ["from", "to", "started", "first_seen", "confirmed_until", "first_time_here", "origin"];
    assert_eq!(
        values(run("docker.io/xmrig:6"), &columns),
        [
            "2025-10-25T18:00:00Z",
            "2025-10-26T06:00:00Z",
            "2025-10-25T17:59:20Z",
            "2025-10-25T18:00:00Z",
            "2025-10-26T05:00:00Z",
            "repository",
            "rogue"
        ]
    );
    for expected in [
        "2025-10-25 18:00:00 UTC #3",
        "2025-10-26 06:00:00 UTC #4",
        "confirmed until 2025-10-26 05:00:00 UTC",
        "first time here: repository",
    ] {
        assert!(report.contains(expected), "{expected}: {report}");
    }
    // What is known of web's start? It ran when the first report came.
    let columns = ["first_seen", "first_seen_at_the_latest", "to"];
    assert_eq!(values(run("ecr/web:1"), &columns), ["2025-10-23T00:00:00Z", "true", ""]);
    // When is it not known what ran?
    let gaps = csv_rows(folder, "not-covered.csv");
    assert_eq!(gaps.len(), 1);
    assert_eq!(
        values(&gaps[0], &["from", "until"]),
        ["2025-10-27T01:00:00Z", "2025-10-27T11:00:00Z"]
    );
    assert!(report.contains("no report from 2025-10-27 01:00:00 UTC to 2025-10-27 11:00:00 UTC"));
    // Who reported, and where is that in the ledger?
    let ledger = std::fs::read_to_string(folder.join("ledger.jsonl")).unwrap();
    for snapshot in csv_rows(folder, "snapshots.csv") {
        let seq: usize = snapshot["ledger_seq"].parse().unwrap();
        let entry: Value = serde_json::from_str(ledger.lines().nth(seq - 1).unwrap()).unwrap();
        assert_eq!(entry["hash"], *snapshot["ledger_hash"]);
        assert_eq!(entry["actor"], *snapshot["reported_by"]);
        let index = format!("\"index\":{}", snapshot["snapshot"]);
        assert!(entry["payload"].as_str().unwrap().contains(&index), "{entry}");
    }
    assert!(report.contains("<dt>Reported by</dt><dd>anonymous</dd>"), "{report}");
    // By whom was web allowed, and why? What is the evidence for differ?
    let columns = ["origin", "allowed_reason", "allowed_by"];
    assert_eq!(values(run("ecr/web:1"), &columns), ["allowed", "built by hand", "anonymous"]);
    assert!(report.contains("built by hand, allowed by anonymous on 2025-10-23 00:00:00 UTC"));
    let evidence = csv_rows(folder, "evidence.csv");
    let columns = ["fingerprint", "name", "compliant", "reported_by"];
    assert_eq!(values(&evidence[0], &columns), [&digest(3), "unit-test", "true", "anonymous"]);
    let file = folder.join("attachments").join(&evidence[0]["file_sha256"]);
    assert_eq!(std::fs::read_to_string(file).unwrap(), "all passed\n");
    // The snapshots are those of the API.
    let snapshot = std::fs::read_to_string(folder.join("snapshots/3.json")).unwrap();
    let snapshot: Value = serde_json::from_str(&snapshot).unwrap();
    let artifacts = snapshot["artifacts"].as_array().unwrap();
    let miner = artifacts.iter().find(|it| it["name"] == "docker.io/xmrig:6").unwrap();
    assert_eq!(miner["first_time_here"], "repository");
}
