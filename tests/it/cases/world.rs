//! The server that plays a case: ECS, SSM, STS and the snapshot server on one port.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, Response};
use envsnap::api::wire::EcsReport;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What ECS and the snapshot server answer during one invocation.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Case {
    /// As DescribeTasks gives them; they are listed by `clusterArn` and `desiredStatus`.
    tasks: Vec<Value>,
    /// ARNs that ListClusters gives; those of the tasks if it is left out.
    clusters: Option<Vec<String>>,
    /// ARNs that ListTasks lists besides, by `CLUSTER:STATUS`.
    also_listed: BTreeMap<String, Vec<String>>,
    /// The server's latest snapshot.
    latest: Option<Value>,
    /// Answers in place of the computed ones, by operation, in turn.
    raw: HashMap<String, VecDeque<ScriptedAnswer>>,
    /// Variables of the function.
    pub(super) env: BTreeMap<String, String>,
}

/// A scripted HTTP response, in place of the computed one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptedAnswer {
    #[serde(default = "status_ok")]
    status: u16,
    body: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The last one is given again and again.
    #[serde(default)]
    sticky: bool,
}

fn status_ok() -> u16 {
    200
}

/// ECS, SSM, STS and the snapshot server on one port, which answer as the case says.
pub(super) struct Server {
    pub(super) url: String,
    state: Shared,
    served: JoinHandle<()>,
}

type Shared = Arc<Mutex<CaseState>>;

/// The case that is played, and the reports received.
#[derive(Default)]
struct CaseState {
    case: Case,
    /// Replicas by name of artifact.
    reports: Vec<BTreeMap<String, u64>>,
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Shared::default();
        let router = Router::new().fallback(answer).with_state(state.clone());
        let served = tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { url, state, served }
    }

    /// Answers as this case says from now on.
    pub(super) fn set_case(&self, case: Case) {
        self.state.lock().unwrap().case = case;
    }

    /// Of each report since the last call: replicas by name of artifact.
    pub(super) fn take_reports(&self) -> Vec<BTreeMap<String, u64>> {
        std::mem::take(&mut self.state.lock().unwrap().reports)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.served.abort();
    }
}

/// Answers a request for an AWS operation, or else as the snapshot server.
async fn answer(State(state): State<Shared>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    let played = &mut *state.lock().unwrap();
    let operation = match target {
        Some(target) => target.rsplit('.').next().unwrap(),
        None if body.starts_with(b"Action=AssumeRole") => "AssumeRole",
        None => {
            return snapshot_server_answer(played, &parts.method, parts.uri.path(), &body);
        }
    };
    if let Some(raw) = played.case.next_scripted_answer(operation) {
        let mut response = Response::builder().status(raw.status);
        for (name, value) in &raw.headers {
            response = response.header(name, value);
        }
        return response.body(Body::from(raw.body)).unwrap();
    }
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    match operation {
        "AssumeRole" => text_answer(200, assume_role_response()),
        "GetParameter" => {
            json_answer(200, &json!({"Parameter": {"Name": "token", "Value": "t0k3n"}}))
        }
        operation => match played.case.ecs_answer(operation, &request) {
            Some(answer) => json_answer(200, &answer),
            None => json_answer(400, &json!({"__type": "ClusterNotFoundException"})),
        },
    }
}

fn assume_role_response() -> String {
    "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
     <Credentials><AccessKeyId>key</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
     <SessionToken>token</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
     </Credentials></AssumeRoleResult></AssumeRoleResponse>"
        .to_owned()
}

fn snapshot_server_answer(
    played: &mut CaseState,
    method: &Method,
    path: &str,
    body: &[u8],
) -> Response<Body> {
    if path.contains("/snapshots/") {
        return match &played.case.latest {
            Some(latest) => json_answer(200, latest),
            None => json_answer(404, &json!({"message": "len(snapshots) == 0"})),
        };
    }
    if *method == Method::PUT && path.ends_with("/report/ECS") {
        let report: EcsReport = serde_json::from_slice(body).unwrap();
        let snapshot = report.snapshot();
        let replicas = snapshot.artifacts().map(|it| (it.name.clone(), it.replicas)).collect();
        played.reports.push(replicas);
        return json_answer(201, &json!("OK"));
    }
    if path.contains("/environments/") {
        let environment = json!({"name": "aws-prod", "type": "ECS", "include_scaling": true});
        return json_answer(200, &environment);
    }
    text_answer(404, String::new())
}

