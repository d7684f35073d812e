//! Whether the server counts replicas.

use std::time::{Duration, SystemTime};

/// Minimum time for which the server's `include_scaling` is used before it is fetched again. It
/// changes only when the environment is changed, and even a process that checks everything else
/// every minute need not fetch it.
const MIN_RECHECK: Duration = Duration::from_mins(15);

/// Whether an environment on the server counts replicas. If not, a change of replicas alone makes
/// no snapshot there, and every new process would post it again in vain.
#[derive(Debug, Default)]
pub(super) struct ReplicaCounting {
    /// `None` until it was fetched, or if the server does not return it.
    counts: Option<bool>,
    read_at: Option<SystemTime>,
}

impl ReplicaCounting {
    /// Whether `include_scaling` has to be fetched: it never was, or not within the recheck time.
    pub(super) fn is_stale(&self, now: SystemTime, recheck: Duration) -> bool {
        self.read_at.is_none_or(|at| {
            // A clock that was set back proves nothing.
            now.duration_since(at).map_or(true, |age| age >= recheck.max(MIN_RECHECK))
        })
    }

    /// Stores the server's `include_scaling`. Logs a change, and the first answer if it is no.
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

    /// Whether a change of replicas alone makes a snapshot on the server. `true` if that is not
    /// known, since a report that makes none changes nothing.
    pub(super) fn are_counted(&self) -> bool {
        self.counts != Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn include_scaling_is_stale_after_15_minutes_or_the_recheck_time_if_that_is_longer() {
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
