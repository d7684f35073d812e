//! Delivery: one task for each webhook, which waits for its receiver and for nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;

use envsnap_model::error_chain;
use envsnap_model::expression::Interval;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use tokio::time::{Instant, sleep};

use super::message::{Message, PublicUrl, Topic};
use super::{Secret, Webhook};
use crate::domain::{Error, Event, LedgerEntry, Micros, Page, Payload, is_covered};
use crate::store::provenance::ProvenanceStore;
use crate::store::{EnvironmentFilter, Store};

/// How often the ledgers are looked at for new entries.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How often the environments are looked at for times without reports.
const COVERAGE_INTERVAL: Duration = Duration::from_secs(30);

/// How long a receiver may take to respond to one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);

/// The wait after the first failed attempt at a message, doubled after each further one.
const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait between two attempts at a message.
const MAX_BACKOFF: Duration = Duration::from_mins(5);

/// A message that its receiver did not accept for this long is dropped, and the next one is sent.
const GIVE_UP_AFTER: Duration = Duration::from_hours(24);

/// The events of a snapshot that are read at once.
const EVENT_PAGE_SIZE: u32 = 1_000;

/// The deliveries of a webhook cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error("cannot make the HTTP client of webhooks: {0}")]
    Client(String),
    /// How far the webhook has come cannot be read or recorded.
    #[error(transparent)]
    Store(#[from] Error),
}

/// The deliveries of one webhook.
pub struct Deliveries<S> {
    store: S,
    webhook: Webhook,
    secret: Secret,
    url: PublicUrl,
    client: Client,
    /// The last entry that was looked at, by organization.
    positions: BTreeMap<String, i64>,
    /// The environments whose missing reports were announced, with the time of their last report.
    announced: BTreeSet<(String, String, Micros)>,
    coverage_checked: Option<Instant>,
}

impl<S: Store + ProvenanceStore> Deliveries<S> {
    /// The deliveries of what is recorded from now on, or from the position of the webhook that the store has.
    ///
    /// # Errors
    /// The HTTP client cannot be built, or the store cannot be used.
    pub async fn new(
        store: S,
        webhook: Webhook,
        secret: Secret,
        public_url: Option<&str>,
    ) -> Result<Self, DeliveryError> {
        let client = Client::builder()
            .user_agent(concat!("envsnap/", env!("CARGO_PKG_VERSION")))
            // The receiver is the one that was configured.
            .redirect(Policy::none())
            .timeout(ATTEMPT_TIMEOUT)
            .build()
            .map_err(|error| DeliveryError::Client(error_chain(&error)))?;
        let url = PublicUrl(public_url.unwrap_or_default().trim_end_matches('/').to_owned());
        let positions = store.register_webhook(&webhook.id()).await?;
        Ok(Self {
            store,
            webhook,
            secret,
            url,
            client,
            positions,
            announced: BTreeSet::new(),
            coverage_checked: None,
        })
    }

