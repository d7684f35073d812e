//! What the AWS client makes of every answer that ECS, or something in its place, may give.

use aws_credential_types::credential_fn::provide_credentials_fn;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_credential_types::provider::error::CredentialsError;
use envsnap::ecs::{AwsEcs, CallError, DesiredStatus, EcsApi as _, Source, connect};
use serde_json::json;

use crate::harness::aws;
use crate::scripted::Scripted;

const SIGN_IN_PAGE: &str = "<html><body><h1>Sign in</h1></body></html>";

async fn ecs(server: &Scripted) -> AwsEcs {
    connect(&aws(&server.url), &Source::default()).await
}

/// The class of an error, by which it is handled.
fn error_class(error: &CallError) -> &'static str {
    match error {
        CallError::ClusterNotFound => "cluster not found",
        CallError::AccessDenied(_) => "access denied",
        CallError::BadCredentials(_) => "bad credentials",
        CallError::RoleNotAssumed { .. } => "role not assumed",
        CallError::Throttled(_) => "throttled",
        CallError::Disconnected(_) => "disconnected",
        CallError::Unavailable(_) => "unavailable",
        CallError::ClockSkew(_) => "clock skew",
        CallError::OutOfTime => "out of time",
        CallError::Rejected(_) => "refused",
        CallError::Incomplete(_) => "incomplete",
        CallError::Malformed(_) => "malformed",
    }
}

#[tokio::test]
async fn each_ecs_response_is_classified_and_not_retried_by_the_sdk() {
    let error = |code: &str| json!({"__type": code, "message": "so it is"}).to_string();
    let expired = |code: &str| {
        let message = "Signature expired: 20261127T225500Z is now earlier than 20261127T225600Z \
                       (20261127T230100Z - 5 min.)";
        json!({"__type": code, "message": message}).to_string()
    };
    let cases = [
        (400, error("ThrottlingException"), "throttled"),
        (400, error("com.amazonaws.ecs#ThrottlingException"), "throttled"),
        (400, error("ThrottlingException:http://internal.amazon.com/"), "throttled"),
        (503, error("SlowDown"), "throttled"),
        (429, error("TooManyRequestsException"), "throttled"),
        (429, String::new(), "throttled"),
        (429, SIGN_IN_PAGE.to_owned(), "throttled"),
        (400, error("AccessDeniedException"), "access denied"),
        (400, error("ClusterNotFoundException"), "cluster not found"),
        (400, error("InvalidParameterException"), "refused"),
        (400, error("ClientException"), "refused"),
        (400, error("UnknownOfToday"), "refused"),
        (400, error("ExpiredTokenException"), "bad credentials"),
        (403, error("InvalidSignatureException"), "bad credentials"),
        (403, expired("InvalidSignatureException"), "clock skew"),
        (403, expired("SignatureDoesNotMatch"), "clock skew"),
        (400, error("RequestExpired"), "clock skew"),
        (400, error("UnrecognizedClientException"), "bad credentials"),
        (500, error("ServerException"), "unavailable"),
        (500, error("InternalFailure"), "unavailable"),
        (503, error("ServiceUnavailable"), "unavailable"),
        (500, String::new(), "unavailable"),
        (502, SIGN_IN_PAGE.to_owned(), "unavailable"),
        (503, "slow down".to_owned(), "unavailable"),
        (400, String::new(), "malformed"),
        (404, SIGN_IN_PAGE.to_owned(), "malformed"),
        (400, json!({"message": "no type"}).to_string(), "malformed"),
        (301, String::new(), "malformed"),
        (200, String::new(), "incomplete"),
        (200, "{}".to_owned(), "incomplete"),
        (200, "{\"taskArns\": null}".to_owned(), "incomplete"),
        (200, "null".to_owned(), "malformed"),
        (200, "[]".to_owned(), "malformed"),
        (200, SIGN_IN_PAGE.to_owned(), "malformed"),
        (200, "{\"taskArns\": [\"arn:aws:e".to_owned(), "malformed"),
        (200, "{\"taskArns\": {}}".to_owned(), "malformed"),
        (200, "{\"taskArns\": [7]}".to_owned(), "malformed"),
        (200, "{\"taskArns\": [null]}".to_owned(), "malformed"),
        (200, "{\"taskArns\": [[]]}".to_owned(), "malformed"),
        (200, "{\"taskArns\": [], \"nextToken\": {}}".to_owned(), "malformed"),
        (200, "[".repeat(1 << 20), "malformed"),
        (200, format!("{{\"unknown\": {}", "[".repeat(1 << 20)), "malformed"),
        (200, format!("{{\"unknown\": {}", "{\"a\":".repeat(1 << 20)), "malformed"),
        (400, format!("{{\"unknown\": {}", "[".repeat(1 << 20)), "malformed"),
    ];
    for (status, body, expected) in cases {
        let server = Scripted::start().await;
        server.then(status, body.clone());
        let shown: String = body.chars().take(80).collect();
        let answer = ecs(&server).await.list_tasks("app", DesiredStatus::Running, None).await;
        let error = answer.unwrap_err();
        assert_eq!(error_class(&error), expected, "{status} {shown}: {error}");
        assert!(error.to_string().len() < 300, "{status} {shown}: {error}");
        assert_eq!(server.received().len(), 1, "{status} {shown}: the SDK does not ask again");
    }
}

