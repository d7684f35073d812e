//! A fleet whose environments are parameters in SSM.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use envsnap::api::Client;
use envsnap::config::Config;
use envsnap::ecs::AwsEcs;
use envsnap::report::{EnvironmentOutcome, OutcomeKind, Reporter, Trigger, TriggerKind};
use envsnap::standin::{Cluster, StandIn};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::harness::{Clock, aws, error_type, http_client, task, world};
use crate::recorder::server::Recorder;

const SSM_PATH: &str = "/envsnap/environments";
const MINUTE: Duration = Duration::from_mins(1);

/// What SSM has, and an ECS behind the same address.
#[derive(Clone)]
struct Account {
    ecs: String,
    client: reqwest::Client,
    /// Type and value, by name.
    parameters: Arc<Mutex<BTreeMap<String, (&'static str, String)>>>,
    /// The requested pages.
    pages: Arc<Mutex<usize>>,
    broken: Arc<Mutex<bool>>,
    /// SSM does not answer.
    silent: Arc<Mutex<bool>>,
}

/// Answers `GetParametersByPath`, and forwards all other requests to ECS.
async fn answer(
    State(account): State<Account>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    /// Parameters in a response.
    const PAGE_SIZE: usize = 10;
    let target = headers["x-amz-target"].to_str().unwrap();
    if target != "AmazonSSM.GetParametersByPath" {
        let mut request = account.client.post(&account.ecs).body(body);
        for name in ["x-amz-target", "content-type", "authorization"] {
            request = request.header(name, headers[name].as_bytes());
        }
        let answer = request.send().await.unwrap();
        return (answer.status(), answer.text().await.unwrap());
    }
    if *account.silent.lock().unwrap() {
        std::future::pending::<()>().await;
    }
    if *account.broken.lock().unwrap() {
        let error = json!({"__type": "AccessDeniedException", "message": "not allowed"});
        return (StatusCode::BAD_REQUEST, error.to_string());
    }
    let request: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&request["Path"], &request["Recursive"]), (&json!(SSM_PATH), &json!(true)));
    assert!(request.get("WithDecryption").is_none(), "{request}");
    *account.pages.lock().unwrap() += 1;
    let from: usize = request["NextToken"].as_str().map_or(0, |token| token.parse().unwrap());
    let parameters = account.parameters.lock().unwrap();
    let page: Vec<_> = parameters
        .iter()
        .skip(from)
        .take(PAGE_SIZE)
        .map(|(name, (kind, value))| json!({"Name": name, "Type": kind, "Value": value}))
        .collect();
    let mut answer = json!({"Parameters": page});
    if from + PAGE_SIZE < parameters.len() {
        answer["NextToken"] = json!((from + PAGE_SIZE).to_string());
    }
    (StatusCode::OK, answer.to_string())
}

/// A reporter whose environments are parameters in SSM.
struct Fleet {
    account: Account,
    recorder: Recorder,
    reporter: Reporter<AwsEcs, Client, Clock>,
    now: Arc<Mutex<SystemTime>>,
    _ecs: StandIn,
}

impl Fleet {
    /// One cluster with a service for each of `services`.
    async fn start(services: usize) -> Self {
        let tasks = (0..services).map(|n| task(&format!("s{n}"), 1));
        let cluster = tasks.fold(Cluster::new("app"), Cluster::task);
        let ecs = StandIn::start(world(cluster)).await.unwrap();
        let account = Account {
            client: http_client(),
            ecs: ecs.endpoint(),
            parameters: Arc::default(),
            pages: Arc::default(),
            broken: Arc::default(),
            silent: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(account.clone());
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        let recorder = Recorder::start().await;
        let variables = [
            ("KOSLI_HOST", recorder.url.as_str()),
            ("KOSLI_ORG", "acme"),
            ("KOSLI_API_TOKEN", "t0k3n"),
            ("ENVIRONMENTS_SSM_PATH", SSM_PATH),
            ("AUTO_CREATE_ENVIRONMENT", "true"),
            ("QUOTA_SHARE", "1"),
        ];
        let config = Config::from_lookup(|wanted| {
            let found = variables.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned())
        });
        let now = Arc::new(Mutex::new(SystemTime::now()));
        let shown = Arc::clone(&now);
        let clock: Clock = Box::new(move || *shown.lock().unwrap());
        let aws = aws(&url);
        let reporter = Reporter::connect_with_clock(config.unwrap(), &aws, clock);
        Self { account, recorder, reporter: reporter.await.unwrap(), now, _ecs: ecs }
    }

