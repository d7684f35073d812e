//! The chain: the head that answers a report, and the proof that nothing was rewritten.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

use super::file::on;
use super::server::{Recorder, digest, task};
use crate::command_line::text;

/// A file with `web#1`, `job#1`, `web#2`, `job#2`, `web#3`, `web#4` in this order, and the head
/// after each.
async fn recorded() -> (TempDir, PathBuf, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let recorder = Recorder::on(&file).await;
    recorder.create("web", None).await;
    recorder.create("job", None).await;
    let mut heads = Vec::new();
    for (byte, name) in (1..).zip(["web", "job", "web", "job", "web", "web"]) {
        heads.push(report(&recorder, name, byte, StatusCode::CREATED).await);
        recorder.advance(60.0);
    }
    recorder.stop().await;
    (folder, file, heads)
}

/// Reports one task, and gives the head in the answer.
async fn report(recorder: &Recorder, name: &str, byte: u8, expected: StatusCode) -> String {
    let body = json!({"artifacts": [task(1, "web", &digest(byte), 10)]}).to_string();
    let answer = recorder.put(&format!("/environments/acme/{name}/report/ECS"), body).await;
    assert_eq!(answer.status, expected);
    answer.head.unwrap()
}

/// Does to the file what its triggers forbid.
fn tamper(file: &Path, sql: &str) {
    let connection = Connection::open(file).unwrap();
    let (drop, restore): (String, String) = connection
        .query_row(
            "SELECT group_concat('DROP TRIGGER ' || name || ';', ''), group_concat(sql || ';', '')
             FROM sqlite_schema WHERE type = 'trigger'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    connection.execute_batch(&drop).unwrap();
    connection.execute_batch(sql).unwrap();
    connection.execute_batch(&restore).unwrap();
}

/// What `envsnap verify` prints, and its exit code.
fn verify(file: &Path, head: Option<&str>) -> (i32, String) {
    let head = head.map(|head| ["--head", head]);
    let output = on("verify", file, head.as_ref().map_or(&[], |head| &head[..]));
    (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
}

#[tokio::test]
async fn every_answered_report_carries_the_head_which_only_a_new_snapshot_moves() {
    let recorder = Recorder::start().await;
    recorder.create("web", None).await;
    recorder.create("job", None).await;
    let nothing = recorder.put("/environments/acme/web/report/ECS", r#"{"artifacts": []}"#).await;
    assert_eq!(nothing.head, Some("0".repeat(64)));
    let first = report(&recorder, "web", 1, StatusCode::CREATED).await;
    assert_eq!(report(&recorder, "web", 1, StatusCode::OK).await, first);
    let second = report(&recorder, "job", 1, StatusCode::CREATED).await;
    assert_eq!(report(&recorder, "web", 1, StatusCode::OK).await, second);
    assert_ne!(first, second);
    assert_eq!(recorder.get("/environments/acme/web").await.head, None);
}

#[tokio::test]
async fn an_untouched_file_verifies_with_every_head_it_ever_told() {
    let (_folder, file, heads) = recorded().await;
    Connection::open(&file).unwrap().execute_batch("ANALYZE").unwrap();
    let (code, said) = verify(&file, None);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Every link holds: 6 snapshots in 2 environments."), "{said}");
    assert!(
        said.contains("Without --head, this proves only that the file is consistent"),
        "{said}"
    );
    assert!(said.ends_with(&format!("Head: {}\n", heads[5])), "{said}");
    for (after, head) in heads.iter().rev().enumerate() {
        let (code, said) = verify(&file, Some(head));
        let expected = match after {
            0 => format!("{head} is the head."),
            1 => format!("{head} is a link of the chain; 1 snapshot came after it."),
            _ => format!("{head} is a link of the chain; {after} snapshots came after it."),
        };
        assert!(code == 0 && said.contains(&expected), "{said}");
        assert!(!said.contains("consistent with itself"), "{said}");
    }
    let (_, said) = verify(&file, Some(&"0".repeat(64)));
    assert!(said.contains("proves nothing"), "{said}");
    let unknown = "ab".repeat(32);
    let (code, said) = verify(&file, Some(&unknown));
    assert!(code == 2 && said.contains(&format!("{unknown} is none of them")), "{said}");
    assert_eq!(verify(&file, Some("short")).0, 2);
}

#[tokio::test]
async fn a_copy_that_misses_what_is_beside_the_file_proves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let copy = folder.path().join("copy.db");
    let recorder = Recorder::on(&file).await;
    recorder.create("web", None).await;
    report(&recorder, "web", 1, StatusCode::CREATED).await;
    std::fs::copy(&file, &copy).unwrap();
    let (code, said) = verify(&copy, None);
    assert!(code == 2 && said.contains("its log is not beside it"), "{said}");
}

#[tokio::test]
async fn a_file_is_verified_while_its_recorder_writes_to_it() {
    let (_folder, file, heads) = recorded().await;
    let recorder = Recorder::on(&file).await;
    let head = report(&recorder, "web", 99, StatusCode::CREATED).await;
    let (code, said) = verify(&file, Some(&heads[5]));
    assert!(code == 0 && said.ends_with(&format!("Head: {head}\n")), "{said}");
}

#[tokio::test]
async fn whatever_was_rewritten_is_found_and_the_first_link_that_breaks_is_named() {
    let (_folder, file, heads) = recorded().await;
    let cases = [
        (
            "an artifact",
            "UPDATE snapshot SET artifacts = replace(artifacts, '0303', '0304') WHERE id = 3",
            "'web#2' of organization 'acme'",
        ),
        (
            "a moment, in its last bit",
            "UPDATE snapshot SET created_at = created_at + 0.0000003 WHERE id = 2",
            "'job#1'",
        ),
        ("an index", "UPDATE snapshot SET snapshot_index = 9 WHERE id = 6", "'web#9'"),
        ("a name", "UPDATE snapshot SET environment_name = 'app' WHERE id = 1", "'app#1'"),
        ("a hash", "UPDATE snapshot SET content_hash = 'ab' WHERE id = 4", "'job#2'"),
        ("a link", "UPDATE snapshot SET link = x'ab' WHERE id = 4", "'job#2'"),
        ("the first, removed", "DELETE FROM snapshot WHERE id = 1", "'job#1'"),
        ("one in the middle, removed", "DELETE FROM snapshot WHERE id = 3", "'job#2'"),
        (
            "two, swapped",
            "UPDATE snapshot SET id = 30 WHERE id = 3; UPDATE snapshot SET id = 3 WHERE id = 4;
             UPDATE snapshot SET id = 4 WHERE id = 30",
            "'job#2'",
        ),
        (
            "an environment's organization",
            "UPDATE environment SET org = 'other' WHERE name = 'job'",
            "'job#1' of organization 'other'",
        ),
        ("its type", "UPDATE environment SET type = 'K8S' WHERE name = 'web'", "'web#1'"),
        (
            "it itself, removed",
            "PRAGMA foreign_keys = OFF; DELETE FROM environment WHERE name = 'job'",
            "'job#1' of organization ''",
        ),
        (
            "one from another environment",
            "UPDATE snapshot SET environment_id = 2, snapshot_index = 3 WHERE id = 6",
            "'web#3'",
        ),
    ];
    for (what, sql, named) in cases {
        let rewritten = file.with_file_name("rewritten.db");
        std::fs::copy(&file, &rewritten).unwrap();
        tamper(&rewritten, sql);
        for head in [None, Some(&*heads[5])] {
            let (code, said) = verify(&rewritten, head);
            assert_eq!(code, 2, "{what}: {said}");
            assert!(said.contains("the chain breaks at snapshot"), "{what}: {said}");
            assert!(said.contains(named), "{what}: {said}");
        }
    }
}

#[tokio::test]
async fn what_would_change_records_or_no_longer_keeps_them_is_found() {
    let (_folder, file, _) = recorded().await;
    for (sql, named) in [
        (
            "CREATE TRIGGER hides AFTER INSERT ON snapshot
             BEGIN UPDATE environment SET archived_at = 1; END",
            "trigger \"hides\"",
        ),
        (
            "PRAGMA writable_schema = ON;
             INSERT INTO sqlite_schema VALUES ('trigger', 'sqlite_y', 'snapshot', 0,
                 'CREATE TRIGGER sqlite_y BEFORE INSERT ON snapshot
                  BEGIN SELECT raise(IGNORE); END')",
            "trigger \"sqlite_y\"",
        ),
        ("DROP TRIGGER snapshot_stays", "trigger \"snapshot_stays\""),
        ("CREATE VIEW other AS SELECT 1", "view \"other\""),
        ("ALTER TABLE environment ADD COLUMN more TEXT", "table \"environment\""),
    ] {
        let changed = file.with_file_name("changed.db");
        std::fs::copy(&file, &changed).unwrap();
        Connection::open(&changed).unwrap().execute_batch(sql).unwrap();
        let (code, said) = verify(&changed, None);
        let is_told = said.contains(&format!("every link holds, but {named} of"));
        assert!(code == 2 && is_told, "{sql}: {said}");
    }
}

#[tokio::test]
async fn changes_that_are_miscounted_are_found_though_no_link_holds_their_number() {
    let (_folder, file, _) = recorded().await;
    for sql in [
        "UPDATE event_count SET events = events + 1 WHERE environment_id = 1 AND snapshot_index = 3",
        "DELETE FROM event_count WHERE environment_id = 1 AND snapshot_index = 3",
    ] {
        let rewritten = file.with_file_name("rewritten.db");
        std::fs::copy(&file, &rewritten).unwrap();
        tamper(&rewritten, sql);
        let (code, said) = verify(&rewritten, None);
        assert!(code == 2 && said.contains("the links up to snapshot 'web#3'"), "{sql}: {said}");
    }
}

#[tokio::test]
async fn rows_that_no_snapshot_accounts_for_are_found() {
    let (_folder, file, _) = recorded().await;
    for (table, sql) in [
        ("environment", "UPDATE environment SET policies = '{'"),
        ("environment", "UPDATE environment SET policies = '{}'"),
        ("environment", "UPDATE environment SET included_environments = '[\"web\", 1]'"),
        ("event_count", "INSERT INTO event_count VALUES (1, 5, 1000)"),
        ("event_count", "INSERT INTO event_count VALUES (1, -1, -1000)"),
        ("silence", "INSERT INTO silence VALUES (1, 9, 1, 2)"),
        ("silence", "INSERT INTO silence VALUES (1, 1, 1, 1e12)"),
        ("silence", "INSERT INTO silence VALUES (1, 1, 2, 1)"),
        ("probe", "INSERT INTO probe VALUES (x'00')"),
    ] {
        let rewritten = file.with_file_name("rewritten.db");
        std::fs::copy(&file, &rewritten).unwrap();
        tamper(&rewritten, sql);
        let (code, said) = verify(&rewritten, None);
        let is_told = said.contains(&format!("table {table:?}")) && said.contains("did not write");
        assert!(code == 2 && is_told, "{sql}: {said}");
    }
}

#[tokio::test]
async fn a_row_in_the_way_makes_no_report_fail() {
    let (_folder, file, _) = recorded().await;
    tamper(&file, "INSERT INTO event_count VALUES (1, 5, 1000)");
    let recorder = Recorder::on(&file).await;
    report(&recorder, "web", 99, StatusCode::CREATED).await;
    let (code, said) = verify(&file, None);
    assert_eq!(code, 0, "{said}");
}

#[tokio::test]
async fn a_trigger_that_leaves_snapshots_out_gets_no_report_answered() {
    let (_folder, file, heads) = recorded().await;
    let connection = Connection::open(&file).unwrap();
    let trigger = "CREATE TRIGGER leaves_out BEFORE INSERT ON snapshot
                   BEGIN SELECT raise(IGNORE); END";
    connection.execute_batch(trigger).unwrap();
    drop(connection);
    let recorder = Recorder::on(&file).await;
    let body = json!({"artifacts": [task(1, "web", &digest(99), 10)]}).to_string();
    let answer = recorder.put("/environments/acme/web/report/ECS", body).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{answer:?}");
    let (_, said) = verify(&file, Some(&heads[5]));
    assert!(said.contains("trigger \"leaves_out\""), "{said}");
}

#[tokio::test]
async fn snapshots_that_were_removed_from_the_end_are_missed_by_who_kept_a_head() {
    let (_folder, file, heads) = recorded().await;
    tamper(
        &file,
        "DELETE FROM event_count WHERE (environment_id, snapshot_index) IN
             (SELECT environment_id, snapshot_index FROM snapshot WHERE id > 4);
         DELETE FROM snapshot WHERE id > 4",
    );
    assert_eq!(verify(&file, None).0, 0);
    let (code, said) = verify(&file, Some(&heads[3]));
    assert!(code == 0 && said.contains("is the head."), "{said}");
    for head in &heads[4..] {
        let (code, said) = verify(&file, Some(head));
        assert!(code == 2 && said.contains("removed from the end"), "{said}");
    }
}

#[tokio::test]
async fn an_environment_that_was_put_away_verifies_and_is_told() {
    let (_folder, file, heads) = recorded().await;
    tamper(
        &file,
        "UPDATE environment SET archived_at = 1, name = char(27) || 'x' WHERE name = 'web'",
    );
    let (code, said) = verify(&file, Some(&heads[5]));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("'\u{fffd}x' of organization 'acme' is archived"), "{said:?}");
    assert!(!said.contains('\u{1b}'), "{said:?}");
}

#[tokio::test]
async fn a_renamed_environment_verifies_and_its_old_name_is_told() {
    let (_folder, file, heads) = recorded().await;
    tamper(&file, "UPDATE environment SET name = 'live' WHERE name = 'web'");
    let (code, said) = verify(&file, Some(&heads[5]));
    assert_eq!(code, 0, "{said}");
    let renamed = "'web' of organization 'acme' was renamed to 'live' after its snapshot #4.";
    assert!(said.contains(renamed), "{said}");

    let recorder = Recorder::on(&file).await;
    report(&recorder, "live", 99, StatusCode::CREATED).await;
    let (code, said) = verify(&file, Some(&heads[5]));
    assert!(code == 0 && !said.contains("renamed"), "{said}");
}

#[tokio::test]
async fn a_damaged_file_is_told_from_a_rewritten_one() {
    let (_folder, file, _) = recorded().await;
    let page: u32 = Connection::open(&file)
        .unwrap()
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'snapshot'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    // The end of the page is the end of the first row's entry: that of another row, and nonsense.
    let at = |bytes: &[u8]| u64::from(page) * 4096 - bytes.len() as u64;
    for bytes in [&[8][..], &[0x7f; 4]] {
        let damaged = OpenOptions::new().write(true).open(&file).unwrap();
        damaged.write_all_at(bytes, at(bytes)).unwrap();
        let (code, said) = verify(&file, None);
        assert!(code == 2 && said.contains("is damaged"), "{code} {said}");
    }
}
