//! Faults, as a client meets them.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::operation::RequestId;
use tokio::time::Instant;

use super::{Cluster, app, runner, start, task_arns, world};
use crate::{Fault, Operation, Quota, Quotas};

/// The code of the error that a listing of the cluster `app` ends with, or `ok`.
async fn listing_code(client: &Client) -> String {
    match client.list_tasks().cluster("app").send().await {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.code().unwrap_or("no code").to_owned(),
    }
}

#[tokio::test]
async fn scripted_faults_happen_in_order_and_later_calls_succeed() {
    let (ecs, client) = start(world().cluster(app(1))).await;
    ecs.faults(|faults| {
        faults.script(
            Operation::ListTasks,
            [
                Fault::throttling(),
                Fault::Pass,
                Fault::server_error(),
                Fault::error("LimitExceededException", "Enough."),
            ],
        );
    });
    assert!(client.list_clusters().send().await.is_ok());
    for code in ["ThrottlingException", "ok", "ServerException", "LimitExceededException", "ok"] {
        assert_eq!(listing_code(&client).await, code);
    }
    let calls = ecs.calls();
    let statuses = calls.by_operation(Operation::ListTasks).map(|call| call.status);
    assert_eq!(statuses.collect::<Vec<_>>(), [400, 200, 500, 400, 200].map(Some));
}

#[tokio::test]
async fn access_denied_fault_has_the_message_of_aws_with_action_and_resource() {
    let world = world().cluster(app(1)).cluster(Cluster::new("secret").task(runner()));
    let (ecs, client) = start(world).await;
    ecs.faults(|faults| {
        faults.always_in("secret", Operation::DescribeTasks, Fault::AccessDenied);
    });
    let describe = |cluster: &str| client.describe_tasks().cluster(cluster).tasks("t1");
    assert!(describe("app").send().await.is_ok());
    for cluster in ["secret", "arn:aws:ecs:eu-central-1:274425519734:cluster/secret"] {
        let error = describe(cluster).send().await.unwrap_err();
        assert!(error.request_id().is_some());
        let error = error.into_service_error();
        assert!(error.is_access_denied_exception(), "{error:?}");
        assert_eq!(
            error.message().unwrap(),
            "User: arn:aws:sts::274425519734:assumed-role/envsnap/envsnap is not authorized to \
             perform: ecs:DescribeTasks on resource: \
             arn:aws:ecs:eu-central-1:274425519734:task/secret/t1 because no identity-based \
             policy allows the ecs:DescribeTasks action"
        );
    }
}

#[tokio::test]
async fn faults_at_a_rate_hit_the_same_calls_in_each_run_with_the_same_seed() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (ecs, client) = start(world().cluster(app(1))).await;
        ecs.faults(|faults| {
            faults.seed(11).at_rate(Operation::ListTasks, 0.5, Fault::throttling());
        });
        let mut codes = Vec::new();
        for _ in 0..20 {
            codes.push(listing_code(&client).await);
        }
        runs.push(codes);
    }
    assert_eq!(runs[0], runs[1]);
    assert_eq!(runs[0].iter().collect::<BTreeSet<_>>().len(), 2);
}

#[tokio::test]
async fn calls_beyond_the_burst_of_a_quota_are_throttled_until_faults_are_cleared() {
    let (ecs, client) = start(world().cluster(app(1))).await;
    ecs.faults(|faults| {
        faults.throttle(Quotas::default().with_bucket(Quota::ClusterResourceReads, 3, 0));
    });
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(listing_code(&client).await);
    }
    assert_eq!(codes, ["ok", "ok", "ok", "ThrottlingException"]);
    assert!(client.list_clusters().send().await.is_ok());
    ecs.faults(|faults| {
        faults.clear();
    });
    assert_eq!(listing_code(&client).await, "ok");
}

#[tokio::test]
async fn lost_tasks_are_listed_but_described_as_missing() {
    let (ecs, client) = start(world().cluster(app(3))).await;
    let arns = task_arns(&client, "app", "RUNNING").await;
    let id = |arn: &str| arn.rsplit('/').next().unwrap().to_owned();
    ecs.faults(|faults| {
        faults.lose_task(&id(&arns[0])).lose_task_times(&id(&arns[1]), 1);
    });
    for missing in [2, 1, 1] {
        assert_eq!(task_arns(&client, "app", "RUNNING").await.len(), 3);
        assert_eq!(count_missing(&client, &arns).await, missing);
    }
    ecs.faults(|faults| {
        faults.clear().lose_tasks_at_rate(1.0);
    });
    assert_eq!(count_missing(&client, &arns).await, 3);
}