    fn set_parameter(&self, name: &str, value: &Value) {
        let mut parameters = self.account.parameters.lock().unwrap();
        parameters.insert(format!("{SSM_PATH}/{name}"), ("String", value.to_string()));
    }

    fn remove_parameter(&self, name: &str) {
        self.account.parameters.lock().unwrap().remove(&format!("{SSM_PATH}/{name}"));
    }

    /// Advances the clock, refreshes the environments and runs, as an invocation does.
    async fn run_after(&mut self, time: Duration) -> Vec<EnvironmentOutcome> {
        *self.now.lock().unwrap() += time;
        self.reporter.refresh(None).await.unwrap();
        let trigger = Trigger::new(TriggerKind::Schedule);
        self.reporter.run(&trigger, None).await.unwrap().environments
    }
}

fn environment_names(outcomes: &[EnvironmentOutcome]) -> Vec<&str> {
    outcomes.iter().map(|outcome| outcome.environment.as_str()).collect()
}

#[tokio::test]
async fn environments_in_ssm_are_read_in_pages_and_again_after_15_minutes() {
    let mut fleet = Fleet::start(200).await;
    for n in 0..200 {
        let value = json!({"clusters": ["app"], "services": [format!("s{n}")]});
        fleet.set_parameter(&format!("env-{n:03}"), &value);
    }
    let outcomes = fleet.run_after(Duration::ZERO).await;
    assert_eq!(outcomes.len(), 200);
    assert!(
        outcomes.iter().all(|it| it.outcome == OutcomeKind::Posted && it.containers == Some(1))
    );
    assert_eq!(*fleet.account.pages.lock().unwrap(), 20);
    let latest = fleet.recorder.latest("env-123").await;
    assert_eq!(latest.running().map(|artifact| &*artifact.name).collect::<Vec<_>>(), ["s123:1"]);

    let outcomes = fleet.run_after(14 * MINUTE).await;
    assert!(outcomes.iter().all(|it| it.outcome == OutcomeKind::Unchanged));
    assert_eq!(*fleet.account.pages.lock().unwrap(), 20, "not read again yet");
    fleet.remove_parameter("env-000");
    fleet.set_parameter("env-200", &json!({"name": "env-200", "clusters": "app"}));
    let outcomes = fleet.run_after(MINUTE).await;
    assert_eq!(*fleet.account.pages.lock().unwrap(), 40);
    assert_eq!((outcomes.len(), environment_names(&outcomes)[0]), (200, "env-001"));
    let posted = outcomes.iter().filter(|it| it.outcome == OutcomeKind::Posted);
    assert_eq!(posted.map(|it| &*it.environment).collect::<Vec<_>>(), ["env-200"]);
}

