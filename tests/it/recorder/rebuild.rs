//! `envsnap rebuild`: a file with damaged tables is made anew from its ledgers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use reqwest::Method;
use rusqlite::Connection;
use rusqlite::types::Value;
use serde_json::json;

use super::crash::Process;
use super::file::on;
use super::lost_log::beside;
use super::provenance::requests::document;
use super::server::{Recorder, digest, task};
use crate::command_line::{envsnap, text};

/// Content of the attachment.
const ATTACHMENT: &[u8] = b"all 12 tests passed";

/// A file with two organizations, snapshots, provenance and an attachment, that a recorder has closed.
async fn recorded(folder: &Path) -> PathBuf {
    let file = folder.join("snapshots.db");
    let recorder = Recorder::on(&file).await;
    for name in ["web", "job"] {
        recorder.create(name, None).await;
    }
    for byte in 1..=6 {
        let running = [
            task(1, "web", &digest(byte), 10),
            task(2, "runner", &digest(100), 10),
            task(3 + u32::from(byte % 2), "runner", &digest(100), 11),
        ];
        assert_eq!(recorder.report("web", &running).await, 201);
        assert_eq!(recorder.report("job", &running[..usize::from(byte % 3)]).await, 201);
        recorder.advance(60.0);
    }
    // The same by another task.
    let tasks = [task(9, "web", &digest(6), 70), task(2, "runner", &digest(100), 10)];
    let tasks = [&tasks[..], &[task(3, "runner", &digest(100), 11)]].concat();
    assert_eq!(recorder.report("web", &tasks).await, 200);
    recorder.artifact("acme", "runner", "t", &digest(100)).await;
    let evidence = json!({"attestation_name": "scan", "is_compliant": true});
    let body = document(&evidence, Some(("attachment_file", ATTACHMENT)));
    let path = "/attestations/acme/runner/trail/t/generic";
    assert_eq!(recorder.send_parts(Method::POST, path, body).await.status, 201);
    let environment = json!({"name": "other", "type": "ECS", "description": "d"}).to_string();
    assert_eq!(recorder.put("/environments/beta", environment).await.status, 201);
    recorder.stop().await;
    let webhook = "INSERT INTO webhook VALUES ('0123456789abcdef0123456789abcdef');
                   INSERT INTO webhook_position SELECT 1, id, 3 FROM webhook";
    Connection::open(&file).unwrap().execute_batch(webhook).unwrap();
    file
}

/// Every row, by table.
fn rows_by_table(file: &Path) -> BTreeMap<String, Vec<Vec<Value>>> {
    let connection = Connection::open(file).unwrap();
    let mut names = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .unwrap();
    let names: Vec<String> =
        names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let rows_of = |name: &String| {
        let mut select = connection.prepare(&format!("SELECT * FROM {name}")).unwrap();
        let columns = select.column_count();
        let rows = select
            .query_map([], |row| (0..columns).map(|column| row.get(column)).collect())
            .unwrap();
        rows.map(Result::unwrap).collect()
    };
    names.iter().map(|name| (name.clone(), rows_of(name))).collect()
}

/// JSON that the command line prints for the file, without durations that depend on the time of the
/// test.
fn answers(file: &Path) -> Vec<serde_json::Value> {
    let runner = digest(100);
    let questions: [&[&str]; 6] = [
        &["env", "get", "web"],
        &["env", "get", "web#2"],
        &["env", "log", "job"],
        &["env", "diff", "web#1", "web#4"],
        &["artifact", "where", &runner],
        &["artifact", "get", &runner],
    ];
    let more = ["--org", "acme", "-o", "json", "--db", file.to_str().unwrap()];
    let answer = |question: &&[&str]| {
        let answered = envsnap(&[question, &more[..]].concat(), &[]);
        assert!(matches!(answered.status.code(), Some(0 | 1)), "{question:?}: {answered:?}");
        let mut answer: serde_json::Value = serde_json::from_slice(&answered.stdout).unwrap();
        if let Some(latest) = answer.get_mut(0).and_then(|latest| latest.get_mut("duration")) {
            latest.take();
        }
        answer
    };
    questions.iter().map(answer).collect()
}

