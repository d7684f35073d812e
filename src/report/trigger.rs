//! Why the function was invoked, and the options of the run.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::ecs::ClusterRef;
use crate::excerpt::excerpt;

/// `detail-type` of an event of ECS.
const TASK_STATE_CHANGE: &str = "ECS Task State Change";
/// `detail-type` of an event of ECS.
const DEPLOYMENT_STATE_CHANGE: &str = "ECS Deployment State Change";
/// `detail-type` of an event of ECS.
const SERVICE_ACTION: &str = "ECS Service Action";

/// What invoked the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriggerKind {
    /// An EventBridge rule or EventBridge Scheduler.
    Schedule,
    /// Tasks started or stopped. The event only triggers a reading: such events come late, twice
    /// and out of order, so that their content is not used.
    TaskStateChange,
    /// A service's deployment began, ended or failed. Only triggers a reading, too.
    DeploymentStateChange,
    /// A service reached its steady state, or could not. Only triggers a reading, too.
    ServiceAction,
    Manual,
}

impl Serialize for TriggerKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for TriggerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Schedule => "schedule",
            Self::TaskStateChange => "task-state-change",
            Self::DeploymentStateChange => "deployment-state-change",
            Self::ServiceAction => "service-action",
            Self::Manual => "manual",
        })
    }
}

/// What invoked the run, and the options of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    pub kind: TriggerKind,
    /// Post and create nothing.
    pub dry_run: bool,
    /// Fetch the server's state and post even if nothing differs.
    pub force: bool,
    /// Explain for each container whether it counts.
    pub explain: bool,
    /// Report only this environment.
    pub environment: Option<String>,
    /// Report only environments that may include one of these clusters; empty for all.
    pub clusters: Vec<ClusterRef>,
}

/// The event has none of the known forms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{}. An event is one of: an EventBridge scheduled event (of a rule or of Scheduler), an \
     \"ECS Task State Change\", \"ECS Deployment State Change\" or \"ECS Service Action\" event, an \
     SQS batch of those, or \
     {{\"dry_run\": true, \"force\": true, \"explain\": true, \"environment\": \"NAME\"}}, where \
     every field may be left out",
    excerpt(.0)
)]
pub struct InvalidEvent(pub String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ManualEvent {
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    explain: bool,
    #[serde(default, deserialize_with = "non_null_string")]
    environment: Option<String>,
}

/// A field that must be a string if it is present: null is an error.
fn non_null_string<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

impl Trigger {
    /// A run of all environments.
    pub fn new(kind: TriggerKind) -> Self {
        Self {
            kind,
            dry_run: false,
            force: false,
            explain: false,
            environment: None,
            clusters: Vec::new(),
        }
    }

    /// Parses an event, given as JSON text.
    ///
    /// # Errors
    /// It is not an event in one of the forms that are understood.
    pub fn parse(event: &str) -> Result<Self, InvalidEvent> {
        let event: Value = serde_json::from_str(event)
            .map_err(|error| InvalidEvent(format!("the event cannot be read: {error}")))?;
        let Value::Object(event) = event else {
            return Err(InvalidEvent(format!(
                "the event is {}, not an object",
                json_type_name(&event)
            )));
        };
        if event.contains_key("Records") {
            let (kind, clusters) = parse_sqs_batch(&event)?;
            Ok(Self { clusters, ..Self::new(kind) })
        } else if event.contains_key("source") || event.contains_key("detail-type") {
            let kind = eventbridge_trigger_kind(&event)?;
            Ok(Self { clusters: clusters_of_events([&event]), ..Self::new(kind) })
        } else {
            let manual: ManualEvent = serde_json::from_value(Value::Object(event))
                .map_err(|error| InvalidEvent(format!("the manual event is wrong: {error}")))?;
            Ok(Self {
                kind: TriggerKind::Manual,
                dry_run: manual.dry_run,
                force: manual.force,
                explain: manual.explain,
                environment: manual.environment,
                clusters: Vec::new(),
            })
        }
    }
}

fn eventbridge_trigger_kind(event: &Map<String, Value>) -> Result<TriggerKind, InvalidEvent> {
    let text = |field: &str| event.get(field).and_then(Value::as_str).unwrap_or_default();
    match (text("source"), text("detail-type")) {
        ("aws.events" | "aws.scheduler", "Scheduled Event") => Ok(TriggerKind::Schedule),
        (source, detail_type) => {
            match ecs_trigger_kind(detail_type).filter(|_| source == "aws.ecs") {
                Some(kind) if event.get("detail").is_some_and(Value::is_object) => Ok(kind),
                Some(_) => Err(InvalidEvent(format!("the \"{detail_type}\" event has no detail"))),
                None => Err(InvalidEvent(format!(
                    "the event's source is {:?} and its detail-type {:?}",
                    first_80_chars(source),
                    first_80_chars(detail_type)
                ))),
            }
        }
    }
}

/// `None` for ECS events that trigger no reading.
fn ecs_trigger_kind(detail_type: &str) -> Option<TriggerKind> {
    match detail_type {
        TASK_STATE_CHANGE => Some(TriggerKind::TaskStateChange),
        DEPLOYMENT_STATE_CHANGE => Some(TriggerKind::DeploymentStateChange),
        SERVICE_ACTION => Some(TriggerKind::ServiceAction),
        _ => None,
    }
}

/// The distinct clusters of the events; empty, which means all clusters, if one of the events does
/// not name its cluster.
fn clusters_of_events<'a>(
    events: impl IntoIterator<Item = &'a Map<String, Value>>,
) -> Vec<ClusterRef> {
    let named: Option<Vec<ClusterRef>> = events.into_iter().map(cluster_of_event).collect();
    let mut clusters = named.unwrap_or_default();
    clusters.sort_by(|a, b| a.given().cmp(b.given()));
    clusters.dedup();
    clusters
}

