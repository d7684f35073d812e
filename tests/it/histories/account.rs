//! The reference model: an ECS account whose state at every moment follows from what it is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::LazyLock;

use envsnap::ecs;

use super::timeline::{Millis, SECOND, Seconds, unix_seconds};

/// How long ECS lists a task that has stopped.
const STOPPED_IS_LISTED_FOR: Millis = 3_600 * SECOND;

/// Replicas by fingerprint, or by name where the fingerprint is unknown.
pub(super) type Counts = BTreeMap<String, u64>;

/// What a container can run: as ECS describes it, and how a snapshot identifies it.
#[derive(Debug)]
pub(super) struct Software {
    container: &'static str,
    pub(super) image: Option<String>,
    digest: Option<String>,
    /// The fingerprint, or the name if the fingerprint is unknown.
    pub(super) identity: String,
}

/// Everything that containers of a history can run. Other items refer to it by index.
pub(super) static SOFTWARE: LazyLock<Vec<Software>> = LazyLock::new(|| {
    let hex = |digit: &str| digit.repeat(64);
    let sha = |digit: &str| format!("sha256:{}", hex(digit));
    let software =
        |container, image: Option<&str>, digest: Option<String>, identity: &str| Software {
            container,
            image: image.map(ToOwned::to_owned),
            digest,
            identity: identity.to_owned(),
        };
    let pinned = format!("job@{}", sha("3"));
    let pinned_index = format!("job:1@{}", sha("4"));
    vec![
        software("web", Some("web:1"), Some(sha("1")), &hex("1")),
        software("web", Some("web:2"), Some(sha("2")), &hex("2")),
        software("web", Some("mirror/web:1"), Some(sha("1")), &hex("1")),
        software("job", Some(&pinned), None, &hex("3")),
        software("job", Some(&pinned_index), Some(sha("5")), &hex("5")),
        software("local", Some("local:1"), None, "local:1"),
        software("old", Some("old:1"), Some("sha512:00".to_owned()), "old:1"),
        software("ecs-service-connect-", None, None, "ecs-service-connect"),
        software("aws-guardduty-agent-", None, Some(sha("6")), &hex("6")),
    ]
});

/// Whether an identity is a fingerprint, not a name.
pub(super) fn is_fingerprint(identity: &str) -> bool {
    identity.len() == 64
}

/// The reference model of an ECS account.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) clusters: BTreeMap<String, Cluster>,
    /// By ARN.
    pub(super) tasks: BTreeMap<String, Task>,
}

/// A cluster, which has no tasks any more when it is deleted.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    pub(super) made: Millis,
    /// `INACTIVE` from then on.
    pub(super) deleted: Option<Millis>,
    /// Neither listed nor described from then on.
    pub(super) vanished: Option<Millis>,
    pub(super) services: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) cluster: String,
    pub(super) group: Option<String>,
    pub(super) created: Millis,
    /// The desired status is STOPPED from then on.
    pub(super) stopping_at: Option<Millis>,
    pub(super) stopped: Option<Millis>,
    pub(super) containers: Vec<Container>,
}

#[derive(Debug, Clone)]
pub(super) struct Container {
    pub(super) runs: &'static Software,
    pub(super) starts: Millis,
    pub(super) stops: Option<Millis>,
}

pub(super) fn arn(kind: &str, resource: &str) -> String {
    format!("arn:aws:ecs:eu-central-1:274425519734:{kind}/{resource}")
}

/// Whether something that happens at `moment`, if ever, has happened by `now`.
fn has_happened(moment: Option<Millis>, now: Millis) -> bool {
    moment.is_some_and(|moment| moment <= now)
}

impl Account {
    pub(super) fn with_task(mut self, task: Task) -> Self {
        self.tasks.insert(arn("task", &format!("{}/more", task.cluster)), task);
        self
    }

    /// The same account, in which nothing changes after `last`.
    pub(super) fn without_changes_after(mut self, last: Millis) -> Self {
        let soon = |moment: &mut Option<Millis>| *moment = moment.filter(|at| *at <= last);
        self.clusters.retain(|_, cluster| cluster.made <= last);
        for cluster in self.clusters.values_mut() {
            soon(&mut cluster.deleted);
            soon(&mut cluster.vanished);
        }
        self.tasks.retain(|_, task| task.created <= last);
        for task in self.tasks.values_mut() {
            soon(&mut task.stopping_at);
            soon(&mut task.stopped);
            for container in &mut task.containers {
                if container.starts > last {
                    container.starts = Millis::MAX;
                }
                soon(&mut container.stops);
            }
        }
        self
    }

    /// Replicas by identity: of the containers that pass `when` in tasks that pass `wanted`.
    pub(super) fn count(
        &self,
        wanted: impl Fn(&Task) -> bool,
        when: impl Fn(&Container) -> bool,
    ) -> Counts {
        self.count_without(&BTreeSet::new(), wanted, when)
    }

