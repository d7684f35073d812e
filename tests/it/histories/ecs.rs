//! ECS in front of the model: it answers from the state at the moment of each call, a while later,
//! refuses what ECS refuses, and fails with the injected faults.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::rc::Rc;
use std::time::Duration;

use envsnap::ecs::{
    self, CallError, ClockSkew, Cluster, DESCRIBE_BATCH, DescribedTasks, DesiredStatus, EcsApi,
    Failure, Page,
};

use super::account::{Account, Task, arn};
use super::faults::EcsFault::{
    AccessDenied, DeniesTheCluster, DescribesAnother, DescribesTwice, Disconnected, Empty,
    EmptyPage, FailsATask, LeavesATaskOut, ListsNoCluster, ListsNone, ListsNonsense, ListsTwice,
    Miscounts, NeverEnds, NotKnown, NotYetKnown, RepeatsTheToken, Silent, SilentContainer, Slow,
    Throttled, Unavailable,
};
use super::faults::{EcsFault, FaultEffects, Hidden, InjectedFault};
use super::timeline::{Millis, Timeline};

/// Prefix of the tokens of a listing that never ends.
const ENDLESS_TOKEN_PREFIX: &str = "endless/";

/// ECS that answers from the model, with latencies and injected faults.
#[derive(Clone)]
pub(super) struct FakeEcs(Rc<Shared>);

struct Shared {
    account: Account,
    time: Timeline,
    page_size: usize,
    /// Milliseconds, used in turn.
    latencies: Vec<u16>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    calls: usize,
    of_this_invocation: usize,
    faults: Vec<InjectedFault>,
    damage: FaultEffects,
    /// Tasks that were missing once, although they exist.
    unknown_once: HashSet<String>,
    /// Questions of which the answer that is under way cannot be used.
    unusable: HashSet<String>,
    /// What this invocation has read.
    read: Knowledge,
    /// What each process read in invocations that succeeded.
    known: HashMap<usize, Knowledge>,
}

/// What a process has read: ARNs of tasks that ran, and names of clusters.
#[derive(Debug, Default, Clone)]
struct Knowledge {
    tasks: BTreeSet<String>,
    clusters: BTreeSet<String>,
}

impl FakeEcs {
    pub(super) fn new(
        account: Account,
        time: Timeline,
        page_size: usize,
        latencies: Vec<u16>,
    ) -> Self {
        Self(Rc::new(Shared { account, time, page_size, latencies, state: RefCell::default() }))
    }

    pub(super) fn account(&self) -> &Account {
        &self.0.account
    }

    /// An invocation begins, and its calls meet these faults.
    pub(super) fn begin_invocation(&self, faults: &[InjectedFault]) {
        let mut state = self.0.state.borrow_mut();
        *state = State {
            calls: state.calls,
            faults: faults.to_vec(),
            known: std::mem::take(&mut state.known),
            ..State::default()
        };
    }

    /// The invocation of this process succeeded: it remembers what it read.
    pub(super) fn end_successful_invocation(&self, process: usize) {
        let state = &mut *self.0.state.borrow_mut();
        let known = state.known.entry(process).or_default();
        known.tasks.append(&mut state.read.tasks);
        known.clusters.append(&mut state.read.clusters);
    }

    /// The process is replaced by one that has read nothing.
    pub(super) fn forget_process(&self, process: usize) {
        self.0.state.borrow_mut().known.remove(&process);
    }

