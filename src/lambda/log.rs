//! The function's log: JSON lines on standard output.

use std::io::Write as _;

use lambda_runtime::Diagnostic;
use serde::Serialize;
use serde_json::{Value, json};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::logging::own_targets;
use crate::redact::{RedactingWriter, redact_json, redact_known};
use crate::report::{
    ArtifactRow, Calls, Changes, EnvironmentOutcome, ErrorKind, ErrorRow, OutcomeKind,
    RemedyContext, ReportReason, TriggerKind,
};

/// Rows of each list in an environment's log line, which CloudWatch would truncate at 256 KB.
const MAX_ROWS: usize = 100;

/// Sets up logging with the level and the format of the function's configuration.
pub(super) fn init() {
    let variable = |name: &str| std::env::var(name).unwrap_or_default().to_ascii_lowercase();
    let level = match variable("AWS_LAMBDA_LOG_LEVEL").as_str() {
        "warn" => LevelFilter::WARN,
        "error" | "fatal" => LevelFilter::ERROR,
        _ => LevelFilter::INFO,
    };
    let log = tracing_subscriber::fmt::layer()
        .with_writer(|| RedactingWriter(std::io::stdout()))
        .with_target(false);
    let filter = own_targets(level);
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let payload = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(location, "envsnap panicked, which is a fault of its own: {payload}");
    }));
    // A subscriber that is already set stays: only tests have one.
    let _set = if variable("AWS_LAMBDA_LOG_FORMAT") == "text" {
        tracing_subscriber::registry().with(log.with_ansi(false).with_filter(filter)).try_init()
    } else {
        let json = log.json().flatten_event(true).with_span_list(false);
        tracing_subscriber::registry().with(json.with_filter(filter)).try_init()
    };
}

/// Logs an invocation that failed before it reached any environment, and returns the error to
/// respond with.
pub(super) fn failure(kind: ErrorKind, message: &str, request_id: &str) -> Diagnostic {
    tracing::error!(requestId = request_id, error_type = kind.error_type(), "{message}");
    diagnostic(kind, message)
}

/// The error that a failed invocation responds with.
pub(super) fn diagnostic(kind: ErrorKind, message: &str) -> Diagnostic {
    let error_message = redact_known(message).into_owned();
    Diagnostic { error_type: kind.error_type().to_owned(), error_message }
}

/// Logs the outcome of one environment, whatever the level: its metrics are counted from this line.
pub(super) fn outcome(
    trigger: TriggerKind,
    environment: &EnvironmentOutcome,
    request_id: &str,
    metrics: bool,
) {
    let environment = environment.clone().truncated(MAX_ROWS);
    match outcome_line(trigger, &environment, request_id, metrics, jiff::Timestamp::now()) {
        // An error here has no other place to be reported to.
        Ok(line) => drop(writeln!(std::io::stdout().lock(), "{line}")),
        Err(error) => tracing::error!(%error, "the outcome cannot be written as JSON"),
    }
}

/// The outcome of one environment, with its metrics in CloudWatch's embedded format. There are few
/// metrics, since each costs more a month than the function itself; all else is a field.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'static str,
    message: String,
    #[serde(rename = "requestId")]
    request_id: &'a str,
    trigger: TriggerKind,
    outcome: OutcomeKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<ReportReason>,
    created: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<&'a str>,
    content_hash: &'a Option<String>,
    // If nothing was read there are no counts: zero would be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    containers: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifacts: Option<usize>,
    /// Left out if nothing changed: the line of the last report has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<&'a [ArtifactRow]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<&'a Changes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unresolved: Option<&'a [String]>,
    calls: Calls,
    duration_ms: u64,
    error: &'a Option<ErrorRow>,
    #[serde(rename = "Environment")]
    environment: &'a str,
    #[serde(rename = "Posted")]
    posted: u8,
    #[serde(rename = "Failed")]
    failed: u8,
    #[serde(rename = "Unresolved", skip_serializing_if = "Option::is_none")]
    unresolved_count: Option<usize>,
    #[serde(rename = "_aws", skip_serializing_if = "Option::is_none")]
    embedded_metrics: Option<Value>,
}

/// The line as JSON, without secrets; with `metrics` CloudWatch counts its metrics.
fn outcome_line(
    trigger: TriggerKind,
    environment: &EnvironmentOutcome,
    request_id: &str,
    metrics: bool,
    now: jiff::Timestamp,
) -> serde_json::Result<String> {
    let count = |name: &str| json!({"Name": name, "Unit": "Count"});
    let failed = environment.outcome == OutcomeKind::Failed;
    let was_read = environment.content_hash.is_some();
    let mut counted = vec![count("Posted"), count("Failed")];
    if was_read {
        counted.push(count("Unresolved"));
    }
    let mut line = serde_json::to_value(&Line {
        timestamp: now.to_string(),
        level: if failed { "ERROR" } else { "INFO" },
        message: format!("{}: {}", environment.environment, summary(environment)),
        request_id,
        trigger,
        outcome: environment.outcome,
        reason: environment.reason,
        created: environment.created,
        index: environment.index,
        head: environment.head.as_deref(),
        content_hash: &environment.content_hash,
        tasks: environment.tasks,
        containers: environment.containers,
        artifacts: was_read.then_some(environment.artifacts.len() + environment.omitted.artifacts),
        running: (was_read && environment.outcome != OutcomeKind::Unchanged)
            .then_some(&environment.artifacts),
        changes: was_read.then_some(&environment.changes),
        unresolved: was_read.then_some(&environment.unresolved),
        calls: environment.calls,
        duration_ms: environment.duration_ms,
        error: &environment.error,
        environment: &environment.environment,
        posted: u8::from(environment.outcome == OutcomeKind::Posted),
        failed: u8::from(failed),
        unresolved_count: was_read
            .then_some(environment.unresolved.len() + environment.omitted.unresolved),
        embedded_metrics: metrics.then(|| {
            json!({
                "Timestamp": now.as_millisecond(),
                "CloudWatchMetrics": [{
                    "Namespace": "envsnap",
                    "Dimensions": [["Environment"]],
                    "Metrics": counted,
                }],
            })
        }),
    })?;
    redact_json(&mut line);
    Ok(line.to_string())
}

