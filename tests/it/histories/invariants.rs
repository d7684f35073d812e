//! The invariants of each invocation, under every fault.
//!
//! - a: each replica that is reported ran at some moment of the invocation, and each container that
//!   ran throughout is reported, but for those of tasks that ECS hid all the while and that the
//!   process had never seen.
//! - b: if not everything could be read, nothing is reported.
//! - c: when faults have ended and nothing changes, the server has the truth two invocations later.
//! - d: what the server is known to have is not reported again.
//! - e: nothing is ever reported as empty if something ran throughout.
//! - f: an invocation that failed says so, and only such a one; it ends by its deadline.

use std::collections::BTreeSet;

use envsnap::report::{EnvironmentOutcome, OutcomeKind};

use super::account::{Account, Counts, is_fingerprint};
use super::history::{History, Invocation, Part, Triggered};
use super::record::{
    InvocationCalls, SentReport, ServerKind, UnknownFingerprints, reports_by_others,
};
use super::timeline::Millis;

/// The invariant that does not hold, by its letter, and how.
pub(super) type Violation = String;

/// What a process knows to be recorded on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) content_hash: String,
    /// How often anyone else had reported by then.
    pub(super) others: usize,
}

/// What was observed of an invocation in one environment.
pub(super) struct ObservedRun<'a> {
    pub(super) history: &'a History,
    pub(super) account: &'a Account,
    pub(super) invocation: &'a Invocation,
    pub(super) part: Part,
    pub(super) outcome: &'a EnvironmentOutcome,
    pub(super) begun: Millis,
    /// It ended before its deadline.
    pub(super) before_deadline: bool,
    /// What its process knew before.
    pub(super) known: Option<Known>,
    /// Its calls of the server.
    pub(super) visit: InvocationCalls,
    /// A call of ECS that concerns the environment had no answer that can be used; if the
    /// environment is not alone, another one may have had it after all.
    pub(super) unread: bool,
    /// There is no other environment.
    pub(super) alone: bool,
    /// If ECS contradicted itself: ARNs of tasks that its process could not find.
    pub(super) contradicted: Option<BTreeSet<String>>,
}

