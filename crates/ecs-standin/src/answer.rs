//! The operations: a request against the world, and the response of ECS.

use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::faults::Faults;
use super::operation::Operation;
use super::page::Listing;
use super::request::{
    DescribeClusters, DescribeServices, DescribeTasks, ListClusters, ListServices, ListTasks,
    Request,
};
use super::wire;
use super::world::{Cluster, World};

/// For requests without a cluster.
const DEFAULT_CLUSTER: &str = "default";

/// The response to a request, or the error that ECS would return.
///
/// `faults` decides which listings never end and which tasks are lost before they are described.
pub(super) fn answer(
    world: &World,
    faults: &mut Faults,
    request: &Request,
) -> Result<Value, ApiError> {
    match request {
        Request::ListClusters(request) => list_clusters(world, faults, request),
        Request::DescribeClusters(request) => describe_clusters(world, request),
        Request::ListTasks(request) => list_tasks(world, faults, request),
        Request::DescribeTasks(request) => describe_tasks(world, faults, request),
        Request::ListServices(request) => list_services(world, faults, request),
        Request::DescribeServices(request) => describe_services(world, request),
    }
}

/// The ARN of the resource that IAM checks a request against, or `*`.
pub(super) fn iam_resource(world: &World, request: &Request) -> String {
    let cluster = |given: &Option<String>| {
        let given = given.as_deref().unwrap_or(DEFAULT_CLUSTER);
        local_name(given, &world.arn("cluster/")).to_owned()
    };
    match request {
        Request::ListClusters(_) | Request::ListTasks(_) | Request::ListServices(_) => {
            "*".to_owned()
        }
        Request::DescribeClusters(request) => {
            let first = request.clusters.as_ref().and_then(|all| all.first());
            world.cluster_arn(&cluster(&first.cloned()))
        }
        Request::DescribeTasks(request) => {
            let prefix = world.task_arn(&cluster(&request.cluster), "");
            full_arn(request.tasks.first().map_or("*", String::as_str), &prefix)
        }
        Request::DescribeServices(request) => {
            let prefix = world.service_arn(&cluster(&request.cluster), "");
            full_arn(request.services.first().map_or("*", String::as_str), &prefix)
        }
    }
}

fn list_clusters(
    world: &World,
    faults: &Faults,
    request: &ListClusters,
) -> Result<Value, ApiError> {
    let listing = Listing {
        scope: Operation::ListClusters.name().to_owned(),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
        default_size: 100,
        cap: world.page_size_cap,
        endless: faults.has_endless_pages(Operation::ListClusters),
    };
    let listed = world.clusters.iter().filter(|(_, cluster)| cluster.listed);
    let (page, token) = listing.page(listed.map(|(name, _)| name.as_str()))?;
    let arns = page.into_iter().map(|name| world.cluster_arn(name));
    Ok(list_response("clusterArns", arns, token))
}

fn describe_clusters(world: &World, request: &DescribeClusters) -> Result<Value, ApiError> {
    let default = [DEFAULT_CLUSTER.to_owned()];
    let requested = match request.clusters.as_deref() {
        None | Some([]) => &default,
        Some(requested) => requested,
    };
    require_at_most(100, requested, "Clusters")?;
    let prefix = world.arn("cluster/");
    let mut clusters = Vec::new();
    let mut failures = Vec::new();
    for given in requested {
        match world.clusters.get_key_value(local_name(given, &prefix)) {
            Some((name, cluster)) => clusters.push(wire::cluster(world, name, cluster)),
            None => failures.push(wire::missing(&full_arn(given, &prefix))),
        }
    }
    Ok(json!({"clusters": clusters, "failures": failures}))
}

fn list_tasks(world: &World, faults: &Faults, request: &ListTasks) -> Result<Value, ApiError> {
    let (name, cluster) = active_cluster(world, request.cluster.as_deref())?;
    let desired = request.desired_status.as_deref().unwrap_or("RUNNING");
    if !["RUNNING", "PENDING", "STOPPED"].contains(&desired) {
        return Err(ApiError::invalid_parameter(
            "desiredStatus must be RUNNING, PENDING or STOPPED.",
        ));
    }
    let prefix = world.service_arn(name, "");
    let service = request.service_name.as_deref().map(|given| local_name(given, &prefix));
    if service.is_some_and(|service| !cluster.services.contains(service)) {
        return Err(ApiError::service_not_found());
    }
    let listing = Listing {
        scope: format!("ListTasks\n{name}\n{desired}\n{service:?}"),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
        default_size: 100,
        cap: world.page_size_cap,
        endless: faults.has_endless_pages(Operation::ListTasks),
    };
    // ECS lists no task as PENDING: it is never a desired status.
    let listed = cluster.tasks.iter().filter(|(_, task)| {
        desired != "PENDING"
            && task.desired_status == desired
            && (service.is_none() || task.service.as_deref() == service)
    });
    let (page, token) = listing.page(listed.map(|(id, _)| id.as_str()))?;
    let arns = page.into_iter().map(|id| world.task_arn(name, id));
    Ok(list_response("taskArns", arns, token))
}