    /// Delivers until it is dropped.
    pub async fn run(mut self) -> Infallible {
        loop {
            if let Err(error) = self.deliver_new().await {
                let host = self.webhook.redacted_url();
                tracing::error!("cannot read what to send to {host}: {}", error_chain(&error));
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Sends messages about new ledger entries and, every [`COVERAGE_INTERVAL`], about missing reports.
    async fn deliver_new(&mut self) -> Result<(), Error> {
        let mut orgs = self.store.organizations().await?;
        orgs.retain(|org| self.webhook.is_for_org(org));
        for org in &orgs {
            self.deliver_changes(org).await?;
        }
        let is_due = self.coverage_checked.is_none_or(|at| at.elapsed() >= COVERAGE_INTERVAL);
        if self.webhook.topics.contains(&Topic::NoReport) && is_due {
            for org in &orgs {
                self.announce_missing_reports(org).await?;
            }
            self.coverage_checked = Some(Instant::now());
        }
        Ok(())
    }

    /// Sends messages about the ledger entries after the saved position.
    async fn deliver_changes(&mut self, org: &str) -> Result<(), Error> {
        let head = self.store.head(org).await?;
        let position = self.positions.get(org).copied().unwrap_or_default();
        if position >= head.seq {
            return Ok(());
        }
        let has_provenance = self.store.has_provenance(org).await?;
        let names = self.store.environment_names(org).await?;
        for entry in self.store.ledger_entries(org, position).await? {
            let mut is_sent = false;
            for message in self.messages(org, &entry, &names, has_provenance).await? {
                self.send(&message).await;
                is_sent = true;
            }
            // First in memory: if it cannot be saved now, nothing is sent again until a restart.
            self.positions.insert(org.to_owned(), entry.seq);
            if is_sent {
                self.store.save_webhook_position(&self.webhook.id(), org, entry.seq).await?;
            }
        }
        Ok(())
    }

    /// A message for each change of the snapshot in a ledger entry that the webhook's filters select.
    async fn messages(
        &self,
        org: &str,
        entry: &LedgerEntry,
        names: &BTreeMap<i64, String>,
        has_provenance: bool,
    ) -> Result<Vec<Message>, Error> {
        let payload = Payload::from_stored(&entry.kind, entry.version, &entry.payload);
        let Ok(Payload::Snapshot(taken)) = payload else { return Ok(Vec::new()) };
        let Some(name) = names.get(&taken.environment) else { return Ok(Vec::new()) };
        if !self.webhook.is_for_environment(name) {
            return Ok(Vec::new());
        }
        let wanted = |event: &Event| {
            Topic::of_event(event).iter().any(|topic| self.webhook.topics.contains(topic))
        };
        let index = taken.index;
        let interval: Interval = index.to_string().parse().map_err(|_| Error::Fault)?;
        let mut messages = Vec::new();
        for number in 1.. {
            let page = Page { number, size: EVENT_PAGE_SIZE };
            // It may be archived by now.
            let created_by = taken.environment;
            let events = self
                .store
                .events_of_environment_created_by(org, created_by, interval.clone(), page)
                .await?
                .events;
            if events.is_empty() {
                break;
            }
            messages.extend(events.iter().filter(|event| wanted(event)).map(|event| {
                Message::of_event(&self.url, org, name, entry.hash, event, has_provenance)
            }));
        }
        Ok(messages)
    }

    /// Sends a message for each environment whose next report is overdue, once per gap.
    async fn announce_missing_reports(&mut self, org: &str) -> Result<(), Error> {
        let now = self.store.now();
        let (environments, _) =
            self.store.environments(org, EnvironmentFilter::default(), None).await?;
        for environment in environments {
            let Some(last) = environment.last_reported_at else { continue };
            let key = (org.to_owned(), environment.name.clone(), last);
            let is_missing = !is_covered(last, environment.heartbeat, now);
            if !is_missing || !self.webhook.is_for_environment(&environment.name) {
                continue;
            }
            if !self.announced.contains(&key) {
                self.announced.retain(|(of, name, _)| (of, name) != (&key.0, &key.1));
                self.send(&Message::no_report(org, &environment.name, last)).await;
                self.announced.insert(key);
            }
        }
        Ok(())
    }

    /// Sends a message again and again until its receiver accepts it, or for [`GIVE_UP_AFTER`].
    async fn send(&self, message: &Message) {
        let host = self.webhook.redacted_url();
        let (begun, mut wait) = (Instant::now(), INITIAL_BACKOFF);
        loop {
            let Err(reason) = self.try_send(message).await else { return };
            if begun.elapsed() >= GIVE_UP_AFTER {
                tracing::error!(id = message.id, "gave up a message to {host}: {reason}");
                return;
            }
            tracing::warn!(
                id = message.id,
                wait_seconds = wait.as_secs(),
                "cannot deliver a message to {host}, trying again: {reason}"
            );
            sleep(wait).await;
            wait = (wait * 2).min(MAX_BACKOFF);
        }
    }

    async fn try_send(&self, message: &Message) -> Result<(), String> {
        let body = serde_json::to_string(message).map_err(|error| error.to_string())?;
        // Of each attempt: receivers refuse what is older than some minutes.
        let timestamp = jiff::Timestamp::now().as_second();
        let signature = self.secret.sign(&message.id, timestamp, &body).unwrap_or_default();
        let request = self
            .client
            .post(self.webhook.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(body);
        match request.send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(format!("the receiver responded with {}", response.status())),
            // The address may hold a secret.
            Err(error) => Err(error_chain(&error.without_url())),
        }
    }
}

#[cfg(test)]
mod tests;