/// The cluster in the detail of an event. A deployment event names only its service, whose ARN
/// contains the cluster's name.
fn cluster_of_event(event: &Map<String, Value>) -> Option<ClusterRef> {
    if let Some(arn) = event.get("detail")?.get("clusterArn") {
        return arn.as_str()?.parse().ok();
    }
    let service = event.get("resources")?.get(0)?.as_str()?;
    let (prefix, rest) = service.split_once(":service/")?;
    let (cluster, _) = rest.split_once('/')?;
    format!("{prefix}:cluster/{cluster}").parse().ok()
}

/// The trigger kind and the clusters of a batch of messages. A message that is not understood is
/// logged and skipped: with an error, the queue would deliver the whole batch again and again.
fn parse_sqs_batch(
    event: &Map<String, Value>,
) -> Result<(TriggerKind, Vec<ClusterRef>), InvalidEvent> {
    let records = match event.get("Records") {
        Some(Value::Array(records)) if !records.is_empty() => records,
        _ => return Err(InvalidEvent("the event's Records are not a list of messages".to_owned())),
    };
    let is_message = |record: &Value| record["eventSource"] == "aws:sqs";
    if !records.iter().any(is_message) {
        return Err(InvalidEvent("none of the event's Records is an SQS message".to_owned()));
    }
    let mut kind = None;
    let mut messages = Vec::with_capacity(records.len());
    for (at, record) in records.iter().enumerate() {
        match parse_sqs_message(record) {
            Ok((of_it, message)) => {
                kind.get_or_insert(of_it);
                messages.push(message);
            }
            Err(InvalidEvent(problem)) => {
                let problem = excerpt(&problem);
                tracing::warn!(record = at, problem, "a message of the batch is not understood");
            }
        }
    }
    Ok((kind.unwrap_or(TriggerKind::TaskStateChange), clusters_of_events(&messages)))
}

fn parse_sqs_message(record: &Value) -> Result<(TriggerKind, Map<String, Value>), InvalidEvent> {
    let body = record.get("body").and_then(Value::as_str);
    let body = body.ok_or_else(|| InvalidEvent("the SQS message has no body".to_owned()))?;
    let message: Map<String, Value> = serde_json::from_str(body)
        .map_err(|error| InvalidEvent(format!("the SQS message's body cannot be read: {error}")))?;
    match eventbridge_trigger_kind(&message)? {
        TriggerKind::Schedule => {
            Err(InvalidEvent("the SQS message is a scheduled event".to_owned()))
        }
        kind => Ok((kind, message)),
    }
}

