//! Faults that are injected into a running recorder, and their repair.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use rusqlite::Connection;

use super::history::{AllowedOutcomes, History};
use super::life::{RecorderFiles, RecorderProcess};
use super::operation::Operation;
use crate::recorder::file::on;
use crate::recorder::lost_log::beside;
use crate::recorder::room::limit_file_size;
use crate::recorder::second_program::execute;

/// Random writes of each history while a fault is injected.
const OPERATIONS_PER_FAULT: usize = 6;

/// Seconds by which a clock is set. No sum of them is near to a limit that the model knows: a minute,
/// 660 s, 4,200 s, two hours, six hours.
const CLOCK_JUMPS: [i32; 6] = [-11_000, -2_000, 2_000, 5_000, 17_000, 100_000];

/// How long another program first holds the write lock while a write waits: the recorder then expects a
/// fifth of it for the next write.
const FIRST_LOCK_HOLD: Duration = Duration::from_millis(2_500);

/// How long another program holds the write lock at most: less than the recorder's timeout of five seconds.
const MAX_LOCK_HOLD: Duration = Duration::from_secs(4);

/// After so many refused writes the queue has been full, and the other program releases its lock.
const REFUSED_WRITES: u32 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Kill,
    Restart,
    OtherPrograms,
    LostLog,
    Clock,
    FullDisk,
    FullQueue,
}

impl Fault {
    pub(super) const ALL: [Self; 7] = [
        Self::Kill,
        Self::Restart,
        Self::OtherPrograms,
        Self::LostLog,
        Self::Clock,
        // On other systems a process's limits cannot be changed from outside.
        #[cfg(target_os = "linux")]
        Self::FullDisk,
        #[cfg(not(target_os = "linux"))]
        Self::Kill,
        Self::FullQueue,
    ];

    /// How requests may end because of the fault.
    fn allowed_outcomes(self) -> AllowedOutcomes {
        match self {
            Self::Kill => AllowedOutcomes { no_answer: true, ..AllowedOutcomes::default() },
            // What it cannot do any more while it ends, it says.
            Self::Restart => AllowedOutcomes {
                no_answer: true,
                failure: Some("failed: the recorder ends"),
                ..AllowedOutcomes::default()
            },
            Self::OtherPrograms => AllowedOutcomes::default(),
            Self::LostLog => AllowedOutcomes {
                failure: Some("failed: the log is lost"),
                ..AllowedOutcomes::default()
            },
            Self::Clock => AllowedOutcomes {
                refusals: &[503],
                refusal: "refused: the clock is wrong",
                ..AllowedOutcomes::default()
            },
            Self::FullDisk => AllowedOutcomes {
                failure: Some("failed: the disk is full"),
                refusals: &[507],
                refusal: "refused: the disk is full",
                ..AllowedOutcomes::default()
            },
            // 409 if the other program had the file for longer than the recorder waits.
            Self::FullQueue => AllowedOutcomes {
                refusals: &[409, 503],
                refusal: "refused: the queue is full",
                ..AllowedOutcomes::default()
            },
        }
    }

    /// Runs operations of all `histories`, triggers the fault in the middle of them, and repairs it. Returns
    /// the recorder that then runs: the same, or one that was started again.
    pub(super) async fn inject(
        self,
        place: &mut RecorderFiles,
        mut life: RecorderProcess,
        histories: &mut [History],
        random: &mut Rng,
    ) -> RecorderProcess {
        // In the middle of what is done, whenever that is.
        let after =
            u32::try_from(random.usize(1..histories.len() * OPERATIONS_PER_FAULT / 2)).unwrap();
        let other =
            if self == Self::FullQueue { Some(block_writes(place, &life).await) } else { None };
        let work = join_all(histories.iter_mut().map(|history| {
            history.run_random_operations(&life, OPERATIONS_PER_FAULT, self.allowed_outcomes())
        }));
        let struck = async {
            if let Some(other) = other {
                // Or there was room for all of them, which the end of the test finds.
                let refused = life.refused.acquire_many(REFUSED_WRITES);
                let _timeout = tokio::time::timeout(MAX_LOCK_HOLD, refused).await;
                other.execute_batch("ROLLBACK").unwrap();
            } else {
                life.answered.acquire_many(after).await.unwrap().forget();
                self.trigger(place, &life, random).await;
            }
        };
        tokio::join!(work, struck);
        self.repair(place, &mut life, random).await;
        let is_over = matches!(self, Self::OtherPrograms | Self::FullQueue);
        let goes_on = is_over || self == Self::FullDisk && random.bool();
        if goes_on {
            return life;
        }
        if !matches!(self, Self::Kill | Self::Restart) {
            let signal = ["-KILL", "-TERM"][random.usize(..2)];
            life.process.end(signal).await;
        }
        if self == Self::LostLog {
            restore_database(&place.file());
        }
        RecorderProcess::start(place).await
    }

