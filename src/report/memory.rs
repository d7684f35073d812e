//! What a process remembers of the server between runs.

use std::time::{Duration, SystemTime};

use super::heartbeat::{Heartbeat, MAX_CLOCK_DIFFERENCE};
use super::replicas::ReplicaCounting;

/// After this time without a run the process may not be the only reporter: another one may have
/// recorded a snapshot. With one run a minute, one run by another process leaves a gap of two
/// minutes, give or take some seconds.
const MAX_IDLE: Duration = Duration::from_secs(90);

/// What is known of one environment on the server.
///
/// Ages are measured on the wall clock: a monotonic one may stop while the process is
/// frozen.
#[derive(Debug, Default)]
pub(super) struct Memory {
    known: Option<KnownSnapshot>,
    /// The environment existed. It is never created again: an environment that was archived or
    /// renamed should stay so.
    pub(super) environment_seen: bool,
    /// The last report by any process, as far as it is known.
    last_reported_at: Option<SystemTime>,
    last_run: Option<SystemTime>,
    pub(super) replicas: ReplicaCounting,
}

#[derive(Debug)]
struct KnownSnapshot {
    content_hash: String,
    /// Index of the server's latest snapshot at that moment; 0 if it had none.
    index: u64,
    verified_at: SystemTime,
    /// The process was idle since, and the snapshot has to be fetched.
    is_doubtful: bool,
}

impl Memory {
    /// Marks the memory as doubtful if the process was idle for too long.
    pub(super) fn on_run_start(&mut self, now: SystemTime) {
        let slept = |at: SystemTime| now.duration_since(at).map_or(true, |time| time > MAX_IDLE);
        if let (Some(known), true) = (&mut self.known, self.last_run.is_some_and(slept)) {
            known.is_doubtful = true;
        }
        self.last_run = Some(now);
    }

    /// The index of the latest snapshot that is known; 0 if the server had none, `None` if it is
    /// not known.
    pub(super) fn index(&self) -> Option<u64> {
        self.known.as_ref().map(|known| known.index)
    }

    /// Whether the known snapshot was verified less than `recheck` ago, and the process was not
    /// idle for too long since.
    pub(super) fn is_fresh(&self, now: SystemTime, recheck: Duration) -> bool {
        self.known.as_ref().is_some_and(|known| {
            // A clock that was set back proves nothing.
            let age = now.duration_since(known.verified_at);
            !known.is_doubtful && age.is_ok_and(|age| age < recheck)
        })
    }

    /// Whether the known snapshot has this content and [is fresh](Self::is_fresh).
    pub(super) fn trusts(&self, content_hash: &str, now: SystemTime, recheck: Duration) -> bool {
        let is_same = self.known.as_ref().is_some_and(|it| it.content_hash == content_hash);
        is_same && self.is_fresh(now, recheck)
    }

    /// Whether the known snapshot has this content and index, however long ago it was verified.
    pub(super) fn matches(&self, content_hash: &str, index: u64) -> bool {
        self.known
            .as_ref()
            .is_some_and(|known| known.content_hash == content_hash && known.index == index)
    }

    /// Whether `index` is not the known one, so that another process recorded a snapshot.
    pub(super) fn changed_elsewhere(&self, index: u64) -> bool {
        self.known.as_ref().is_some_and(|known| known.index != index)
    }

    /// Stores the server's latest snapshot, as verified at `now`.
    pub(super) fn remember_snapshot(&mut self, content_hash: String, index: u64, now: SystemTime) {
        self.known =
            Some(KnownSnapshot { content_hash, index, verified_at: now, is_doubtful: false });
    }

    /// To be called before a report is sent: without a response, the server's state is not known.
    pub(super) fn forget_snapshot(&mut self) {
        self.known = None;
    }

    /// Stores the time of the last report by any process, unless a later one is known. A time in the
    /// future, of a clock that is or was ahead, counts only if no other one is known.
    pub(super) fn remember_report_time(&mut self, at: Option<SystemTime>, now: SystemTime) {
        let is_past = |at: &SystemTime| *at <= now + MAX_CLOCK_DIFFERENCE;
        let past = self.last_reported_at.filter(is_past).max(at.filter(is_past));
        self.last_reported_at = past.or(at);
    }

    /// Whether a heartbeat is due by the last report that is known here. Another process may have
    /// reported since, which only the server knows.
    pub(super) fn heartbeat_may_be_due(
        &self,
        now: SystemTime,
        heartbeat: Option<Heartbeat>,
    ) -> bool {
        heartbeat.is_some_and(|heartbeat| {
            self.last_reported_at.is_none_or(|last| heartbeat.is_due(last, now))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECHECK: Duration = Duration::from_mins(15);

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn known_snapshot_is_trusted_for_its_own_content_until_the_recheck_interval_ends() {
        let mut memory = Memory::default();
        assert!(!memory.trusts("a", at(1_000), RECHECK));
        memory.remember_snapshot("a".to_owned(), 3, at(1_000));
        assert!(memory.trusts("a", at(1_000), RECHECK));
        assert!(memory.trusts("a", at(1_899), RECHECK));
        assert!(!memory.trusts("a", at(1_900), RECHECK));
        assert!(!memory.trusts("b", at(1_000), RECHECK));
        assert!(!memory.trusts("a", at(999), RECHECK), "the clock was set back");
        assert!(!memory.trusts("a", at(1_000), Duration::ZERO), "0s asks every time");
        memory.forget_snapshot();
        assert!(!memory.trusts("a", at(1_000), RECHECK));
    }

    #[test]
    fn known_snapshot_is_not_trusted_after_idle_time_until_it_is_verified_again() {
        let mut memory = Memory::default();
        memory.on_run_start(at(1_000));
        memory.remember_snapshot("a".to_owned(), 3, at(1_001));
        memory.on_run_start(at(1_075));
        assert!(memory.trusts("a", at(1_076), RECHECK), "the next run, late");
        memory.on_run_start(at(1_185));
        assert!(!memory.trusts("a", at(1_186), RECHECK), "the one after the next, early");
        memory.on_run_start(at(1_245));
        assert!(!memory.trusts("a", at(1_246), RECHECK), "nothing was fetched yet");
        assert!(memory.matches("a", 3), "nor has it forgotten");
        memory.remember_snapshot("a".to_owned(), 3, at(1_247));
        assert!(memory.trusts("a", at(1_247), RECHECK));
    }

    #[test]
    fn heartbeat_may_be_due_a_period_after_the_latest_known_report_or_if_none_is_known() {
        let hourly = Some(Heartbeat::new(Duration::from_hours(1), "aws-prod"));
        let mut memory = Memory::default();
        assert!(!memory.heartbeat_may_be_due(at(0), None));
        assert!(memory.heartbeat_may_be_due(at(0), hourly), "nothing is known yet");
        let now = at(10_000);
        memory.remember_report_time(Some(at(99_000)), now);
        assert!(memory.heartbeat_may_be_due(now, hourly), "a clock was ahead");
        for time in [Some(at(10_000)), Some(at(99_000)), Some(at(500)), None] {
            memory.remember_report_time(time, now);
            assert_eq!(memory.last_reported_at, Some(now), "{time:?}");
        }
        assert!(!memory.heartbeat_may_be_due(at(10_000), hourly));
        assert!(memory.heartbeat_may_be_due(at(13_600), hourly));
    }
}
