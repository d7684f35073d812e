//! A start that is refused: what the message says is done, step by step, and leads to a start.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rusqlite::Connection;
use serde_json::json;

use super::crash::Process;
use super::file::on;
use super::lost_log::beside;
use super::lost_reports::{has_all, report, start_with_reports};
use super::second_program;
use crate::command_line::{install, text};

/// What is in the message, and what is done then.
type Step = (&'static str, fn(&Path));

/// A damage to the file, and the remedies that the messages of refused starts name, in order.
struct Case {
    end: &'static str,
    damage: fn(&Path),
    steps: &'static [Step],
    /// Of the start at the end.
    options: &'static [&'static str],
    /// How many of ten snapshots are there then. The backup has five.
    snapshots: u64,
}

fn overwrite(file: &Path, at: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(file).unwrap().write_all_at(bytes, at).unwrap();
}

/// As the message says: moves the file away together with its `-wal`, `-shm` and `.lock`, and puts
/// the newest backup in its place.
fn restore_backup(file: &Path) {
    for ending in ["", "-wal", "-shm", ".lock"] {
        let _none = fs::rename(beside(file, ending), beside(file, &format!(".away{ending}")));
    }
    fs::copy(beside(file, ".backup"), file).unwrap();
}

/// Leaves a WAL that another program began, beside a file without a note (`.lock`).
fn leave_wal_of_another_program(file: &Path) {
    // Applied, so that the log begins with what follows.
    second_program::execute(file, "PRAGMA wal_checkpoint(TRUNCATE)");
    let other = Connection::open(file).unwrap();
    other.execute_batch("ANALYZE").unwrap();
    let log = fs::read(beside(file, "-wal")).unwrap();
    drop(other);
    fs::write(beside(file, "-wal"), log).unwrap();
    fs::remove_file(beside(file, ".lock")).unwrap();
}

fn apply_wal(file: &Path) {
    second_program::execute(file, "PRAGMA wal_checkpoint(TRUNCATE)");
}

/// The remedy of a message that names an option of the next start only.
fn change_nothing(_: &Path) {}