    /// Causes the fault, except a full queue, which [`block_writes`] causes before the operations.
    async fn trigger(self, place: &mut RecorderFiles, life: &RecorderProcess, random: &mut Rng) {
        let (file, id) = (place.file(), life.process.child.id().unwrap().to_string());
        match self {
            Self::Kill => send_signal("-KILL", &id),
            Self::Restart => send_signal("-TERM", &id),
            Self::OtherPrograms => {
                let second = tokio::task::spawn_blocking(move || run_other_programs(&file, &id));
                second.await.unwrap();
            }
            Self::LostLog => lose_wal(&file, random),
            Self::Clock => {
                place.ahead += CLOCK_JUMPS[random.usize(..CLOCK_JUMPS.len())];
                place.set_clock();
            }
            Self::FullDisk => {
                // What is there may be written again, and nothing grows.
                let size = fs::metadata(beside(&file, "-wal")).map_or(0, |log| log.len());
                limit_file_size(
                    life.process.child.id().unwrap(),
                    &(size + random.u64(..20_000)).to_string(),
                );
            }
            Self::FullQueue => {}
        }
    }

    /// Undoes what can be undone before the recorder is started again.
    async fn repair(self, place: &mut RecorderFiles, life: &mut RecorderProcess, random: &mut Rng) {
        match self {
            Self::Kill | Self::Restart => {
                life.process.child.wait().await.unwrap();
                if place.has_own_clock && random.bool() {
                    place.ahead += CLOCK_JUMPS[random.usize(..CLOCK_JUMPS.len())];
                    place.set_clock();
                }
            }
            Self::LostLog => drop(life.process.logged("it accepts nothing more").await),
            Self::FullDisk => {
                limit_file_size(life.process.child.id().unwrap(), "unlimited");
            }
            Self::OtherPrograms | Self::Clock | Self::FullQueue => {}
        }
    }
}

fn send_signal(signal: &str, id: &str) {
    assert!(Command::new("kill").args([signal, id]).status().unwrap().success());
}

/// Runs programs on the same file, which must not harm it: a second recorder, which is refused, reads,
/// a checkpoint of the WAL, and a write that is rolled back.
fn run_other_programs(file: &Path, id: &str) {
    let refused = on("serve", file, &["--listen", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("another recorder (process {id}) writes to")), "{said}");
    execute(file, "PRAGMA wal_checkpoint(TRUNCATE)");
    let other = Connection::open(file).unwrap();
    other.busy_timeout(Duration::from_secs(30)).unwrap();
    other
        .execute_batch("BEGIN IMMEDIATE; DELETE FROM interval; DELETE FROM snapshot; ROLLBACK")
        .unwrap();
    execute(file, "SELECT * FROM ledger");
    let verified = on("verify", file, &[]);
    assert!(verified.status.success(), "{verified:?}");
}

/// Removes, renames, replaces or truncates the WAL, or removes the file with its index (`-shm`).
fn lose_wal(file: &Path, random: &mut Rng) {
    let log = beside(file, "-wal");
    match random.u8(..5) {
        0 => fs::remove_file(log).unwrap(),
        1 => fs::rename(log, beside(file, ".away")).unwrap(),
        2 => {
            let copy = beside(file, ".copy");
            fs::copy(&log, &copy).unwrap();
            fs::rename(&copy, &log).unwrap();
        }
        3 => fs::remove_file(beside(file, "-shm")).unwrap(),
        _ => fs::OpenOptions::new()
            .write(true)
            .open(log)
            .unwrap()
            .set_len(random.u64(..9_000))
            .unwrap(),
    }
}

/// Follows the recorder's message: removes the WAL, and replaces the file by the rescued copy, if there is
/// one. Acknowledged writes are in one of the two.
fn restore_database(file: &Path) {
    let rescued = beside(file, ".rescued");
    for ending in ["-wal", "-shm"] {
        let _none = fs::remove_file(beside(file, ending));
    }
    if rescued.exists() {
        fs::rename(rescued, file).unwrap();
    }
}

/// Holds the file's write lock, first until the recorder expects a write to take half a second, and then
/// until the returned connection rolls back: the recorder lets only a few writes wait meanwhile.
async fn block_writes(place: &RecorderFiles, life: &RecorderProcess) -> Connection {
    let other = Connection::open(place.file()).unwrap();
    other.busy_timeout(Duration::from_secs(30)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let slow = life.send(Operation::save_home_environment().request("org-0"));
    let release = async move {
        tokio::time::sleep(FIRST_LOCK_HOLD).await;
        other.execute_batch("ROLLBACK").unwrap();
        other
    };
    let (_, other) = tokio::join!(slow, release);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}
