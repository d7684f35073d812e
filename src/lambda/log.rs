//! The function's log: JSON lines on standard output.

use std::io::Write as _;

use serde::Serialize;
use serde_json::{Value, json};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::logging::own_events;
use crate::report::{
    ArtifactRow, Calls, Changes, EnvironmentOutcome, ErrorRow, TriggerKind, Verdict,
};

/// Rows of each list in an environment's line, which CloudWatch would cut at 256 KB.
const MOST_ROWS: usize = 100;

/// Writes events to the log at the level, and in the form, that the function is configured with.
pub(super) fn init() {
    let variable = |name: &str| std::env::var(name).unwrap_or_default().to_ascii_lowercase();
    let level = match variable("AWS_LAMBDA_LOG_LEVEL").as_str() {
        "warn" => LevelFilter::WARN,
        "error" | "fatal" => LevelFilter::ERROR,
        _ => LevelFilter::INFO,
    };
    let log = tracing_subscriber::fmt::layer().with_target(false);
    let filter = own_events(level);
    // A subscriber that is set already stays: only tests have one.
    let _set = if variable("AWS_LAMBDA_LOG_FORMAT") == "text" {
        tracing_subscriber::registry().with(log.with_ansi(false).with_filter(filter)).try_init()
    } else {
        let json = log.json().flatten_event(true).with_span_list(false);
        tracing_subscriber::registry().with(json.with_filter(filter)).try_init()
    };
}

/// Writes the line that says what became of one environment, whatever the level: its metrics are
/// counted from it.
pub(super) fn outcome(
    trigger: TriggerKind,
    environment: &EnvironmentOutcome,
    request_id: &str,
    metrics: bool,
) {
    let environment = environment.clone().cut(MOST_ROWS);
    match line(trigger, &environment, request_id, metrics, jiff::Timestamp::now()) {
        // Nobody is left to tell where even the log cannot be written to.
        Ok(line) => drop(writeln!(std::io::stdout().lock(), "{line}")),
        Err(error) => tracing::error!(%error, "the outcome cannot be written as JSON"),
    }
}

/// What became of one environment, with its metrics in CloudWatch's embedded form. There are few of
/// them, since each costs more a month than the function itself; all else is a field.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'static str,
    message: String,
    #[serde(rename = "requestId")]
    request_id: &'a str,
    trigger: TriggerKind,
    outcome: Verdict,
    created: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<&'a str>,
    content_hash: &'a Option<String>,
    tasks: usize,
    containers: usize,
    artifacts: usize,
    /// What runs is known from the line of the last report where it did not change.
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<&'a [ArtifactRow]>,
    changes: &'a Changes,
    unresolved: &'a [String],
    calls: Calls,
    duration_ms: u64,
    error: &'a Option<ErrorRow>,
    #[serde(rename = "Environment")]
    environment: &'a str,
    #[serde(rename = "Posted")]
    posted: u8,
    #[serde(rename = "Failed")]
    failed: u8,
    #[serde(rename = "Unresolved")]
    unresolved_count: usize,
    #[serde(rename = "_aws", skip_serializing_if = "Option::is_none")]
    embedded_metrics: Option<Value>,
}

fn line(
    trigger: TriggerKind,
    environment: &EnvironmentOutcome,
    request_id: &str,
    metrics: bool,
    now: jiff::Timestamp,
) -> serde_json::Result<String> {
    let count = |name: &str| json!({"Name": name, "Unit": "Count"});
    let failed = environment.outcome == Verdict::Failed;
    serde_json::to_string(&Line {
        timestamp: now.to_string(),
        level: if failed { "ERROR" } else { "INFO" },
        message: format!("{}: {}", environment.environment, summary(environment)),
        request_id,
        trigger,
        outcome: environment.outcome,
        created: environment.created,
        head: environment.head.as_deref(),
        content_hash: &environment.content_hash,
        tasks: environment.tasks,
        containers: environment.containers,
        artifacts: environment.artifacts.len() + environment.omitted.artifacts,
        running: (environment.outcome != Verdict::Unchanged).then_some(&environment.artifacts),
        changes: &environment.changes,
        unresolved: &environment.unresolved,
        calls: environment.calls,
        duration_ms: environment.duration_ms,
        error: &environment.error,
        environment: &environment.environment,
        posted: u8::from(environment.outcome == Verdict::Posted),
        failed: u8::from(failed),
        unresolved_count: environment.unresolved.len() + environment.omitted.unresolved,
        embedded_metrics: metrics.then(|| {
            json!({
                "Timestamp": now.as_millisecond(),
                "CloudWatchMetrics": [{
                    "Namespace": "envsnap",
                    "Dimensions": [["Environment"]],
                    "Metrics": [count("Posted"), count("Failed"), count("Unresolved")],
                }],
            })
        }),
    })
}

fn summary(environment: &EnvironmentOutcome) -> String {
    let running = format!("{} containers in {} tasks", environment.containers, environment.tasks);
    match (environment.outcome, &environment.error) {
        (_, Some(error)) => error.message.clone(),
        (Verdict::Posted, None) if environment.created => format!("new snapshot: {running}"),
        (Verdict::Posted, None) => format!("posted, nothing new for the server: {running}"),
        (Verdict::DryRun, None) => format!("would have been posted: {running}"),
        (Verdict::Unchanged | Verdict::Failed, None) => format!("unchanged: {running}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::DigestSource;

    fn with_artifacts(count: usize, verdict: Verdict) -> Value {
        let mut environment = EnvironmentOutcome::of("aws-prod");
        environment.outcome = verdict;
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
        let line = line(
            TriggerKind::Schedule,
            &environment.cut(MOST_ROWS),
            "r-1",
            true,
            jiff::Timestamp::UNIX_EPOCH,
        );
        serde_json::from_str(&line.unwrap()).unwrap()
    }

    #[test]
    fn each_metric_is_declared_and_has_its_value_and_dimension() {
        let line = with_artifacts(2, Verdict::Posted);
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
    fn the_head_that_a_server_told_is_in_the_line_as_a_witness() {
        let mut environment = EnvironmentOutcome::of("aws-prod");
        let line = |environment: &EnvironmentOutcome| -> Value {
            let now = jiff::Timestamp::UNIX_EPOCH;
            let line = line(TriggerKind::Schedule, environment, "r-1", true, now);
            serde_json::from_str(&line.unwrap()).unwrap()
        };
        assert!(line(&environment).get("head").is_none());
        environment.head = Some("ab".repeat(32));
        assert_eq!(line(&environment)["head"], "ab".repeat(32));
    }

    #[test]
    fn a_large_environment_fits_one_log_event() {
        let line = with_artifacts(12_000, Verdict::Posted);
        assert!(line.to_string().len() < 256 << 10);
        assert_eq!(line["artifacts"], 12_000);
        assert_eq!(line["Unresolved"], 12_000);
    }

    #[test]
    fn an_unchanged_environment_does_not_list_again_what_runs() {
        assert!(with_artifacts(2, Verdict::Unchanged).get("running").is_none());
        assert_eq!(with_artifacts(2, Verdict::Failed)["running"].as_array().unwrap().len(), 2);
    }
}
