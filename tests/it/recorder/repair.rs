//! A file with a damaged row that no report is in: what its message says is done, and nothing is lost.

use std::fs;
use std::path::Path;

use reqwest::Method;
use rusqlite::Connection;
use serde_json::json;

use super::crash::Process;
use super::file::on;
use super::lost_reports::{has_all, refused, start_with_reports};
use super::provenance::requests::document;
use super::second_program;
use super::server::Recorder;
use crate::command_line::{envsnap, text};

/// What `envsnap verify` says of a file that it must not accept.
fn verify_error(file: &Path) -> String {
    let verified = on("verify", file, &[]);
    assert_eq!(verified.status.code(), Some(2), "{verified:?}");
    text(&verified.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_or_missing_session_rows_are_repaired_by_the_next_start() {
    for sql in [
        "INSERT INTO session VALUES (3, zeroblob(16), 'x')",
        "INSERT INTO session VALUES (9999, randomblob(16), 'x')",
        "INSERT INTO session VALUES (-1, randomblob(16), 'x')",
        "UPDATE session SET id = x'00'",
        "DELETE FROM session",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshots.db");
        start_with_reports(&file, 5).await.end("-TERM").await;
        second_program::execute(&file, sql);
        let said = verify_error(&file);
        assert!(said.contains("No report is in that table: the next start"), "{sql}: {said}");
        let mut recorder = Process::start(&file).await;
        has_all(&recorder, 5).await;
        recorder.end("-TERM").await;
        let verified = on("verify", &file, &[]);
        assert!(verified.status.success(), "{sql}: {verified:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_or_invalid_position_row_is_rewritten_by_a_start_with_accept_loss() {
    for (end, sql) in [
        ("-TERM", "DELETE FROM position"),
        ("-KILL", "DELETE FROM position"),
        ("-TERM", "DROP TABLE position"),
        ("-KILL", "DROP TABLE position"),
        ("-TERM", "DROP TABLE position; DROP TABLE session"),
        ("-TERM", "UPDATE position SET state = x'00'"),
        (
            "-TERM",
            "UPDATE position
             SET state = CAST(substr(state, 1, 48) || x'7fffffffffffffff' || substr(state, 57) AS BLOB)",
        ),
        (
            "-KILL",
            "UPDATE position
             SET state = CAST(substr(state, 1, 48) || x'ffffffffffffffff' || substr(state, 57) AS BLOB)",
        ),
        (
            "-TERM",
            "UPDATE position
             SET state = CAST(substr(state, 1, 48) || x'0000000000000000' || substr(state, 57) AS BLOB)",
        ),
        (
            "-TERM",
            "UPDATE position
             SET state = CAST(substr(state, 1, 16) || zeroblob(16) || substr(state, 33) AS BLOB)",
        ),
        (
            "-TERM",
            "INSERT INTO session VALUES (9223372036854775807, randomblob(16), 'x');
             DELETE FROM position",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshots.db");
        start_with_reports(&file, 5).await.end(end).await;
        Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        let read = ["env", "ls", "--org", "acme", "--db", file.to_str().unwrap()];
        let read = envsnap(&read, &[]);
        assert!(read.status.success(), "{sql}: {read:?}");
        let said = verify_error(&file);
        assert!(said.contains("the ledgers hold, but table "), "{sql}: {said}");
        let said = refused(&file, &[]);
        assert!(said.contains("start once with --accept-loss"), "{sql}: {said}");
        let mut recorder = Process::start_with(&file, |command| {
            command.arg("--accept-loss");
        })
        .await;
        has_all(&recorder, 5).await;
        recorder.end("-KILL").await;
        let mut recorder = Process::start(&file).await;
        assert_eq!(recorder.index("env").await, 6, "{end} {sql}");
        recorder.end("-TERM").await;
        let verified = on("verify", &file, &[]);
        assert!(verified.status.success(), "{sql}: {verified:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn position_and_session_tables_dropped_during_a_run_are_created_again_by_a_start() {
    for (table, more) in [("position", &["--accept-loss"][..]), ("session", &[])] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshots.db");
        let mut recorder = start_with_reports(&file, 5).await;
        second_program::execute(&file, &format!("DROP TABLE {table}"));
        recorder.end("-KILL").await;
        if !more.is_empty() {
            let said = refused(&file, &[]);
            assert!(said.contains("start once with --accept-loss"), "{table}: {said}");
            let target = folder.path().join("new.db");
            let rebuilt = on("rebuild", &file, &[target.to_str().unwrap()]);
            assert!(text(&rebuilt.stderr).contains("start once with --accept-loss"), "{rebuilt:?}");
        }
        let mut recorder = Process::start_with(&file, |command| {
            command.args(more);
        })
        .await;
        has_all(&recorder, 5).await;
        recorder.end("-TERM").await;
        let verified = on("verify", &file, &[]);
        assert!(verified.status.success(), "{table}: {verified:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_attachment_is_restored_from_a_backup_with_the_sql_in_the_message() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    {
        let recorder = Recorder::on(&file).await;
        let evidence = json!({"attestation_name": "scan", "is_compliant": true});
        let path = "/attestations/acme/runner/trail/t/generic";
        let body = document(&evidence, Some(("attachment_file", &b"all 12 tests passed"[..])));
        assert_eq!(recorder.send_parts(Method::POST, path, body).await.status, 201);
        let backup = folder.path().join("backup.db");
        assert!(on("backup", &file, &[backup.to_str().unwrap()]).status.success());
        let later = document(&evidence, Some(("attachment_file", &b"all 13 tests passed"[..])));
        assert_eq!(recorder.send_parts(Method::POST, path, later).await.status, 201);
    }
    let damage = "UPDATE attachment_chunk SET bytes = x'00' WHERE bytes LIKE '%12%'";
    Connection::open(&file).unwrap().execute_batch(damage).unwrap();
    let said = verify_error(&file);
    assert!(said.contains("the recorder goes on with the file"), "{said}");
    let (_, sql) = said.split_once("\"ATTACH").unwrap();
    let (sql, _) = sql.split_once('"').unwrap();
    let backup = folder.path().join("backup.db").display().to_string();
    let sql = format!("ATTACH{}", sql.replace("'BACKUP'", &format!("'{backup}'")));
    Connection::open(&file).unwrap().execute_batch(&sql).unwrap();
    let verified = on("verify", &file, &["--attachments"]);
    assert!(verified.status.success(), "{sql} {verified:?}");
    assert!(fs::metadata(&backup).is_ok());
}