/// Moves the file, its `-wal` and its `-shm` away, and `new` into its place, as the message of
/// `rebuild` says.
fn put_in_place(file: &Path, new: &Path) {
    for ending in ["", "-wal", "-shm"] {
        let _none = fs::rename(beside(file, ending), beside(file, &format!(".away{ending}")));
    }
    fs::rename(new, file).unwrap();
}

/// Names of the files in `folder` that begin with `name`.
fn files_with_prefix(folder: &Path, name: &str) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|found| found.starts_with(name)).collect()
}

/// What `verify` names, and the SQL that damages it.
const DAMAGE: [(&str, &str); 16] = [
    (
        "table snapshot",
        "UPDATE snapshot SET recorded_at = recorded_at + 1 WHERE snapshot_index = 3",
    ),
    ("table snapshot", "DELETE FROM snapshot WHERE snapshot_index = 3"),
    ("table interval", "UPDATE interval SET to_index = 5 WHERE to_index = 4"),
    ("table interval", "UPDATE interval SET name = 'other' WHERE to_index IS NULL"),
    ("table environment", "DELETE FROM environment WHERE name = 'job'"),
    (
        "table environment",
        "UPDATE environment SET archived_at = 1, name = char(27) WHERE name = 'web'",
    ),
    (
        "table artifact_label",
        "INSERT INTO artifact_label SELECT org_id, 'added', id FROM artifact LIMIT 1",
    ),
    ("table coverage", "DELETE FROM coverage"),
    ("table attachment", "DELETE FROM attachment"),
    ("table probe", "INSERT INTO probe VALUES (x'00')"),
    (
        "trigger \"hides\"",
        "CREATE TRIGGER hides AFTER INSERT ON snapshot
         BEGIN UPDATE environment SET archived_at = 1; END",
    ),
    ("index \"interval_by_end\"", "DROP INDEX interval_by_end"),
    ("index \"by_hand\"", "CREATE INDEX by_hand ON environment (description)"),
    ("view \"other\"", "CREATE VIEW other AS SELECT 1"),
    ("table \"environment\"", "ALTER TABLE environment ADD COLUMN more TEXT"),
    ("table \"flow\"", "DROP TABLE flow"),
];

