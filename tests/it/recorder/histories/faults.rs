//! What happens to a recorder, and what puts it right.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use rusqlite::Connection;

use super::history::{Allowed, History};
use super::life::{RecorderFiles, RecorderProcess};
use super::operation::Operation;
use crate::recorder::file::on;
use crate::recorder::lost_log::beside;
use crate::recorder::room::limit_file_size;
use crate::recorder::second_program::execute;

/// What a history does in one life of the recorder.
const OPERATIONS: usize = 6;

/// By how much a clock is set, in seconds. No sum of them is near to a limit that the model knows: a
/// minute, 660 s, 4,200 s, two hours, six hours.
const JUMPS: [i32; 6] = [-11_000, -2_000, 2_000, 5_000, 17_000, 100_000];

/// How long another program keeps a write waiting: a fifth of it is what the recorder then expects.
const SLOW: Duration = Duration::from_millis(2_500);

/// The recorder waits for another program for five seconds.
const MAX_HOLD: Duration = Duration::from_secs(4);

/// How many writes a full queue refuses before there is room again.
const REFUSED: u32 = 20;

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

    fn allows(self) -> Allowed {
        match self {
            Self::Kill => Allowed { no_answer: true, ..Allowed::default() },
            // What it cannot do any more while it ends, it says.
            Self::Restart => Allowed {
                no_answer: true,
                failure: Some("failed: the recorder ends"),
                ..Allowed::default()
            },
            Self::OtherPrograms => Allowed::default(),
            Self::LostLog => {
                Allowed { failure: Some("failed: the log is lost"), ..Allowed::default() }
            }
            Self::Clock => Allowed {
                refusals: &[503],
                refusal: "refused: the clock is wrong",
                ..Allowed::default()
            },
            Self::FullDisk => Allowed {
                failure: Some("failed: the disk is full"),
                refusals: &[507],
                refusal: "refused: the disk is full",
                ..Allowed::default()
            },
            // 409 if the other program had the file for longer than the recorder waits.
            Self::FullQueue => Allowed {
                refusals: &[409, 503],
                refusal: "refused: the queue is full",
                ..Allowed::default()
            },
        }
    }

    /// Lets the histories go on, strikes meanwhile, and puts right what can be; gives the recorder
    /// that then runs.
    pub(super) async fn inject(
        self,
        place: &mut RecorderFiles,
        mut life: RecorderProcess,
        histories: &mut [History],
        random: &mut Rng,
    ) -> RecorderProcess {
        // In the middle of what is done, whenever that is.
        let after = u32::try_from(random.usize(1..histories.len() * OPERATIONS / 2)).unwrap();
        let other =
            if self == Self::FullQueue { Some(slow_down(place, &life).await) } else { None };
        let work = join_all(
            histories.iter_mut().map(|history| history.go_on(&life, OPERATIONS, self.allows())),
        );
        let struck = async {
            if let Some(other) = other {
                // Or there was room for all of them, which the end of the test finds.
                let refused = life.refused.acquire_many(REFUSED);
                let _timeout = tokio::time::timeout(MAX_HOLD, refused).await;
                other.execute_batch("ROLLBACK").unwrap();
            } else {
                life.answered.acquire_many(after).await.unwrap().forget();
                self.happen(place, &life, random).await;
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
            put_in_place(&place.file());
        }
        RecorderProcess::start(place).await
    }

    async fn happen(self, place: &mut RecorderFiles, life: &RecorderProcess, random: &mut Rng) {
        let (file, id) = (place.file(), life.process.child.id().unwrap().to_string());
        match self {
            Self::Kill => signal("-KILL", &id),
            Self::Restart => signal("-TERM", &id),
            Self::OtherPrograms => {
                let second = tokio::task::spawn_blocking(move || other_programs(&file, &id));
                second.await.unwrap();
            }
            Self::LostLog => lose_log(&file, random),
            Self::Clock => {
                place.ahead += JUMPS[random.usize(..JUMPS.len())];
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

    /// What is done while the recorder runs, or has just ended by the fault itself.
    async fn repair(self, place: &mut RecorderFiles, life: &mut RecorderProcess, random: &mut Rng) {
        match self {
            Self::Kill | Self::Restart => {
                life.process.child.wait().await.unwrap();
                if place.has_own_clock && random.bool() {
                    place.ahead += JUMPS[random.usize(..JUMPS.len())];
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

fn signal(signal: &str, id: &str) {
    assert!(Command::new("kill").args([signal, id]).status().unwrap().success());
}

/// A second recorder, which is refused, and programs that read, clean up, and write and give up.
fn other_programs(file: &Path, id: &str) {
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

fn lose_log(file: &Path, random: &mut Rng) {
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

/// Does as the recorder's message says: the acknowledged writes are in the file, or in a copy beside it.
fn put_in_place(file: &Path) {
    let rescued = beside(file, ".rescued");
    for ending in ["-wal", "-shm"] {
        let _none = fs::remove_file(beside(file, ending));
    }
    if rescued.exists() {
        fs::rename(rescued, file).unwrap();
    }
}

/// Another program holds the file's write lock for so long that a write is expected to take half a
/// second, and then holds it again, until it is dropped: a few writes are then all that may wait.
async fn slow_down(place: &RecorderFiles, life: &RecorderProcess) -> Connection {
    let other = Connection::open(place.file()).unwrap();
    other.busy_timeout(Duration::from_secs(30)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let slow = life.send(Operation::home().request("org-0"));
    let release = async move {
        tokio::time::sleep(SLOW).await;
        other.execute_batch("ROLLBACK").unwrap();
        other
    };
    let (_, other) = tokio::join!(slow, release);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}
