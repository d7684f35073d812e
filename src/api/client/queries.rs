//! Requests of the command line.

use std::sync::atomic::Ordering;

use envsnap_model::provenance::Origin;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::exchange::{RawResponse, parse};
use super::{ApiError, Client, EnvironmentClient};
use crate::api::wire::{
    ArtifactRun, Environment, EnvironmentDiff, EnvironmentEvent, RecordedSnapshot, RenameRequest,
    SnapshotListEntry,
};
use crate::api::{EnvironmentApi as _, ServerApi as _};

/// A parsed document, and the server's text, which may contain more.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiResponse<T> {
    pub document: T,
    /// The server's JSON.
    pub text: String,
}

/// The part of a history to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryQuery<'a> {
    /// `A..B`, where A and B are `N`, `~N` or `NOW`; empty for everything.
    pub interval: &'a str,
    /// From 1.
    pub page: u32,
    /// Items per page; for events at most 100.
    pub per_page: u32,
    /// Earliest first instead of latest first.
    pub reverse: bool,
}

impl Default for HistoryQuery<'_> {
    /// The latest 15.
    fn default() -> Self {
        Self { interval: "", page: 1, per_page: 15, reverse: false }
    }
}

/// A page of the changes in an environment.
#[derive(Debug, Clone, PartialEq)]
pub struct EventsPage {
    pub events: ApiResponse<Vec<EnvironmentEvent>>,
    /// Events on all pages, if the server says so.
    pub total: Option<u64>,
}

impl EnvironmentClient<'_> {
    /// Renames the environment.
    ///
    /// # Errors
    /// It does not exist, the new name is taken or not valid, or the server does not do it.
    pub async fn rename(&self, new_name: &str) -> Result<(), ApiError> {
        let operation = format!("rename environment \"{}\" to \"{new_name}\"", self.name);
        let path = ["environments", &self.client.org, self.name, "rename"];
        let request = RenameRequest { new_name: new_name.to_owned() };
        let answer = self.send(&operation, Method::PUT, &path, Some(&request)).await.map(drop);
        // An earlier attempt may have renamed it.
        if matches!(answer, Err(ApiError::EnvironmentNotFound { archived: false, .. }))
            && self.has_lost_answer()
            && self.client.environment(new_name, self.give_up_at).get().await.is_ok()
        {
            return Ok(());
        }
        answer
    }

    /// Archives the environment with its history.
    ///
    /// # Errors
    /// It does not exist, or the server does not do it.
    pub async fn archive(&self) -> Result<(), ApiError> {
        let operation = format!("archive environment \"{}\"", self.name);
        let path = ["environments", &self.client.org, self.name, "archive"];
        match self.send(&operation, Method::PUT, &path, None::<&()>).await {
            // By an earlier attempt.
            Err(ApiError::EnvironmentNotFound { archived: true, .. }) if self.has_lost_answer() => {
                Ok(())
            }
            answer => answer.map(drop),
        }
    }
}

impl EnvironmentClient<'_> {
    /// Whether the token has the right to report in the environment's organization. `None` if the
    /// server is not a recorder, where only a report would show it.
    ///
    /// Nothing is recorded: the report has no list of artifacts. A recorder checks the right before
    /// it reads the body.
    ///
    /// # Errors
    /// The server does not answer, or its answer shows neither.
    pub async fn may_report(&self) -> Result<Option<bool>, ApiError> {
        if !self.accepts_preconditions() {
            return Ok(None);
        }
        let operation = format!("check whether the token may report in \"{}\"", self.name);
        let path = ["environments", &self.client.org, self.name, "report", "ECS"];
        let nothing = serde_json::json!({});
        match self.send(&operation, Method::PUT, &path, Some(&nothing)).await {
            Err(ApiError::Rejected { status: StatusCode::BAD_REQUEST, .. }) => Ok(Some(true)),
            Err(ApiError::Rejected { status: StatusCode::FORBIDDEN, .. }) => Ok(Some(false)),
            answer => answer.map(|_| None),
        }
    }
}

impl Client {
    /// Whether the server answers [`Self::artifact_runs`], as of its last response.
    pub fn supports_artifact_runs(&self) -> bool {
        self.supports_artifact_runs.load(Ordering::Relaxed)
    }

    /// When the artifacts that match a pattern ran, in one environment or in all, over all history.
    ///
    /// # Errors
    /// The server does not return them.
    pub async fn artifact_runs(
        &self,
        artifact: &str,
        environment: Option<&str>,
    ) -> Result<Vec<ArtifactRun>, ApiError> {
        let operation = format!("return when \"{artifact}\" ran");
        let mut url = self.url(&["artifact-runs", &self.org]);
        url.query_pairs_mut().append_pair("artifact", artifact);
        if let Some(environment) = environment {
            url.query_pairs_mut().append_pair("environment", environment);
        }
        let client = self.environment(environment.unwrap_or_default(), None);
        let headers = HeaderMap::new();
        parse(
            &operation,
            &client.send_to(url, &operation, Method::GET, &headers, None::<&()>).await?,
        )
    }