    /// ARNs of the tasks that this process may leave out: ECS hides them, and the process has never
    /// seen them run, or they drain, so that ECS may have forgotten them.
    pub(super) fn tasks_that_may_be_left_out(&self, process: usize) -> BTreeSet<String> {
        let state = self.0.state.borrow();
        let known = state.known.get(&process).cloned().unwrap_or_default();
        let now = self.0.time.now();
        let tasks = &self.0.account.tasks;
        let drains = |task: &Task| task.desired_status(now) == DesiredStatus::Stopped;
        let hidden = state.damage.hidden.iter().filter(|(arn, how)| {
            let task = &tasks[*arn];
            match how {
                Hidden::Silent => false,
                Hidden::Undescribed => drains(task) || !known.tasks.contains(*arn),
                Hidden::WithItsCluster => !known.clusters.contains(&task.cluster),
                // A count of tasks that run does not tell it from one that drains.
                Hidden::Unlisted => {
                    let mut others = tasks.values().filter(|other| other.cluster == task.cluster);
                    !known.tasks.contains(*arn) && others.any(drains)
                }
            }
        });
        hidden.map(|(arn, _)| arn.clone()).collect()
    }

    pub(super) fn calls_of_this_invocation(&self) -> usize {
        self.0.state.borrow().of_this_invocation
    }

    /// What the faults of this invocation did.
    pub(super) fn fault_effects(&self) -> FaultEffects {
        self.0.state.borrow().damage.clone()
    }

    /// A response of the listing of this cluster, or of the clusters, cannot be used.
    fn mark_unusable_listing(&self, cluster: Option<&str>) {
        self.0.state.borrow_mut().damage.mark_unusable(cluster.map(cluster_name));
    }

    /// One call: waits for its latencies, and responds with its injected fault or with `answer`.
    /// `what` describes the call and identifies a repetition of it.
    async fn call<T: std::fmt::Debug>(
        &self,
        what: impl Fn() -> String,
        cluster: Option<&str>,
        answer: impl FnOnce(Millis, Option<EcsFault>) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let (fault, before, after) = {
            let mut state = self.0.state.borrow_mut();
            let nth = state.of_this_invocation;
            let latency = |n: usize| u64::from(self.0.latencies[n % self.0.latencies.len()]);
            let (before, after) = (latency(2 * state.calls), latency(2 * state.calls + 1));
            state.calls += 1;
            state.of_this_invocation += 1;
            let faults = state.faults.iter();
            let fault =
                faults.rev().find(|fault| (fault.from..fault.from + fault.calls).contains(&nth));
            (fault.map(|fault| fault.fault), before, after)
        };
        let more = if let Some(Slow(more)) = fault { u64::from(more) } else { 0 };
        tokio::time::sleep(Duration::from_millis(before + more)).await;
        let answer = match fault {
            Some(Throttled) => Err(CallError::Throttled("ThrottlingException".to_owned())),
            Some(Unavailable) => Err(CallError::Unavailable("ServerException".to_owned())),
            Some(Disconnected) => Err(CallError::Disconnected("connection reset".to_owned())),
            Some(AccessDenied) => Err(CallError::AccessDenied("AccessDenied".to_owned())),
            Some(EcsFault::ClockSkew) => {
                let now = self.0.time.wall_clock();
                let skew = ClockSkew::from_error(Some("RequestExpired"), None, None, now);
                Err(CallError::ClockSkew(skew.unwrap()))
            }
            Some(Empty) => Err(CallError::Incomplete("no list".to_owned())),
            Some(Silent) => {
                self.0.time.note(|| format!("  ECS never answers: {}", what()));
                self.0.state.borrow_mut().damage.mark_pending(what(), cluster.map(cluster_name));
                return std::future::pending().await;
            }
            fault => answer(self.0.time.now(), fault),
        };
        self.0.time.note(|| {
            let fault = fault.map(|fault| format!(" ({fault:?})")).unwrap_or_default();
            format!("  ECS: {}{fault}: {answer:?}", what())
        });
        tokio::time::sleep(Duration::from_millis(after)).await;
        let State { damage, unusable, .. } = &mut *self.0.state.borrow_mut();
        match &answer {
            Ok(_) if unusable.remove(&what()) => {
                damage.mark_pending(what(), cluster.map(cluster_name));
            }
            Ok(_) | Err(CallError::ClusterNotFound) => damage.mark_answered(&what()),
            Err(_) => damage.mark_pending(what(), cluster.map(cluster_name)),
        }
        answer
    }

