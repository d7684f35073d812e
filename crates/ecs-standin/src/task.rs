//! A task and its containers.

use jiff::Timestamp;
use serde_json::Value;

/// A task. Its id is its key in [`Cluster`](super::Cluster).
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its service; `None` for a standalone task.
    pub service: Option<String>,
    /// The `group`, if it is not the usual `service:NAME` or `family:FAMILY`.
    pub group: Option<String>,
    /// Family of its task definition.
    pub family: String,
    /// `RUNNING` or `STOPPED`. Selects the listing that it is in.
    pub desired_status: String,
    /// `PENDING`, `RUNNING`, `DEACTIVATING`, `STOPPED` and others.
    pub last_status: String,
    /// `FARGATE`, `EC2` or `EXTERNAL`; omitted from the response if `None`.
    pub launch_type: Option<String>,
    /// Omitted from the response if `None`.
    pub created_at: Option<Timestamp>,
    /// When its containers started; omitted from the response if `None`, as before the start.
    pub started_at: Option<Timestamp>,
    /// What started it, for a service the deployment's id; omitted from the response if `None`.
    pub started_by: Option<String>,
    /// Omitted from the response if `None`.
    pub availability_zone: Option<String>,
    /// In the order of the response.
    pub containers: Vec<Container>,
    /// Merged into the description of this task, to script responses that ECS should never return.
    ///
    /// An object's entries replace those of the same name, and a `null` entry removes it. Anything
    /// but an object replaces the whole description.
    pub raw: Option<Value>,
}

impl Task {
    /// A running task of a service, with the service's name as its family, and without containers.
    pub fn in_service(service: &str) -> Self {
        Self { service: Some(service.to_owned()), ..Self::standalone(service) }
    }

    /// A running task without a service and without containers.
    pub fn standalone(family: &str) -> Self {
        Self {
            service: None,
            group: None,
            family: family.to_owned(),
            desired_status: "RUNNING".to_owned(),
            last_status: "RUNNING".to_owned(),
            launch_type: Some("FARGATE".to_owned()),
            created_at: None,
            started_at: None,
            started_by: None,
            availability_zone: None,
            containers: Vec::new(),
            raw: None,
        }
    }

    /// Sets the time at which it was created and started.
    #[must_use]
    pub fn running_since(mut self, started_at: Timestamp) -> Self {
        self.created_at = Some(started_at);
        self.run(started_at);
        self
    }

    /// See [`Task::drain`].
    #[must_use]
    pub fn draining(mut self) -> Self {
        self.drain();
        self
    }

    /// Not started yet: no `startedAt`, its containers pending.
    #[must_use]
    pub fn pending(mut self) -> Self {
        self.started_at = None;
        self.set_status("RUNNING", "PENDING");
        self
    }

    /// See [`Task::stop`].
    #[must_use]
    pub fn stopped(mut self) -> Self {
        self.stop();
        self
    }

    /// Adds a container with an image and a digest, in the state of the task.
    #[must_use]
    pub fn container(self, name: &str, image: &str, digest: &str) -> Self {
        self.with(Container::new(name).image(image).digest(digest))
    }

    /// Adds a container, in the state of the task unless it has one of its own.
    #[must_use]
    pub fn with(mut self, mut container: Container) -> Self {
        let status = container_status(&self.last_status);
        container.last_status.get_or_insert(status.to_owned());
        self.containers.push(container);
        self
    }

    /// Sets [`Task::raw`](#structfield.raw).
    #[must_use]
    pub fn raw(mut self, raw: Value) -> Self {
        self.raw = Some(raw);
        self
    }

    /// Starts its containers.
    pub fn run(&mut self, started_at: Timestamp) {
        self.started_at = Some(started_at);
        self.set_status("RUNNING", "RUNNING");
    }

    /// Stops it while its containers still run: it is listed as `STOPPED` only.
    pub fn drain(&mut self) {
        self.set_status("STOPPED", "DEACTIVATING");
    }

    /// Stopped, and still listed as `STOPPED`, as ECS does for an hour or more.
    pub fn stop(&mut self) {
        self.set_status("STOPPED", "STOPPED");
        for container in &mut self.containers {
            container.exit_code.get_or_insert(0);
        }
    }

    fn set_status(&mut self, desired: &str, last: &str) {
        desired.clone_into(&mut self.desired_status);
        last.clone_into(&mut self.last_status);
        for container in &mut self.containers {
            container.last_status = Some(container_status(last).to_owned());
        }
    }
}

/// The status of the containers of a task with this last status.
fn container_status(task: &str) -> &'static str {
    match task {
        "PROVISIONING" | "PENDING" | "ACTIVATING" => "PENDING",
        "DEPROVISIONING" | "STOPPED" => "STOPPED",
        _ => "RUNNING",
    }
}

/// A container of a task. Fields that are `None` are omitted from the response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// Name in the task definition.
    pub name: Option<String>,
    /// Image in the task definition; `GuardDuty` sidecars have none.
    pub image: Option<String>,
    /// `sha256:…`; absent if the agent did not learn the digest.
    pub image_digest: Option<String>,
    /// `PENDING`, `RUNNING` or `STOPPED`.
    pub last_status: Option<String>,
    pub runtime_id: Option<String>,
    pub exit_code: Option<i32>,
}

impl Container {
    /// A container with nothing but a name.
    pub fn new(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }

    #[must_use]
    pub fn image(mut self, image: &str) -> Self {
        self.image = Some(image.to_owned());
        self
    }

    /// `sha256:…`
    #[must_use]
    pub fn digest(mut self, digest: &str) -> Self {
        self.image_digest = Some(digest.to_owned());
        self
    }

    /// A status other than the task's: `PENDING`, `RUNNING` or `STOPPED`.
    #[must_use]
    pub fn last_status(mut self, status: &str) -> Self {
        self.last_status = Some(status.to_owned());
        self
    }

    #[must_use]
    pub fn runtime_id(mut self, id: &str) -> Self {
        self.runtime_id = Some(id.to_owned());
        self
    }

    /// Stopped, with this exit code.
    #[must_use]
    pub fn exited(mut self, code: i32) -> Self {
        self.exit_code = Some(code);
        self.last_status("STOPPED")
    }
}
