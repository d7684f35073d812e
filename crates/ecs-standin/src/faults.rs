//! Faults, and when they happen.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::fault_rng::FaultRng;
use super::operation::Operation;
use super::quota::Quotas;

/// A fault of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// No fault: the real response. Lets a call through in the middle of a script.
    Pass,
    /// An error response of ECS.
    Error { status: u16, code: String, message: String },
    /// `AccessDeniedException`, with the message of AWS for this action and resource.
    AccessDenied,
    /// Any response.
    Body { status: u16, content_type: String, body: Vec<u8> },
    /// The first half of the real response, with a matching content length.
    HalfAnswer,
    /// The real response, after this delay.
    Slow(Duration),
    /// The connection is reset before the response.
    Reset,
    /// No response until the stand-in stops.
    NoResponse,
}

impl Fault {
    /// An error with status 400.
    pub fn error(code: &str, message: &str) -> Self {
        Self::Error { status: 400, code: code.to_owned(), message: message.to_owned() }
    }

    /// `ThrottlingException`, in the wording of ECS.
    pub fn throttling() -> Self {
        Self::error("ThrottlingException", "Rate exceeded")
    }

    /// Status 500 and `ServerException`.
    pub fn server_error() -> Self {
        Self::Error {
            status: 500,
            code: "ServerException".to_owned(),
            message: "Service Unavailable. Please try again later.".to_owned(),
        }
    }

    /// Status 503 and a page of HTML, as from a proxy.
    pub fn html() -> Self {
        Self::Body {
            status: 503,
            content_type: "text/html".to_owned(),
            body: b"<html><body><h1>503 Service Unavailable</h1></body></html>".to_vec(),
        }
    }

    /// Status 200 without a body.
    pub fn empty() -> Self {
        Self::json("")
    }

    /// Status 200 and this text as JSON.
    pub fn json(text: &str) -> Self {
        Self::Body {
            status: 200,
            content_type: "application/x-amz-json-1.1".to_owned(),
            body: text.as_bytes().to_vec(),
        }
    }
}

/// Everything that goes wrong; nothing by default.
///
/// For each call the first that applies is taken: an empty bucket of the quotas, the operation's
/// script, what always happens in its cluster, what always happens to the operation, and what
/// happens at a rate, in the order given.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    quotas: Option<Quotas>,
    scripts: BTreeMap<Operation, VecDeque<Fault>>,
    always: BTreeMap<(Operation, Option<String>), Fault>,
    rates: Vec<(Operation, f64, Fault)>,
    latency: BTreeMap<Operation, Duration>,
    endless: BTreeSet<Operation>,
    /// How often each task is still lost; `None` is always.
    lost: BTreeMap<String, Option<u32>>,
    loss_rate: f64,
    rng: FaultRng,
}

impl Faults {
    /// The next call of `operation` without a script meets `fault`.
    pub fn once(&mut self, operation: Operation, fault: Fault) -> &mut Self {
        self.script(operation, [fault])
    }

    /// The next calls of `operation`, after those already scripted, meet these faults in order.
    pub fn script(
        &mut self,
        operation: Operation,
        faults: impl IntoIterator<Item = Fault>,
    ) -> &mut Self {
        self.scripts.entry(operation).or_default().extend(faults);
        self
    }

    /// Every call of `operation` meets `fault`.
    pub fn always(&mut self, operation: Operation, fault: Fault) -> &mut Self {
        self.always.insert((operation, None), fault);
        self
    }

    /// Every call of `operation` in the cluster of this name meets `fault`, whether the call gives
    /// its name or its ARN. `ListClusters` and `DescribeClusters` are in no cluster.
    pub fn always_in(&mut self, cluster: &str, operation: Operation, fault: Fault) -> &mut Self {
        self.always.insert((operation, Some(cluster.to_owned())), fault);
        self
    }

