//! An ECS account in memory that refuses what ECS refuses.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use super::{
    CallError, Cluster, Container, DESCRIBE_BATCH, DescribedTasks, DesiredStatus, EcsApi, Failure,
    Page, Task,
};

/// Items per page: few, so that few items make many pages.
const PAGE_SIZE: usize = 3;

/// An ECS account in memory, which records the calls to it and can answer with faults.
#[derive(Default)]
pub(super) struct FakeEcs {
    pub(super) clusters: Mutex<BTreeMap<String, FakeCluster>>,
    /// Every call, in the order of their start.
    pub(super) calls: Mutex<Vec<String>>,
    /// Changes that happen right after the call with this text has started.
    pub(super) after: Mutex<Vec<(String, Change)>>,
    /// How many listings of running tasks and of clusters are empty.
    pub(super) empty_listings: Mutex<(usize, usize)>,
    /// If set, each listing returns this page.
    pub(super) lists: Option<Page>,
    /// If set, each description returns this.
    pub(super) describes: Option<DescribedTasks>,
    /// How long each response takes.
    pub(super) latency: Duration,
    /// Calls in progress.
    pub(super) under_way: Cell<usize>,
    /// The maximum of calls in progress at a time.
    pub(super) most_under_way: Cell<usize>,
}

type Change = Box<dyn FnOnce(&mut BTreeMap<String, FakeCluster>) + Send>;

#[derive(Default)]
pub(super) struct FakeCluster {
    pub(super) inactive: bool,
    pub(super) services: Vec<String>,
    /// Tasks that no longer run but are still counted.
    pub(super) counted_too_many: usize,
    pub(super) tasks: Vec<FakeTask>,
}

pub(super) struct FakeTask {
    pub(super) task: Task,
    pub(super) desired_status: DesiredStatus,
    /// How many descriptions report it as missing although it is listed.
    pub(super) lost: Cell<usize>,
    /// How many descriptions omit it although it is listed.
    pub(super) left_out: Cell<usize>,
    /// It is in neither listing.
    pub(super) unlisted: bool,
}

/// Decrements a count, and returns whether it was above 0.
fn decrement(times: &Cell<usize>) -> bool {
    let happens = times.get() > 0;
    times.set(times.get().saturating_sub(1));
    happens
}

pub(super) fn arn(kind: &str, resource: &str) -> String {
    format!("arn:aws:ecs:eu-central-1:274425519734:{kind}/{resource}")
}

impl FakeCluster {
    pub(super) fn with_running_tasks(names: &[&str]) -> Self {
        Self {
            tasks: names.iter().map(|name| FakeTask::running(name)).collect(),
            ..Self::default()
        }
    }
}

impl FakeTask {
    pub(super) fn running(name: &str) -> Self {
        let container = Container {
            name: Some(name.to_owned()),
            image: Some(format!("{name}:1")),
            image_digest: None,
            last_status: Some("RUNNING".to_owned()),
        };
        Self {
            task: Task {
                arn: arn("task", &format!("app/{name}")),
                group: Some("service:web".to_owned()),
                last_status: Some("RUNNING".to_owned()),
                containers: vec![container],
                ..Task::default()
            },
            desired_status: DesiredStatus::Running,
            lost: Cell::new(0),
            left_out: Cell::new(0),
            unlisted: false,
        }
    }

    pub(super) fn draining(name: &str) -> Self {
        let mut task = Self::running(name);
        task.desired_status = DesiredStatus::Stopped;
        task.task.last_status = Some("DEACTIVATING".to_owned());
        task
    }

    fn is_running(&self) -> bool {
        self.task.last_status.as_deref() == Some("RUNNING")
    }

    pub(super) fn stop(&mut self) {
        self.desired_status = DesiredStatus::Stopped;
        self.task.last_status = Some("STOPPED".to_owned());
        self.task.containers[0].last_status = Some("STOPPED".to_owned());
    }
}

impl FakeEcs {
    pub(super) fn new(clusters: impl IntoIterator<Item = (&'static str, FakeCluster)>) -> Self {
        let fake = Self::default();
        fake.change(|account| {
            account.extend(clusters.into_iter().map(|(name, cluster)| (name.to_owned(), cluster)));
        });
        fake
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut BTreeMap<String, FakeCluster>)) {
        change(&mut self.clusters.lock().unwrap());
    }

    /// Makes `change` once, right after the next call with this text.
    pub(super) fn change_after(
        &self,
        call: &str,
        change: impl FnOnce(&mut BTreeMap<String, FakeCluster>) + Send + 'static,
    ) {
        self.after.lock().unwrap().push((call.to_owned(), Box::new(change)));
    }

    pub(super) fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    /// The response to a call; the changes of `change_after` happen after it.
    async fn answer<T>(
        &self,
        call: String,
        answer: impl FnOnce(&BTreeMap<String, FakeCluster>) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        self.under_way.set(self.under_way.get() + 1);
        self.most_under_way.set(self.most_under_way.get().max(self.under_way.get()));
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        let result = self.answer_now(call, answer);
        self.under_way.set(self.under_way.get() - 1);
        result
    }