#[tokio::test]
async fn invalid_parameter_fails_only_its_own_environment() {
    let mut fleet = Fleet::start(1).await;
    fleet.set_parameter("good", &json!({"clusters": ["app"]}));
    fleet.set_parameter("misspelt", &json!({"cluster": ["app"]}));
    fleet.set_parameter("other-name", &json!({"name": "good"}));
    fleet.set_parameter("not-an-object", &json!(["app"]));
    fleet.set_parameter("deeper/one", &json!({}));
    let elsewhere = "arn:aws:ecs:us-east-1:274425519734:cluster/app";
    fleet.set_parameter("elsewhere", &json!({"clusters": [elsewhere]}));
    let encrypted = ("SecureString", "AQICAHh".to_owned());
    fleet.account.parameters.lock().unwrap().insert(format!("{SSM_PATH}/secret"), encrypted);

    let outcomes = fleet.run_after(Duration::ZERO).await;
    let of = |name: &str| outcomes.iter().find(|it| it.environment == name).unwrap();
    assert_eq!(of("good").outcome, OutcomeKind::Posted);
    for (name, expected) in [
        ("misspelt", "cluster is not a field of an environment: did you mean clusters?"),
        ("other-name", "name is \"good\", but should be \"other-name\""),
        ("not-an-object", "it should be a JSON object like"),
        ("deeper/one", "name is \"deeper/one\", but should be"),
        ("elsewhere", "us-east-1"),
        ("secret", "should be of type String"),
    ] {
        assert_eq!(error_type(of(name)), "ConfigError", "{name}");
        let message = &of(name).error.as_ref().unwrap().message;
        assert!(message.contains(expected), "{name}: {message}");
        assert!(
            message.starts_with(&format!("the parameter {SSM_PATH}/{name} in SSM")),
            "{message}"
        );
        assert!(!message.contains("AQICAHh"), "{message}");
    }
    assert_eq!(outcomes.len(), 7);

    fleet.set_parameter("misspelt", &json!({"clusters": ["app"]}));
    let outcomes = fleet.run_after(15 * MINUTE).await;
    let corrected = outcomes.iter().find(|it| it.environment == "misspelt").unwrap();
    assert_eq!(corrected.outcome, OutcomeKind::Posted);
}

#[tokio::test]
async fn environments_are_kept_while_ssm_fails_and_an_empty_path_is_an_error() {
    let mut fleet = Fleet::start(1).await;
    let error = fleet.reporter.refresh(None).await.unwrap_err().to_string();
    assert!(error.contains(SSM_PATH) && error.contains("no parameter under it"), "{error}");
    *fleet.account.broken.lock().unwrap() = true;
    let error = fleet.reporter.refresh(None).await.unwrap_err().to_string();
    assert!(error.contains("AccessDeniedException: not allowed"), "{error}");

    *fleet.account.broken.lock().unwrap() = false;
    fleet.set_parameter("good", &json!({"clusters": ["app"]}));
    assert_eq!(environment_names(&fleet.run_after(MINUTE).await), ["good"]);
    *fleet.account.broken.lock().unwrap() = true;
    assert_eq!(environment_names(&fleet.run_after(20 * MINUTE).await), ["good"]);
    *fleet.account.broken.lock().unwrap() = false;
    fleet.set_parameter("second", &json!({"clusters": ["app"]}));
    assert_eq!(
        environment_names(&fleet.run_after(MINUTE).await),
        ["good", "second"],
        "fetched again at once"
    );
}

/// An SSM that is out of reach during start-up must not leave a function that reports nothing and
/// succeeds.
#[tokio::test]
async fn silent_ssm_is_an_error_until_it_answers_and_then_the_environments_are_reported() {
    let mut fleet = Fleet::start(1).await;
    fleet.set_parameter("good", &json!({"clusters": ["app"]}));
    *fleet.account.silent.lock().unwrap() = true;
    let in_a_moment = || Instant::now() + Duration::from_millis(50);
    // A run that was given up leaves nothing behind either.
    drop(tokio::time::timeout_at(in_a_moment(), fleet.reporter.refresh(None)).await);
    let error = fleet.reporter.refresh(Some(in_a_moment())).await.unwrap_err().to_string();
    assert!(error.contains(SSM_PATH) && error.contains("did not answer in time"), "{error}");

    *fleet.account.silent.lock().unwrap() = false;
    assert_eq!(environment_names(&fleet.run_after(Duration::ZERO).await), ["good"]);
    *fleet.account.silent.lock().unwrap() = true;
    *fleet.now.lock().unwrap() += 15 * MINUTE;
    fleet.reporter.refresh(Some(in_a_moment())).await.unwrap();
    assert_eq!(fleet.reporter.environments().count(), 1, "as they were read before");
}
