//! The ledger: the head that answers a write, and the proof that nothing was rewritten.

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

/// A file with eight ledger entries: the environments `web` and `job`, and then as entries 3 to 8
/// `web#1`, `job#1`, `web#2`, `job#2`, `web#3`, `web#4`; and the head after each of these.
async fn file_with_eight_entries() -> (TempDir, PathBuf, Vec<String>) {
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

/// Reports one task; the head in the response.
async fn report(recorder: &Recorder, name: &str, byte: u8, expected: StatusCode) -> String {
    let body = json!({"artifacts": [task(1, "web", &digest(byte), 10)]}).to_string();
    let answer = recorder.put(&format!("/environments/acme/{name}/report/ECS"), body).await;
    assert_eq!(answer.status, expected);
    answer.head.unwrap()
}

/// A copy of the file in which the SQL was executed.
fn tampered(file: &Path, sql: &str) -> PathBuf {
    let copy = file.with_file_name("rewritten.db");
    std::fs::copy(file, &copy).unwrap();
    // A note of what was answered from another copy.
    let _none = std::fs::remove_file(file.with_file_name("rewritten.db.lock"));
    Connection::open(&copy).unwrap().execute_batch(sql).unwrap();
    copy
}

/// Exit code and output of `envsnap verify`.
fn verify(file: &Path, head: Option<&str>) -> (i32, String) {
    let head = head.map(|head| ["--head", head]);
    let output = on("verify", file, head.as_ref().map_or(&[], |head| &head[..]));
    (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
}

#[tokio::test]
async fn every_response_to_a_write_has_the_head_of_the_organizations_ledger() {
    let recorder = Recorder::start().await;
    let environment = |name: &str| json!({"name": name, "type": "ECS", "description": ""});
    let write = async |path: &str, body: serde_json::Value| {
        let answer = recorder.put(path, body.to_string()).await;
        assert!(answer.status.is_success(), "{answer:?}");
        let head = answer.head.unwrap();
        let (position, hash) = head.rsplit_once("; hash=").unwrap();
        assert_eq!(hash.len(), 64, "{head}");
        (position.to_owned(), hash.to_owned())
    };
    let tasks = |byte| json!({"artifacts": [task(1, "web", &digest(byte), 10)]});
    let to_web = "/environments/acme/web/report/ECS";
    let mut hashes = Vec::new();
    for (path, body, position) in [
        ("/environments/acme", environment("web"), "org=acme; seq=1"),
        ("/environments/other", environment("web"), "org=other; seq=1"),
        (to_web, json!({"artifacts": []}), "org=acme; seq=1"),
        (to_web, tasks(1), "org=acme; seq=2"),
        (to_web, tasks(1), "org=acme; seq=2"),
        ("/environments/other/web/report/ECS", tasks(1), "org=other; seq=2"),
        (to_web, tasks(2), "org=acme; seq=3"),
        ("/environments/acme/web/rename", json!({"new_name": "live"}), "org=acme; seq=4"),
        ("/environments/acme/live/archive", json!({}), "org=acme; seq=5"),
    ] {
        let (found, hash) = write(path, body).await;
        assert_eq!(found, position, "{path}");
        hashes.push(hash);
    }
    assert_eq!(hashes[0], hashes[2]);
    assert_eq!(hashes[3], hashes[4]);
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 7, "what is at different positions has different hashes");
    assert_eq!(recorder.get("/environments/acme").await.head, None);
}

#[tokio::test]
async fn an_unchanged_file_verifies_with_every_head_that_was_returned() {
    let (_folder, file, heads) = file_with_eight_entries().await;
    Connection::open(&file).unwrap().execute_batch("ANALYZE").unwrap();
    let (code, said) = verify(&file, None);
    assert_eq!(code, 0, "{said}");
    let holds =
        "The ledger of organization 'acme' holds: 8 entries, with 6 snapshots in 2 environments.";
    assert!(said.contains(holds), "{said}");
    assert!(
        said.contains("Without --head, this proves only that the file is consistent"),
        "{said}"
    );
    assert!(said.ends_with(&format!("Head: {}\n", heads[5])), "{said}");
    for (after, head) in heads.iter().rev().enumerate() {
        let (code, said) = verify(&file, Some(head));
        let expected = match after {
            0 => "The given head is its head.".to_owned(),
            1 => "The given head is its entry 7; 1 entry came after it.".to_owned(),
            _ => format!("is its entry {}; {after} entries came after it.", 8 - after),
        };
        assert!(code == 0 && said.contains(&expected), "{said}");
        assert!(!said.contains("consistent with itself"), "{said}");
    }
    let (_, said) = verify(&file, Some(&format!("org=acme; seq=0; hash={}", "0".repeat(64))));
    assert!(said.contains("proves nothing"), "{said}");
    for unknown in [
        format!("org=acme; seq=8; hash={}", "ab".repeat(32)),
        heads[5].replace("seq=8", "seq=9"),
        heads[5].replace("acme", "other"),
    ] {
        let (code, said) = verify(&file, Some(&unknown));
        let is_reported = said.contains(&format!("\"{unknown}\" is not in them"));
        assert!(code == 2 && is_reported, "{said}");
    }
    assert_eq!(verify(&file, Some("short")).0, 2);
}

#[tokio::test]
async fn verify_refuses_a_copy_of_a_file_in_use_without_its_wal() {
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
    let (_folder, file, heads) = file_with_eight_entries().await;
    let recorder = Recorder::on(&file).await;
    let head = report(&recorder, "web", 99, StatusCode::CREATED).await;
    let (code, said) = verify(&file, Some(&heads[5]));
    assert!(code == 0 && said.ends_with(&format!("Head: {head}\n")), "{said}");
}

#[tokio::test]
async fn verify_names_the_first_entry_at_which_a_rewritten_ledger_breaks() {
    let (_folder, file, heads) = file_with_eight_entries().await;
    let breaks_at = |seq: u32| format!("ledger of organization 'acme' breaks at entry {seq}");
    let cases = [
        (
            "a payload",
            "UPDATE ledger SET payload = replace(payload, '0303', '0304') WHERE seq = 5",
            breaks_at(5),
        ),
        ("a moment", "UPDATE ledger SET recorded_at = recorded_at + 1 WHERE seq = 4", breaks_at(4)),
        ("an author", "UPDATE ledger SET actor = 'ci' WHERE seq = 3", breaks_at(3)),
        ("a kind", "UPDATE ledger SET kind = 'confirmed' WHERE seq = 6", breaks_at(6)),
        ("a version", "UPDATE ledger SET version = 2 WHERE seq = 6", breaks_at(6)),
        ("a hash", "UPDATE ledger SET hash = zeroblob(32) WHERE seq = 6", breaks_at(6)),
        (
            "the organization",
            "UPDATE org SET name = 'other' WHERE name = 'acme'",
            "ledger of organization 'other' breaks at entry 1".to_owned(),
        ),
        (
            "one in the middle, removed",
            "DELETE FROM ledger WHERE seq = 5",
            "has entry 6 where entry 5 should be".to_owned(),
        ),
        (
            "two, swapped",
            "UPDATE ledger SET seq = 60 WHERE seq = 6; UPDATE ledger SET seq = 6 WHERE seq = 7;
             UPDATE ledger SET seq = 7 WHERE seq = 60",
            breaks_at(6),
        ),
    ];
    for (what, sql, named) in cases {
        let rewritten = tampered(&file, sql);
        for head in [None, Some(&*heads[5])] {
            let (code, said) = verify(&rewritten, head);
            assert!(code == 2 && said.contains(&named), "{what}: {said}");
        }
    }
}

#[tokio::test]
async fn verify_finds_tables_that_differ_from_the_ledgers() {
    let (_folder, file, _) = file_with_eight_entries().await;
    let cases = [
        ("ledger", "DELETE FROM ledger WHERE seq = 8"),
        (
            "environment",
            "UPDATE environment SET archived_at = 1, name = char(27) WHERE name = 'web'",
        ),
        ("environment", "UPDATE environment SET name = 'live' WHERE name = 'web'"),
        ("environment", "DELETE FROM environment WHERE name = 'job'"),
        ("snapshot", "UPDATE snapshot SET recorded_at = recorded_at + 1 WHERE seq = 5"),
        ("snapshot", "UPDATE snapshot SET events = events + 1 WHERE seq = 5"),
        ("snapshot", "DELETE FROM snapshot WHERE seq = 5"),
        ("interval", "UPDATE interval SET replicas = 2 WHERE from_index = 3"),
        ("interval", "UPDATE interval SET started_at = '[11]' WHERE from_index = 3"),
        ("interval", "DELETE FROM interval WHERE from_index = 2"),
        ("artifact", "UPDATE artifact SET name = 'x' WHERE id = 1"),
        ("artifact_label", "DELETE FROM artifact_label WHERE artifact_id = 1"),
        ("coverage", "UPDATE coverage SET from_at = from_at - 1"),
        ("probe", "INSERT INTO probe VALUES (x'00')"),
    ];
    for (table, sql) in cases {
        let (code, said) = verify(&tampered(&file, sql), None);
        assert_eq!(code, 2, "{sql}: {said}");
        let expected = format!("table {table} of");
        assert!(table == "ledger" || said.contains(&expected), "{sql}: {said}");
        assert!(!said.contains('\u{1b}'), "{said:?}");
    }
}

#[tokio::test]
async fn verify_finds_added_triggers_and_views_and_changed_tables_and_indexes() {
    let (_folder, file, _) = file_with_eight_entries().await;
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
        ("DROP INDEX interval_by_end", "index \"interval_by_end\""),
        ("CREATE VIEW other AS SELECT 1", "view \"other\""),
        ("ALTER TABLE environment ADD COLUMN more TEXT", "table \"environment\""),
    ] {
        let (code, said) = verify(&tampered(&file, sql), None);
        let is_reported = said.contains(&format!("the ledgers hold, but {named} of"));
        assert!(code == 2 && is_reported, "{sql}: {said}");
    }
}

