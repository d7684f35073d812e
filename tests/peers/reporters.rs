//! The reporter that the server's own client has, and ours, each run once on the same account.

use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::emulator::aws_variables;
use crate::programs::{ProgramOutput, command, envsnap};
use crate::receiver::Receiver;
use crate::recorder::{ENVIRONMENT, ORG, server_variables};

/// Far more than either takes, even if it is throttled and retries.
const TIMEOUT: Duration = Duration::from_mins(2);

/// What `kosli snapshot ecs` does with these arguments about the account at `aws`, and what arrives
/// at a server that has the environment and no snapshot of it.
pub(crate) async fn theirs(aws: &str, arguments: &[&str]) -> (ProgramOutput, Vec<Value>) {
    let server = Receiver::start().await;
    (theirs_to(&server.url, aws, arguments).await, reported(&server))
}

/// The same of `envsnap report`, with these variables.
pub(crate) async fn ours(aws: &str, variables: &[(&str, &str)]) -> (ProgramOutput, Vec<Value>) {
    let server = Receiver::start().await;
    (ours_to(&server.url, aws, variables).await, reported(&server))
}

/// What `kosli snapshot ecs` does with the server at `host`.
pub(crate) async fn theirs_to(host: &str, aws: &str, arguments: &[&str]) -> ProgramOutput {
    let mut kosli = command("kosli");
    kosli.args(["snapshot", "ecs", ENVIRONMENT]).args(arguments);
    run(kosli, host, aws).await
}

/// The same of `envsnap report`, with these variables.
pub(crate) async fn ours_to(host: &str, aws: &str, variables: &[(&str, &str)]) -> ProgramOutput {
    let mut report = envsnap();
    report.args(["report", "-o", "json"]).env("KOSLI_ENVIRONMENT", ENVIRONMENT);
    report.envs(variables.iter().copied());
    run(report, host, aws).await
}

async fn run(mut reporter: Command, host: &str, aws: &str) -> ProgramOutput {
    reporter.envs(aws_variables(aws)).envs(server_variables(host));
    let output = timeout(TIMEOUT, ProgramOutput::wait(&mut reporter)).await;
    output.unwrap_or_else(|_| panic!("not done after {TIMEOUT:?}: {reporter:?}"))
}

/// The reports that arrived, all where they belong.
fn reported(server: &Receiver) -> Vec<Value> {
    let path = format!("/api/v2/environments/{ORG}/{ENVIRONMENT}/report/ECS");
    let reports = server.reports().into_iter();
    reports
        .map(|(at, body)| {
            assert_eq!(at, path);
            body
        })
        .collect()
}
