//! The recorder's file: who may write to it, and what it survives.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use envsnap::recorder::SqliteStore;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::crash::Process;
use super::second_program::execute;
use super::server::{Recorder, digest, reopen_store, task};
use crate::command_line::{envsnap, text};

/// Runs `envsnap VERB --db FILE` with more arguments.
pub(crate) fn on(verb: &str, file: &Path, more: &[&str]) -> Output {
    let file = file.to_str().unwrap();
    envsnap(&[&[verb, "--db", file], more].concat(), &[])
}

#[tokio::test]
async fn second_recorder_on_the_same_file_is_refused_and_the_first_continues() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let recorder = Recorder::on(&file).await;
    recorder.create("env", None).await;

    let second = on("serve", &file, &["--listen", "127.0.0.1:0"]);

    let said = text(&second.stderr);
    assert_eq!(second.status.code(), Some(2), "{said}");
    let holder = format!("another recorder (process {}) writes to", std::process::id());
    assert!(said.contains(&holder) && said.contains("snapshots.db"), "{said}");
    assert_eq!(recorder.report("env", &[task(1, "web", &digest(1), 1)]).await, 201);
    recorder.stop().await;
    drop(reopen_store(&file));
}

#[tokio::test]
async fn second_recorder_on_a_hard_link_of_the_file_is_refused_and_the_first_continues() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let link = folder.path().join("link.db");
    let mut recorder = Process::start(&file).await;
    recorder.create("env").await;
    std::fs::hard_link(&file, &link).unwrap();

    let second = on("serve", &link, &["--listen", "127.0.0.1:0"]);

    let said = text(&second.stderr);
    assert_eq!(second.status.code(), Some(2), "{said}");
    assert!(said.contains("link.db under another name (a hard link or a bind mount)"), "{said}");
    assert_eq!(recorder.report("env", &[task(1, "web", &digest(1), 1)]).await, 201);
    recorder.end("-KILL").await;
    let recorder = Process::start(&file).await;
    assert_eq!(recorder.index("env").await, 1);
}

#[test]
fn unreadable_shm_of_another_user_is_reported_with_owner_mode_and_chown_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    drop(SqliteStore::open(&file).unwrap());
    let owner = std::fs::metadata(&file).unwrap().uid();
    let shm = folder.path().join("snapshots.db-shm");
    std::fs::write(&shm, "").unwrap();
    std::fs::set_permissions(&shm, Permissions::from_mode(0o400)).unwrap();
    // The other user may not reach the program in a directory of ours.
    let (built, program) = (env!("CARGO_BIN_EXE_envsnap"), folder.path().join("envsnap"));
    std::fs::hard_link(built, &program)
        .or_else(|_| std::fs::copy(built, &program).map(drop))
        .unwrap();
    let mut serve = Command::new(&program);
    serve.args(["serve", "--listen", "127.0.0.1:0", "--db"]).arg(&file).env_clear();
    let mut user = owner;
    if owner == 0 {
        // Nothing is denied to a superuser: the recorder is another's.
        user = 65_534;
        for path in [folder.path(), &file, &folder.path().join("snapshots.db.lock")] {
            chown(path, Some(user), None).unwrap();
        }
        serve.uid(user);
    }
    let refused = serve.output().unwrap();
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    let left = format!("{} (owner {owner}, mode 400)", shm.display());
    assert!(said.contains(&left) && said.contains(&format!("chown {user}")), "{said}");
}

