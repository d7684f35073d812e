//! The client of a snapshot server.

mod error;
mod exchange;
mod latest;
#[cfg(feature = "cli")]
mod ledger;
mod local;
mod pages;
mod precondition;
#[cfg(feature = "cli")]
mod provenance;
mod queries;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, HeaderValue, IF_MATCH};
use reqwest::{Method, NoProxy, Proxy, StatusCode, Url, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::wire::{ACCEPTS, EcsReport, EnvironmentRequest, HEARTBEAT, RecordedSnapshot};
use super::{EnvironmentApi, ServerApi, wire};
use crate::renewable::Renewable;
use crate::snapshot::Snapshot;
use crate::tls;
use crate::token::{TokenError, TokenSource};
use envsnap_model::{SignedHead, error_chain};
pub use error::{ApiError, BuildClientError};
use exchange::parse;
use latest::parse_latest_snapshot;
pub use local::LocalServer;
pub use pages::Listing;
#[cfg(feature = "cli")]
pub use provenance::{Attachment, FlowRequest};
pub use queries::{ApiResponse, EventsPage, HistoryQuery};

/// For a TCP and TLS connection to the server, or to its proxy.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A snapshot server, and the organization to which requests belong.
#[derive(Debug)]
pub struct Client {
    http: Renewable<reqwest::Client>,
    host: Url,
    proxy: Option<Url>,
    org: String,
    tokens: TokenSource,
    token: Mutex<Option<SecretString>>,
    /// The server's last response announced that it takes preconditions on reports.
    accepts_preconditions: AtomicBool,
    /// The server's last response announced that it takes the origin of tasks.
    accepts_origin: AtomicBool,
    /// The server's last response announced that it answers `artifact-runs`.
    supports_artifact_runs: AtomicBool,
    /// Called instead of `host`.
    local: Option<LocalServer>,
}

/// The latest snapshot of an existing environment.
#[derive(Debug, Clone, PartialEq)]
pub enum LatestSnapshot {
    NoSnapshotYet,
    /// The environment is of this type, which is not ECS. Long types are truncated.
    OtherType(String),
    Snapshot {
        /// The snapshot's index, from 1.
        index: u64,
        snapshot: Snapshot,
    },
}

/// The headers of a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReportOptions {
    /// Record the report only if this is the index of the latest snapshot, 0 for none. It is sent to a
    /// server that accepts preconditions. With another one, the index is compared before each attempt
    /// but the first.
    pub latest_index: Option<u64>,
    /// The maximum time until the next report.
    pub heartbeat: Option<Duration>,
}

impl ReportOptions {
    /// `If-Match` with the latest index, if the server accepts it, and the heartbeat.
    fn headers(self, accepts_preconditions: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(index) = self.latest_index.filter(|_| accepts_preconditions)
            && let Ok(tag) = HeaderValue::try_from(format!("\"{index}\""))
        {
            headers.insert(IF_MATCH, tag);
        }
        if let Some(heartbeat) = self.heartbeat {
            headers.insert(HEARTBEAT, HeaderValue::from(heartbeat.as_secs()));
        }
        headers
    }
}

/// What the reporter reads of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct EnvironmentStatus {
    /// Seconds since the Unix epoch; `None` if it was never reported.
    pub last_reported_at: Option<f64>,
    /// A change of replicas alone makes a snapshot; `None` if the server does not say.
    pub include_scaling: Option<bool>,
}

impl EnvironmentStatus {
    /// The time of the last report; `None` also if it is out of range.
    pub fn reported_at(&self) -> Option<SystemTime> {
        let since_epoch = Duration::try_from_secs_f64(self.last_reported_at?).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(since_epoch)
    }
}

/// The server's response to a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportResponse {
    /// The report made a new snapshot.
    pub created: bool,
    /// The request was sent more than once. An attempt that seemed to fail may have made the
    /// snapshot, so that `created` may be false although an earlier attempt created it.
    pub repeated: bool,
    /// The head of the organization's ledger, if the server keeps one. Kept elsewhere, it shows
    /// later whether anything was rewritten.
    pub head: Option<SignedHead>,
}