    /// A page of what is listed now: the ARNs after the one in `token`, in order, so that an entry
    /// that is listed all the while is never skipped.
    fn page<'a>(
        &self,
        cluster: Option<&str>,
        fault: Option<EcsFault>,
        token: Option<String>,
        listed: impl Iterator<Item = &'a str>,
    ) -> Page {
        let begin = token.clone().unwrap_or_default();
        let mut behind = listed.filter(|arn| *arn > begin.as_str()).map(ToOwned::to_owned);
        let arns: Vec<_> = behind.by_ref().take(self.0.page_size).collect();
        let next_token = behind.next().and(arns.last().cloned());
        match fault {
            Some(NeverEnds) => {
                self.mark_unusable_listing(cluster);
                Page { arns, next_token: Some(format!("{ENDLESS_TOKEN_PREFIX}0")) }
            }
            Some(RepeatsTheToken) if token.is_some() => {
                self.mark_unusable_listing(cluster);
                Page { arns, next_token: token }
            }
            Some(EmptyPage) if token.is_none() => {
                Page { arns: Vec::new(), next_token: Some(" ".to_owned()) }
            }
            Some(ListsTwice) => Page { arns: [arns.clone(), arns].concat(), next_token },
            _ => Page { arns, next_token },
        }
    }

    /// The next page of a listing that never ends, if the token is one of such a listing.
    fn endless_page(token: Option<&String>) -> Option<Page> {
        let page: u32 = token?.strip_prefix(ENDLESS_TOKEN_PREFIX)?.parse().unwrap();
        Some(Page {
            arns: Vec::new(),
            next_token: Some(format!("{ENDLESS_TOKEN_PREFIX}{}", page + 1)),
        })
    }

    /// The name of a cluster, if it is active now and the fault does not report it as missing.
    fn require_accessible_cluster<'a>(
        &self,
        cluster: &'a str,
        now: Millis,
        fault: Option<EcsFault>,
    ) -> Result<&'a str, CallError> {
        let name = self.require_active_cluster(cluster, now)?;
        if fault == Some(DeniesTheCluster) && self.0.account.clusters[name].deleted.is_none() {
            self.mark_unusable_listing(Some(cluster));
            return Err(CallError::ClusterNotFound);
        }
        Ok(name)
    }

    /// The name of a cluster, if it is active now.
    fn require_active_cluster<'a>(
        &self,
        cluster: &'a str,
        now: Millis,
    ) -> Result<&'a str, CallError> {
        let name = cluster_name(cluster);
        let known = self.0.account.clusters.get(name);
        known.filter(|c| c.is_active(now)).map(|_| name).ok_or(CallError::ClusterNotFound)
    }
}

/// The name in the ARN of a cluster, or the name itself.
fn cluster_name(cluster: &str) -> &str {
    cluster.rsplit('/').next().unwrap_or_default()
}

impl EcsApi for FakeEcs {
    async fn list_clusters(&self, next_token: Option<String>) -> Result<Page, CallError> {
        let what = || format!("list clusters after {next_token:?}");
        self.call(what, None, |now, fault| {
            if let Some(page) = Self::endless_page(next_token.as_ref()) {
                return Ok(page);
            }
            if fault == Some(ListsNoCluster) {
                self.hide_tasks(Hidden::WithItsCluster, |_| true);
                return Ok(Page::default());
            }
            let clusters = self.0.account.clusters.iter();
            let listed: Vec<_> = clusters
                .filter(|(_, cluster)| cluster.is_listed(now))
                .map(|(name, _)| arn("cluster", name))
                .collect();
            let mut page =
                self.page(None, fault, next_token.clone(), listed.iter().map(String::as_str));
            if fault == Some(ListsNonsense) {
                self.mark_unusable_listing(None);
                page.arns.push("arn:aws:nonsense".to_owned());
            }
            Ok(page)
        })
        .await
    }

