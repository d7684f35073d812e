//! Another program that opens the recorder's file with SQLite, as a process of its own.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use futures_util::future::join_all;
use rusqlite::Connection;

use super::crash::Process;
use super::server::{digest, task};

/// Environment variable with the file that the process opens.
const FILE_VARIABLE: &str = "ENVSNAP_TEST_FILE";
/// Environment variable with the SQL that the process executes.
const SQL_VARIABLE: &str = "ENVSNAP_TEST_SQL";

/// Starts another process that opens the file with SQLite, executes the SQL, and closes the file.
pub(crate) fn execute(file: &Path, sql: &str) {
    let ended = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "recorder::second_program::executes_sql"])
        .env(FILE_VARIABLE, file)
        .env(SQL_VARIABLE, sql)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && output.contains("1 passed"), "{output}");
}

#[test]
#[ignore = "other tests run it as a process of its own"]
fn executes_sql() {
    // Whoever runs all ignored tests means other ones.
    let Some(file) = std::env::var_os(FILE_VARIABLE) else { return };
    let sql = std::env::var(SQL_VARIABLE).unwrap();
    let connection = Connection::open(file).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    // Pragmas answer with rows.
    let mut statement = connection.prepare(&sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    while rows.next().unwrap().is_some() {}
}

/// The first bytes of all ranges of the file on which process `id` holds locks.
pub(super) fn locked_bytes(id: u32, file: &Path) -> Vec<u64> {
    let id = id.to_string();
    let inode = format!(":{}", fs::metadata(file).unwrap().ino());
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let locked = locks.lines().filter_map(|line| {
        let [_, "POSIX", _, _, process, file, first, _] =
            line.split_whitespace().collect::<Vec<_>>()[..]
        else {
            return None;
        };
        (process == id && file.ends_with(&inode)).then(|| first.parse().unwrap())
    });
    locked.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_report_is_lost_if_another_program_opens_reads_checkpoints_and_closes_the_file() {
    for end in ["-KILL", "-TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshots.db");
        let mut recorder = Process::start(&file).await;
        recorder.create("env").await;
        let report = async |byte| {
            let task = task(1, "web", &digest(byte), 1);
            assert_eq!(recorder.report("env", &[task]).await, 201);
        };
        report(1).await;
        // The recorder opens connections to read, all that it may.
        let reads: Vec<_> = (0..16).map(|_| recorder.index("env")).collect();
        for index in join_all(reads).await {
            assert_eq!(index, 1);
        }
        // By these locks SQLite knows that a database is in use. SQLite up to 3.50 removes the WAL
        // of one that is not, whenever a program closes it.
        if cfg!(target_os = "linux") {
            assert!(!locked_bytes(recorder.child.id().unwrap(), &file).is_empty());
        }

        execute(&file, "SELECT * FROM snapshot");
        report(2).await;
        execute(&file, "PRAGMA wal_checkpoint(TRUNCATE)");
        report(3).await;
        execute(&file, "SELECT * FROM snapshot");
        report(4).await;
        assert_eq!(recorder.index("env").await, 4);

        recorder.end(end).await;
        let recorder = Process::start(&file).await;
        assert_eq!(recorder.index("env").await, 4, "after kill {end}");
    }
}