const REFUSED_START_CASES: [Case; 11] = [
    Case {
        end: "-KILL",
        damage: |file| overwrite(file, 0, &[7; 100]),
        steps: &[("If that is gone or damaged, move it away together", restore_backup)],
        options: &[],
        snapshots: 5,
    },
    Case {
        end: "-TERM",
        damage: |file| overwrite(file, 0, &[7; 100]),
        steps: &[("is not a SQLite database: it is damaged", restore_backup)],
        options: &[],
        snapshots: 5,
    },
    Case {
        end: "-TERM",
        damage: |file| overwrite(file, 100, &[7; 8]),
        steps: &[("is damaged: move it away together with its -wal", restore_backup)],
        options: &[],
        snapshots: 5,
    },
    Case {
        end: "-TERM",
        damage: |file| OpenOptions::new().write(true).open(file).unwrap().set_len(20_000).unwrap(),
        steps: &[("20000 bytes and should have at least", restore_backup)],
        options: &[],
        snapshots: 5,
    },
    Case {
        end: "-KILL",
        damage: |file| {
            fs::rename(beside(file, "-wal"), beside(file, ".log")).unwrap();
        },
        steps: &[("Put the newest file back, with its -wal", |file| {
            fs::rename(beside(file, ".log"), beside(file, "-wal")).unwrap();
        })],
        options: &[],
        snapshots: 10,
    },
    Case {
        end: "-KILL",
        damage: |file| fs::remove_file(beside(file, "-wal")).unwrap(),
        steps: &[
            ("Put the newest file back", |file| {
                fs::rename(file, beside(file, ".away")).unwrap();
                fs::copy(beside(file, ".backup"), file).unwrap();
            }),
            ("(after a restore), start once with --accept-loss", change_nothing),
        ],
        options: &["--accept-loss"],
        snapshots: 5,
    },
    Case {
        end: "-KILL",
        damage: |file| {
            fs::rename(beside(file, "-wal"), beside(file, ".log")).unwrap();
            fs::rename(beside(file, ".lock"), beside(file, ".note")).unwrap();
        },
        steps: &[("Put its -wal and its .lock back", |file| {
            fs::rename(beside(file, ".log"), beside(file, "-wal")).unwrap();
            fs::rename(beside(file, ".note"), beside(file, ".lock")).unwrap();
        })],
        options: &[],
        snapshots: 10,
    },
    Case {
        end: "-KILL",
        damage: leave_wal_of_another_program,
        steps: &[
            ("no recorder wrote what is in the log", apply_wal),
            (
                "or another program has applied the log, start once with --accept-loss",
                change_nothing,
            ),
        ],
        options: &["--accept-loss"],
        snapshots: 10,
    },
    Case {
        end: "-TERM",
        damage: |file| fs::rename(file, beside(file, ".away")).unwrap(),
        steps: &[("there is nothing in", |file| fs::rename(beside(file, ".away"), file).unwrap())],
        options: &[],
        snapshots: 10,
    },
    Case {
        end: "-TERM",
        damage: |file| second_program::execute(file, "PRAGMA user_version = 99"),
        steps: &[("Use the envsnap that wrote it", |file| {
            second_program::execute(file, "PRAGMA user_version = 6");
        })],
        options: &[],
        snapshots: 10,
    },
    Case {
        end: "-TERM",
        damage: |file| {
            fs::create_dir(beside(file, "-wal")).unwrap();
        },
        steps: &[("-wal is not a regular file: move it away", |file| {
            fs::rename(beside(file, "-wal"), beside(file, ".away")).unwrap();
        })],
        options: &[],
        snapshots: 10,
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn each_remedy_of_a_refused_start_leads_to_a_start() {
    for (number, case) in REFUSED_START_CASES.iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshots.db");
        let mut recorder = start_with_reports(&file, 5).await;
        let backup = beside(&file, ".backup");
        assert!(on("backup", &file, &[backup.to_str().unwrap()]).status.success());
        report(&recorder, 6..=10).await;
        recorder.end(case.end).await;
        (case.damage)(&file);
        for (message, remedy) in case.steps {
            let ended = on("serve", &file, &["--listen", "127.0.0.1:0"]);
            let said = text(&ended.stderr);
            assert_eq!(ended.status.code(), Some(2), "{number}: {said}");
            assert!(said.contains(message), "{number}: {said}");
            remedy(&file);
        }
        let mut recorder = Process::start_with(&file, |command| {
            command.args(case.options);
        })
        .await;
        has_all(&recorder, case.snapshots).await;
        recorder.end("-TERM").await;
        assert!(on("verify", &file, &[]).status.success(), "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn file_locked_by_another_program_is_refused_until_that_program_ends() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    start_with_reports(&file, 5).await.end("-TERM").await;
    let other = Connection::open(&file).unwrap();
    other.pragma_update(None, "locking_mode", "EXCLUSIVE").unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    // Reading the file here would end the lock.
    let said = text(&on("serve", &file, &["--listen", "127.0.0.1:0"]).stderr);
    assert!(said.contains("another program has locked") && said.contains("End it"), "{said}");
    drop(other);
    has_all(&Process::start(&file).await, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn folder_in_which_the_recorder_cannot_create_files_is_named_with_the_chown_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    start_with_reports(&file, 5).await.end("-TERM").await;
    // A user without rights cannot give anything away.
    if chown(&file, Some(65_534), None).is_err() {
        return;
    }
    chown(beside(&file, ".lock"), Some(65_534), None).unwrap();
    let program = folder.path().join("envsnap");
    install(Path::new(env!("CARGO_BIN_EXE_envsnap")), &program);
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let start = || {
        let mut command = Command::new(&program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--db"]).arg(&file).env_clear();
        command
    };
    let said = text(&start().uid(65_534).output().unwrap().stderr);
    let named = format!("which cannot make files in {}", folder.path().display());
    assert!(said.contains(&named) && said.contains("chown 65534"), "{said}");
    chown(folder.path(), Some(65_534), None).unwrap();
    let recorder = Process::start_with(&file, |command| {
        let mut start = tokio::process::Command::from(start());
        start.uid(65_534).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
        start.kill_on_drop(true);
        *command = start;
    })
    .await;
    has_all(&recorder, 5).await;
}

/// Writes to any organization fail until the row is restored as `verify` says.
#[tokio::test(flavor = "multi_thread")]
async fn ledger_whose_organization_row_is_missing_is_assigned_to_no_new_organization() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let mut recorder = start_with_reports(&file, 10).await;
    recorder.end("-TERM").await;
    let delete = "PRAGMA foreign_keys = OFF; DELETE FROM org";
    Connection::open(&file).unwrap().execute_batch(delete).unwrap();
    let mut recorder = Process::start(&file).await;
    let environment = json!({"name": "env", "type": "ECS", "description": ""});
    for org in ["other", "acme"] {
        let answer = recorder.put(&format!("/environments/{org}"), &environment).await;
        assert_eq!(answer.status().as_u16(), 500, "{org}");
    }
    recorder.end("-TERM").await;
    let verified = on("verify", &file, &[]);
    let message = text(&verified.stderr);
    let (_, remedy) = message.split_once("COPY \"").unwrap_or_else(|| panic!("{message}"));
    let (sql, _) = remedy.split_once('"').unwrap();
    second_program::execute(&file, &sql.replace("NAME", "acme"));
    let verified = on("verify", &file, &[]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    has_all(&Process::start(&file).await, 10).await;
}