#[tokio::test(flavor = "multi_thread")]
async fn rebuild_restores_damaged_tables_from_the_ledgers_with_the_command_that_verify_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = recorded(folder.path()).await;
    let (original, new) = (folder.path().join("original.db"), folder.path().join("new.db"));
    fs::copy(&file, &original).unwrap();
    let (rows_before, answers_before) = (rows_by_table(&original), answers(&file));
    let heads = text(&on("verify", &file, &["--attachments"]).stdout);
    for (named, sql) in DAMAGE {
        fs::copy(&original, &file).unwrap();
        Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        let verified = on("verify", &file, &[]);
        let said = text(&verified.stderr);
        assert_eq!(verified.status.code(), Some(2), "{sql}: {said}");
        let command = format!("envsnap rebuild --db '{}' TARGET", file.display());
        assert!(said.contains(named) && said.contains(&command), "{sql}: {said}");
        let damaged = fs::read(&file).unwrap();
        let rebuilt = on("rebuild", &file, &[new.to_str().unwrap()]);
        assert!(rebuilt.status.success(), "{sql}: {rebuilt:?}");
        assert!(fs::read(&file).unwrap() == damaged, "{sql}");
        put_in_place(&file, &new);
        let verified = on("verify", &file, &["--attachments"]);
        assert_eq!(text(&verified.stdout), heads, "{sql}: {verified:?}");
        assert!(rows_by_table(&file) == rows_before, "{sql}");
        assert!(answers(&file) == answers_before, "{sql}");
    }
    let mut recorder = Process::start(&file).await;
    assert_eq!(recorder.index("web").await, 6);
    let (_, found) = recorder.get("/attestations/acme/runner/trail/t/scan").await;
    let url = found[0]["_links"]["evidence"].as_str().unwrap_or_else(|| panic!("{found}"));
    let (host, _) = recorder.url.split_once("/api/").unwrap();
    let evidence = reqwest::get(format!("{host}{url}")).await.unwrap();
    assert_eq!(&evidence.bytes().await.unwrap()[..], ATTACHMENT);
    assert_eq!(recorder.report("web", &[task(1, "web", &digest(200), 1)]).await, 201);
    recorder.end("-TERM").await;
    assert!(on("verify", &file, &["--attachments"]).status.success());
    assert_eq!(files_with_prefix(folder.path(), "new.db"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn file_with_a_damaged_page_is_rebuilt_if_its_ledgers_are_readable() {
    let folder = tempfile::tempdir().unwrap();
    let file = recorded(folder.path()).await;
    let (rows_before, new) = (rows_by_table(&file), folder.path().join("new.db"));
    let page_of = |object: &str| {
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?";
        Connection::open(&file).unwrap().query_row(sql, [object], |row| row.get::<_, u64>(0))
    };
    let original = fs::read(&file).unwrap();
    for (object, is_rebuilt) in
        [("snapshot_by_events", true), ("interval", true), ("ledger", false)]
    {
        fs::write(&file, &original).unwrap();
        let begin = (page_of(object).unwrap() - 1) * 4_096;
        let damaged = fs::OpenOptions::new().write(true).open(&file).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&damaged, &[0x7f; 64], begin).unwrap();
        let verified = on("verify", &file, &[]);
        let said = text(&verified.stderr);
        assert!(said.contains("is damaged") && said.contains("envsnap rebuild --db"), "{said}");
        let rebuilt = on("rebuild", &file, &[new.to_str().unwrap()]);
        assert_eq!(rebuilt.status.success(), is_rebuilt, "{object}: {rebuilt:?}");
        if is_rebuilt {
            assert!(rows_by_table(&new) == rows_before, "{object}");
            fs::remove_file(&new).unwrap();
        } else {
            let said = text(&rebuilt.stderr);
            assert!(
                said.contains("nothing was rebuilt") && said.contains("Restore a backup"),
                "{said}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuild_drops_damaged_rows_outside_the_ledgers_and_names_a_damaged_attachment() {
    let folder = tempfile::tempdir().unwrap();
    let file = recorded(folder.path()).await;
    let (original, new) = (folder.path().join("original.db"), folder.path().join("new.db"));
    fs::copy(&file, &original).unwrap();
    for sql in [
        "UPDATE reporting SET heartbeat = -5",
        "DELETE FROM reporting",
        "INSERT INTO reporting VALUES (1, 999, 1700000000000000, NULL, zeroblob(32))",
        "UPDATE current_task SET task = '{'",
        "DROP TABLE current_task",
        "INSERT INTO webhook VALUES ('x'); UPDATE webhook_position SET seq = 9999",
        "DROP TABLE webhook_position",
        "UPDATE recent_report SET seq = 1",
        "INSERT INTO attachment_chunk VALUES (1, zeroblob(32), 0, x'00')",
    ] {
        fs::copy(&original, &file).unwrap();
        let both = format!("DELETE FROM snapshot; {sql}");
        Connection::open(&file).unwrap().execute_batch(&both).unwrap();
        let rebuilt = on("rebuild", &file, &[new.to_str().unwrap()]);
        assert!(rebuilt.status.success(), "{sql}: {rebuilt:?}");
        let verified = on("verify", &new, &["--attachments"]);
        assert!(verified.status.success(), "{sql}: {verified:?}");
        let rows = rows_by_table(&new);
        assert_eq!(rows["reporting"].len(), 2, "{sql}");
        // Nothing is delivered again.
        assert_eq!(rows["webhook"].len(), rows["webhook_position"].len(), "{sql}");
        fs::remove_file(&new).unwrap();
    }
    // Nothing else has it.
    fs::copy(&original, &file).unwrap();
    let sql = "DELETE FROM coverage; UPDATE attachment_chunk SET bytes = x'00'";
    Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    let rebuilt = on("rebuild", &file, &[new.to_str().unwrap()]);
    let said = text(&rebuilt.stdout);
    assert!(rebuilt.status.success() && said.contains("One thing is still damaged"), "{rebuilt:?}");
    assert!(said.contains(&format!("sqlite3 '{}'", new.display())), "{said}");
    let verified = on("verify", &new, &["--attachments"]);
    assert!(text(&verified.stderr).contains("attachment with SHA-256"), "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuild_refuses_broken_ledgers_and_targets_that_exist_or_belong_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = recorded(folder.path()).await;
    let (original, new) = (folder.path().join("original.db"), folder.path().join("new.db"));
    fs::copy(&file, &original).unwrap();
    for (sql, named) in [
        ("UPDATE ledger SET recorded_at = recorded_at + 1 WHERE seq = 5", "breaks at entry 5"),
        ("DELETE FROM ledger WHERE seq = 5", "has entry 6 where entry 5 should be"),
        ("UPDATE ledger SET actor = 'me' WHERE seq = 1", "breaks at entry 1"),
        ("UPDATE org SET name = 'other' WHERE name = 'acme'", "breaks at entry 1"),
        ("DROP TABLE ledger", "no such table: ledger"),
        ("PRAGMA user_version = 99", "has version 99"),
    ] {
        fs::copy(&original, &file).unwrap();
        Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        let refused = on("rebuild", &file, &[new.to_str().unwrap()]);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{sql}: {said}");
        assert!(said.contains(named), "{sql}: {said}");
        assert_eq!(files_with_prefix(folder.path(), "new.db"), [""; 0], "{sql}");
    }
    for target in [original.clone(), beside(&file, "-wal"), beside(&file, ".rescued"), file.clone()]
    {
        let before = fs::read(&target).ok();
        for verb in ["rebuild", "backup"] {
            let refused = on(verb, &file, &[target.to_str().unwrap()]);
            let said = text(&refused.stderr);
            assert_eq!(refused.status.code(), Some(2), "{target:?}: {said}");
            assert!(said.contains("name another file"), "{target:?}: {said}");
            assert_eq!(fs::read(&target).ok(), before, "{target:?}");
        }
    }
    let missing = folder.path().join("missing.db");
    let refused = on("rebuild", &missing, &[new.to_str().unwrap()]);
    assert!(text(&refused.stderr).contains("there is no"), "{refused:?}");
    assert_eq!(files_with_prefix(folder.path(), "missing.db"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuild_refuses_a_file_in_use_and_includes_the_wal_of_a_killed_recorder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let new = folder.path().join("new.db");
    let mut recorder = super::lost_reports::start_with_reports(&file, 5).await;
    super::second_program::execute(&file, "DELETE FROM coverage");
    let refused = on("rebuild", &file, &[new.to_str().unwrap()]);
    let said = text(&refused.stderr);
    assert!(said.contains("another recorder (process ") && !new.exists(), "{said}");
    super::lost_reports::report(&recorder, 6..=8).await;
    recorder.end("-KILL").await;
    assert!(beside(&file, "-wal").exists());
    let rebuilt = on("rebuild", &file, &[new.to_str().unwrap()]);
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    assert!(beside(&file, "-wal").exists());
    // With the note of the last commit.
    put_in_place(&file, &new);
    super::lost_reports::has_all(&Process::start(&file).await, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn file_with_damaged_session_rows_is_rebuilt_after_a_start_of_the_recorder() {
    let folder = tempfile::tempdir().unwrap();
    let file = recorded(folder.path()).await;
    let new = folder.path().join("new.db");
    let sql = "DELETE FROM coverage; UPDATE session SET id = x'00'";
    Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    let refused = on("rebuild", &file, &[new.to_str().unwrap()]);
    let said = text(&refused.stderr);
    assert!(said.contains("first, start a recorder on") && !new.exists(), "{said}");
    Process::start(&file).await.end("-TERM").await;
    let rebuilt = on("rebuild", &file, &[new.to_str().unwrap()]);
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    put_in_place(&file, &new);
    assert!(on("verify", &file, &["--attachments"]).status.success());
    assert_eq!(Process::start(&file).await.index("web").await, 6);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn rebuild_without_disk_space_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = recorded(folder.path()).await;
    let new = folder.path().join("new.db");
    Connection::open(&file).unwrap().execute_batch("DELETE FROM coverage").unwrap();
    let complete = on("rebuild", &file, &[new.to_str().unwrap()]);
    assert!(complete.status.success(), "{complete:?}");
    let size = fs::metadata(&new).unwrap().len();
    fs::remove_file(&new).unwrap();
    let arguments = ["rebuild", "--db", file.to_str().unwrap(), new.to_str().unwrap()];
    for bytes in [size / 2, size - 1] {
        let refused = super::room::run_with_file_size_limit(bytes, &arguments);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{bytes}: {said}");
        let named = format!("cannot write {}, and nothing is left of it", new.display());
        assert!(said.contains(&named), "{bytes}: {said}");
        assert_eq!(files_with_prefix(folder.path(), "new.db"), [""; 0], "{bytes}");
    }
}
