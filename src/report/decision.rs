//! What a run does about an environment, as a pure function.

use super::ReportReason;

/// What a run does about an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing: the server has it already.
    Unchanged,
    /// Post what runs.
    Post,
    /// Create the environment on the server, and decide again.
    Create,
    /// Only show what would be posted.
    DryRun,
}

/// What a [`Decision`] depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each of them yes or no")]
pub(super) struct Facts {
    /// What runs is not what the server has.
    pub(super) differs: bool,
    /// The server does not have the environment, and it may be created.
    pub(super) is_missing: bool,
    pub(super) heartbeat_due: bool,
    /// The trigger asks for a report whether or not anything differs.
    pub(super) force: bool,
    pub(super) dry_run: bool,
}

impl Facts {
    pub(super) fn decide(self) -> Decision {
        match self {
            Self { is_missing: true, dry_run: false, .. } => Decision::Create,
            _ if self.reason().is_none() => Decision::Unchanged,
            Self { dry_run: true, .. } => Decision::DryRun,
            _ => Decision::Post,
        }
    }

    /// Why what runs is to be reported; `None` if it is not.
    pub(super) fn reason(self) -> Option<ReportReason> {
        match self {
            Self { differs: true, .. } => Some(ReportReason::Difference),
            Self { force: true, .. } => Some(ReportReason::Force),
            Self { heartbeat_due: true, .. } => Some(ReportReason::Heartbeat),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_FACTS: Facts = Facts {
        differs: false,
        is_missing: false,
        heartbeat_due: false,
        force: false,
        dry_run: false,
    };

    #[test]
    fn decision_follows_from_difference_force_heartbeat_missing_environment_and_dry_run() {
        let differs = Facts { differs: true, ..NO_FACTS };
        let force = Facts { force: true, ..NO_FACTS };
        let due = Facts { heartbeat_due: true, ..NO_FACTS };
        let missing = |facts| Facts { is_missing: true, ..facts };
        let dry = |facts| Facts { dry_run: true, ..facts };
        for (facts, decision) in [
            (NO_FACTS, Decision::Unchanged),
            (differs, Decision::Post),
            (force, Decision::Post),
            (due, Decision::Post),
            (Facts { force: true, ..differs }, Decision::Post),
            (Facts { heartbeat_due: true, ..differs }, Decision::Post),
            (Facts { heartbeat_due: true, ..force }, Decision::Post),
            // Also if nothing runs: the environment exists from then on.
            (missing(NO_FACTS), Decision::Create),
            (missing(differs), Decision::Create),
            (missing(force), Decision::Create),
            (missing(due), Decision::Create),
            (dry(NO_FACTS), Decision::Unchanged),
            (dry(differs), Decision::DryRun),
            (dry(force), Decision::DryRun),
            (dry(due), Decision::DryRun),
            (dry(missing(NO_FACTS)), Decision::Unchanged),
            (dry(missing(differs)), Decision::DryRun),
            (dry(missing(force)), Decision::DryRun),
            (dry(missing(due)), Decision::DryRun),
        ] {
            assert_eq!(facts.decide(), decision, "{facts:?}");
        }
    }

    #[test]
    fn reason_for_a_report_is_the_difference_then_force_then_the_heartbeat() {
        let all = Facts { differs: true, force: true, heartbeat_due: true, ..NO_FACTS };
        let not_different = Facts { differs: false, ..all };
        for (facts, reason) in [
            (all, Some(ReportReason::Difference)),
            (not_different, Some(ReportReason::Force)),
            (Facts { force: false, ..not_different }, Some(ReportReason::Heartbeat)),
            (NO_FACTS, None),
        ] {
            assert_eq!(facts.reason(), reason, "{facts:?}");
        }
    }
}
