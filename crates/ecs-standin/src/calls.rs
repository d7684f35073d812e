//! What the stand-in was asked, and in which order.

use std::collections::BTreeMap;

use super::operation::Operation;

/// Calls beyond these are counted and not logged, so that a stand-in that is left running does not
/// grow for ever.
const LOGGED: usize = 100_000;

/// The calls since the stand-in started, throttled and failed ones included. Requests that named no
/// known operation are not among them.
#[derive(Debug, Clone, Default)]
pub struct Calls {
    counts: BTreeMap<Operation, u64>,
    log: Vec<Call>,
    ticks: u64,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What was called.
    pub operation: Operation,
    /// The cluster, a name or an ARN as it was given.
    pub cluster: Option<String>,
    /// The desired status that a listing of tasks asked for; `None` where it was left out.
    pub desired_status: Option<String>,
    /// Whether it continued a listing by a token.
    pub continued: bool,
    /// Its place in the order of all starts and ends, which are counted from 1.
    pub started: u64,
    /// The place of its end, just before the answer left; `None` while unanswered.
    pub ended: Option<u64>,
    /// HTTP status of the answer; `None` while unanswered, or for a connection that was reset.
    pub status: Option<u16>,
}

impl Call {
    /// Whether this call had ended before `other` began.
    pub fn ended_before(&self, other: &Self) -> bool {
        self.ended.is_some_and(|ended| ended < other.started)
    }
}

/// What a call asks for, as far as the log shows it.
#[derive(Debug, Clone, Default)]
pub(super) struct Subject {
    pub(super) cluster: Option<String>,
    pub(super) desired_status: Option<String>,
    pub(super) continued: bool,
}

/// A call that has begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct StartedCall {
    pub(super) operation: Operation,
    /// Which call of its operation it is, counted from 1.
    pub(super) nth: u64,
    entry: usize,
}

impl Calls {
    /// How many calls of one operation began.
    pub fn count(&self, operation: Operation) -> u64 {
        self.counts.get(&operation).copied().unwrap_or_default()
    }

    /// How many calls began.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The first 100,000 calls, in the order in which they began.
    pub fn log(&self) -> &[Call] {
        &self.log
    }

    /// Those calls of the log that are of one operation.
    pub fn of(&self, operation: Operation) -> impl Iterator<Item = &Call> {
        self.log.iter().filter(move |call| call.operation == operation)
    }

    pub(super) fn begin(&mut self, operation: Operation, subject: Subject) -> StartedCall {
        let started = self.tick();
        let entry = self.log.len();
        if entry < LOGGED {
            self.log.push(Call {
                operation,
                cluster: subject.cluster,
                desired_status: subject.desired_status,
                continued: subject.continued,
                started,
                ended: None,
                status: None,
            });
        }
        let count = self.counts.entry(operation).or_default();
        *count += 1;
        StartedCall {
            operation,
            nth: *count,
            // One past the end for a call that is not logged, so that its end finds no entry.
            entry,
        }
    }

    pub(super) fn end(&mut self, call: StartedCall, status: Option<u16>) {
        let ended = self.tick();
        if let Some(call) = self.log.get_mut(call.entry) {
            call.ended = Some(ended);
            call.status = status;
        }
    }

    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }
}
