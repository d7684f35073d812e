//! Several histories on one file, and everything that happens to it.

use std::collections::BTreeMap;

use envsnap::recorder::{AttachmentCheck, verify};
use fastrand::Rng;
use futures_util::future::join_all;
use rusqlite::Connection;

use super::HISTORIES_PER_WORLD;
use super::faults::Fault;
use super::history::{EventCounts, History};
use super::life::{RecorderFiles, RecorderProcess};

/// Runs random histories on one recorder and injects each fault once, in random order. Returns how many
/// writes ended in which way.
pub(super) async fn run_with_every_fault(seed: u64) -> EventCounts {
    let mut random = Rng::with_seed(seed);
    let mut place = RecorderFiles::new(seed % 2 == 1);
    let mut life = RecorderProcess::start(&place).await;
    let mut histories: Vec<_> =
        (0..HISTORIES_PER_WORLD).map(|number| History::new(seed, number)).collect();
    join_all(histories.iter_mut().map(|history| history.create_home_environment(&life))).await;
    let mut faults = Fault::ALL;
    random.shuffle(&mut faults);
    let has_clock = place.has_own_clock;
    for fault in faults.into_iter().filter(|fault| has_clock || *fault != Fault::Clock) {
        println!("seed {seed}: {fault:?}");
        life = fault.inject(&mut place, life, &mut histories, &mut random).await;
        join_all(histories.iter_mut().map(|history| history.resolve_unanswered_write(&life))).await;
        let some = random.usize(..HISTORIES_PER_WORLD);
        histories[some].check(&life, true).await;
    }
    join_all(histories.iter_mut().map(|history| history.check(&life, true))).await;
    life.process.end("-TERM").await;
    check_ledgers(&place, &histories, &mut random);
    let mut happened = EventCounts::new();
    for (what, times) in histories.iter().flat_map(|history| &history.happened) {
        *happened.entry(*what).or_insert(0) += times;
    }
    happened
}

/// Asserts that the file's ledgers have exactly the model's entries, with the hash of every answered head.
fn check_ledgers(place: &RecorderFiles, histories: &[History], random: &mut Rng) {
    let file = place.file();
    let one = &histories[random.usize(..histories.len())];
    // The first head that was answered, and the last one.
    for (seq, hash) in one.heads.first_key_value().into_iter().chain(one.heads.last_key_value()) {
        let head = format!("org={}; seq={seq}; hash={hash}", one.model.name);
        let verified = verify(&file, Some(&head.parse().unwrap()), AttachmentCheck::Sizes);
        assert!(verified.is_ok(), "{verified:?} with {head}: {}", one.trace());
    }
    let connection = Connection::open(&file).unwrap();
    let mut statement = connection
        .prepare(
            "SELECT org.name, seq, kind, actor, lower(hex(hash)) FROM ledger
             JOIN org ON org.id = org_id ORDER BY org_id, seq",
        )
        .unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut ledgers = BTreeMap::<String, Vec<(String, String, String)>>::new();
    while let Some(row) = rows.next().unwrap() {
        let entries = ledgers.entry(row.get(0).unwrap()).or_default();
        entries.push((row.get(2).unwrap(), row.get(3).unwrap(), row.get(4).unwrap()));
        assert_eq!(row.get::<_, usize>(1).unwrap(), entries.len());
    }
    assert_eq!(ledgers.len(), histories.len(), "{:?}", ledgers.keys());
    for history in histories {
        let entries = &ledgers[&history.model.name];
        let found: Vec<_> = entries.iter().map(|(kind, actor, _)| (&**kind, &**actor)).collect();
        assert_eq!(found, history.model.entries, "{}", history.trace());
        for (seq, hash) in &history.heads {
            assert_eq!(entries[seq - 1].2, *hash, "entry {seq}: {}", history.trace());
        }
    }
}
