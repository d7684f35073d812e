//! Whether a server counts replicas.

use std::time::{Duration, SystemTime};

/// How long the answer is good for at least. It changes when somebody changes the environment, and a
/// process that trusts nothing else it remembers need not ask every minute.
const MIN_RECHECK: Duration = Duration::from_mins(15);

/// Whether an environment on the server counts replicas: if not, a change of replicas alone makes no
/// snapshot there, so that posting it would be repeated by each new process, for nothing.
#[derive(Debug, Default)]
pub(super) struct ReplicaCounting {
    /// `None` until the server said so, or if it does not say.
    counts: Option<bool>,
    read_at: Option<SystemTime>,
}

impl ReplicaCounting {
    /// The environment is to be read: it never was, or not for as long as the process trusts its
    /// memory of the server.
    pub(super) fn is_stale(&self, now: SystemTime, recheck: Duration) -> bool {
        self.read_at.is_none_or(|at| {
            // A clock that was set back proves nothing.
            now.duration_since(at).map_or(true, |age| age >= recheck.max(MIN_RECHECK))
        })
    }

    /// The server's `include_scaling`. A change is logged, and so is the first answer if it is no.
    pub(super) fn update(&mut self, environment: &str, counts: Option<bool>, now: SystemTime) {
        self.read_at = Some(now);
        let before = std::mem::replace(&mut self.counts, counts);
        match counts {
            Some(false) if before != Some(false) => tracing::info!(
                environment,
                "the environment on the server does not count replicas (include_scaling is false): \
                 a change of replicas alone is not reported, whatever COMPARE_REPLICAS says"
            ),
            Some(true) if before == Some(false) => {
                tracing::info!(environment, "the environment on the server counts replicas now");
            }
            _ => {}
        }
    }

    /// A change of replicas alone makes a snapshot on the server, as far as is known. If it does not,
    /// reporting one does no harm.
    pub(super) fn are_counted(&self) -> bool {
        self.counts != Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_good_for_a_quarter_of_an_hour_and_until_the_recheck() {
        let at = |minutes: u64| SystemTime::UNIX_EPOCH + Duration::from_mins(minutes);
        let mut replicas = ReplicaCounting::default();
        assert!(replicas.is_stale(at(60), Duration::ZERO) && replicas.are_counted());
        replicas.update("e", Some(false), at(60));
        assert!(!replicas.are_counted());
        for (recheck, minutes) in [(0, 15), (15, 15), (60, 60)] {
            let recheck = Duration::from_mins(recheck);
            assert!(!replicas.is_stale(at(60), recheck));
            assert!(!replicas.is_stale(at(60 + minutes - 1), recheck));
            assert!(replicas.is_stale(at(60 + minutes), recheck));
            assert!(replicas.is_stale(at(59), recheck), "the clock was set back");
        }
        replicas.update("e", None, at(61));
        assert!(replicas.are_counted(), "a server that does not say is reported to");
    }
}
