//! The account as the stand-in shows it.

use envsnap::standin::{self, World};
use jiff::Timestamp;

use super::account::{Account, Task};
use super::timeline::Millis;

/// The account at this moment, as the world of the ECS stand-in.
pub(super) fn world(account: &Account, page_size: usize, now: Millis) -> World {
    let mut world = World::new("eu-central-1", "274425519734").page_size_cap(page_size);
    for (name, cluster) in account.clusters.iter().filter(|(_, c)| c.is_listed(now)) {
        let status = if cluster.is_active(now) { "ACTIVE" } else { "INACTIVE" };
        let shown = world.cluster_mut(name);
        status.clone_into(&mut shown.status);
        shown.services.clone_from(&cluster.services);
    }
    for (arn, of_it) in account.tasks.iter().filter(|(_, task)| task.exists(now)) {
        let id = arn.rsplit('/').next().unwrap();
        world.cluster_mut(&of_it.cluster).tasks.insert(id.to_owned(), task(arn, of_it, now));
    }
    world
}

fn task(arn: &str, task: &Task, now: Millis) -> standin::Task {
    let described = task.described(arn, now);
    let time = |seconds: i64| Timestamp::from_second(seconds).unwrap();
    let mut shown = standin::Task::standalone("job");
    shown.service = task.service().map(ToOwned::to_owned);
    shown.group = described.group;
    shown.desired_status = format!("{:?}", task.desired_status(now)).to_uppercase();
    shown.last_status = described.last_status.unwrap();
    shown.created_at = described.created_at.map(time);
    shown.started_at = described.started_at.map(time);
    for container in described.containers {
        shown.containers.push(standin::Container {
            name: container.name,
            image: container.image,
            image_digest: container.image_digest,
            last_status: container.last_status,
            ..standin::Container::default()
        });
    }
    shown
}
