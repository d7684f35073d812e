//! The calls of a stand-in, in their order.

use std::collections::BTreeMap;

use super::operation::Operation;

/// Later calls are counted but not logged, so that memory stays bounded.
const MAX_LOGGED_CALLS: usize = 100_000;

/// The calls since the stand-in started, including throttled and failed ones. Requests of an
/// unknown operation are not included.
#[derive(Debug, Clone, Default)]
pub struct Calls {
    counts: BTreeMap<Operation, u64>,
    log: Vec<Call>,
    ticks: u64,
}

/// A request, and when its response was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub operation: Operation,
    /// The cluster, a name or an ARN as given.
    pub cluster: Option<String>,
    /// The desired status in a listing of tasks; `None` if omitted.
    pub desired_status: Option<String>,
    /// Whether it had a token of an earlier page.
    pub continued: bool,
    /// Its position in the order of all starts and ends, from 1.
    pub started: u64,
    /// The position of its end, just before the response is sent; `None` until then.
    pub ended: Option<u64>,
    /// HTTP status of the response; `None` until then, or if the connection was reset.
    pub status: Option<u16>,
}

impl Call {
    /// Whether its response was sent before `other` was received.
    pub fn ended_before(&self, other: &Self) -> bool {
        self.ended.is_some_and(|ended| ended < other.started)
    }
}

/// The parts of a request that are logged.
#[derive(Debug, Clone, Default)]
pub(super) struct LoggedFields {
    pub(super) cluster: Option<String>,
    pub(super) desired_status: Option<String>,
    pub(super) continued: bool,
}

/// A call that has no response yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct StartedCall {
    pub(super) operation: Operation,
    /// Number of the call within its operation, from 1.
    pub(super) nth: u64,
    entry: usize,
}

impl Calls {
    pub fn count(&self, operation: Operation) -> u64 {
        self.counts.get(&operation).copied().unwrap_or_default()
    }

    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The first 100,000 calls, in the order of their start.
    pub fn log(&self) -> &[Call] {
        &self.log
    }

    pub fn by_operation(&self, operation: Operation) -> impl Iterator<Item = &Call> {
        self.log.iter().filter(move |call| call.operation == operation)
    }

    pub(super) fn begin(&mut self, operation: Operation, fields: LoggedFields) -> StartedCall {
        let started = self.next_position();
        let entry = self.log.len();
        if entry < MAX_LOGGED_CALLS {
            self.log.push(Call {
                operation,
                cluster: fields.cluster,
                desired_status: fields.desired_status,
                continued: fields.continued,
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
        let ended = self.next_position();
        if let Some(call) = self.log.get_mut(call.entry) {
            call.ended = Some(ended);
            call.status = status;
        }
    }

    /// The next position in the order of all starts and ends.
    fn next_position(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }
}
