//! The stand-in, asked by the real SDK over HTTP.

mod faults;
mod hostile;
mod limits;
mod paging;
mod world;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::config::retry::RetryConfig;
use aws_sdk_ecs::config::{BehaviorVersion, Credentials, Region};
use jiff::Timestamp;

use super::{Cluster, StandIn, Task, World};

/// A client that neither retries nor reads the machine's configuration.
fn client(ecs: &StandIn) -> Client {
    let config = aws_sdk_ecs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(ecs.endpoint())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

fn world() -> World {
    World::new("eu-central-1", "274425519734")
}

/// A running task of the service `runner`, with one container.
fn runner() -> Task {
    let started = Timestamp::from_millisecond(1_700_000_000_250).unwrap();
    Task::of_service("runner").running_since(started).container(
        "runner",
        "registry.example/runner:16d9990",
        "sha256:9af4",
    )
}

/// A cluster `app` with `count` running tasks.
fn app(count: usize) -> Cluster {
    Cluster::named("app").tasks(count, &runner())
}

async fn start(world: World) -> (StandIn, Client) {
    let ecs = StandIn::start(world).await.unwrap();
    let client = client(&ecs);
    (ecs, client)
}

/// Every page of a listing of tasks.
async fn task_arns(client: &Client, cluster: &str, desired_status: &str) -> Vec<String> {
    client
        .list_tasks()
        .cluster(cluster)
        .desired_status(desired_status.into())
        .into_paginator()
        .items()
        .send()
        .collect::<Result<_, _>>()
        .await
        .unwrap()
}