    /// Every environment of the organization. No request is sent or awaited after `give_up_at`.
    ///
    /// # Errors
    /// The server does not return them.
    pub async fn environments(
        &self,
        give_up_at: Option<Instant>,
    ) -> Result<ApiResponse<Vec<Environment>>, ApiError> {
        let operation = format!("list the environments of \"{}\"", self.org);
        self.for_organization(give_up_at)
            .get_document(&operation, &["environments", &self.org], &[])
            .await
    }

    /// The difference between two snapshots, each given as an environment's name (its latest
    /// snapshot) or a name and an expression (`aws-prod#65`, `aws-prod~1`). No request is sent or
    /// awaited after `give_up_at`.
    ///
    /// # Errors
    /// There is no such snapshot, or the server does not return it.
    pub async fn diff(
        &self,
        one: &str,
        other: &str,
        give_up_at: Option<Instant>,
    ) -> Result<ApiResponse<EnvironmentDiff>, ApiError> {
        let operation = format!("compare \"{one}\" with \"{other}\"");
        let query = [("snappish1", one.to_owned()), ("snappish2", other.to_owned())];
        self.for_organization(give_up_at)
            .get_document(&operation, &["env-diff", &self.org], &query)
            .await
    }

    /// A client for requests that concern no single environment.
    pub(super) fn for_organization(&self, give_up_at: Option<Instant>) -> EnvironmentClient<'_> {
        self.environment("", give_up_at)
    }
}

impl EnvironmentClient<'_> {
    /// The environment's own properties.
    ///
    /// # Errors
    /// It does not exist, or the server does not return it.
    pub async fn describe(&self) -> Result<ApiResponse<Environment>, ApiError> {
        let operation = format!("describe environment \"{}\"", self.name);
        self.get_document(&operation, &["environments", &self.client.org, self.name], &[]).await
    }

    /// The snapshot for an expression (`-1`, `#65`, `~2`, `@{2.hours.ago}`).
    ///
    /// # Errors
    /// There is no such snapshot, or the server does not return it.
    pub async fn snapshot_response(
        &self,
        expression: &str,
    ) -> Result<ApiResponse<RecordedSnapshot>, ApiError> {
        self.snapshot_with_origins(expression, &[]).await
    }

    /// The snapshot that `expression` means, with only those of its artifacts that have one of these
    /// origins; with all if there are no `origins`, or if the server does not know this parameter.
    ///
    /// # Errors
    /// There is no such snapshot, or the server does not return it.
    pub async fn snapshot_with_origins(
        &self,
        expression: &str,
        origins: &[Origin],
    ) -> Result<ApiResponse<RecordedSnapshot>, ApiError> {
        let operation = format!("return snapshot {expression} of \"{}\"", self.name);
        let path = ["snapshots", &self.client.org, self.name, expression];
        let query: Vec<_> =
            origins.iter().map(|origin| ("origin", origin.as_str().to_owned())).collect();
        self.get_document(&operation, &path, &query).await
    }

    /// The snapshots, each with the time for which it was the latest.
    ///
    /// # Errors
    /// The environment does not exist, or the server does not return it.
    pub async fn snapshots(
        &self,
        part: HistoryQuery<'_>,
    ) -> Result<ApiResponse<Vec<SnapshotListEntry>>, ApiError> {
        let operation = format!("list the snapshots of \"{}\"", self.name);
        let path = ["snapshots", &self.client.org, self.name];
        self.get_document(&operation, &path, &part.query_parameters()).await
    }

    /// The changes, one event per artifact.
    ///
    /// # Errors
    /// The environment does not exist, or the server does not return it.
    pub async fn events(&self, part: HistoryQuery<'_>) -> Result<EventsPage, ApiError> {
        let operation = format!("list the events of \"{}\"", self.name);
        let path = ["environments", &self.client.org, self.name, "events"];
        let answer = self.get_answer(&operation, &path, &part.query_parameters()).await?;
        Ok(EventsPage { events: parse_with_text(&operation, &answer)?, total: answer.total })
    }

    pub(super) async fn get_document<T: DeserializeOwned>(
        &self,
        operation: &str,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<ApiResponse<T>, ApiError> {
        parse_with_text(operation, &self.get_answer(operation, path, query).await?)
    }

    async fn get_answer(
        &self,
        operation: &str,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<RawResponse, ApiError> {
        let mut url = self.client.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.send_to(url, operation, Method::GET, &HeaderMap::new(), None::<&()>).await
    }
}

/// Parses a response's body, and keeps its text.
fn parse_with_text<T: DeserializeOwned>(
    operation: &str,
    answer: &RawResponse,
) -> Result<ApiResponse<T>, ApiError> {
    let document = parse(operation, answer)?;
    Ok(ApiResponse { document, text: String::from_utf8_lossy(&answer.body).into_owned() })
}

impl HistoryQuery<'_> {
    /// For the URL: `interval`, `page`, `per_page` and `reverse`.
    fn query_parameters(&self) -> [(&'static str, String); 4] {
        [
            ("interval", self.interval.to_owned()),
            ("page", self.page.to_string()),
            ("per_page", self.per_page.to_string()),
            ("reverse", self.reverse.to_string()),
        ]
    }
}
