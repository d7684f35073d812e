//! Random histories of organizations on one recorder, a process of its own that everything happens
//! to: it is killed, its log is taken away, its clock is set, its disk and its queue are full.
//!
//! A reference model says what each organization's ledger and environments are. Whatever happened:
//! what was answered is there, in order; what was refused is not; what was not answered is there as a
//! whole or not at all; and `verify` holds.

mod check;
mod faults;
mod history;
mod life;
mod model;
mod operation;
mod world;

use std::collections::BTreeMap;

use tokio::task::JoinSet;

/// Runs without `ENVSNAP_LONG`, each with a database, a recorder and faults of its own.
const WORLDS: u64 = 10;

/// Organizations in one database, each with a history of its own.
const HISTORIES_PER_WORLD: usize = 30;

/// Worlds that run in parallel: more than there may be processors, because recorders wait for the disk.
const WORLDS_AT_ONCE: usize = 3;

/// One seed a world: the same at each run, or with `ENVSNAP_LONG` twenty times as many random ones. When
/// a fault strikes depends on the machine in either case.
fn seeds() -> Vec<u64> {
    match std::env::var_os("ENVSNAP_LONG") {
        Some(_) => std::iter::repeat_with(|| fastrand::u64(..)).take(20 * 10).collect(),
        None => (0..WORLDS).collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long"]
async fn acknowledged_writes_survive_every_fault_in_order() {
    let seeds = seeds();
    let count = seeds.len() * HISTORIES_PER_WORLD;
    let mut seeds = seeds.into_iter();
    let mut worlds = JoinSet::new();
    let mut happened = BTreeMap::new();
    loop {
        while worlds.len() < WORLDS_AT_ONCE
            && let Some(seed) = seeds.next()
        {
            worlds.spawn(world::run_with_every_fault(seed));
        }
        let Some(ended) = worlds.join_next().await else { break };
        for (what, times) in ended.unwrap() {
            *happened.entry(what).or_insert(0) += times;
        }
    }
    println!("{count} histories: {happened:?}");
    // Each fault did what it is there for.
    for what in [
        "answered",
        "not answered",
        "not answered, and recorded",
        "not answered, and not recorded",
        "refused: the queue is full",
        "refused: the clock is wrong",
        "failed: the log is lost",
        "failed: the disk is full",
    ] {
        assert!(happened.get(what).is_some_and(|times| *times > 0), "never {what}: {happened:?}");
    }
}
