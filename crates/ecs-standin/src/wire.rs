//! Descriptions in the format of ECS. Unknown fields are omitted, never `null`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::task::{Container, Task};
use super::world::{Cluster, World};

/// A cluster, as `DescribeClusters` returns it. The counts of an inactive one are 0.
pub(super) fn cluster(world: &World, name: &str, cluster: &Cluster) -> Value {
    let hidden = cluster.status == "INACTIVE";
    let count = |last_status: &str| {
        let tasks = cluster.tasks.values();
        tasks.filter(|task| !hidden && task.last_status == last_status).count()
    };
    json!({
        "clusterArn": world.cluster_arn(name),
        "clusterName": name,
        "status": cluster.status,
        "registeredContainerInstancesCount": 0,
        "runningTasksCount": count("RUNNING"),
        "pendingTasksCount": count("PENDING"),
        "activeServicesCount": if hidden { 0 } else { cluster.services.len() },
    })
}

/// A service, as `DescribeServices` returns it. Its desired count is the number of tasks that are
/// not stopping.
pub(super) fn service(world: &World, cluster_name: &str, cluster: &Cluster, name: &str) -> Value {
    let count = |wanted: fn(&Task) -> bool| {
        let tasks = cluster.tasks.values();
        tasks.filter(|task| task.service.as_deref() == Some(name) && wanted(task)).count()
    };
    json!({
        "serviceArn": world.service_arn(cluster_name, name),
        "serviceName": name,
        "clusterArn": world.cluster_arn(cluster_name),
        "status": "ACTIVE",
        "desiredCount": count(|task| task.desired_status == "RUNNING"),
        "runningCount": count(|task| task.last_status == "RUNNING"),
        "pendingCount": count(|task| task.last_status == "PENDING"),
    })
}

/// A task, as `DescribeTasks` returns it, with its `raw` merged in.
pub(super) fn task(world: &World, cluster: &str, id: &str, task: &Task) -> Value {
    let group = task.group.clone().unwrap_or_else(|| match &task.service {
        Some(service) => format!("service:{service}"),
        None => format!("family:{}", task.family),
    });
    let definition = world.arn(&format!("task-definition/{}:1", task.family));
    let containers: Vec<Value> = task.containers.iter().map(container).collect();
    let described = object_without_none([
        ("taskArn", Some(world.task_arn(cluster, id).into())),
        ("clusterArn", Some(world.cluster_arn(cluster).into())),
        ("taskDefinitionArn", Some(definition.into())),
        ("group", Some(group.into())),
        ("desiredStatus", Some(task.desired_status.as_str().into())),
        ("lastStatus", Some(task.last_status.as_str().into())),
        ("launchType", optional_string(task.launch_type.as_deref())),
        ("createdAt", task.created_at.map(epoch_seconds)),
        ("startedAt", task.started_at.map(epoch_seconds)),
        ("startedBy", optional_string(task.started_by.as_deref())),
        ("availabilityZone", optional_string(task.availability_zone.as_deref())),
        ("containers", Some(containers.into())),
    ]);
    merge_raw(described, task.raw.as_ref())
}

/// The entry in `failures` for a requested resource that does not exist.
pub(super) fn missing(arn: &str) -> Value {
    json!({"arn": arn, "reason": "MISSING"})
}

fn container(container: &Container) -> Value {
    Value::Object(object_without_none([
        ("name", optional_string(container.name.as_deref())),
        ("image", optional_string(container.image.as_deref())),
        ("imageDigest", optional_string(container.image_digest.as_deref())),
        ("lastStatus", optional_string(container.last_status.as_deref())),
        ("runtimeId", optional_string(container.runtime_id.as_deref())),
        ("exitCode", container.exit_code.map(Value::from)),
    ]))
}

/// Entries of `raw` replace those of the same name, and `null` removes them. Anything but an object
/// replaces the whole description.
fn merge_raw(mut described: Map<String, Value>, raw: Option<&Value>) -> Value {
    match raw {
        None => {}
        Some(Value::Object(raw)) => {
            described.extend(raw.clone());
            described.retain(|key, value| !(value.is_null() && raw.contains_key(key)));
        }
        Some(raw) => return raw.clone(),
    }
    Value::Object(described)
}

fn object_without_none<const N: usize>(entries: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let known = entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    known.collect()
}

fn optional_string(text: Option<&str>) -> Option<Value> {
    text.map(Value::from)
}

/// Seconds since the Unix epoch with fractions, the timestamp of AWS JSON 1.1.
fn epoch_seconds(time: Timestamp) -> Value {
    time.as_duration().as_secs_f64().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_and_fields_that_raw_sets_to_null_are_omitted() {
        let world = World::new("eu-central-1", "274425519734");
        let described = Task::standalone("migration").raw(json!({"group": null, "tags": [null]}));
        assert_eq!(
            task(&world, "app", "t1", &described),
            json!({
                "taskArn": "arn:aws:ecs:eu-central-1:274425519734:task/app/t1",
                "clusterArn": "arn:aws:ecs:eu-central-1:274425519734:cluster/app",
                "taskDefinitionArn":
                    "arn:aws:ecs:eu-central-1:274425519734:task-definition/migration:1",
                "desiredStatus": "RUNNING",
                "lastStatus": "RUNNING",
                "launchType": "FARGATE",
                "containers": [],
                "tags": [null],
            })
        );
    }
}
