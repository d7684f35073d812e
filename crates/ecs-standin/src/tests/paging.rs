//! Pages, their order and their tokens.

use std::collections::BTreeSet;

use aws_sdk_ecs::Client;

use super::{Cluster, app, runner, start, task_arns, world};
use crate::{Operation, World};

#[tokio::test]
async fn every_task_is_listed_on_exactly_one_page_in_the_same_order_each_time() {
    let (ecs, client) = start(world().cluster(app(205))).await;
    let listed = task_arns(&client, "app", "RUNNING").await;
    assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), 205);
    assert_eq!(listed, task_arns(&client, "app", "RUNNING").await);
    assert_eq!(ecs.calls().count(Operation::ListTasks), 6);
}

#[tokio::test]
async fn the_page_size_can_be_capped_below_the_requested_one() {
    let (ecs, client) = start(world().page_size_cap(2).cluster(app(5))).await;
    assert_eq!(task_arns(&client, "app", "RUNNING").await.len(), 5);
    assert_eq!(ecs.calls().count(Operation::ListTasks), 3);
    let page = client.list_tasks().cluster("app").max_results(1);
    assert_eq!(page.send().await.unwrap().task_arns().len(), 1);
}

#[tokio::test]
async fn services_are_listed_ten_per_page_by_default() {
    let mut cluster = Cluster::new("app");
    for number in 0..25 {
        cluster = cluster.service(&format!("service-{number:02}"));
    }
    let (_ecs, client) = start(world().cluster(cluster)).await;
    let list = || client.list_services().cluster("app");
    let page = list().send().await.unwrap();
    assert_eq!(page.service_arns().len(), 10);
    assert_eq!(
        page.service_arns()[0],
        "arn:aws:ecs:eu-central-1:274425519734:service/app/service-00"
    );
    assert!(page.next_token().is_some());
    let page = list().max_results(100).send().await.unwrap();
    assert_eq!(page.service_arns().len(), 25);
    assert_eq!(page.next_token(), None);
}

#[tokio::test]
async fn tasks_added_or_removed_between_two_pages_neither_hide_nor_repeat_others() {
    let (ecs, client) = start(world().page_size_cap(4).cluster(app(10))).await;
    let before: BTreeSet<String> = task_arns(&client, "app", "RUNNING").await.into_iter().collect();
    ecs.on_call(Operation::ListTasks, 4, |world| {
        let cluster = world.cluster_mut("app");
        cluster.tasks.pop_first();
        cluster.tasks.pop_last();
        cluster.add(runner());
    });
    let during: Vec<String> = task_arns(&client, "app", "RUNNING").await;
    let last = before.last().unwrap();
    for arn in &before {
        let times = during.iter().filter(|listed| *listed == arn).count();
        assert_eq!(times, usize::from(arn != last), "{arn}");
    }
}

#[tokio::test]
async fn page_token_is_accepted_only_for_the_listing_that_returned_it() {
    let world =
        world().page_size_cap(1).cluster(app(3)).cluster(Cluster::new("other").tasks(3, &runner()));
    let (_ecs, client) = start(world).await;
    let list = |cluster: &str| client.list_tasks().cluster(cluster);
    let first = list("app").send().await.unwrap();
    let token = first.next_token().unwrap();
    assert!(list("app").next_token(token).send().await.is_ok());
    let by_arn = list("arn:aws:ecs:eu-central-1:274425519734:cluster/app");
    assert!(by_arn.next_token(token).send().await.is_ok());

    let changed = format!("{token}00");
    for refused in [
        list("other").next_token(token),
        list("app").service_name("runner").next_token(token),
        list("app").desired_status("STOPPED".into()).next_token(token),
        list("app").next_token(changed),
        list("app").next_token("1"),
        list("app").next_token(""),
        list("app").next_token("é".repeat(40)),
    ] {
        let error = refused.send().await.unwrap_err().into_service_error();
        assert!(error.is_invalid_parameter_exception(), "{error:?}");
    }
    let error = client.list_clusters().next_token(token).send().await;
    assert!(error.unwrap_err().into_service_error().is_invalid_parameter_exception());
}

#[tokio::test]
async fn an_account_of_250_clusters_is_listed_and_described_completely() {
    let account = (0..250).fold(world(), |world: World, number| {
        world.cluster(Cluster::new(&format!("cluster-{number:03}")).tasks(48, &runner()))
    });
    let (ecs, client) = start(account).await;
    let clusters: Vec<String> = client
        .list_clusters()
        .into_paginator()
        .items()
        .send()
        .collect::<Result<_, _>>()
        .await
        .unwrap();
    assert_eq!(clusters.len(), 250);
    assert_eq!(ecs.calls().count(Operation::ListClusters), 3);
    let described = client
        .describe_clusters()
        .set_clusters(Some(clusters[..100].to_vec()))
        .send()
        .await
        .unwrap();
    assert_eq!(described.clusters().len(), 100);
    assert_eq!(described.clusters()[0].running_tasks_count(), 48);
    assert_eq!(described.clusters()[0].active_services_count(), 1);
}

#[tokio::test]
async fn twelve_thousand_tasks_are_listed_and_described_once_each() {
    let (ecs, client) = start(world().cluster(app(12_000))).await;
    let arns = task_arns(&client, "app", "RUNNING").await;
    assert_eq!(arns.len(), 12_000);
    let mut described = BTreeSet::new();
    for hundred in arns.chunks(100) {
        described.extend(described_arns(&client, hundred).await);
    }
    assert_eq!(described.len(), 12_000);
    assert_eq!(ecs.calls().total(), 240);
}

async fn described_arns(client: &Client, arns: &[String]) -> Vec<String> {
    let described =
        client.describe_tasks().cluster("app").set_tasks(Some(arns.to_vec())).send().await.unwrap();
    let tasks = described.tasks().iter();
    tasks.map(|task| task.task_arn().unwrap().to_owned()).collect()
}