#[test]
fn database_files_that_are_not_regular_or_not_accessible_are_reported_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    drop(SqliteStore::open(&file).unwrap());
    let serve = ["--listen", "127.0.0.1:0"];
    for make in ["mkdir", "mkfifo", "ln -s missing"] {
        for ending in ["-wal", "-shm", "-journal", ".lock", ".rescued", ""] {
            // A symbolic link may lead to the file itself.
            if ending.is_empty() && make.starts_with("ln") {
                continue;
            }
            let other = folder.path().join(format!("snapshots.db{ending}"));
            let aside = folder.path().join("aside");
            let was_there = std::fs::rename(&other, &aside).is_ok();
            let mut words = make.split(' ');
            let made = Command::new(words.next().unwrap()).args(words).arg(&other).status();
            assert!(made.unwrap().success());
            for (verb, more) in [("serve", &serve[..]), ("verify", &[])] {
                let said = text(&on(verb, &file, more).stderr);
                let named = format!("{} is not a regular file: move it away", other.display());
                assert!(said.contains(&named), "{verb} {make}: {said}");
            }
            std::fs::remove_dir(&other).or_else(|_| std::fs::remove_file(&other)).unwrap();
            if was_there {
                std::fs::rename(&aside, &other).unwrap();
            }
        }
    }
    let owner = std::fs::metadata(&file).unwrap().uid();
    if owner != 0 {
        // Only a superuser starts a recorder as another user.
        return;
    }
    let (built, program) = (env!("CARGO_BIN_EXE_envsnap"), folder.path().join("envsnap"));
    std::fs::hard_link(built, &program)
        .or_else(|_| std::fs::copy(built, &program).map(drop))
        .unwrap();
    chown(folder.path(), Some(65_534), None).unwrap();
    let lock = folder.path().join("snapshots.db.lock");
    for denied in [&lock, &file] {
        std::fs::set_permissions(denied, Permissions::from_mode(0o600)).unwrap();
        let mut command = Command::new(&program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--db"]).arg(&file).env_clear();
        let said = text(&command.uid(65_534).output().unwrap().stderr);
        let named = format!(
            "the recorder runs as user 65534, which cannot read and write {}: it belongs to user 0 \
             (mode 600)",
            denied.display()
        );
        assert!(said.contains(&named), "{said}");
        chown(denied, Some(65_534), None).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_complete_while_reports_come_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let recorder = Arc::new(Recorder::on(&file).await);
    recorder.create("env", None).await;
    let report = |recorder: Arc<Recorder>, n: u32| async move {
        let digest = format!("{n:064x}");
        let body = json!({"artifacts": [task(n, "web", &digest, 1)]}).to_string();
        let answer = recorder.put("/environments/acme/env/report/ECS", body).await;
        assert_eq!(answer.status, StatusCode::CREATED);
        answer.head.unwrap()
    };
    let mut before = String::new();
    for n in 0..20 {
        before = report(Arc::clone(&recorder), n).await;
    }
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let reporting = tokio::spawn({
        let recorder = Arc::clone(&recorder);
        async move {
            let mut n = 20;
            while stopped.try_recv().is_err() {
                report(Arc::clone(&recorder), n).await;
                n += 1;
            }
            n
        }
    });
    let copies = folder.path().join("copies");
    std::fs::create_dir(&copies).unwrap();
    for copy in 0..5 {
        let target = copies.join(format!("{copy}.db"));
        let made = on("backup", &file, &[target.to_str().unwrap()]);
        assert!(made.status.success(), "{}", text(&made.stderr));

        let verified = on("verify", &target, &["--head", &before]);
        assert!(verified.status.success(), "{}", text(&verified.stderr));
        let head = |output: &Output| {
            let said = text(&output.stdout);
            said.split_once("Head: ").unwrap().1.trim().to_owned()
        };
        assert_eq!(head(&verified), head(&made));
        let verified = on("verify", &file, &["--head", &head(&made)]);
        assert!(verified.status.success(), "{}", text(&verified.stderr));
        before = head(&made);
    }
    stop.send(()).unwrap();
    let count = reporting.await.unwrap();
    assert_eq!(recorder.latest("env").await.index, u64::from(count));
    let mut left: Vec<_> =
        std::fs::read_dir(&copies).unwrap().map(|it| it.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["0.db", "1.db", "2.db", "3.db", "4.db"]);

    let restored = Recorder::on(&copies.join("4.db")).await;
    assert_eq!(restored.report("env", &[task(1, "web", &digest(9), 1)]).await, 201);
}

#[test]
fn copies_of_a_file_have_its_permissions_and_are_writable() {
    for (mode, of_copy) in [(0o600, 0o600), (0o640, 0o640), (0o440, 0o640)] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshots.db");
        drop(SqliteStore::open(&file).unwrap());
        std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        for verb in ["backup", "rebuild"] {
            let copy = folder.path().join(verb);
            let copied = on(verb, &file, &[copy.to_str().unwrap()]);
            assert!(copied.status.success(), "{copied:?}");
            assert_eq!(copy.metadata().unwrap().mode() & 0o777, of_copy, "{verb} {mode:o}");
        }
    }
}