    /// The same, without the tasks with these ARNs.
    pub(super) fn count_without(
        &self,
        excused: &BTreeSet<String>,
        wanted: impl Fn(&Task) -> bool,
        when: impl Fn(&Container) -> bool,
    ) -> Counts {
        let mut counts = Counts::new();
        let tasks = self.tasks.iter().filter(|(arn, task)| wanted(task) && !excused.contains(*arn));
        let tasks = tasks.map(|(_, task)| task);
        for container in tasks.flat_map(|task| &task.containers).filter(|c| when(c)) {
            *counts.entry(container.runs.identity.clone()).or_default() += 1;
        }
        counts
    }
}

impl Cluster {
    /// Whether ECS lists and describes the cluster.
    pub(super) fn is_listed(&self, now: Millis) -> bool {
        self.made <= now && !has_happened(self.vanished, now)
    }

    /// Whether the status of the cluster is ACTIVE.
    pub(super) fn is_active(&self, now: Millis) -> bool {
        self.made <= now && !has_happened(self.deleted, now)
    }
}

impl Task {
    /// Name of the service that the task belongs to.
    pub(super) fn service(&self) -> Option<&str> {
        self.group.as_deref()?.strip_prefix("service:")
    }

    /// Whether ECS knows the task: from its creation until some time after its stop.
    pub(super) fn exists(&self, now: Millis) -> bool {
        self.created <= now
            && !has_happened(self.stopped.map(|stopped| stopped + STOPPED_IS_LISTED_FOR), now)
    }

    pub(super) fn desired_status(&self, now: Millis) -> ecs::DesiredStatus {
        if has_happened(self.stopping_at, now) {
            ecs::DesiredStatus::Stopped
        } else {
            ecs::DesiredStatus::Running
        }
    }

    /// The `lastStatus` of the task, which follows from those of its containers.
    pub(super) fn last_status(&self, now: Millis) -> &'static str {
        let any = |status| self.containers.iter().any(|c| c.last_status(now) == status);
        if has_happened(self.stopped, now) {
            "STOPPED"
        } else if let Some(stopping_at) = self.stopping_at.filter(|at| *at <= now) {
            match (any("RUNNING"), now < stopping_at + 5 * SECOND) {
                (true, true) => "DEACTIVATING",
                (true, false) => "STOPPING",
                (false, _) => "DEPROVISIONING",
            }
        } else if now < self.created + SECOND {
            "PROVISIONING"
        } else {
            match (any("PENDING"), any("RUNNING")) {
                (true, true) => "ACTIVATING",
                (true, false) => "PENDING",
                (false, _) => "RUNNING",
            }
        }
    }

    /// The task as DescribeTasks returns it.
    pub(super) fn described(&self, arn: &str, now: Millis) -> ecs::Task {
        let id = arn.rsplit('/').next().unwrap();
        let started = self.containers.iter().map(|c| c.starts).max().filter(|at| *at <= now);
        let containers = self.containers.iter().enumerate().map(|(n, c)| ecs::Container {
            name: Some(format!("{}{id}{n}", c.runs.container)),
            image: c.runs.image.clone(),
            image_digest: c.runs.digest.clone(),
            last_status: Some(c.last_status(now).to_owned()),
        });
        ecs::Task {
            arn: arn.to_owned(),
            cluster: String::new(),
            group: self.group.clone(),
            desired_status: Some(format!("{:?}", self.desired_status(now)).to_uppercase()),
            last_status: Some(self.last_status(now).to_owned()),
            started_at: started.map(unix_seconds),
            created_at: Some(unix_seconds(self.created)),
            containers: containers.collect(),
            ..ecs::Task::default()
        }
    }
}

impl Container {
    /// The `lastStatus` of the container.
    fn last_status(&self, now: Millis) -> &'static str {
        if has_happened(self.stops, now) {
            "STOPPED"
        } else if self.starts <= now {
            "RUNNING"
        } else {
            "PENDING"
        }
    }

    pub(super) fn runs_at(&self, now: Millis) -> bool {
        self.last_status(now) == "RUNNING"
    }

    pub(super) fn runs_throughout(&self, from: Millis, to: Millis) -> bool {
        self.runs_at(from) && self.runs_at(to)
    }

    pub(super) fn runs_at_some_moment(&self, from: Millis, to: Millis) -> bool {
        let begins = self.starts.max(from);
        begins <= to && self.runs_at(begins)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at =
            |moment: Option<Millis>| moment.map_or("never".to_owned(), |m| Seconds(m).to_string());
        for (name, cluster) in &self.clusters {
            let Cluster { made, deleted, vanished, services } = cluster;
            writeln!(
                f,
                "  cluster {name}: made at {}, deleted: {}, vanished: {}, services {services:?}",
                Seconds(*made),
                at(*deleted),
                at(*vanished)
            )?;
        }
        for (arn, task) in &self.tasks {
            let name = arn.rsplit("task/").next().unwrap_or_default();
            writeln!(
                f,
                "  task {name} of {}: created at {}, stopping at: {}, stopped: {}",
                task.group.as_deref().unwrap_or("no group"),
                Seconds(task.created),
                at(task.stopping_at),
                at(task.stopped)
            )?;
            for Container { runs, starts, stops } in &task.containers {
                let image = runs.image.as_deref().unwrap_or(runs.container);
                let stops = at(*stops);
                let starts = at((*starts < Millis::MAX).then_some(*starts));
                writeln!(f, "    {image:.12}: starts: {starts}, stops: {stops}")?;
            }
        }
        Ok(())
    }
}
