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

const SERVER: &str = "server";
const TOKEN: &str = "token";

/// For all requests about one environment.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What is sent instead of a token that is not known: the server's refusal shows that it is there.
const NO_TOKEN: &str = "no-token-was-given";

/// The server's part of the configuration.
pub(super) struct ServerCheck<'a> {
    pub(super) config: &'a ServerConfig,
    /// The token, or the reason why there is none.
    pub(super) token: Result<TokenSource, String>,
    /// Those whose names are known.
    pub(super) environments: &'a [EnvironmentConfig],
}

impl ServerCheck<'_> {
    pub(super) async fn run(&self) -> Vec<Row> {
        let ServerConfig { host, proxy, org, .. } = self.config;
        let tokens = match &self.token {
            Ok(tokens) => tokens.clone(),
            Err(_) => TokenSource::Given(NO_TOKEN.to_owned().into()),
        };
        let client = match Client::with_proxy(host.clone(), proxy.clone(), org.clone(), tokens) {
            Ok(client) => client,
            Err(error) => {
                let mut rows = vec![Row::failed_as(SERVER, error, ErrorKind::ServerUnavailable)];
                rows.extend(skipped(self.environments, "there is no connection to the server"));
                return rows;
            }
        };
        // Any name will do to see whether the server is there and knows the token.
        let first = self.environments.first().map_or("unnamed", |it| it.name.as_str());
        let answer = describe(&client, first).await;
        let mut rows = vec![self.server_row(&answer)];
        if rows[0].has_failed() {
            rows.extend(skipped(self.environments, "there is no connection to the server"));
            return rows;
        }
        rows.push(self.token_row(&client, first, &answer).await);
        if is_refused(&answer) {
            let reason = "the server accepts no token";
            rows.extend(skipped(self.environments, reason).into_iter().skip(1));
            return rows;
        }
        let mut answer = Some(answer);
        for environment in self.environments {
            let answer = match answer.take() {
                Some(answer) => answer,
                None => describe(&client, &environment.name).await,
            };
            rows.push(environment_row(environment, answer));
        }
        if self.environments.is_empty() {
            rows.extend(skipped(&[], "").into_iter().skip(1));
        }
        rows
    }

    fn server_row(&self, answer: &Result<Environment, ApiError>) -> Row {
        let host = &self.config.host;
        match answer {
            Err(error @ (ApiError::Unavailable { .. } | ApiError::NotASnapshotServer { .. })) => {
                Row::failed_as(SERVER, error, error.into())
            }
            Err(error @ ApiError::Rejected { status, .. }) if status.is_redirection() => {
                Row::failed_as(SERVER, error, error.into())
            }
            _ if host.scheme() == "https" => {
                Row::ok(SERVER, format!("{host} answers, with a valid certificate"))
            }
            _ => Row::ok(SERVER, format!("{host} answers, without TLS")),
        }
    }

    async fn token_row(
        &self,
        client: &Client,
        environment: &str,
        answer: &Result<Environment, ApiError>,
    ) -> Row {
        if let Err(reason) = &self.token {
            return Row::skipped(TOKEN, reason);
        }
        let org = &self.config.org;
        match answer {
            Err(error) if is_refused(answer) => Row::failed_as(TOKEN, error, error.into()),
            // The organization itself may not exist.
            Err(error @ ApiError::Rejected { .. }) => {
                Row::skipped(TOKEN, format!("whether it is accepted is not known: {error}"))
            }
            _ => match client.environment(environment, Some(deadline())).may_report().await {
                Ok(Some(true)) => Row::ok(TOKEN, format!("accepted, and may report in {org}")),
                Ok(Some(false)) => Row::failed(
                    TOKEN,
                    format!("accepted to read in {org}, and not to report"),
                    "Give it the right report in the recorder's token file, or choose another token",
                ),
                Ok(None) => Row::ok(
                    TOKEN,
                    format!(
                        "accepted to read in {org}; whether it may report is only known of a recorder"
                    ),
                ),
                Err(error) => Row::failed_as(TOKEN, &error, (&error).into()),
            },
        }
    }
}

/// Rows for the token and the environments if they are not checked.
pub(super) fn skipped(environments: &[EnvironmentConfig], reason: &str) -> Vec<Row> {
    let mut rows = vec![Row::skipped(TOKEN, reason)];
    if environments.is_empty() {
        let reason = if is_environment_unset(env_var) {
            "KOSLI_ENVIRONMENT is not set"
        } else {
            "no valid environment is configured"
        };
        rows.push(Row::skipped("environment", reason));
    }
    rows.extend(environments.iter().map(|it| Row::skipped(name_of(it), reason)));
    rows
}

/// Rows for everything about the server.
pub(super) fn all_skipped(environments: &[EnvironmentConfig], reason: &str) -> Vec<Row> {
    let mut rows = vec![Row::skipped(SERVER, reason)];
    rows.extend(skipped(environments, reason));
    rows
}

async fn describe(client: &Client, name: &str) -> Result<Environment, ApiError> {
    Ok(client.environment(name, Some(deadline())).describe().await?.document)
}

fn deadline() -> Instant {
    Instant::now() + TIMEOUT
}

fn is_refused<T>(answer: &Result<T, ApiError>) -> bool {
    matches!(answer, Err(ApiError::Token(_)))
        || matches!(answer, Err(ApiError::Rejected { status, .. }) if matches!(status.as_u16(), 401 | 403))
}

fn name_of(environment: &EnvironmentConfig) -> String {
    format!("environment {}", environment.name)
}

fn environment_row(config: &EnvironmentConfig, answer: Result<Environment, ApiError>) -> Row {
    let name = name_of(config);
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
        Err(ApiError::EnvironmentNotFound { .. }) if config.auto_create => {
            Row::ok(name, "does not exist yet, and will be created (AUTO_CREATE_ENVIRONMENT)")
        }
        Err(error) => {
            let remedy = ErrorKind::from(&error).remedy(RemedyContext::Terminal);
            Row::failed(name, error, remedy)
        }
    }
}