#[test]
fn backup_overwrites_no_file_and_leaves_no_partial_file_if_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let target = folder.path().join("copy.db");
    let named = target.to_str().unwrap();
    let missing = on("backup", &file, &[named]);
    assert!(text(&missing.stderr).contains("there is no"), "{missing:?}");

    drop(SqliteStore::open(&file).unwrap());
    std::fs::write(&target, "precious").unwrap();
    let refused = on("backup", &file, &[named]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("nothing is overwritten"), "{refused:?}");
    assert_eq!(std::fs::read(&target).unwrap(), b"precious");

    let nowhere = folder.path().join("no/such/folder.db");
    let failed = on("backup", &file, &[nowhere.to_str().unwrap()]);
    assert_eq!(failed.status.code(), Some(2));
    assert!(text(&failed.stderr).contains("no/such/folder.db"), "{failed:?}");
    assert!(
        std::fs::read_dir(folder.path())
            .unwrap()
            .all(|it| { !it.unwrap().file_name().to_str().unwrap().contains("partial") })
    );
}

#[tokio::test]
async fn reports_and_reads_get_500_while_the_file_is_moved_away() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let recorder = Recorder::on(&file).await;
    recorder.create("env", None).await;
    assert_eq!(recorder.report("env", &[task(1, "web", &digest(1), 1)]).await, 201);
    let elsewhere = folder.path().join("elsewhere.db");
    std::fs::rename(&file, &elsewhere).unwrap();
    for other in [None, Some("another file")] {
        if let Some(content) = other {
            std::fs::write(&file, content).unwrap();
        }
        let body = json!({"artifacts": [task(1, "web", &digest(2), 1)]}).to_string();
        let answer = recorder.put("/environments/acme/env/report/ECS", body).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{answer:?}");
        for path in ["/snapshots/acme/env/-1", "/environments/acme", "/snapshots/acme/env"] {
            let answer = recorder.get(path).await;
            assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{path} {answer:?}");
        }
        assert_eq!(recorder.send(Method::GET, "/ready", None, "").await.status, 503);
    }
    std::fs::rename(&elsewhere, &file).unwrap();
    assert_eq!(recorder.report("env", &[task(1, "web", &digest(3), 1)]).await, 201);
    assert_eq!(recorder.latest("env").await.index, 2);
}

#[tokio::test]
async fn wal_of_a_killed_recorder_is_applied_only_to_the_file_that_it_belongs_to() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let recorder = Recorder::on(&file).await;
    recorder.create("env", None).await;
    let backup = folder.path().join("backup.db");
    assert!(on("backup", &file, &[backup.to_str().unwrap()]).status.success());
    assert_eq!(recorder.report("env", &[task(1, "web", &digest(1), 1)]).await, 201);
    // As they are on disk when the recorder is killed.
    let killed = folder.path().join("killed.db");
    let log = folder.path().join("killed.db-wal");
    std::fs::copy(folder.path().join("snapshots.db-wal"), &log).unwrap();
    let said = |verb: &str, more: &[&str]| {
        let refused = on(verb, &killed, more);
        assert_eq!(refused.status.code(), Some(2));
        text(&refused.stderr)
    };

    let serve = ["--listen", "127.0.0.1:0"];
    assert!(said("serve", &serve).contains("killed.db-wal is not the log of"));
    std::fs::copy(&backup, &killed).unwrap();
    assert!(said("serve", &serve).contains("killed.db-wal is not the log of"));
    assert!(said("verify", &[]).contains("killed.db-wal is not the log of"));

    std::fs::copy(&file, &killed).unwrap();
    let verified = on("verify", &killed, &[]);
    assert!(text(&verified.stdout).contains("1 snapshot in 1 environment"), "{verified:?}");
    recorder.stop().await;
}