#[tokio::test]
async fn cluster_is_gone_only_if_ecs_describes_it_as_missing() {
    let arn = |name: &str| format!("arn:aws:ecs:eu-central-1:274425519734:cluster/{name}");
    let app = json!({"clusterArn": arn("app"), "status": "ACTIVE", "runningTasksCount": 2});
    let failure = |reason: &str| json!({"arn": arn("db"), "reason": reason});
    let cases = [
        (json!([app, {"clusterArn": arn("db"), "status": "INACTIVE"}]), json!([]), Ok(2)),
        (json!([app]), json!([failure("MISSING")]), Ok(1)),
        (json!([app]), json!([failure("INTERNAL_FAILURE")]), Err("INTERNAL_FAILURE")),
        (json!([app]), json!([]), Err("it is left out")),
        (json!([app]), json!(null), Err("it is left out")),
        (json!([]), json!([failure("MISSING")]), Err("describes cluster app neither")),
    ];
    for (clusters, failures, expected) in cases {
        let server = Scripted::start().await;
        server.then_json(200, &json!({"clusters": clusters, "failures": failures}));
        let requested = ["app".to_owned(), arn("db")];
        let described = ecs(&server).await.describe_clusters(&requested).await;
        match (described, expected) {
            (Ok(described), Ok(count)) => assert_eq!(described.len(), count, "{described:?}"),
            (Err(error), Err(reason)) => {
                assert_eq!(error_class(&error), "incomplete", "{error}");
                assert!(error.to_string().contains(reason), "{error}");
            }
            (described, expected) => panic!("{described:?}, not {expected:?}"),
        }
    }
}

#[tokio::test]
async fn ecs_response_larger_than_the_limit_is_malformed() {
    let server = Scripted::start().await;
    server.then(200, vec![b' '; 17 << 20]);
    let answer = ecs(&server).await.list_tasks("app", DesiredStatus::Running, None).await;
    let error = answer.unwrap_err();
    assert_eq!(error_class(&error), "malformed", "{error}");
    assert!(error.to_string().contains("larger than any of ECS"), "{error}");
}

#[tokio::test]
async fn credentials_that_cannot_be_loaded_are_bad_credentials_and_no_request_is_sent() {
    let server = Scripted::start().await;
    let mut without = aws(&server.url).into_builder();
    let none = || CredentialsError::not_loaded("the container's endpoint does not answer");
    let provider = provide_credentials_fn(move || std::future::ready(Err(none())));
    without.set_credentials_provider(Some(SharedCredentialsProvider::new(provider)));
    let ecs = connect(&without.build(), &Source::default()).await;
    let error = ecs.list_tasks("app", DesiredStatus::Running, None).await.unwrap_err();
    assert_eq!(error_class(&error), "bad credentials", "{error}");
    assert!(error.to_string().contains("the container's endpoint does not answer"), "{error}");
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn failed_connection_or_tls_handshake_is_classified_as_disconnected() {
    let unreachable = connect(&aws("http://127.0.0.1:9"), &Source::default()).await;
    let without_tls = Scripted::start().await;
    let tls = aws(&without_tls.url.replace("http:", "https:"));
    let tls = connect(&tls, &Source::default()).await;
    for (ecs, expected) in [(unreachable, "refused"), (tls, "received corrupt message")] {
        let error = ecs.list_tasks("app", DesiredStatus::Running, None).await.unwrap_err();
        assert_eq!(error_class(&error), "disconnected", "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}