impl ObservedRun<'_> {
    /// Checks all invariants but c.
    pub(super) fn check_invariants(&self) -> Result<(), Violation> {
        for put in &self.visit.puts {
            self.check_reported_replicas(put)?;
            self.check_not_reported_again(put)?;
        }
        let must_be_read = self.unread && self.alone;
        if must_be_read && !self.visit.puts.is_empty() {
            return Err("b: a snapshot was posted, and not everything was read".to_owned());
        }
        self.check_outcome_failed_if_a_call_failed(must_be_read)?;
        self.check_outcome_matches_sent_reports()
    }

    /// Invariants a and e.
    fn check_reported_replicas(&self, put: &SentReport) -> Result<(), Violation> {
        let wanted = |task: &_| self.part.has_task(task);
        let excused = self.contradicted.as_ref().unwrap_or(const { &BTreeSet::new() });
        let throughout =
            self.account.count_without(excused, wanted, |c| c.runs_throughout(self.begun, put.at));
        let sometime = self.account.count(wanted, |c| c.runs_at_some_moment(self.begun, put.at));
        if put.counts.is_empty() && !throughout.is_empty() {
            return Err(format!("e: an empty snapshot, while these ran: {throughout:?}"));
        }
        let number = |counts: &Counts, identity| counts.get(identity).copied().unwrap_or_default();
        for identity in throughout.keys().chain(put.counts.keys()) {
            let (least, most) = (number(&throughout, identity), number(&sometime, identity));
            let posted = number(&put.counts, identity);
            if !(least..=most).contains(&posted) {
                return Err(format!("a: {posted} of {identity}, and there were {least} to {most}"));
            }
        }
        Ok(())
    }

    /// Invariant d.
    fn check_not_reported_again(&self, put: &SentReport) -> Result<(), Violation> {
        let Some(known) = &self.known else { return Ok(()) };
        // When a heartbeat is due depends on the environment's name.
        let may_be_due = self.history.policy.heartbeat.is_some();
        let same = self.outcome.content_hash.as_ref() == Some(&known.content_hash)
            && reports_by_others(&put.writers, self.invocation.process) == known.others;
        if same && !may_be_due && self.invocation.kind != Triggered::Forced {
            return Err("d: what the server has was posted again".to_owned());
        }
        Ok(())
    }

    /// A part of invariant f.
    fn check_outcome_failed_if_a_call_failed(&self, must_be_read: bool) -> Result<(), Violation> {
        let EnvironmentOutcome { outcome: verdict, error, .. } = self.outcome;
        let failed = *verdict == OutcomeKind::Failed;
        if failed != error.is_some() {
            return Err(format!("f: {verdict:?} with {error:?}"));
        }
        let lost = self.visit.missing && !self.history.policy.auto_create;
        if !failed && (must_be_read || self.visit.unusable || lost) {
            return Err(format!("f: a call failed for good, and it is reported as {verdict:?}"));
        }
        let may_fail = self.unread || self.visit.doubtful || self.contradicted.is_some();
        if failed && self.before_deadline && !may_fail {
            return Err(format!("f: no call failed, and it is reported as {error:?}"));
        }
        Ok(())
    }

    /// A part of invariant f.
    fn check_outcome_matches_sent_reports(&self) -> Result<(), Violation> {
        let dry = self.invocation.kind == Triggered::Dry;
        let fits = match self.outcome.outcome {
            OutcomeKind::Posted => self.visit.puts.iter().any(|put| put.answered),
            OutcomeKind::Unchanged => self.visit.puts.is_empty(),
            OutcomeKind::DryRun => self.visit.puts.is_empty() && dry,
            OutcomeKind::Failed => true,
            OutcomeKind::NotCompared => false,
        };
        if !fits || self.visit.puts.len() > 1 || (dry && !self.visit.puts.is_empty()) {
            let verdict = self.outcome.outcome;
            return Err(format!(
                "f: it is reported as {verdict:?}, and it posted {:?}",
                self.visit.puts
            ));
        }
        Ok(())
    }

    /// What its process knows to be recorded after it. `others`: how many reports others had sent
    /// before and after it.
    pub(super) fn known_afterwards(&self, others: (usize, usize)) -> Option<Known> {
        let verdict = self.outcome.outcome;
        let called_server = self.outcome.calls.server > 0;
        let verified = match self.visit.puts.last() {
            Some(put) => put.plainly && verdict == OutcomeKind::Posted,
            None if verdict == OutcomeKind::Unchanged && called_server => true,
            None => return self.known.clone(),
        };
        let content_hash = self.outcome.content_hash.clone()?;
        let undisturbed = others.0 == others.1 && !self.visit.missing;
        (verified && undisturbed).then_some(Known { content_hash, others: others.1 })
    }
}

/// Invariant c: the server has what runs, as far as it keeps replicas and artifacts without a
/// fingerprint.
pub(super) fn check_recorded_matches_running(
    history: &History,
    runs: &Counts,
    recorded: &Counts,
) -> Result<(), Violation> {
    let ServerKind { include_scaling, unknown, .. } = history.server;
    let replicas = include_scaling && history.policy.compare_replicas;
    let comparable = |counts: &Counts| -> Counts {
        let kept = counts
            .iter()
            .filter(|(id, _)| unknown == UnknownFingerprints::Shown || is_fingerprint(id));
        kept.map(|(id, n)| (id.clone(), if replicas { *n } else { 1 })).collect()
    };
    if comparable(recorded) == comparable(runs) {
        return Ok(());
    }
    Err(format!("c: {runs:?} run, and the server has {recorded:?}"))
}
