//! What goes wrong between the reporter and ECS.

use std::collections::BTreeMap;

/// What goes wrong in so many calls of an invocation, from this one on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) from: usize,
    pub(super) calls: usize,
    pub(super) fault: EcsFault,
}

/// What goes wrong in a call. Where it makes no sense for the call, nothing does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EcsFault {
    Throttled,
    Unavailable,
    Disconnected,
    AccessDenied,
    /// It never answers.
    Silent,
    /// Tasks that exist are described as missing, and are known a moment later.
    NotYetKnown,
    /// Tasks that exist are described as missing.
    NotKnown,
    /// A container of a task has no status.
    SilentContainer,
    /// No task is listed.
    ListsNone,
    /// No cluster is listed.
    ListsNoCluster,
    /// A cluster is said to run more tasks than it does.
    Miscounts,
    /// The signature has expired.
    ClockSkew,
    /// A success without a body.
    Empty,
    /// A task is described as failed for a reason that is none.
    FailsATask,
    /// A cluster that exists is said not to.
    DeniesTheCluster,
    /// Nothing is said of one of the tasks.
    LeavesATaskOut,
    /// A task is described that nobody asked for.
    DescribesAnother,
    /// Tasks are described twice.
    DescribesTwice,
    /// A page of which the next one has the same token.
    RepeatsTheToken,
    /// A page after which there is always another one.
    NeverEnds,
    /// ARNs of the page are listed twice.
    ListsTwice,
    /// A page without ARNs, and the token of the one that should have been.
    EmptyPage,
    /// What is listed has no ARN of ECS.
    ListsNonsense,
    /// So many milliseconds more.
    Slow(u16),
}

/// Where calls failed: in the cluster of this name, or in the list of clusters.
pub(super) type Place = Option<String>;

/// What troubles did in an invocation.
#[derive(Debug, Clone, Default)]
pub(super) struct Damage {
    /// Where any call failed, whatever came of it.
    pub(super) troubled: Vec<Place>,
    /// Where an answer cannot be used.
    spoilt: Vec<Place>,
    /// Questions that were not answered yet, and may be asked again.
    open: BTreeMap<String, Place>,
    /// ECS contradicted itself, so that the invocation may fail.
    pub(super) contradicted: bool,
    /// Tasks that run and that the last answer about them hides, by ARN.
    pub(super) hidden: BTreeMap<String, Hidden>,
}

/// How ECS hides a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hidden {
    /// It is listed, and described as missing or left out.
    Undescribed,
    /// One of its containers has no status.
    Silent,
    /// It is not listed.
    Unlisted,
    /// Its cluster is not listed.
    WithItsCluster,
}

impl Damage {
    /// Where questions never had an answer that can be used.
    pub(super) fn for_good(&self) -> Vec<Place> {
        self.spoilt.iter().chain(self.open.values()).cloned().collect()
    }

    pub(super) fn spoil(&mut self, cluster: Option<&str>) {
        let place = cluster.map(ToOwned::to_owned);
        self.troubled.push(place.clone());
        self.spoilt.push(place);
    }

    /// Nobody knows yet whether the question is asked again.
    pub(super) fn leave_open(&mut self, question: String, cluster: Option<&str>) {
        let place = cluster.map(ToOwned::to_owned);
        self.troubled.push(place.clone());
        self.open.insert(question, place);
    }

    pub(super) fn answered(&mut self, question: &str) {
        self.open.remove(question);
    }
}
