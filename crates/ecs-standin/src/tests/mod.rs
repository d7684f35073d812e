//! Tests of the stand-in with the real SDK over HTTP.

mod faults;
mod hostile;
mod limits;
mod paging;
mod world;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::config::retry::RetryConfig;
use aws_sdk_ecs::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use jiff::Timestamp;

use super::{Cluster, StandIn, Task, World};

/// Sends the SDK's requests with `reqwest`: the SDK's own client would compile all of its
/// dependencies anew, with other features.
#[derive(Debug, Clone)]
struct ReqwestConnector(reqwest::Client);

impl HttpConnector for ReqwestConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let http = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().unwrap();
            let request = request.map(|body| body.bytes().unwrap().to_vec());
            let answer = http.execute(request.try_into().unwrap()).await;
            let answer = answer.map_err(|error| ConnectorError::io(error.into()))?;
            let answer = http::Response::from(answer).map(SdkBody::from_body_1_x);
            Ok(answer.try_into().unwrap())
        })
    }
}

impl HttpClient for ReqwestConnector {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// A client that neither retries nor reads the machine's configuration.
fn client(ecs: &StandIn) -> Client {
    let config = aws_sdk_ecs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(ecs.endpoint())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .http_client(ReqwestConnector(reqwest::Client::builder().no_proxy().build().unwrap()))
        .build();
    Client::from_conf(config)
}

/// A region without clusters.
fn world() -> World {
    World::new("eu-central-1", "274425519734")
}

/// A running task of the service `runner`, with one container.
fn runner() -> Task {
    let started = Timestamp::from_millisecond(1_700_000_000_250).unwrap();
    Task::in_service("runner").running_since(started).container(
        "runner",
        "registry.example/runner:16d9990",
        "sha256:9af4",
    )
}

/// A cluster `app` with `count` running tasks.
fn app(count: usize) -> Cluster {
    Cluster::new("app").tasks(count, &runner())
}

/// Starts a stand-in. Returns it with an SDK client of it.
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