fn describe_tasks(
    world: &World,
    faults: &mut Faults,
    request: &DescribeTasks,
) -> Result<Value, ApiError> {
    let (name, cluster) = active_cluster(world, request.cluster.as_deref())?;
    require_not_empty(&request.tasks, "Tasks")?;
    require_at_most(100, &request.tasks, "Tasks")?;
    let prefix = world.task_arn(name, "");
    let mut tasks = Vec::new();
    let mut failures = Vec::new();
    for given in &request.tasks {
        match cluster.tasks.get_key_value(local_name(given, &prefix)) {
            Some((id, task)) if !faults.loses_task(id) => {
                tasks.push(wire::task(world, name, id, task));
            }
            _ => failures.push(wire::missing(&full_arn(given, &prefix))),
        }
    }
    Ok(json!({"tasks": tasks, "failures": failures}))
}

fn list_services(
    world: &World,
    faults: &Faults,
    request: &ListServices,
) -> Result<Value, ApiError> {
    let (name, cluster) = active_cluster(world, request.cluster.as_deref())?;
    let listing = Listing {
        scope: format!("ListServices\n{name}"),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
        default_size: 10,
        cap: world.page_size_cap,
        endless: faults.has_endless_pages(Operation::ListServices),
    };
    let (page, token) = listing.page(cluster.services.iter().map(String::as_str))?;
    let arns = page.into_iter().map(|service| world.service_arn(name, service));
    Ok(list_response("serviceArns", arns, token))
}

fn describe_services(world: &World, request: &DescribeServices) -> Result<Value, ApiError> {
    let (name, cluster) = active_cluster(world, request.cluster.as_deref())?;
    require_not_empty(&request.services, "Services")?;
    require_at_most(10, &request.services, "Services")?;
    let prefix = world.service_arn(name, "");
    let mut services = Vec::new();
    let mut failures = Vec::new();
    for given in &request.services {
        match cluster.services.get(local_name(given, &prefix)) {
            Some(service) => services.push(wire::service(world, name, cluster, service)),
            None => failures.push(wire::missing(&full_arn(given, &prefix))),
        }
    }
    Ok(json!({"services": services, "failures": failures}))
}

/// The cluster in a request, which has to exist and be active.
fn active_cluster<'w>(
    world: &'w World,
    given: Option<&str>,
) -> Result<(&'w str, &'w Cluster), ApiError> {
    let name = local_name(given.unwrap_or(DEFAULT_CLUSTER), &world.arn("cluster/")).to_owned();
    world
        .clusters
        .get_key_value(&name)
        .filter(|(_, cluster)| cluster.status != "INACTIVE")
        .map(|(name, cluster)| (name.as_str(), cluster))
        .ok_or_else(ApiError::cluster_not_found)
}

/// The part after `prefix` in an ARN. A bare name, or an ARN of another account or region, is
/// returned unchanged: no resource has the latter as its name.
fn local_name<'g>(given: &'g str, prefix: &str) -> &'g str {
    given.strip_prefix(prefix).unwrap_or(given)
}

fn full_arn(given: &str, prefix: &str) -> String {
    if given.starts_with("arn:") { given.to_owned() } else { format!("{prefix}{given}") }
}

fn require_not_empty(requested: &[String], what: &str) -> Result<(), ApiError> {
    if requested.is_empty() {
        return Err(ApiError::invalid_parameter(format!("{what} cannot be empty.")));
    }
    Ok(())
}

fn require_at_most(limit: usize, requested: &[String], what: &str) -> Result<(), ApiError> {
    if requested.len() > limit {
        return Err(ApiError::invalid_parameter(format!(
            "{what} cannot have more than {limit} elements."
        )));
    }
    Ok(())
}

fn list_response(
    name: &str,
    arns: impl Iterator<Item = String>,
    next_token: Option<String>,
) -> Value {
    let mut answer = Map::new();
    answer.insert(name.to_owned(), arns.collect());
    if let Some(token) = next_token {
        answer.insert("nextToken".to_owned(), token.into());
    }
    Value::Object(answer)
}
