//! Faults between the reporter and ECS.

use std::collections::BTreeMap;

/// A fault in `calls` calls of an invocation, from its call number `from` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InjectedFault {
    pub(super) from: usize,
    pub(super) calls: usize,
    pub(super) fault: EcsFault,
}

/// A fault of a call of ECS. It has no effect on a call to which it does not apply.
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
    /// A cluster's description counts more tasks than run.
    Miscounts,
    /// The signature has expired.
    ClockSkew,
    /// A success without a body.
    Empty,
    /// A task is described as failed for a reason that is none.
    FailsATask,
    /// A cluster that exists is reported as missing.
    DeniesTheCluster,
    /// The description leaves out one of the tasks.
    LeavesATaskOut,
    /// A task is described that was not requested.
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

/// The listing in which calls failed: of the cluster of this name, or of the clusters.
pub(super) type ListingScope = Option<String>;

/// The effects of the faults of an invocation.
#[derive(Debug, Clone, Default)]
pub(super) struct FaultEffects {
    /// Listings in which any call failed, whatever came of it.
    pub(super) failed: Vec<ListingScope>,
    /// Listings of which a response cannot be used.
    unusable: Vec<ListingScope>,
    /// Failed calls that may be repeated.
    pending: BTreeMap<String, ListingScope>,
    /// ECS contradicted itself, so that the invocation may fail.
    pub(super) contradicted: bool,
    /// Tasks that run and that the last answer about them hides, by ARN.
    pub(super) hidden: BTreeMap<String, Hidden>,
}

/// How ECS hides a task that exists.
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

impl FaultEffects {
    /// Listings that never had a usable response.
    pub(super) fn unread_listings(&self) -> Vec<ListingScope> {
        self.unusable.iter().chain(self.pending.values()).cloned().collect()
    }

    /// A response of the listing cannot be used.
    pub(super) fn mark_unusable(&mut self, cluster: Option<&str>) {
        let scope = cluster.map(ToOwned::to_owned);
        self.failed.push(scope.clone());
        self.unusable.push(scope);
    }

    /// The call failed, and may be repeated.
    pub(super) fn mark_pending(&mut self, call: String, cluster: Option<&str>) {
        let scope = cluster.map(ToOwned::to_owned);
        self.failed.push(scope.clone());
        self.pending.insert(call, scope);
    }

    /// The call, or a repetition of it, had a usable response.
    pub(super) fn mark_answered(&mut self, call: &str) {
        self.pending.remove(call);
    }
}