impl Case {
    fn next_scripted_answer(&mut self, operation: &str) -> Option<ScriptedAnswer> {
        let answers = self.raw.get_mut(operation)?;
        let is_last = answers.len() == 1;
        let next = answers.front()?.clone();
        if !(is_last && next.sticky) {
            answers.pop_front();
        }
        Some(next)
    }

    /// JSON with which ECS answers an operation; `None` if there is no such cluster.
    fn ecs_answer(&self, operation: &str, request: &Value) -> Option<Value> {
        let text = |field: &str| request[field].as_str().unwrap_or_default();
        let given = |field: &str| -> Vec<&str> {
            request[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
        };
        Some(match operation {
            "ListClusters" => {
                let listed = self.clusters.clone();
                let all = || self.existing_cluster_arns().into_iter().collect();
                json!({"clusterArns": listed.unwrap_or_else(all)})
            }
            "DescribeClusters" => {
                let requested = given("clusters");
                let known = self.existing_cluster_arns();
                let is_requested =
                    |arn: &&String| requested.iter().any(|it| is_cluster_called(arn, it));
                let described =
                    known.iter().filter(is_requested).map(|arn| self.describe_cluster(arn));
                json!({"clusters": described.collect::<Vec<_>>(), "failures": []})
            }
            "ListTasks" => {
                let cluster = self.find_cluster(text("cluster"))?;
                let status = request["desiredStatus"].as_str().unwrap_or("RUNNING");
                let tasks = self.tasks_of(&cluster);
                let listed = tasks.filter(|task| task["desiredStatus"] == status);
                let mut arns: Vec<_> = listed.filter_map(|task| task["taskArn"].as_str()).collect();
                for (place, more) in &self.also_listed {
                    let (name, of_status) = place.rsplit_once(':').unwrap();
                    if of_status == status && is_cluster_called(&cluster, name) {
                        arns.extend(more.iter().map(String::as_str));
                    }
                }
                json!({"taskArns": arns})
            }
            "DescribeTasks" => {
                let cluster = self.find_cluster(text("cluster"))?;
                let all: Vec<_> = self.tasks_of(&cluster).collect();
                let (mut tasks, mut failures) = (Vec::new(), Vec::new());
                for arn in given("tasks") {
                    match all.iter().find(|task| task["taskArn"] == arn) {
                        Some(task) => tasks.push(*task),
                        None => failures.push(json!({"arn": arn, "reason": "MISSING"})),
                    }
                }
                json!({"tasks": tasks, "failures": failures})
            }
            "ListServices" => {
                let cluster = self.find_cluster(text("cluster"))?;
                let groups = self.tasks_of(&cluster).filter_map(|task| task["group"].as_str());
                let names: BTreeSet<_> =
                    groups.filter_map(|it| it.strip_prefix("service:")).collect();
                let prefix = cluster.replace(":cluster/", ":service/");
                let arns: Vec<_> = names.iter().map(|name| format!("{prefix}/{name}")).collect();
                json!({"serviceArns": arns})
            }
            operation => panic!("no case knows {operation}"),
        })
    }

    fn existing_cluster_arns(&self) -> BTreeSet<String> {
        let of_tasks = self.tasks.iter().filter_map(|task| task["clusterArn"].as_str());
        of_tasks.map(ToOwned::to_owned).chain(self.clusters.iter().flatten().cloned()).collect()
    }

    /// ARN of the cluster with this ARN or name.
    fn find_cluster(&self, given: &str) -> Option<String> {
        self.existing_cluster_arns().into_iter().find(|arn| is_cluster_called(arn, given))
    }

    /// Tasks of the cluster with this ARN, as DescribeTasks gives them.
    fn tasks_of(&self, cluster: &str) -> impl Iterator<Item = &Value> {
        self.tasks.iter().filter(move |task| task["clusterArn"] == cluster)
    }

    /// The cluster with this ARN, as DescribeClusters gives it.
    fn describe_cluster(&self, arn: &str) -> Value {
        let count =
            |status: &str| self.tasks_of(arn).filter(|task| task["lastStatus"] == status).count();
        json!({
            "clusterArn": arn, "clusterName": arn.rsplit('/').next(), "status": "ACTIVE",
            "runningTasksCount": count("RUNNING"), "pendingTasksCount": count("PENDING"),
        })
    }
}

/// Whether `given` is this ARN of a cluster, or the name in it.
fn is_cluster_called(arn: &str, given: &str) -> bool {
    arn == given || arn.rsplit('/').next() == Some(given)
}

fn json_answer(status: u16, body: &Value) -> Response<Body> {
    text_answer(status, body.to_string())
}

fn text_answer(status: u16, body: String) -> Response<Body> {
    Response::builder().status(status).body(Body::from(body)).unwrap()
}