/// Whether the host is this machine.
pub fn is_loopback(host: &Url) -> bool {
    let name = host.host_str().unwrap_or_default();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A client of the server at `host`, through `proxy` or the proxy in `HTTPS_PROXY` and its like,
/// unless `NO_PROXY` excepts the host.
fn http_client(host: &Url, proxy: Option<&Url>) -> reqwest::Result<reqwest::Client> {
    let http = reqwest::Client::builder()
        .user_agent(concat!("envsnap/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls::client_config())
        // A redirected PUT would arrive as a GET.
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT);
    match proxy {
        // A proxy could read a token that is meant to stay on this machine.
        _ if is_loopback(host) => http.no_proxy(),
        Some(proxy) => http.proxy(Proxy::all(proxy.as_str())?.no_proxy(NoProxy::from_env())),
        None => http,
    }
    .build()
}

impl Client {
    /// A client of the server at `host` (`https://app.kosli.com`) for `org`.
    ///
    /// # Errors
    /// The TLS library could not be set up.
    pub fn new(host: Url, org: String, tokens: TokenSource) -> Result<Self, BuildClientError> {
        Self::with_proxy(host, None, org, tokens)
    }

    /// Like [`Self::new`], through a proxy unless `NO_PROXY` excepts the host.
    ///
    /// # Errors
    /// The TLS library could not be set up.
    pub fn with_proxy(
        host: Url,
        proxy: Option<Url>,
        org: String,
        tokens: TokenSource,
    ) -> Result<Self, BuildClientError> {
        let http = http_client(&host, proxy.as_ref())
            .map_err(|error| BuildClientError(error_chain(&error)))?;
        let (http, token) = (Renewable::new(http), Mutex::default());
        Ok(Self {
            http,
            host,
            proxy,
            org,
            tokens,
            token,
            accepts_preconditions: AtomicBool::default(),
            accepts_origin: AtomicBool::default(),
            supports_artifact_runs: AtomicBool::default(),
            local: None,
        })
    }

    /// The same client, with requests answered by `local` instead of the server.
    #[must_use]
    pub fn with_local(self, local: LocalServer) -> Self {
        Self { local: Some(local), ..self }
    }

    /// Opens a connection and fetches the token before the first request needs them. Errors are
    /// ignored here: the first request meets and returns them.
    pub async fn warm_up(&self) {
        let connect = async { drop(self.http.get().head(self.host.clone()).send().await) };
        let token = async { drop(self.token().await) };
        futures_util::join!(connect, token);
    }

    /// Replaces `old` and its connections by a new client.
    fn reconnect(&self, old: &Arc<reqwest::Client>) {
        if let Err(error) = self.http.renew(old, |_| http_client(&self.host, self.proxy.as_ref())) {
            tracing::warn!(%error, "the connections to the server stay as they are");
        }
    }

    /// Stores the extensions that the server announces.
    fn store_capabilities(&self, status: StatusCode, headers: &HeaderMap) {
        let accepted = headers.get_all(ACCEPTS).iter().filter_map(|value| value.to_str().ok());
        let accepted: Vec<_> = accepted.flat_map(|list| list.split(',').map(str::trim)).collect();
        // An error without the header may come from a proxy in front of the server.
        if !accepted.is_empty() || status.is_success() {
            let accepts = |extension| accepted.contains(&extension);
            self.accepts_preconditions.store(accepts(wire::IF_MATCH), Ordering::Relaxed);
            self.accepts_origin.store(accepts(wire::ORIGIN), Ordering::Relaxed);
            self.supports_artifact_runs.store(accepts(wire::ARTIFACT_RUNS), Ordering::Relaxed);
        }
    }

    /// The token: fetched for the first request, and kept until the server refuses it.
    async fn token(&self) -> Result<SecretString, TokenError> {
        let mut token = self.token.lock().await;
        if let Some(token) = &*token {
            return Ok(token.clone());
        }
        let fetched = self.tokens.fetch().await?;
        *token = Some(fetched.clone());
        Ok(fetched)
    }

    /// Forgets the token that the server refused. Returns `false` if another request has replaced it
    /// since.
    async fn forget_token(&self, refused: &SecretString) -> bool {
        let mut token = self.token.lock().await;
        token.take_if(|token| token.expose_secret() == refused.expose_secret()).is_some()
    }

    /// The URL of an API path: `/api/v2` below the host, and the segments of `path`.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.host.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v2"]).extend(path);
        }
        url
    }
}