#[tokio::test]
async fn no_report_is_acknowledged_if_a_trigger_drops_rows() {
    let (_folder, file, heads) = file_with_eight_entries().await;
    for table in ["ledger", "snapshot", "interval"] {
        let trigger = format!(
            "CREATE TRIGGER leaves_out BEFORE INSERT ON {table} BEGIN SELECT raise(IGNORE); END"
        );
        let changed = tampered(&file, &trigger);
        let recorder = Recorder::on(&changed).await;
        let body = json!({"artifacts": [task(1, "web", &digest(99), 10)]}).to_string();
        let answer = recorder.put("/environments/acme/web/report/ECS", body).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{table} {answer:?}");
        recorder.stop().await;
        let (_, said) = verify(&changed, Some(&heads[5]));
        assert!(said.contains("trigger \"leaves_out\""), "{said}");
    }
}

#[tokio::test]
async fn verify_finds_entries_missing_at_the_end_of_a_ledger_only_with_a_kept_head() {
    let (folder, file, heads) = file_with_eight_entries().await;
    let earlier = folder.path().join("earlier.db");
    assert!(on("backup", &file, &[earlier.to_str().unwrap()]).status.success());
    let recorder = Recorder::on(&file).await;
    let later = report(&recorder, "web", 99, StatusCode::CREATED).await;
    assert_eq!(verify(&file, Some(&later)).0, 0);
    // Put in the place of the file, it would lack what came later.
    assert_eq!(verify(&earlier, None).0, 0);
    assert_eq!(verify(&earlier, Some(&heads[5])).0, 0);
    let (code, said) = verify(&earlier, Some(&later));
    assert!(code == 2 && said.contains("removed from the end"), "{said}");
}

#[tokio::test]
async fn environments_that_are_renamed_and_archived_verify_with_what_was_recorded_in_them() {
    let (_folder, file, heads) = file_with_eight_entries().await;
    let recorder = Recorder::on(&file).await;
    recorder.advance(3_600.0);
    let body = json!({"new_name": "live"}).to_string();
    let renamed = recorder.put("/environments/acme/web/rename", body).await;
    assert!(renamed.head.unwrap().starts_with("org=acme; seq=9;"));
    report(&recorder, "live", 99, StatusCode::CREATED).await;
    let archived = recorder.put("/environments/acme/job/archive", "").await;
    let head = archived.head.unwrap();
    let (code, said) = verify(&file, Some(&heads[5]));
    assert!(code == 0 && said.ends_with(&format!("Head: {head}\n")), "{said}");
}

#[tokio::test]
async fn verify_reports_a_damaged_page_as_damage_and_not_as_a_rewritten_ledger() {
    let (_folder, file, _) = file_with_eight_entries().await;
    let page: u32 = Connection::open(&file)
        .unwrap()
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'snapshot_by_events'",
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
