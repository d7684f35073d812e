//! The reporter that the server's own client has, and ours, each run once on the same account.

use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::emulator::aws_variables;
use crate::programs::{Ended, command, envsnap};
use crate::receiver::Receiver;
use crate::recorder::{ENVIRONMENT, ORG, server_variables};

/// Far more than either takes, even where it is throttled and asks again.
const PATIENCE: Duration = Duration::from_mins(2);

/// What `kosli snapshot ecs` does with these arguments about the account at `aws`, and what arrives
/// at a server that has the environment and no snapshot of it.
pub(crate) async fn theirs(aws: &str, arguments: &[&str]) -> (Ended, Vec<Value>) {
    let server = Receiver::start().await;
    (theirs_to(&server.url, aws, arguments).await, reported(&server))
}

/// The same of `envsnap report`, with these variables.
pub(crate) async fn ours(aws: &str, variables: &[(&str, &str)]) -> (Ended, Vec<Value>) {
    let server = Receiver::start().await;
    (ours_to(&server.url, aws, variables).await, reported(&server))
}

/// What `kosli snapshot ecs` does where the server is at `host`.
pub(crate) async fn theirs_to(host: &str, aws: &str, arguments: &[&str]) -> Ended {
    let mut kosli = command("kosli");
    kosli.args(["snapshot", "ecs", ENVIRONMENT]).args(arguments);
    ended(kosli, host, aws).await
}

/// The same of `envsnap report`, with these variables.
pub(crate) async fn ours_to(host: &str, aws: &str, variables: &[(&str, &str)]) -> Ended {
    let mut report = envsnap();
    report.args(["report", "-o", "json"]).env("KOSLI_ENVIRONMENT", ENVIRONMENT);
    report.envs(variables.iter().copied());
    ended(report, host, aws).await
}

async fn ended(mut reporter: Command, host: &str, aws: &str) -> Ended {
    reporter.envs(aws_variables(aws)).envs(server_variables(host));
    let ended = timeout(PATIENCE, Ended::of(&mut reporter)).await;
    ended.unwrap_or_else(|_| panic!("not done after {PATIENCE:?}: {reporter:?}"))
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
