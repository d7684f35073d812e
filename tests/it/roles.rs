//! Environments in other accounts and regions, read in roles that are assumed.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use envsnap::report::{
    ConnectedReporter, EnvironmentOutcome, OutcomeKind, RemedyContext, Trigger, TriggerKind,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{aws, config, digest, error_type};
use crate::recorder::server::Recorder;

pub(crate) const CALLER_ARN: &str = "arn:aws:iam::999999999999:user/me";
pub(crate) const ASSUMABLE_ROLE: &str = "arn:aws:iam::111111111111:role/envsnap";
const EXTERNAL_ID_ROLE: &str = "arn:aws:iam::222222222222:role/read/envsnap";
pub(crate) const DENIED_ROLE: &str = "arn:aws:iam::333333333333:role/envsnap";
const THROTTLED_ONCE_ROLE: &str = "arn:aws:iam::444444444444:role/envsnap";
const UNAVAILABLE_ONCE_ROLE: &str = "arn:aws:iam::555555555555:role/envsnap";
/// Its policy lacks `ecs:ListTasks`.
pub(crate) const NO_LIST_TASKS_ROLE: &str = "arn:aws:iam::666666666666:role/envsnap";

/// The role and the external ID of a request to STS.
pub(crate) type Assumed = Arc<Mutex<Vec<(String, Option<String>)>>>;

/// A fake of STS and ECS. STS knows the caller as [`CALLER_ARN`], and returns a key that contains the role's
/// account for each role but [`DENIED_ROLE`]; the first requests for [`THROTTLED_ONCE_ROLE`] and
/// [`UNAVAILABLE_ONCE_ROLE`] fail. The only task of ECS runs an image that is named after the key and the
/// region with which the request is signed.
///
/// Returns its URL, and the requests for roles.
pub(crate) async fn start_aws() -> (String, Assumed) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let assumed = Assumed::default();
    let router = Router::new().fallback(answer).with_state(Arc::clone(&assumed));
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    (url, assumed)
}

/// Answers requests to ECS, and passes all others to [`answer_sts`].
async fn answer(
    State(assumed): State<Assumed>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signed = header("authorization").split("Credential=").nth(1).unwrap_or_default();
    let mut scope = signed.split('/');
    let (key, region) = (scope.next().unwrap_or_default(), scope.nth(1).unwrap_or_default());
    let task = format!("arn:aws:ecs:{region}:111111111111:task/app/1");
    let document = match header("x-amz-target").rsplit('.').next() {
        Some("ListTasks") if key.ends_with("666666666666") => {
            let error = json!({"__type": "AccessDeniedException", "message": "not authorized"});
            return (StatusCode::BAD_REQUEST, error.to_string());
        }
        Some("ListClusters") => json!({"clusterArns": []}),
        Some("DescribeClusters") => {
            let app = format!("arn:aws:ecs:{region}:111111111111:cluster/app");
            json!({"clusters": [{"clusterArn": app, "status": "ACTIVE"}], "failures": []})
        }
        Some("ListTasks") if body.windows(7).any(|word| word == b"STOPPED") => {
            json!({"taskArns": []})
        }
        Some("ListTasks") => json!({"taskArns": [task]}),
        Some("DescribeTasks") => json!({"failures": [], "tasks": [{
            "taskArn": task, "lastStatus": "RUNNING", "containers": [{
                "name": "web", "image": format!("{key}-{region}:1"), "imageDigest": digest(1),
                "lastStatus": "RUNNING",
            }],
        }]}),
        _ => return answer_sts(&assumed, &body),
    };
    (StatusCode::OK, document.to_string())
}

fn answer_sts(assumed: &Assumed, body: &[u8]) -> (StatusCode, String) {
    let form: Vec<(String, String)> = url_form(body);
    let field = |name: &str| form.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    let namespace = "xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"";
    let Some(role) = field("RoleArn") else {
        let caller = format!(
            "<GetCallerIdentityResponse {namespace}><GetCallerIdentityResult><Arn>{CALLER_ARN}</Arn>\
             </GetCallerIdentityResult></GetCallerIdentityResponse>"
        );
        return (StatusCode::OK, caller);
    };
    let request = (role.clone(), field("ExternalId"));
    let mut assumed = assumed.lock().unwrap();
    let is_first = !assumed.contains(&request);
    assumed.push(request);
    let refused = |status, error: &str| {
        (status, format!("<ErrorResponse {namespace}><Error>{error}</Error></ErrorResponse>"))
    };
    match &*role {
        DENIED_ROLE => {
            return refused(
                StatusCode::FORBIDDEN,
                "<Type>Sender</Type><Code>AccessDenied</Code><Message>User: \
                 arn:aws:sts::111111111111:assumed-role/f/f is not authorized to perform: \
                 sts:AssumeRole</Message>",
            );
        }
        THROTTLED_ONCE_ROLE if is_first => {
            return refused(
                StatusCode::BAD_REQUEST,
                "<Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message>",
            );
        }
        UNAVAILABLE_ONCE_ROLE if is_first => {
            return (StatusCode::SERVICE_UNAVAILABLE, String::new());
        }
        _ => {}
    }
    let account = role.split(':').nth(4).unwrap();
    (
        StatusCode::OK,
        format!(
            "<AssumeRoleResponse {namespace}><AssumeRoleResult><Credentials>\
             <AccessKeyId>key{account}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration>\
             </Credentials><AssumedRoleUser><Arn>{role}/envsnap</Arn>\
             <AssumedRoleId>A:envsnap</AssumedRoleId></AssumedRoleUser></AssumeRoleResult>\
             </AssumeRoleResponse>"
        ),
    )
}

