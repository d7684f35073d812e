//! Runs each of the two reporters, `kosli snapshot ecs` and `envsnap report`, once on a given AWS account.

use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::emulator::aws_variables;
use crate::fake_server::FakeServer;
use crate::programs::{ProgramOutput, command, envsnap};
use crate::recorder::{ENVIRONMENT, ORG, server_variables};

/// How long a reporter may take: far more than it needs, even if it is throttled and retries.
const REPORTER_TIMEOUT: Duration = Duration::from_mins(2);

/// Runs `kosli snapshot ecs` with these arguments on the AWS account behind `aws_endpoint`. Returns its
/// output, and the reports that it sends to a server that has the environment and no snapshot of it.
pub(crate) async fn kosli_snapshot(
    aws_endpoint: &str,
    arguments: &[&str],
) -> (ProgramOutput, Vec<Value>) {
    let server = FakeServer::start().await;
    (kosli_snapshot_to(&server.url, aws_endpoint, arguments).await, received_reports(&server))
}

/// As [`kosli_snapshot`], for `envsnap report` with these environment variables.
pub(crate) async fn envsnap_report(
    aws_endpoint: &str,
    variables: &[(&str, &str)],
) -> (ProgramOutput, Vec<Value>) {
    let server = FakeServer::start().await;
    (envsnap_report_to(&server.url, aws_endpoint, variables).await, received_reports(&server))
}

/// Runs `kosli snapshot ecs`, which reports to the server at `server_url`.
pub(crate) async fn kosli_snapshot_to(
    server_url: &str,
    aws_endpoint: &str,
    arguments: &[&str],
) -> ProgramOutput {
    let mut kosli = command("kosli");
    kosli.args(["snapshot", "ecs", ENVIRONMENT]).args(arguments);
    run_reporter(kosli, server_url, aws_endpoint).await
}

/// Runs `envsnap report` with these environment variables, which reports to the server at `server_url`.
pub(crate) async fn envsnap_report_to(
    server_url: &str,
    aws_endpoint: &str,
    variables: &[(&str, &str)],
) -> ProgramOutput {
    let mut report = envsnap();
    report.args(["report", "-o", "json"]).env("KOSLI_ENVIRONMENT", ENVIRONMENT);
    report.envs(variables.iter().copied());
    run_reporter(report, server_url, aws_endpoint).await
}

/// Runs `reporter` to its end, which reads from `aws_endpoint` and reports to `server_url`.
async fn run_reporter(
    mut reporter: Command,
    server_url: &str,
    aws_endpoint: &str,
) -> ProgramOutput {
    reporter.envs(aws_variables(aws_endpoint)).envs(server_variables(server_url));
    let output = timeout(REPORTER_TIMEOUT, ProgramOutput::run(&mut reporter)).await;
    output.unwrap_or_else(|_| panic!("not done after {REPORTER_TIMEOUT:?}: {reporter:?}"))
}

/// The bodies of the reports that the server received, each of which must be for the environment.
fn received_reports(server: &FakeServer) -> Vec<Value> {
    let expected_path = format!("/api/v2/environments/{ORG}/{ENVIRONMENT}/report/ECS");
    let reports = server.reports().into_iter();
    reports
        .map(|(path, body)| {
            assert_eq!(path, expected_path);
            body
        })
        .collect()
}
