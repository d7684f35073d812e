//! An account's clusters, their services and tasks, and their ARNs.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::task::Task;

/// The ECS resources of one region of one account, which a stand-in serves.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// Region in every ARN.
    pub region: String,
    /// Account in every ARN, twelve digits.
    pub account: String,
    /// Clusters by name; listings give them in this order.
    pub clusters: BTreeMap<String, Cluster>,
    /// The maximum page size of all listings, so that few tasks make many pages. At least 1; `None`
    /// for the limits of ECS.
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

    /// Adds a cluster, or replaces the one of the same name.
    #[must_use]
    pub fn cluster(mut self, cluster: Cluster) -> Self {
        self.clusters.insert(cluster.name.clone(), cluster);
        self
    }

    /// Sets the maximum page size.
    #[must_use]
    pub fn page_size_cap(mut self, size: usize) -> Self {
        self.page_size_cap = Some(size);
        self
    }

    /// The cluster of that name, which is created if necessary.
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

/// A cluster with its services and tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// The same as its key in the world.
    pub name: String,
    /// `ACTIVE`, or `INACTIVE` if deleted, which hides its services and tasks.
    pub status: String,
    /// Whether `ListClusters` returns it. ECS may list a deleted cluster for a while.
    pub listed: bool,
    /// In the order of listings.
    pub services: BTreeSet<String>,
    /// By id, 32 hexadecimal digits, in the order of listings.
    pub tasks: BTreeMap<String, Task>,
    /// The number of tasks that were ever added, which the next task's id is derived from.
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

    /// Not returned by `ListClusters`.
    #[must_use]
    pub fn unlisted(mut self) -> Self {
        self.listed = false;
        self
    }

    /// Adds a service without tasks.
    #[must_use]
    pub fn service(mut self, name: &str) -> Self {
        self.services.insert(name.to_owned());
        self
    }

    /// Adds a task; see [`Cluster::add`].
    #[must_use]
    pub fn task(mut self, task: Task) -> Self {
        self.add(task);
        self
    }

    /// Adds `count` tasks like `task`.
    #[must_use]
    pub fn tasks(mut self, count: usize, task: &Task) -> Self {
        for _ in 0..count {
            self.add(task.clone());
        }
        self
    }

    /// Adds a task, and its service if it is new. Returns the task's id.
    ///
    /// The id follows from the names of the cluster and the service and from how many tasks were
    /// added before, so that ids are the same in each run, and no id is used twice.
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

    pub fn tasks_of(&mut self, service: &str) -> impl Iterator<Item = &mut Task> {
        self.tasks.values_mut().filter(move |task| task.service.as_deref() == Some(service))
    }
}

fn task_id(cluster: &str, service: &str, number: u64) -> String {
    let digest = Sha256::digest(format!("{cluster}/{service}/{number}"));
    hex::encode(&digest[..16])
}