/// The decoded names and values of a form.
fn url_form(body: &[u8]) -> Vec<(String, String)> {
    reqwest::Url::parse(&format!("http://x/?{}", String::from_utf8_lossy(body)))
        .unwrap()
        .query_pairs()
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

/// The outcomes of a scheduled run, and the roles that it assumed.
async fn run_environments(environments: &Value) -> (Vec<EnvironmentOutcome>, Assumed) {
    let (endpoint, assumed) = start_aws().await;
    let recorder = Recorder::start().await;
    for environment in environments.as_array().unwrap() {
        recorder.create(environment["name"].as_str().unwrap(), Some(true)).await;
    }
    let environments = environments.to_string();
    let variables =
        [("KOSLI_ENVIRONMENT", ""), ("ECS_CLUSTERS", ""), ("ENVIRONMENTS", &*environments)];
    let config = config(&recorder.url, &variables);
    let reporter = ConnectedReporter::connect(config, &aws(&endpoint)).await.unwrap();
    let outcome = reporter.run(&Trigger::new(TriggerKind::Schedule), None).await.unwrap();
    (outcome.environments, assumed)
}

#[tokio::test]
async fn each_environment_is_read_in_its_region_and_role() {
    let (outcomes, assumed) = run_environments(&json!([
        {"name": "own", "clusters": "app"},
        {"name": "west", "clusters": "app", "region": "eu-west-1"},
        {"name": "ours", "clusters": "app", "role_arn": ASSUMABLE_ROLE},
        {"name": "theirs", "clusters": "app", "region": "us-east-1", "role_arn": EXTERNAL_ID_ROLE,
         "external_id": "a1b2"},
        {"name": "theirs-too", "clusters": "app", "services_regex": "", "region": "us-east-1",
         "role_arn": EXTERNAL_ID_ROLE, "external_id": "a1b2"},
    ]))
    .await;
    let images: Vec<_> = outcomes.iter().map(|o| &*o.artifacts[0].name).collect();
    assert!(outcomes.iter().all(|outcome| outcome.outcome == OutcomeKind::Posted), "{outcomes:?}");
    assert_eq!(
        images,
        [
            "test-eu-central-1:1",
            "test-eu-west-1:1",
            "key111111111111-eu-central-1:1",
            "key222222222222-us-east-1:1",
            "key222222222222-us-east-1:1",
        ]
    );
    let mut assumed = assumed.lock().unwrap().clone();
    assumed.sort();
    let theirs = (EXTERNAL_ID_ROLE.to_owned(), Some("a1b2".to_owned()));
    assert_eq!(assumed, [(ASSUMABLE_ROLE.to_owned(), None), theirs], "each role once");
}

#[tokio::test]
async fn role_that_cannot_be_assumed_is_named_and_fails_only_its_environment() {
    let (outcomes, _) = run_environments(&json!([
        {"name": "closed", "clusters": "app", "role_arn": DENIED_ROLE},
        {"name": "open", "clusters": "app", "role_arn": ASSUMABLE_ROLE},
    ]))
    .await;
    assert_eq!([error_type(&outcomes[0]), error_type(&outcomes[1])], ["AccessDenied", "none"]);
    let message = &outcomes[0].error.as_ref().unwrap().message;
    for expected in [DENIED_ROLE, "not authorized to perform: sts:AssumeRole"] {
        assert!(message.contains(expected), "{message}");
    }
    let kind = outcomes[0].error.as_ref().unwrap().kind;
    assert!(kind.remedy(RemedyContext::Function).contains("has to trust the function's role"));
    assert!(message.len() < 700, "{message}");
}

#[tokio::test]
async fn throttled_or_unavailable_assume_role_is_retried() {
    let (outcomes, assumed) = run_environments(&json!([
        {"name": "busy", "clusters": "app", "role_arn": THROTTLED_ONCE_ROLE},
        {"name": "broken", "clusters": "app", "role_arn": UNAVAILABLE_ONCE_ROLE},
    ]))
    .await;
    let posted = |outcome: &EnvironmentOutcome| outcome.outcome == OutcomeKind::Posted;
    assert!(outcomes.iter().all(posted), "{outcomes:?}");
    let mut assumed: Vec<_> =
        assumed.lock().unwrap().iter().map(|(role, _)| role.clone()).collect();
    assumed.sort();
    assert_eq!(
        assumed,
        [THROTTLED_ONCE_ROLE, THROTTLED_ONCE_ROLE, UNAVAILABLE_ONCE_ROLE, UNAVAILABLE_ONCE_ROLE]
    );
}