fn json_type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn first_80_chars(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task_state_change() -> Value {
        json!({"source": "aws.ecs", "detail-type": TASK_STATE_CHANGE, "detail": {}})
    }

    #[test]
    fn every_field_of_a_manual_event_is_optional() {
        let manual = Trigger::new(TriggerKind::Manual);
        for (event, expected) in [
            (json!({}), manual.clone()),
            (json!({"dry_run": true}), Trigger { dry_run: true, ..manual.clone() }),
            (json!({"force": true}), Trigger { force: true, ..manual.clone() }),
            (json!({"explain": true}), Trigger { explain: true, ..manual.clone() }),
            (
                json!({"environment": "aws-prod"}),
                Trigger { environment: Some("aws-prod".to_owned()), ..manual.clone() },
            ),
        ] {
            assert_eq!(Trigger::parse(&event.to_string()), Ok(expected), "{event}");
        }
    }

    #[test]
    fn unknown_fields_of_scheduled_events_are_ignored() {
        for (source, detail) in [("aws.events", json!({})), ("aws.scheduler", json!("{}"))] {
            let event = json!({
                "version": "0", "source": source, "detail-type": "Scheduled Event",
                "detail": detail, "new": 1
            });
            assert_eq!(
                Trigger::parse(&event.to_string()),
                Ok(Trigger::new(TriggerKind::Schedule)),
                "{event}"
            );
        }
    }

    #[test]
    fn unknown_event_is_rejected_with_a_list_of_the_accepted_forms() {
        let cases = [
            json!(null),
            json!("{}"),
            json!([task_state_change()]),
            json!({"dry-run": true}),
            json!({"dry_run": 1}),
            json!({"force": null}),
            json!({"environment": ["aws-prod"]}),
            json!({"environment": null}),
            json!({"source": "aws.events"}),
            json!({"source": "aws.ec2", "detail-type": "Scheduled Event"}),
            json!({"source": "aws.ecs", "detail-type": "ECS Container Instance State Change",
                   "detail": {}}),
            json!({"source": "aws.ecs", "detail-type": SERVICE_ACTION}),
            json!({"source": "aws.ecs", "detail-type": TASK_STATE_CHANGE}),
            json!({"source": "my.app", "detail-type": TASK_STATE_CHANGE, "detail": {}}),
            json!({"Records": []}),
            json!({"Records": {"body": "{}"}}),
            json!({"Records": [
                {"eventSource": "aws:s3", "body": task_state_change().to_string()}
            ]}),
        ];
        for event in cases {
            let error = Trigger::parse(&event.to_string()).unwrap_err().to_string();
            assert!(error.contains("An event is one of: an EventBridge"), "{event}: {error}");
        }
    }

    #[test]
    fn deeply_nested_huge_or_malformed_event_is_rejected_with_a_short_message() {
        let deep = "[".repeat(1 << 20);
        let deep_field = format!("{{\"force\": {}", "{\"a\":".repeat(1 << 18));
        let long = "\u{1}x".repeat(1 << 19);
        let long_texts = [
            json!({"source": long, "detail-type": long}),
            json!({&long: true}),
            json!({"force": long}),
        ];
        let long_texts: Vec<_> = long_texts.iter().map(Value::to_string).collect();
        let broken = ["", "{", &deep, &deep_field, "{\"force\": true} x", "\u{0}"];
        for event in broken.into_iter().chain(long_texts.iter().map(String::as_str)) {
            let error = Trigger::parse(event).unwrap_err().to_string();
            assert!(error.len() < 1_000, "{error}");
        }
    }

    #[test]
    fn trigger_has_the_clusters_of_its_events_or_none_if_one_event_names_no_cluster() {
        let of = |cluster: Value| {
            json!({"source": "aws.ecs", "detail-type": TASK_STATE_CHANGE,
                   "detail": {"clusterArn": cluster}})
        };
        let record = |event: &Value| json!({"eventSource": "aws:sqs", "body": event.to_string()});
        let arn = |name: &str| format!("arn:aws:ecs:eu-central-1:274425519734:cluster/{name}");
        let [app, db] = ["app", "db"].map(|name| of(json!(arn(name))));
        for (event, expected) in [
            (app.clone(), vec!["app"]),
            (json!({"Records": [record(&app), record(&db), record(&app)]}), vec!["app", "db"]),
            (json!({"Records": [record(&app), record(&of(json!(null)))]}), vec![]),
            (of(json!(7)), vec![]),
            (of(json!("nonsense/")), vec![]),
            (task_state_change(), vec![]),
        ] {
            let trigger = Trigger::parse(&event.to_string()).unwrap();
            let names: Vec<_> = trigger.clusters.iter().map(ClusterRef::name).collect();
            assert_eq!(names, expected, "{event}");
        }
    }

    #[test]
    fn invalid_message_of_an_sqs_batch_is_skipped_and_the_others_still_trigger() {
        let record = |body: Value| json!({"eventSource": "aws:sqs", "body": body});
        let foreign = [
            record(task_state_change()),
            record(json!("{")),
            record(json!("{}")),
            record(json!(
                json!({"source": "aws.events", "detail-type": "Scheduled Event"}).to_string()
            )),
            json!({"eventSource": "aws:s3"}),
            json!(7),
        ];
        let arn = "arn:aws:ecs:eu-central-1:274425519734:cluster/app";
        let event = json!({"source": "aws.ecs", "detail-type": SERVICE_ACTION,
                           "detail": {"clusterArn": arn}});
        let service_action = Trigger {
            clusters: vec![arn.parse().unwrap()],
            ..Trigger::new(TriggerKind::ServiceAction)
        };
        for foreign in foreign {
            let batch = json!({"Records": [foreign, record(json!(event.to_string()))]});
            assert_eq!(Trigger::parse(&batch.to_string()), Ok(service_action.clone()), "{batch}");
        }
        let batch = json!({"Records": [record(json!("{"))]});
        let all = Trigger::new(TriggerKind::TaskStateChange);
        assert_eq!(Trigger::parse(&batch.to_string()), Ok(all), "it is a reason to look, still");
    }

    #[test]
    fn cluster_of_a_deployment_event_is_taken_from_its_service_arn() {
        let event = |service: &str| {
            json!({"source": "aws.ecs", "detail-type": DEPLOYMENT_STATE_CHANGE, "detail": {},
                   "resources": [format!("arn:aws:ecs:eu-central-1:274425519734:{service}")]})
        };
        for (service, expected) in
            [("service/app/web", vec!["app"]), ("service/web", vec![]), ("", vec![])]
        {
            let trigger = Trigger::parse(&event(service).to_string()).unwrap();
            assert_eq!(trigger.kind, TriggerKind::DeploymentStateChange);
            let names: Vec<_> = trigger.clusters.iter().map(ClusterRef::name).collect();
            assert_eq!(names, expected, "{service}");
        }
    }
}
