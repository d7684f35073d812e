//! What exists: an account's clusters, their services and tasks, and their ARNs.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::task::Task;

/// Everything that the stand-in knows of, in one region of one account.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// Region in every ARN.
    pub region: String,
    /// Account in every ARN, twelve digits.
    pub account: String,
    /// Clusters by name; listings give them in this order.
    pub clusters: BTreeMap<String, Cluster>,
    /// At most so many entries on a page of any listing, below what was asked for, so that few
    /// tasks make many pages. At least 1; `None` leaves ECS's own limits.
    pub page_size_cap: Option<usize>,
}

impl World {
    /// A region without clusters.
    pub fn new(region: &str, account: &str) -> Self {
        Self {
            region: region.to_owned(),
            account: account.to_owned(),
            clusters: BTreeMap::new(),
            page_size_cap: None,
        }
    }

    /// With one more cluster, instead of any of the same name.
    #[must_use]
    pub fn cluster(mut self, cluster: Cluster) -> Self {
        self.clusters.insert(cluster.name.clone(), cluster);
        self
    }

    /// With at most `size` entries on a page.
    #[must_use]
    pub fn page_size_cap(mut self, size: usize) -> Self {
        self.page_size_cap = Some(size);
        self
    }

    /// The cluster of that name, made if there is none.
    pub fn cluster_mut(&mut self, name: &str) -> &mut Cluster {
        self.clusters.entry(name.to_owned()).or_insert_with(|| Cluster::new(name))
    }

    /// `arn:aws:ecs:REGION:ACCOUNT:cluster/CLUSTER`
    pub fn cluster_arn(&self, cluster: &str) -> String {
        self.arn(&format!("cluster/{cluster}"))
    }

    /// `arn:aws:ecs:REGION:ACCOUNT:service/CLUSTER/SERVICE`
    pub fn service_arn(&self, cluster: &str, service: &str) -> String {
        self.arn(&format!("service/{cluster}/{service}"))
    }

    /// `arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID`
    pub fn task_arn(&self, cluster: &str, id: &str) -> String {
        self.arn(&format!("task/{cluster}/{id}"))
    }

    /// The ARN of a resource given as `TYPE/NAME`.
    pub(super) fn arn(&self, resource: &str) -> String {
        format!("arn:aws:ecs:{}:{}:{resource}", self.region, self.account)
    }
}

/// A cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// Name, the same as the key under which the world holds it.
    pub name: String,
    /// `ACTIVE`, or `INACTIVE` once deleted, which hides its services and tasks.
    pub status: String,
    /// Whether `ListClusters` names it. ECS may go on naming a deleted cluster for a while.
    pub listed: bool,
    /// Names of its services, which are listed in this order.
    pub services: BTreeSet<String>,
    /// Tasks by id, 32 hexadecimal digits; listings give them in this order.
    pub tasks: BTreeMap<String, Task>,
    /// How many tasks were ever added, from which the next task's id follows.
    pub tasks_added: u64,
}

impl Cluster {
    /// An active cluster without services and tasks.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            status: "ACTIVE".to_owned(),
            listed: true,
            services: BTreeSet::new(),
            tasks: BTreeMap::new(),
            tasks_added: 0,
        }
    }

    /// Deleted, and still listed.
    #[must_use]
    pub fn inactive(mut self) -> Self {
        "INACTIVE".clone_into(&mut self.status);
        self
    }

    /// Not named by `ListClusters`.
    #[must_use]
    pub fn unlisted(mut self) -> Self {
        self.listed = false;
        self
    }

    /// With a service, which has no tasks yet.
    #[must_use]
    pub fn service(mut self, name: &str) -> Self {
        self.services.insert(name.to_owned());
        self
    }

    /// With one more task; see [`Cluster::add`].
    #[must_use]
    pub fn task(mut self, task: Task) -> Self {
        self.add(task);
        self
    }

    /// With `count` more tasks like `task`.
    #[must_use]
    pub fn tasks(mut self, count: usize, task: &Task) -> Self {
        for _ in 0..count {
            self.add(task.clone());
        }
        self
    }

    /// Adds a task, and its service where it is new; gives the task's id.
    ///
    /// The id follows from the names of the cluster and the service and from how many tasks were
    /// added before, so that the same story always has the same ids, and none comes back.
    pub fn add(&mut self, task: Task) -> String {
        let service = task.service.as_deref().unwrap_or_default();
        let id = task_id(&self.name, service, self.tasks_added);
        if let Some(service) = &task.service {
            self.services.insert(service.clone());
        }
        self.tasks_added += 1;
        self.tasks.insert(id.clone(), task);
        id
    }

    /// The tasks of one service, to be changed.
    pub fn tasks_of(&mut self, service: &str) -> impl Iterator<Item = &mut Task> {
        self.tasks.values_mut().filter(move |task| task.service.as_deref() == Some(service))
    }
}

fn task_id(cluster: &str, service: &str, number: u64) -> String {
    let digest = Sha256::digest(format!("{cluster}/{service}/{number}"));
    hex::encode(&digest[..16])
}