    async fn describe_clusters(&self, clusters: &[String]) -> Result<Vec<Cluster>, CallError> {
        assert!((1..=DESCRIBE_BATCH).contains(&clusters.len()), "{} clusters", clusters.len());
        let what = || format!("describe clusters {clusters:?}");
        self.call(what, None, |now, fault| {
            let described = clusters.iter().filter_map(|requested| {
                let name = cluster_name(requested);
                let cluster = self.0.account.clusters.get(name).filter(|c| c.is_listed(now))?;
                let status = if cluster.is_active(now) { "ACTIVE" } else { "INACTIVE" };
                let tasks = self.0.account.tasks.values().filter(|task| task.cluster == name);
                let running =
                    tasks.filter(|task| task.exists(now) && task.last_status(now) == "RUNNING");
                let mut running_tasks = running.count();
                if fault == Some(Miscounts) {
                    self.mark_contradicted();
                    running_tasks += 1;
                }
                let status = Some(status.to_owned());
                Some(Cluster { arn: arn("cluster", name), status, running_tasks })
            });
            Ok(described.collect())
        })
        .await
    }

    async fn list_tasks(
        &self,
        cluster: &str,
        desired_status: DesiredStatus,
        next_token: Option<String>,
    ) -> Result<Page, CallError> {
        let what = || format!("list {desired_status:?} of {cluster} after {next_token:?}");
        self.call(what, Some(cluster), |now, fault| {
            if let Some(page) = Self::endless_page(next_token.as_ref()) {
                return Ok(page);
            }
            let name = self.require_accessible_cluster(cluster, now, fault)?;
            if fault == Some(ListsNone) && next_token.is_none() {
                self.hide_tasks(Hidden::Unlisted, |task| {
                    task.cluster == name && task.desired_status(now) == desired_status
                });
                return Ok(Page::default());
            }
            self.unhide_listed_tasks(|task| {
                task.cluster == name && task.desired_status(now) == desired_status
            });
            let after = Bound::Excluded(next_token.as_deref().unwrap_or_default());
            let rest = self.0.account.tasks.range::<str, _>((after, Bound::Unbounded));
            let tasks = rest.filter(|(_, task)| {
                task.cluster == name
                    && task.exists(now)
                    && task.desired_status(now) == desired_status
            });
            let listed = tasks.map(|(arn, _)| arn.as_str());
            let mut page = self.page(Some(cluster), fault, next_token.clone(), listed);
            if fault == Some(ListsNonsense) {
                self.mark_contradicted();
                page.arns.push(arn("task", &format!("{name}/never-existed")));
            }
            Ok(page)
        })
        .await
    }

    async fn describe_tasks(
        &self,
        cluster: &str,
        arns: &[String],
    ) -> Result<DescribedTasks, CallError> {
        assert!((1..=DESCRIBE_BATCH).contains(&arns.len()), "{} tasks", arns.len());
        let what = || format!("describe {arns:?}");
        self.call(what, Some(cluster), |now, fault| {
            let name = self.require_accessible_cluster(cluster, now, fault)?;
            let mut answer = DescribedTasks::default();
            for arn in arns {
                let task = self.0.account.tasks.get(arn);
                match task.filter(|task| task.cluster == name && task.exists(now)) {
                    Some(task) if !self.is_described_as_missing(fault, arn) => {
                        answer.tasks.push(task.described(arn, now));
                    }
                    _ => answer.failures.push(failure(arn, "MISSING")),
                }
            }
            if self.apply_description_fault(fault, name, &mut answer) {
                self.0.state.borrow_mut().unusable.insert(what());
            }
            self.note_described(name, arns, &answer);
            Ok(answer)
        })
        .await
    }

    async fn list_services(
        &self,
        cluster: &str,
        next_token: Option<String>,
    ) -> Result<Page, CallError> {
        let what = || format!("list services of {cluster} after {next_token:?}");
        self.call(what, Some(cluster), |now, fault| {
            if let Some(page) = Self::endless_page(next_token.as_ref()) {
                return Ok(page);
            }
            let name = self.require_active_cluster(cluster, now)?;
            let services = self.0.account.clusters[name].services.iter();
            let listed: Vec<_> =
                services.map(|service| arn("service", &format!("{name}/{service}"))).collect();
            let listed = listed.iter().map(String::as_str);
            Ok(self.page(Some(cluster), fault, next_token.clone(), listed))
        })
        .await
    }
}