impl ServerApi for Client {
    type Environment<'a> = EnvironmentClient<'a>;

    fn environment<'a>(
        &'a self,
        name: &'a str,
        give_up_at: Option<Instant>,
    ) -> EnvironmentClient<'a> {
        EnvironmentClient {
            client: self,
            name,
            give_up_at,
            calls: AtomicU32::new(0),
            has_lost_answer: AtomicBool::new(false),
        }
    }
}

/// Requests about one environment, until a deadline; counts them, retries included.
#[derive(Debug)]
pub struct EnvironmentClient<'a> {
    client: &'a Client,
    name: &'a str,
    give_up_at: Option<Instant>,
    calls: AtomicU32,
    /// The outcome of an attempt is not known: the server may have done what was requested.
    has_lost_answer: AtomicBool,
}

impl EnvironmentClient<'_> {
    /// The complete snapshot for an expression (`-1`, `#65`, `~2`).
    ///
    /// # Errors
    /// There is no such snapshot, or the server does not return it.
    pub async fn snapshot(&self, expression: &str) -> Result<RecordedSnapshot, ApiError> {
        let operation = format!("return snapshot {expression} of \"{}\"", self.name);
        let path = ["snapshots", &self.client.org, self.name, expression];
        parse(&operation, &self.send(&operation, Method::GET, &path, None::<&()>).await?)
    }
}

impl EnvironmentApi for EnvironmentClient<'_> {
    fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    fn accepts_preconditions(&self) -> bool {
        self.client.accepts_preconditions.load(Ordering::Relaxed)
    }

    fn accepts_origin(&self) -> bool {
        self.client.accepts_origin.load(Ordering::Relaxed)
    }

    async fn latest_snapshot(&self) -> Result<LatestSnapshot, ApiError> {
        let operation = format!("return the latest snapshot of \"{}\"", self.name);
        let path = ["snapshots", &self.client.org, self.name, "-1"];
        let answer = self.send(&operation, Method::GET, &path, None::<&()>).await;
        match answer {
            Err(ApiError::NoSnapshotYet { .. }) => Ok(LatestSnapshot::NoSnapshotYet),
            answer => parse_latest_snapshot(&operation, &answer?),
        }
    }

    async fn get(&self) -> Result<EnvironmentStatus, ApiError> {
        let operation = format!("describe environment \"{}\"", self.name);
        let path = ["environments", &self.client.org, self.name];
        parse(&operation, &self.send(&operation, Method::GET, &path, None::<&()>).await?)
    }

    async fn create(&self, request: &EnvironmentRequest) -> Result<(), ApiError> {
        let operation = format!("create environment \"{}\"", self.name);
        let path = ["environments", &self.client.org];
        self.send(&operation, Method::PUT, &path, Some(request)).await.map(drop)
    }

    async fn report(
        &self,
        report: &EcsReport,
        options: ReportOptions,
    ) -> Result<ReportResponse, ApiError> {
        let operation = format!("record what runs in \"{}\"", self.name);
        let path = ["environments", &self.client.org, self.name, "report", "ECS"];
        let before = self.calls();
        let headers = options.headers(self.accepts_preconditions());
        let url = self.client.url(&path);
        let compared = options.latest_index.filter(|_| !headers.contains_key(IF_MATCH));
        let check = async || match compared {
            Some(index) => {
                let checked = self.check_latest_index(index).await;
                checked.map_err(|failed| failed.before_retry_of(&operation))
            }
            None => Ok(()),
        };
        let answer = self
            .send_checked(&url, &operation, &Method::PUT, &headers, Some(report), check)
            .await?;
        Ok(ReportResponse {
            created: answer.status == StatusCode::CREATED,
            repeated: self.calls() - before > 1,
            head: answer.head,
        })
    }
}
