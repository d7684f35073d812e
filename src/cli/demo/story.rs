//! The scripted history of an account: which images run in which cluster, from when on, in how many
//! tasks.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::standin::{Task, World};

pub(super) const REGION: &str = "eu-central-1";
const ACCOUNT_ID: &str = "274425519734";

/// How long an old task outlives the new ones that replace it.
const ROLLOVER: SignedDuration = SignedDuration::from_mins(2);

/// How long before the time of its event a task has started.
const TASK_AGE_AT_EVENT: SignedDuration = SignedDuration::from_secs(20);

/// From a time on, some images run in one cluster with these numbers of tasks. Other images are
/// unaffected.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) at: Timestamp,
    pub(super) cluster: &'static str,
    running: Vec<(String, usize)>,
}

/// Builds the events of one cluster, in order.
pub(super) struct Story {
    cluster: &'static str,
    events: Vec<Event>,
    /// The version of each service, as `SERVICE:TAG`, and its replicas.
    versions: BTreeMap<String, (String, usize)>,
}

impl Story {
    pub(super) fn new(cluster: &'static str) -> Self {
        Self { cluster, events: Vec::new(), versions: BTreeMap::new() }
    }

    pub(super) fn into_events(self) -> Vec<Event> {
        self.events
    }

    /// The running version of a service, `SERVICE:TAG`; empty if there is none.
    pub(super) fn version(&self, service: &str) -> String {
        self.versions.get(service).map(|(image, _)| image.clone()).unwrap_or_default()
    }

    /// Replaces the running version of each image's service at once, without an overlap. Each image is
    /// given with its number of tasks.
    pub(super) fn replace(&mut self, at: Timestamp, images: &[(&str, usize)]) {
        let mut running = Vec::new();
        for &(image, replicas) in images {
            let old = self.versions.insert(service(image).into(), (image.into(), replicas));
            running.extend(old.map(|(old, _)| (old, 0)));
            running.push((image.to_owned(), replicas));
        }
        self.push_event(at, running);
    }

    /// A blue-green deployment: all new tasks beside the last old one, and then without it.
    pub(super) fn deploy(&mut self, at: Timestamp, image: &str) {
        let Some((old, replicas)) = self.versions.remove(service(image)) else { return };
        self.push_event(at, vec![(image.to_owned(), replicas), (old.clone(), 1)]);
        self.push_event(at + ROLLOVER, vec![(old, 0)]);
        self.versions.insert(service(image).to_owned(), (image.to_owned(), replicas));
    }

    /// A deployment in three steps: one new task, all of them beside the last old one, only they.
    pub(super) fn rolling_deploy(&mut self, at: Timestamp, image: &str) {
        self.push_event(at, vec![(image.to_owned(), 1)]);
        self.deploy(at + ROLLOVER / 2, image);
        if let Some(last) = self.events.last_mut() {
            last.at = at + ROLLOVER;
        }
    }

    pub(super) fn scale(&mut self, at: Timestamp, service: &str, replicas: usize) {
        let Some((image, now)) = self.versions.get_mut(service) else { return };
        *now = replicas;
        let running = vec![(image.clone(), replicas)];
        self.push_event(at, running);
    }

    /// A task that no service started, until it is stopped.
    pub(super) fn start_standalone(&mut self, at: Timestamp, image: &str) {
        self.push_event(at, vec![(image.to_owned(), 1)]);
    }

    pub(super) fn stop_standalone(&mut self, at: Timestamp, image: &str) {
        self.push_event(at, vec![(image.to_owned(), 0)]);
    }

    fn push_event(&mut self, at: Timestamp, running: Vec<(String, usize)>) {
        self.events.push(Event { at, cluster: self.cluster, running });
    }
}

impl Event {
    /// The images of this event that run and that a pipeline has built: all but those that are started
    /// by hand.
    pub(super) fn built_images(&self) -> impl Iterator<Item = &str> {
        let running = self.running.iter().filter(|(_, replicas)| *replicas > 0);
        running.map(|(image, _)| &**image).filter(|image| !image.contains('/'))
    }

    /// Starts and stops tasks in `world`, until each image of the event has its number of tasks.
    /// Earlier stopped tasks are removed, as ECS does after an hour.
    pub(super) fn apply(&self, world: &mut World) {
        let cluster = world.cluster_mut(self.cluster);
        cluster.tasks.retain(|_, task| task.desired_status == "RUNNING");
        for (image, replicas) in &self.running {
            let task = task_running_image(image, self.at - TASK_AGE_AT_EVENT);
            let mut running: Vec<_> = cluster
                .tasks
                .values_mut()
                .filter(|other| other.containers == task.containers)
                .collect();
            running.sort_by_key(|task| task.started_at);
            let (now, wanted) = (running.len(), *replicas);
            for task in running.into_iter().take(now.saturating_sub(wanted)) {
                task.stop();
            }
            for _ in now..wanted {
                cluster.add(task.clone());
            }
        }
    }
}

/// A task that runs `image`. An image with a slash has a registry of its own and is run by hand; every
/// other one is `SERVICE:TAG` in the account's registry, and runs in that service.
fn task_running_image(image: &str, started: Timestamp) -> Task {
    let (mut task, reference) = if image.contains('/') {
        (Task::standalone("manual"), image.to_owned())
    } else {
        let reference = format!("{ACCOUNT_ID}.dkr.ecr.{REGION}.amazonaws.com/{image}");
        (Task::in_service(service(image)), reference)
    };
    let name = task.family.clone();
    task.started_by = Some(if task.service.is_some() {
        "ecs-svc/2706185472936410583".to_owned()
    } else {
        "by-hand".to_owned()
    });
    task.availability_zone = Some(format!("{REGION}a"));
    let digest = format!("sha256:{}", digest(image));
    task.running_since(started).container(&name, &reference, &digest)
}

/// The name of an image's service, and of its pipeline.
pub(super) fn service(image: &str) -> &str {
    image.split(':').next().unwrap_or(image)
}

/// An account without tasks.
pub(super) fn world() -> World {
    World::new(REGION, ACCOUNT_ID)
}

/// The image `SERVICE:COMMIT` of a service's version, with a made-up commit that depends on `number`.
pub(super) fn image(service: &str, number: u32) -> String {
    let commit = hex::encode(Sha256::digest(format!("{service} {number}")));
    format!("{service}:{}", &commit[..7])
}

/// The 64 hexadecimal digits of an image's digest: the real one of an image of the tutorial, else the
/// SHA-256 of its name.
pub(super) fn digest(image: &str) -> String {
    match image {
        "runner:16d9990" => {
            "9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625".into()
        }
        "runner:85d83c6" => {
            "eeb0cfc9ee7f69fbd9531d5b8c1e8d22a8de119e2a422344a714a868e9a8bfec".into()
        }
        "shas:7c45272" => "76c442c04283c4ca1af22d882750eb960cf53c0aa041bbdb2db9df2f2c1282be".into(),
        "differ:1a2b170" => {
            "d8440b94f7f9174c180324ceafd4148360d9d7c916be2b910f132c58b8a943ae".into()
        }
        _ => hex::encode(Sha256::digest(image)),
    }
}
