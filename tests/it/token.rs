//! The API token from SSM, fetched again when the server refuses it.

use std::convert::Infallible;

use axum::body::Body;
use envsnap::api::{ApiError, Client, EnvironmentApi as _, LatestSnapshot, ServerApi as _};
use envsnap::token::TokenSource;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::harness::{aws, config};
use crate::scripted::Scripted;

/// The variable that names the SSM parameter of the token, and its value.
const TOKEN_PARAMETER: (&str, &str) = ("KOSLI_API_TOKEN_SSM_PARAMETER_ARN", "/kosli/token");

fn client(host: &str, ssm: &Scripted) -> Client {
    let config = config(host, &[("KOSLI_API_TOKEN", ""), TOKEN_PARAMETER]);
    let tokens = TokenSource::new(&config.token, &aws(&ssm.url));
    Client::new(config.host, config.org, tokens).unwrap()
}

fn parameter_response(value: &str) -> Value {
    json!({"Parameter": {"Name": "/kosli/token", "Type": "SecureString", "Value": value}})
}

fn script_no_snapshot(server: &Scripted) {
    server.then_json(404, &json!({"message": "len(snapshots) == 0"}));
}

#[tokio::test]
async fn the_token_is_fetched_once_and_decrypted() {
    let (server, ssm) = (Scripted::start().await, Scripted::start().await);
    ssm.then_json(200, &parameter_response(" s3cr3t\n"));
    let client = client(&server.url, &ssm);
    for _ in 0..2 {
        script_no_snapshot(&server);
        let latest = client.environment("e", None).latest_snapshot().await.unwrap();
        assert_eq!(latest, LatestSnapshot::NoSnapshotYet);
    }
    assert_eq!(server.received()[1].authorization.as_deref(), Some("Bearer s3cr3t"));
    let [request] = &ssm.received()[..] else { panic!("{:?}", ssm.received()) };
    assert_eq!(request.target.as_deref(), Some("AmazonSSM.GetParameter"));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body, json!({"Name": "/kosli/token", "WithDecryption": true}));
}

#[tokio::test]
async fn a_rotated_token_is_picked_up_when_the_old_one_is_refused() {
    for refusal in ["{\"message\": \"no\"}", "<html>401 Authorization Required</html>"] {
        let (server, ssm) = (Scripted::start().await, Scripted::start().await);
        ssm.then_json(200, &parameter_response("old")).then_json(200, &parameter_response("new"));
        server.then(401, refusal);
        script_no_snapshot(&server);
        let client = client(&server.url, &ssm);
        client.environment("e", None).latest_snapshot().await.unwrap();
        let received = server.received().into_iter();
        let tokens: Vec<_> = received.map(|request| request.authorization.unwrap()).collect();
        assert_eq!(tokens, ["Bearer old", "Bearer new"], "{refusal}");
    }
}

#[tokio::test]
async fn late_refusal_of_an_old_token_keeps_the_new_one_that_another_request_fetched() {
    let (server, ssm) = (Scripted::start().await, Scripted::start().await);
    ssm.then_json(200, &parameter_response("old")).then_json(200, &parameter_response("new"));
    let (send, refused_late) = oneshot::channel::<String>();
    let body = stream::once(async { Ok::<_, Infallible>(refused_late.await.unwrap()) });
    server.then(401, Body::from_stream(body)).then_json(401, &json!({"message": "no"}));
    script_no_snapshot(&server);
    script_no_snapshot(&server);
    let client = client(&server.url, &ssm);
    let late = async { client.environment("late", None).latest_snapshot().await.unwrap() };
    let early = async {
        while server.received().is_empty() {
            tokio::task::yield_now().await;
        }
        client.environment("early", None).latest_snapshot().await.unwrap();
        send.send("{\"message\": \"no\"}".to_owned()).unwrap();
    };
    tokio::join!(late, early);
    let received = server.received().into_iter();
    let tokens: Vec<_> = received.map(|request| request.authorization.unwrap()).collect();
    assert_eq!(tokens, ["Bearer old", "Bearer old", "Bearer new", "Bearer new"]);
    assert_eq!(ssm.received().len(), 2, "it is not fetched again");
}

#[tokio::test]
async fn token_that_stays_refused_is_fetched_again_once_per_request() {
    let (server, ssm) = (Scripted::start().await, Scripted::start().await);
    for _ in 0..2 {
        ssm.then_json(200, &parameter_response("s3cr3t"));
        server.then_json(401, &json!({"message": "no"}));
    }
    let client = client(&server.url, &ssm);
    let error = client.environment("e", None).latest_snapshot().await.unwrap_err();
    assert!(matches!(error, ApiError::Rejected { .. }), "{error}");
    assert_eq!((server.received().len(), ssm.received().len()), (2, 2));
}

#[tokio::test]
async fn an_unavailable_token_is_reported_without_its_value() {
    let cases = [
        (
            400,
            json!({"__type": "ParameterNotFound", "message": "not there"}),
            ": ParameterNotFound: not there",
        ),
        (
            400,
            json!({"__type": "AccessDeniedException", "message": "not authorized"}),
            "AccessDeniedException: not authorized",
        ),
        (200, parameter_response(""), "but it is empty"),
        (200, parameter_response("{\"token\": \"s3cr3t\"}"), "store the token as a plain string"),
        (200, parameter_response("s3cr3t s3cr3t"), "white space"),
        (200, json!({}), "but it is empty"),
        (200, json!({"Parameter": {"Value": 7, "Name": "s3cr3t"}}), "parameter /kosli/token"),
    ];
    for (status, body, expected) in cases {
        let (server, ssm) = (Scripted::start().await, Scripted::start().await);
        for _ in 0..3 {
            ssm.then_json(status, &body);
        }
        let client = client(&server.url, &ssm);
        let error = client.environment("e", None).latest_snapshot().await.unwrap_err();
        assert!(matches!(error, ApiError::Token(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        let refused = status == 400;
        assert!(!refused || error.to_string().contains(&ssm.url), "it names the address: {error}");
        assert!(!format!("{error} {error:?} {client:?}").contains("s3cr3t"), "{error}");
        assert_eq!(server.received().len(), 0, "the server is not called without a token");
    }
}

#[tokio::test]
async fn error_of_an_unreachable_ssm_names_its_url_once() {
    let config = config("http://127.0.0.1:9", &[("KOSLI_API_TOKEN", ""), TOKEN_PARAMETER]);
    let tokens = TokenSource::new(&config.token, &aws("http://127.0.0.1:9"));
    let error = tokens.fetch().await.unwrap_err().to_string();
    assert_eq!(error.matches("http://127.0.0.1:9").count(), 1, "{error}");
}