fn failure(arn: &str, reason: &str) -> Failure {
    Failure { arn: Some(arn.to_owned()), reason: Some(reason.to_owned()) }
}

impl FakeEcs {
    /// Whether the fault has this task described as missing, although it exists.
    fn is_described_as_missing(&self, fault: Option<EcsFault>, arn: &str) -> bool {
        let unknown = &mut self.0.state.borrow_mut().unknown_once;
        fault == Some(NotKnown) || fault == Some(NotYetKnown) && unknown.insert(arn.to_owned())
    }

    /// ECS contradicts itself, so that the invocation may fail.
    fn mark_contradicted(&self) {
        self.0.state.borrow_mut().damage.contradicted = true;
    }

    /// These tasks are hidden in this way.
    fn hide_tasks(&self, how: Hidden, tasks: impl Fn(&Task) -> bool) {
        self.mark_contradicted();
        let mut state = self.0.state.borrow_mut();
        for (arn, _) in self.0.account.tasks.iter().filter(|(_, task)| tasks(task)) {
            state.damage.hidden.insert(arn.clone(), how);
        }
    }

    /// These tasks are listed, and so no longer hidden by a listing.
    fn unhide_listed_tasks(&self, tasks: impl Fn(&Task) -> bool) {
        let hidden = &mut self.0.state.borrow_mut().damage.hidden;
        let all = &self.0.account.tasks;
        hidden.retain(|arn, how| {
            let listed = matches!(how, Hidden::Unlisted | Hidden::WithItsCluster);
            !(listed && tasks(&all[arn]))
        });
    }

    /// Notes for each requested task whether the response hides it.
    fn note_described(&self, cluster: &str, requested: &[String], answer: &DescribedTasks) {
        let State { damage, read, .. } = &mut *self.0.state.borrow_mut();
        read.clusters.insert(cluster.to_owned());
        for arn in requested.iter().filter(|arn| self.0.account.tasks.contains_key(*arn)) {
            let described = answer.tasks.iter().find(|task| task.arn == *arn);
            let how = match described {
                None => Hidden::Undescribed,
                Some(task) if task.containers.iter().any(|c| c.last_status.is_none()) => {
                    Hidden::Silent
                }
                Some(task) => {
                    let status = |c: &ecs::Container| c.last_status.as_deref() == Some("RUNNING");
                    if task.containers.iter().any(status) {
                        read.tasks.insert(arn.clone());
                    }
                    damage.hidden.remove(arn);
                    continue;
                }
            };
            damage.contradicted = true;
            damage.hidden.insert(arn.clone(), how);
        }
    }

    /// Applies a fault of DescribeTasks to the response; whether that cannot be used any more.
    fn apply_description_fault(
        &self,
        fault: Option<EcsFault>,
        cluster: &str,
        answer: &mut DescribedTasks,
    ) -> bool {
        match fault {
            Some(FailsATask) => {
                if let Some(task) = answer.tasks.pop() {
                    answer.failures.push(failure(&task.arn, "INTERNAL"));
                    self.mark_unusable_listing(Some(cluster));
                }
            }
            Some(LeavesATaskOut) => drop(answer.tasks.pop()),
            Some(SilentContainer) => {
                if let Some(container) =
                    answer.tasks.first_mut().and_then(|task| task.containers.first_mut())
                {
                    container.last_status = None;
                }
            }
            Some(DescribesAnother) => {
                if let Some(mut task) = answer.tasks.first().cloned() {
                    task.arn.push_str("-another");
                    answer.tasks.push(task);
                    return true;
                }
            }
            Some(DescribesTwice) => answer.tasks.extend(answer.tasks.clone()),
            _ => {}
        }
        false
    }
}