/// What happened to the environment, or its error with a remedy.
fn summary(environment: &EnvironmentOutcome) -> String {
    if let Some(error) = &environment.error {
        return error.with_remedy(RemedyContext::Function);
    }
    let running = format!(
        "{} containers in {} tasks",
        environment.containers.unwrap_or_default(),
        environment.tasks.unwrap_or_default()
    );
    match (environment.outcome, environment.index) {
        (OutcomeKind::Posted, Some(index)) if environment.created => {
            format!("new snapshot {}#{index}: {running}", environment.environment)
        }
        (OutcomeKind::Posted, _) if environment.created => format!("new snapshot: {running}"),
        (OutcomeKind::Posted, _) => format!("{}: {running}", environment.posted_nothing_new()),
        (OutcomeKind::DryRun, _) => format!("would have been posted: {running}"),
        (OutcomeKind::NotCompared, _) => format!("not compared: {running}"),
        (OutcomeKind::Unchanged | OutcomeKind::Failed, _) => format!("unchanged: {running}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::DigestSource;

    fn line_with_artifacts(count: usize, verdict: OutcomeKind) -> Value {
        let mut environment = EnvironmentOutcome::new("aws-prod");
        environment.outcome = verdict;
        environment.content_hash = Some("ab".repeat(32));
        let name = |n: usize| format!("{n:03}-{}", "x".repeat(300));
        environment.unresolved = (0..count).map(name).collect();
        environment.artifacts = (0..count)
            .map(|n| ArtifactRow {
                name: name(n),
                fingerprint: None,
                replicas: 1,
                digest_source: DigestSource::Unknown,
            })
            .collect();
        let line = outcome_line(
            TriggerKind::Schedule,
            &environment.truncated(MAX_ROWS),
            "r-1",
            true,
            jiff::Timestamp::UNIX_EPOCH,
        );
        serde_json::from_str(&line.unwrap()).unwrap()
    }

    #[test]
    fn log_line_declares_each_cloudwatch_metric_with_its_dimension_and_has_its_value() {
        let line = line_with_artifacts(2, OutcomeKind::Posted);
        let declared = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(declared["Namespace"], "envsnap");
        assert_eq!(declared["Dimensions"], json!([["Environment"]]));
        assert_eq!(line["Environment"], "aws-prod");
        let names: Vec<_> = declared["Metrics"]
            .as_array()
            .unwrap()
            .iter()
            .map(|metric| {
                (metric["Name"].as_str().unwrap(), &line[metric["Name"].as_str().unwrap()])
            })
            .collect();
        assert_eq!(
            names,
            [("Posted", &json!(1)), ("Failed", &json!(0)), ("Unresolved", &json!(2))]
        );
    }

    #[test]
    fn log_line_has_the_head_of_the_servers_ledger_if_it_was_returned() {
        let mut environment = EnvironmentOutcome::new("aws-prod");
        let line = |environment: &EnvironmentOutcome| -> Value {
            let now = jiff::Timestamp::UNIX_EPOCH;
            let line = outcome_line(TriggerKind::Schedule, environment, "r-1", true, now);
            serde_json::from_str(&line.unwrap()).unwrap()
        };
        assert!(line(&environment).get("head").is_none());
        environment.head = Some("ab".repeat(32));
        assert_eq!(line(&environment)["head"], "ab".repeat(32));
    }

    #[test]
    fn log_line_of_an_environment_that_was_not_read_has_no_counts() {
        let mut environment = EnvironmentOutcome::new("aws-prod");
        environment.outcome = OutcomeKind::Failed;
        environment.error = Some(ErrorRow { kind: ErrorKind::CallDenied, message: "A".to_owned() });
        let now = jiff::Timestamp::UNIX_EPOCH;
        let line = outcome_line(TriggerKind::Schedule, &environment, "r-1", true, now).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        let counts =
            ["tasks", "containers", "artifacts", "running", "changes", "unresolved", "Unresolved"];
        for count in counts {
            assert!(line.get(count).is_none(), "{count}: {line}");
        }
        let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
        let names: Vec<_> = metrics.iter().map(|metric| &metric["Name"]).collect();
        assert_eq!(names, ["Posted", "Failed"]);
        assert_eq!((&line["Failed"], &line["level"]), (&json!(1), &json!("ERROR")));
        let remedy = ErrorKind::CallDenied.remedy(RemedyContext::Function);
        assert_eq!(line["message"], format!("aws-prod: A. {remedy}"));
    }

    #[test]
    fn log_line_of_12000_artifacts_is_below_256_kib_and_has_their_number() {
        let line = line_with_artifacts(12_000, OutcomeKind::Posted);
        assert!(line.to_string().len() < 256 << 10);
        assert_eq!(line["artifacts"], 12_000);
        assert_eq!(line["Unresolved"], 12_000);
    }

    #[test]
    fn log_line_of_an_unchanged_environment_does_not_list_its_artifacts() {
        assert!(line_with_artifacts(2, OutcomeKind::Unchanged).get("running").is_none());
        assert_eq!(
            line_with_artifacts(2, OutcomeKind::Failed)["running"].as_array().unwrap().len(),
            2
        );
    }
}
