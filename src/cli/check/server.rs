//! Whether the snapshot server can be reached, accepts the token and has the environments.

use std::time::Duration;

use tokio::time::Instant;

use super::row::Row;
use crate::api::wire::{ECS, Environment};
use crate::api::{ApiError, Client, ServerApi as _};
use crate::cli::server_args::env_var;
use crate::config::{EnvironmentConfig, ServerConfig, is_environment_unset};
use crate::report::{ErrorKind, RemedyContext};
use crate::token::TokenSource;

/// Name of the check of the connection to the server.
const SERVER_CHECK: &str = "server";
/// Name of the check of the API token.
const TOKEN_CHECK: &str = "token";

/// For one request about an environment, with its retries.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Sent to the server if no token is known: its refusal shows that it can be reached.
const PLACEHOLDER_TOKEN: &str = "no-token-was-given";

/// The check of the server, of the token and of the environments on it.
pub(super) struct ServerCheck<'a> {
    pub(super) config: &'a ServerConfig,
    /// The token, or the reason why there is none.
    pub(super) token: Result<TokenSource, String>,
    /// Those whose names are known.
    pub(super) environments: &'a [EnvironmentConfig],
}

impl ServerCheck<'_> {
    /// Fetches each environment. Returns a row for the server, the token and each environment.
    pub(super) async fn run(&self) -> Vec<Row> {
        let ServerConfig { host, proxy, org, .. } = self.config;
        let tokens = match &self.token {
            Ok(tokens) => tokens.clone(),
            Err(_) => TokenSource::Given(PLACEHOLDER_TOKEN.to_owned().into()),
        };
        let client = match Client::with_proxy(host.clone(), proxy.clone(), org.clone(), tokens) {
            Ok(client) => client,
            Err(error) => {
                let mut rows =
                    vec![Row::failed_as(SERVER_CHECK, error, ErrorKind::ServerUnavailable)];
                rows.extend(skipped(self.environments, "there is no connection to the server"));
                return rows;
            }
        };
        // Any name will do to see whether the server is there and knows the token.
        let first = self.environments.first().map_or("unnamed", |it| it.name.as_str());
        let answer = fetch_environment(&client, first).await;
        let mut rows = vec![self.server_row(&answer)];
        if rows[0].has_failed() {
            rows.extend(skipped(self.environments, "there is no connection to the server"));
            return rows;
        }
        rows.push(self.token_row(&client, first, &answer).await);
        if is_token_refused(&answer) {
            let reason = "the server accepts no token";
            rows.extend(skipped(self.environments, reason).into_iter().skip(1));
            return rows;
        }
        let mut answer = Some(answer);
        for environment in self.environments {
            let answer = match answer.take() {
                Some(answer) => answer,
                None => fetch_environment(&client, &environment.name).await,
            };
            rows.push(environment_row(environment, answer));
        }
        if self.environments.is_empty() {
            rows.extend(skipped(&[], "").into_iter().skip(1));
        }
        rows
    }

    /// Whether the server can be reached, from its answer about an environment.
    fn server_row(&self, answer: &Result<Environment, ApiError>) -> Row {
        let host = &self.config.host;
        match answer {
            Err(error @ (ApiError::Unavailable { .. } | ApiError::NotASnapshotServer { .. })) => {
                Row::failed_as(SERVER_CHECK, error, error.into())
            }
            Err(error @ ApiError::Rejected { status, .. }) if status.is_redirection() => {
                Row::failed_as(SERVER_CHECK, error, error.into())
            }
            _ if host.scheme() == "https" => {
                Row::ok(SERVER_CHECK, format!("{host} answers, with a valid certificate"))
            }
            _ => Row::ok(SERVER_CHECK, format!("{host} answers, without TLS")),
        }
    }

    /// Whether the server accepts the token, and whether it has the right to report.
    async fn token_row(
        &self,
        client: &Client,
        environment: &str,
        answer: &Result<Environment, ApiError>,
    ) -> Row {
        if let Err(reason) = &self.token {
            return Row::skipped(TOKEN_CHECK, reason);
        }
        let org = &self.config.org;
        match answer {
            Err(error) if is_token_refused(answer) => {
                Row::failed_as(TOKEN_CHECK, error, error.into())
            }
            // The organization itself may not exist.
            Err(error @ ApiError::Rejected { .. }) => {
                Row::skipped(TOKEN_CHECK, format!("whether it is accepted is not known: {error}"))
            }
            _ => match client.environment(environment, Some(deadline())).may_report().await {
                Ok(Some(true)) => {
                    Row::ok(TOKEN_CHECK, format!("accepted, and may report in {org}"))
                }
                Ok(Some(false)) => Row::failed(
                    TOKEN_CHECK,
                    format!("accepted to read in {org}, and not to report"),
                    "Give it the right report in the recorder's token file, or choose another token",
                ),
                Ok(None) => Row::ok(
                    TOKEN_CHECK,
                    format!(
                        "accepted to read in {org}; whether it may report is only known of a recorder"
                    ),
                ),
                Err(error) => Row::failed_as(TOKEN_CHECK, &error, (&error).into()),
            },
        }
    }
}