async fn count_missing(client: &Client, arns: &[String]) -> usize {
    let describe = client.describe_tasks().cluster("app");
    let described = describe.set_tasks(Some(arns.to_vec())).send().await;
    described.unwrap().failures().len()
}

#[tokio::test]
async fn an_endless_listing_gives_a_new_token_with_every_page() {
    let (ecs, client) = start(world().page_size_cap(2).cluster(app(3))).await;
    ecs.faults(|faults| {
        faults.endless_pages(Operation::ListTasks);
    });
    let mut tokens = BTreeSet::new();
    let mut tasks = Vec::new();
    let mut token = None;
    for _ in 0..10 {
        let list = client.list_tasks().cluster("app").set_next_token(token);
        let page = list.send().await.unwrap();
        tasks.extend(page.task_arns().to_vec());
        token = page.next_token().map(str::to_owned);
        tokens.insert(token.clone().unwrap());
    }
    assert_eq!((tokens.len(), tasks.len()), (10, 3));
}

#[tokio::test]
async fn calls_take_at_least_the_latency_of_the_operation_plus_that_of_a_slow_fault() {
    let (ecs, client) = start(world().cluster(app(1))).await;
    ecs.faults(|faults| {
        faults
            .latency(Operation::ListTasks, Duration::from_millis(60))
            .once(Operation::ListTasks, Fault::Slow(Duration::from_millis(60)));
    });
    for milliseconds in [120, 60] {
        let begun = Instant::now();
        assert_eq!(listing_code(&client).await, "ok");
        assert!(begun.elapsed() >= Duration::from_millis(milliseconds));
    }
}

#[tokio::test]
async fn a_reset_connection_is_a_dispatch_failure_and_the_next_call_works() {
    let (ecs, client) = start(world().cluster(app(1))).await;
    assert_eq!(listing_code(&client).await, "ok");
    ecs.faults(|faults| {
        faults.once(Operation::ListTasks, Fault::Reset);
    });
    let error = client.list_tasks().cluster("app").send().await.unwrap_err();
    assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?}");
    assert_eq!(listing_code(&client).await, "ok");
    assert_eq!(ecs.calls().log()[1].status, None);
}

#[tokio::test]
async fn a_call_without_response_ends_when_the_stand_in_stops() {
    let (ecs, client) = start(world().cluster(app(1))).await;
    ecs.faults(|faults| {
        faults.always(Operation::ListTasks, Fault::NoResponse);
    });
    let call = client.list_tasks().cluster("app").send();
    let waiting = tokio::time::timeout(Duration::from_millis(100), call);
    assert!(waiting.await.is_err());
    assert_eq!(ecs.calls().log()[0].ended, None);

    let call = tokio::spawn(client.list_tasks().cluster("app").send());
    while ecs.calls().total() < 2 {
        tokio::task::yield_now().await;
    }
    drop(ecs);
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?}");
}

#[tokio::test]
async fn truncated_html_or_invalid_json_body_is_an_sdk_error_and_an_empty_one_an_empty_list() {
    let (ecs, client) = start(world().cluster(app(3))).await;
    let list = || client.list_tasks().cluster("app").send();
    for fault in [Fault::HalfAnswer, Fault::html(), Fault::json("[{]")] {
        ecs.faults(|faults| {
            faults.once(Operation::ListTasks, fault.clone());
        });
        let error = list().await.unwrap_err();
        assert!(
            matches!(error, SdkError::ResponseError(_) | SdkError::ServiceError(_)),
            "{fault:?}: {error:?}"
        );
    }
    // The SDK takes an empty body for an empty answer.
    ecs.faults(|faults| {
        faults.once(Operation::ListTasks, Fault::empty());
    });
    assert_eq!(list().await.unwrap().task_arns().len(), 0);
    assert_eq!(list().await.unwrap().task_arns().len(), 3);
}

#[tokio::test]
async fn scripted_status_that_is_invalid_in_http_is_sent_as_500() {
    let (ecs, client) = start(world().cluster(app(1))).await;
    ecs.faults(|faults| {
        let body = Vec::new();
        faults.once(
            Operation::ListTasks,
            Fault::Body { status: 7, content_type: "text\nplain".to_owned(), body },
        );
    });
    let error = client.list_tasks().cluster("app").send().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 500);
}