    /// As [`Self::answer`], without its latency.
    fn answer_now<T>(
        &self,
        call: String,
        answer: impl FnOnce(&BTreeMap<String, FakeCluster>) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let mut clusters = self.clusters.lock().unwrap();
        let result = answer(&clusters);
        let mut after = self.after.lock().unwrap();
        if let Some(at) = after.iter().position(|(wanted, _)| *wanted == call) {
            after.remove(at).1(&mut clusters);
        }
        self.calls.lock().unwrap().push(call);
        result
    }
}

impl FakeEcs {
    /// The page of the test's script, or else the one of `arns` that begins at `next_token`.
    fn next_page(&self, arns: Vec<String>, next_token: Option<String>) -> Result<Page, CallError> {
        self.lists.clone().map_or_else(|| page_at(arns, next_token), Ok)
    }
}

/// The page of `arns` that begins at `next_token`, an index.
fn page_at(arns: Vec<String>, next_token: Option<String>) -> Result<Page, CallError> {
    let start = match next_token {
        None => 0,
        Some(token) => token.parse().map_err(|_| CallError::Unavailable("token".to_owned()))?,
    };
    let next_token = (start + PAGE_SIZE < arns.len()).then(|| (start + PAGE_SIZE).to_string());
    Ok(Page { arns: arns.into_iter().skip(start).take(PAGE_SIZE).collect(), next_token })
}

fn find_active_cluster<'a>(
    clusters: &'a BTreeMap<String, FakeCluster>,
    cluster: &str,
) -> Result<&'a FakeCluster, CallError> {
    let name = cluster.rsplit('/').next().unwrap_or_default();
    clusters.get(name).filter(|cluster| !cluster.inactive).ok_or(CallError::ClusterNotFound)
}

impl EcsApi for FakeEcs {
    async fn list_clusters(&self, next_token: Option<String>) -> Result<Page, CallError> {
        self.answer("list clusters".to_owned(), |clusters| {
            let empty = &mut self.empty_listings.lock().unwrap().1;
            if *empty > 0 {
                *empty -= 1;
                return Ok(Page::default());
            }
            self.next_page(clusters.keys().map(|name| arn("cluster", name)).collect(), next_token)
        })
        .await
    }

    async fn describe_clusters(&self, names: &[String]) -> Result<Vec<Cluster>, CallError> {
        assert!((1..=DESCRIBE_BATCH).contains(&names.len()));
        self.answer(format!("describe {} clusters", names.len()), |clusters| {
            let described = names.iter().filter_map(|name| {
                let name = name.rsplit('/').next()?;
                let cluster = clusters.get(name)?;
                let status = if cluster.inactive { "INACTIVE" } else { "ACTIVE" };
                let running = cluster.tasks.iter().filter(|task| task.is_running()).count();
                Some(Cluster {
                    arn: arn("cluster", name),
                    status: Some(status.to_owned()),
                    running_tasks: running + cluster.counted_too_many,
                })
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
        self.answer(format!("list {desired_status:?}"), |clusters| {
            if let Some(page) = &self.lists {
                return Ok(page.clone());
            }
            let tasks = find_active_cluster(clusters, cluster)?.tasks.iter();
            let empty = &mut self.empty_listings.lock().unwrap().0;
            if *empty > 0 && desired_status == DesiredStatus::Running {
                *empty -= 1;
                return Ok(Page::default());
            }
            let listed =
                tasks.filter(|task| task.desired_status == desired_status && !task.unlisted);
            self.next_page(listed.map(|task| task.task.arn.clone()).collect(), next_token)
        })
        .await
    }

    async fn describe_tasks(
        &self,
        cluster: &str,
        arns: &[String],
    ) -> Result<DescribedTasks, CallError> {
        assert!((1..=DESCRIBE_BATCH).contains(&arns.len()));
        self.answer(format!("describe {} tasks", arns.len()), |clusters| {
            if let Some(described) = &self.describes {
                return Ok(described.clone());
            }
            let cluster = find_active_cluster(clusters, cluster)?;
            let mut described = DescribedTasks::default();
            for arn in arns {
                let found = cluster.tasks.iter().find(|task| task.task.arn == *arn);
                match found.filter(|task| !decrement(&task.lost)) {
                    Some(task) if decrement(&task.left_out) => {}
                    Some(task) => described.tasks.push(task.task.clone()),
                    None => described.failures.push(Failure {
                        arn: Some(arn.clone()),
                        reason: Some("MISSING".to_owned()),
                    }),
                }
            }
            Ok(described)
        })
        .await
    }

    async fn list_services(
        &self,
        cluster: &str,
        next_token: Option<String>,
    ) -> Result<Page, CallError> {
        self.answer("list services".to_owned(), |clusters| {
            let services = find_active_cluster(clusters, cluster)?.services.iter();
            self.next_page(
                services.map(|name| arn("service", &format!("app/{name}"))).collect(),
                next_token,
            )
        })
        .await
    }
}