/// Rows for the token and the environments if they are not checked.
pub(super) fn skipped(environments: &[EnvironmentConfig], reason: &str) -> Vec<Row> {
    let mut rows = vec![Row::skipped(TOKEN_CHECK, reason)];
    if environments.is_empty() {
        let reason = if is_environment_unset(env_var) {
            "KOSLI_ENVIRONMENT is not set"
        } else {
            "no valid environment is configured"
        };
        rows.push(Row::skipped("environment", reason));
    }
    rows.extend(environments.iter().map(|it| Row::skipped(environment_check_name(it), reason)));
    rows
}

/// Rows for everything about the server.
pub(super) fn all_skipped(environments: &[EnvironmentConfig], reason: &str) -> Vec<Row> {
    let mut rows = vec![Row::skipped(SERVER_CHECK, reason)];
    rows.extend(skipped(environments, reason));
    rows
}

/// Fetches an environment, within [`REQUEST_TIMEOUT`].
async fn fetch_environment(client: &Client, name: &str) -> Result<Environment, ApiError> {
    Ok(client.environment(name, Some(deadline())).describe().await?.document)
}

/// When a request that starts now has to be answered.
fn deadline() -> Instant {
    Instant::now() + REQUEST_TIMEOUT
}

/// Whether no token could be fetched, or the server refused it (status 401 or 403).
fn is_token_refused<T>(answer: &Result<T, ApiError>) -> bool {
    matches!(answer, Err(ApiError::Token(_)))
        || matches!(answer, Err(ApiError::Rejected { status, .. }) if matches!(status.as_u16(), 401 | 403))
}

fn environment_check_name(environment: &EnvironmentConfig) -> String {
    format!("environment {}", environment.name)
}

/// Whether the environment exists, or will be created, and is of type ECS.
fn environment_row(config: &EnvironmentConfig, answer: Result<Environment, ApiError>) -> Row {
    let name = environment_check_name(config);
    match answer {
        Ok(environment) if environment.environment_type != ECS => {
            let detail = format!("it is of type {}", environment.environment_type);
            Row::failed_as(name, detail, ErrorKind::WrongType)
        }
        Ok(environment) => {
            let replicas = if environment.include_scaling {
                "it counts replicas"
            } else {
                "a change of replicas alone is no difference"
            };
            Row::ok(name, format!("exists, type ECS; {replicas}"))
        }
        Err(ApiError::EnvironmentNotFound { archived: false, .. }) if config.auto_create => {
            Row::ok(name, "does not exist yet, and will be created (AUTO_CREATE_ENVIRONMENT)")
        }
        Err(error) => {
            let remedy = ErrorKind::from(&error).remedy(RemedyContext::Terminal);
            Row::failed(name, error, remedy)
        }
    }
}
