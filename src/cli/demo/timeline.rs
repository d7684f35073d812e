//! A blue-green rollover of cyber-dojo's `runner` in `aws-prod`, as it happened in August 2022.

use jiff::{SignedDuration, Timestamp};

use crate::standin::{Cluster, Task, World};

pub(super) const ORG: &str = "cyber-dojo";
pub(super) const ENVIRONMENT: &str = "aws-prod";
pub(super) const CLUSTER: &str = "app";
pub(super) const REGION: &str = "eu-central-1";
const ACCOUNT: &str = "274425519734";

const RUNNER_BLUE: (&str, &str) =
    ("runner:85d83c6", "eeb0cfc9ee7f69fbd9531d5b8c1e8d22a8de119e2a422344a714a868e9a8bfec");
const RUNNER_GREEN: (&str, &str) =
    ("runner:16d9990", "9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625");
const SHAS: (&str, &str) =
    ("shas:7c45272", "76c442c04283c4ca1af22d882750eb960cf53c0aa041bbdb2db9df2f2c1282be");
const DIFFER: (&str, &str) =
    ("differ:1a2b170", "d8440b94f7f9174c180324ceafd4148360d9d7c916be2b910f132c58b8a943ae");

/// Three tasks of the new `runner` run, and the last one of the old is told to stop but still runs.
pub(super) fn rolling_over(now: Timestamp) -> World {
    let ago = |duration: SignedDuration| now.saturating_sub(duration).unwrap_or(now);
    let new = ago(SignedDuration::from_secs(37));
    let hour = ago(SignedDuration::from_hours(1));
    let days = ago(SignedDuration::from_hours(37));
    World::new(REGION, ACCOUNT).cluster(
        Cluster::named(CLUSTER)
            .tasks(3, &service("runner", RUNNER_GREEN, new))
            .task(service("runner", RUNNER_BLUE, days).draining())
            .task(service("shas", SHAS, hour))
            .task(service("differ", DIFFER, days)),
    )
}

/// The last task of the old `runner` has stopped; ECS goes on listing it.
pub(super) fn finish_rollover(world: &mut World) {
    for task in world.cluster_mut(CLUSTER).tasks_of("runner") {
        if task.desired_status == "STOPPED" {
            task.stop();
        }
    }
}

fn service(name: &str, (image, digest): (&str, &str), started: Timestamp) -> Task {
    let image = format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{image}");
    let digest = format!("sha256:{digest}");
    Task::of_service(name).running_since(started).container(name, &image, &digest)
}
