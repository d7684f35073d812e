//! Coverage: the times for which there are reports.

use super::Micros;

/// How much later than its heartbeat a report may arrive, in seconds: a reading may fail, and the
/// next ones may wait for a deployment.
const GRACE_SECS: i64 = 600;

/// How long after a report the time is covered, in seconds, if its client announces no heartbeat.
const DEFAULT_COVERAGE_SECS: i64 = 7_200;

/// A period that no report covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportGap {
    /// The time of the last report before it.
    pub from: Micros,
    /// The time of the first report after it; `None` if the gap has not ended.
    pub until: Option<Micros>,
}

/// How long after a report the time is covered, in seconds. `heartbeat` is what that report
/// announced, in seconds.
pub fn coverage_secs(heartbeat: Option<u32>) -> i64 {
    heartbeat.map_or(DEFAULT_COVERAGE_SECS, |heartbeat| i64::from(heartbeat) + GRACE_SECS)
}

/// Whether `time` is covered by the last report before it.
pub fn is_covered(last_report: Micros, heartbeat: Option<u32>, time: Micros) -> bool {
    time.0.saturating_sub(last_report.0) <= coverage_secs(heartbeat).saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_covers_its_heartbeat_plus_ten_minutes_or_two_hours_without_a_heartbeat() {
        let second = 1_000_000;
        for (heartbeat, seconds) in [(None, 7_200), (Some(3_600), 4_200), (Some(0), 600)] {
            let last = Micros(1_661_161_162_500_000);
            let end = last.0 + seconds * second;
            assert!(is_covered(last, heartbeat, Micros(end)), "{heartbeat:?}");
            assert!(!is_covered(last, heartbeat, Micros(end + 1)), "{heartbeat:?}");
            assert!(is_covered(last, heartbeat, Micros(0)), "a clock that was set back");
        }
        assert!(is_covered(Micros(i64::MAX), Some(u32::MAX), Micros(i64::MIN)));
    }
}