    /// Calls of `operation` meet `fault` at this rate, from 0 (never) to 1 (always).
    ///
    /// Which calls these are follows from the seed and from each request and how often it was
    /// repeated, not from the order in which calls arrive.
    pub fn at_rate(&mut self, operation: Operation, rate: f64, fault: Fault) -> &mut Self {
        self.rates.push((operation, rate, fault));
        self
    }

    /// Resets the random number generator of all rates to this seed (0 at first).
    pub fn seed(&mut self, seed: u64) -> &mut Self {
        self.rng = FaultRng::new(seed);
        self
    }

    /// Every call of `operation` takes at least this long, faulty ones included.
    pub fn latency(&mut self, operation: Operation, latency: Duration) -> &mut Self {
        self.latency.insert(operation, latency);
        self
    }

    /// Throttles by token buckets, see [`Quotas::documented`].
    pub fn throttle(&mut self, quotas: Quotas) -> &mut Self {
        self.quotas = Some(quotas);
        self
    }

    /// Listings of `operation` never end: every page has a token, and no token comes twice.
    pub fn endless_pages(&mut self, operation: Operation) -> &mut Self {
        self.endless.insert(operation);
        self
    }

    /// The task of this id is listed and always described as `MISSING`.
    pub fn lose_task(&mut self, id: &str) -> &mut Self {
        self.lost.insert(id.to_owned(), None);
        self
    }

    /// The task of this id is listed, described as `MISSING` so many times, and then found.
    pub fn lose_task_times(&mut self, id: &str, times: u32) -> &mut Self {
        self.lost.insert(id.to_owned(), Some(times));
        self
    }

    /// Tasks are described as `MISSING` at this rate, each description of each task anew.
    pub fn lose_tasks_at_rate(&mut self, rate: f64) -> &mut Self {
        self.loss_rate = rate;
        self
    }

    /// Removes all faults and resets the seed.
    pub fn clear(&mut self) -> &mut Self {
        *self = Self::default();
        self
    }

    /// The fault of a call, and its minimum latency.
    pub(super) fn decide(
        &mut self,
        operation: Operation,
        cluster: Option<&str>,
        body: &[u8],
    ) -> (Fault, Duration) {
        let latency = self.latency.get(&operation).copied().unwrap_or_default();
        match self.next_fault(operation, cluster, body) {
            Fault::Slow(more) => (Fault::Pass, latency + more),
            fault => (fault, latency),
        }
    }

    pub(super) fn has_endless_pages(&self, operation: Operation) -> bool {
        self.endless.contains(&operation)
    }

    /// Whether this description of an existing task reports it as `MISSING`. Uses up one of the
    /// times of [`Self::lose_task_times`].
    pub(super) fn loses_task(&mut self, id: &str) -> bool {
        match self.lost.get_mut(id) {
            Some(None) => return true,
            Some(Some(times)) if *times > 0 => {
                *times -= 1;
                return true;
            }
            _ => {}
        }
        self.rng.hits(self.loss_rate, &[b"lost", id.as_bytes()])
    }

    /// The fault of a call, in the precedence that [`Faults`] describes. Uses up scripts, quotas
    /// and draws.
    fn next_fault(&mut self, operation: Operation, cluster: Option<&str>, body: &[u8]) -> Fault {
        if self.quotas.as_mut().is_some_and(|all| !all.take(operation)) {
            return Fault::throttling();
        }
        let script = self.scripts.get_mut(&operation);
        if let Some(fault) = script.and_then(VecDeque::pop_front) {
            return fault;
        }
        let name = cluster.map(|given| given.rsplit('/').next().unwrap_or(given).to_owned());
        let in_cluster = self.always.get(&(operation, name));
        if let Some(fault) = in_cluster.or_else(|| self.always.get(&(operation, None))) {
            return fault.clone();
        }
        for (number, (of, rate, fault)) in self.rates.iter().enumerate() {
            let subject = [operation.name().as_bytes(), &number.to_be_bytes(), body];
            if *of == operation && self.rng.hits(*rate, &subject) {
                return fault.clone();
            }
        }
        Fault::Pass
    }
}