#[tokio::test]
async fn unchanged_report_moves_confirmed_until_of_the_latest_snapshot_only() {
    let recorder = Recorder::start().await;
    recorder.create("env", Some(true)).await;
    recorder.create("other", Some(true)).await;
    let began = 1_661_161_162.5;
    for (name, byte, after) in
        [("env", 1, 60.0), ("other", 1, 60.0), ("env", 1, 60.0), ("env", 2, -30.0), ("env", 2, 0.0)]
    {
        recorder.report(name, &[task(1, "web", &digest(byte), 1)]).await;
        recorder.advance(after);
    }
    let times = async |name: &str| -> Vec<(f64, f64)> {
        let list = recorder.get(&format!("/snapshots/acme/{name}?reverse=true")).await.body;
        let time = |entry: &Value, field| entry[field].as_f64().unwrap() - began;
        let entries = list.as_array().unwrap().iter();
        entries.map(|entry| (time(entry, "from"), time(entry, "confirmed_until"))).collect()
    };
    // A clock that was ahead dates nothing that comes after it was set back.
    assert_eq!(times("env").await, [(0.0, 120.0), (180.0, 150.0)]);
    assert_eq!(times("other").await, [(60.0, 60.0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_damaged_file_fails_and_keeps_the_copy_as_damaged() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 4] = [
        ("the last page", |file| {
            use std::os::unix::fs::FileExt as _;
            let database = std::fs::OpenOptions::new().write(true).open(file).unwrap();
            let end = database.metadata().unwrap().len();
            database.write_all_at(&[0x5a; 4_096], end - 4_096).unwrap();
        }),
        ("a row of a table", |file| execute(file, "UPDATE snapshot SET replicas = replicas + 1")),
        ("an entry", |file| execute(file, "DELETE FROM ledger WHERE seq = 3")),
        ("a heartbeat", |file| execute(file, "UPDATE reporting SET heartbeat = -5")),
    ];
    for (what, damage) in damages {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshots.db");
        let mut recorder = Process::start(&file).await;
        recorder.create("env").await;
        for byte in 1..=20 {
            assert_eq!(recorder.report("env", &[task(1, "web", &digest(byte), 1)]).await, 201);
        }
        recorder.end("-TERM").await;
        damage(&file);
        let target = folder.path().join("copy.db");
        let kept = folder.path().join("copy.db.damaged");

        let ended = on("backup", &file, &[target.to_str().unwrap()]);

        let said = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{what}: {said}");
        let named = format!("was copied to {}, and the copy is damaged", kept.display());
        assert!(said.contains(&named), "{what}: {said}");
        assert!(!target.exists() && kept.exists(), "{what}");
        let left = std::fs::read_dir(folder.path()).unwrap();
        let partial = left.filter(|it| {
            let name = it.as_ref().unwrap().file_name();
            name.to_str().unwrap().contains("partial")
        });
        assert_eq!(partial.count(), 0, "{what}");
        // The next one does not overwrite it.
        let again = on("backup", &file, &[target.to_str().unwrap()]);
        assert!(text(&again.stderr).contains("copy.db.damaged.2, and"), "{what}: {again:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_changed_rows_of_report_times_and_tasks_while_reads_still_work() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let mut recorder = Process::start(&file).await;
    for name in ["env", "other"] {
        recorder.create(name).await;
        assert_eq!(recorder.report(name, &[task(1, "web", &digest(1), 1)]).await, 201);
        // The same by another task.
        assert_eq!(recorder.report(name, &[task(2, "web", &digest(1), 1)]).await, 200);
    }
    for (table, change) in [
        ("reporting", "heartbeat = -5"),
        ("reporting", "last_reported_at = -5"),
        ("reporting", "tasks_hash = x'00'"),
        ("current_task", "places = 'x'"),
    ] {
        execute(&file, &format!("UPDATE {table} SET {change} WHERE environment_id = 1"));
        let verified = on("verify", &file, &[]);
        let said = text(&verified.stderr);
        assert_eq!(verified.status.code(), Some(2), "{change}: {said}");
        let (column, _) = change.split_once(' ').unwrap();
        let named = format!("table {table} of the snapshot file {}", file.display());
        assert!(said.contains(&named) && said.contains(&format!("in column {column}")), "{said}");
        for path in ["/environments/acme", "/environments/acme/env", "/snapshots/acme/env"] {
            assert_eq!(recorder.get(path).await.0, 200, "{change} {path}");
        }
        for name in ["env", "other"] {
            assert_eq!(recorder.index(name).await, 1, "{change}");
        }
        // As the message says, but for the tasks.
        assert_eq!(recorder.report("env", &[task(1, "web", &digest(1), 1)]).await, 200);
        if table == "reporting" {
            assert!(on("verify", &file, &[]).status.success(), "{change}");
        }
    }
    recorder.end("-TERM").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn file_without_a_valid_position_row_is_refused_and_not_changed() {
    for change in ["UPDATE position SET state = x'00'", "DELETE FROM position"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshots.db");
        Process::start(&file).await.end("-TERM").await;
        execute(&file, change);
        let before = std::fs::read(&file).unwrap();
        for (verb, more) in [("serve", &["--listen", "127.0.0.1:0"][..]), ("verify", &[])] {
            let ended = on(verb, &file, more);
            let said = text(&ended.stderr);
            assert_eq!(ended.status.code(), Some(2), "{verb}: {said}");
            assert!(said.contains("table position of"), "{verb}: {said}");
        }
        assert!(std::fs::read(&file).unwrap() == before, "{change}");
    }
}
