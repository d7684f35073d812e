//! Listings that the server returns in pages.

use reqwest::Url;
use serde_json::value::RawValue;

use super::queries::{ApiResponse, HistoryQuery};
use super::{ApiError, EnvironmentClient};
use crate::api::wire::{EnvironmentEvent, SnapshotListEntry};

/// The server's maximum of items per page.
const MAX_PER_PAGE: usize = 100;

/// The latest items of an environment's history, latest first.
#[derive(Debug, Clone)]
pub struct Listing<T> {
    pub documents: Vec<T>,
    /// The server's JSON of each item.
    pub texts: Vec<Box<RawValue>>,
    /// There are earlier items, which were not fetched.
    pub is_truncated: bool,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self { documents: Vec::new(), texts: Vec::new(), is_truncated: false }
    }
}

impl<T> Listing<T> {
    /// The first `count` items; marked as truncated if there are more.
    #[must_use]
    pub fn at_most(mut self, count: usize) -> Self {
        if self.documents.len() > count {
            self.truncate(count);
        }
        self
    }

    /// Keeps the first `count` items, and marks the list as truncated.
    fn truncate(&mut self, count: usize) {
        self.documents.truncate(count);
        self.texts.truncate(count);
        self.is_truncated = true;
    }
}

impl EnvironmentClient<'_> {
    /// The latest snapshots of `interval`, at most `most`.
    ///
    /// # Errors
    /// The environment does not exist, or the server does not return it.
    pub async fn latest_snapshots(
        &self,
        interval: &str,
        most: usize,
    ) -> Result<Listing<SnapshotListEntry>, ApiError> {
        let mut listed = Listing::default();
        for page in 1.. {
            let part = page_query(interval, page, most);
            let response = self.snapshots(part).await?;
            let is_last = is_last_page(&response, &listed)
                || response.document.iter().any(|snapshot| snapshot.index <= 1);
            if append_page(&self.client.host, &mut listed, response, most)? || is_last {
                break;
            }
        }
        Ok(listed)
    }

    /// The snapshots that were the latest at any time from `since` to `until`, in seconds since the
    /// Unix epoch, latest first.
    ///
    /// # Errors
    /// The environment does not exist, or the server does not return it.
    pub async fn snapshots_between(
        &self,
        since: f64,
        until: f64,
    ) -> Result<Listing<SnapshotListEntry>, ApiError> {
        let mut listed = Listing::default();
        // A fixed end keeps the pages stable while snapshots are recorded.
        let mut interval = String::new();
        for page in 1.. {
            let response = self.snapshots(page_query(&interval, page, usize::MAX)).await?;
            let is_last = is_last_page(&response, &listed)
                || response
                    .document
                    .iter()
                    .any(|snapshot| snapshot.index <= 1 || snapshot.from <= since);
            if interval.is_empty() {
                let latest = response.document.iter().map(|snapshot| snapshot.index).max();
                interval = format!("1..{}", latest.unwrap_or(1));
            }
            append_page(&self.client.host, &mut listed, response, usize::MAX)?;
            if is_last {
                break;
            }
        }
        let is_wanted =
            |it: &SnapshotListEntry| it.from <= until && (it.to <= 0.0 || it.to > since);
        let wanted: Vec<_> = listed.documents.iter().map(is_wanted).collect();
        let mut keep = wanted.iter().copied();
        listed.documents.retain(|_| keep.next().unwrap_or_default());
        let mut keep = wanted.iter().copied();
        listed.texts.retain(|_| keep.next().unwrap_or_default());
        Ok(listed)
    }

    /// The latest events of `interval`, at most `most`, and none reported before `since`, in
    /// seconds since the Unix epoch.
    ///
    /// # Errors
    /// The environment does not exist, or the server does not return it.
    pub async fn latest_events(
        &self,
        interval: &str,
        since: f64,
        most: usize,
    ) -> Result<Listing<EnvironmentEvent>, ApiError> {
        let mut listed = Listing::default();
        for page in 1.. {
            let events = self.events(page_query(interval, page, most)).await?;
            let is_last = is_last_page(&events.events, &listed);
            let is_truncated = append_page(&self.client.host, &mut listed, events.events, most)?;
            let old = listed.documents.iter().position(|event| event.reported_at < since);
            if let Some(old) = old {
                listed.truncate(old);
            }
            let seen = u64::try_from(listed.documents.len()).unwrap_or(u64::MAX);
            let has_all = events.total.is_some_and(|total| total <= seen);
            if is_last || is_truncated || old.is_some() || has_all {
                break;
            }
        }
        Ok(listed)
    }
}

/// Page number `page`, in pages of `most` items and one more, which shows whether there are more.
fn page_query(interval: &str, page: u32, most: usize) -> HistoryQuery<'_> {
    let per_page = most.saturating_add(1).min(MAX_PER_PAGE);
    let per_page = u32::try_from(per_page).unwrap_or(u32::MAX);
    HistoryQuery { interval, page, per_page, reverse: false }
}

/// Whether nothing is left, or the server repeats the same page. A page that is not full is not the last
/// one: a server may return fewer items than requested.
fn is_last_page<T: PartialEq>(response: &ApiResponse<Vec<T>>, listed: &Listing<T>) -> bool {
    let page = &response.document;
    page.is_empty() || (!listed.documents.is_empty() && listed.documents.ends_with(page))
}

/// Adds the items of a page to `listed`, at most `most` altogether. Returns whether there are more
/// than `most`.
fn append_page<T: PartialEq>(
    host: &Url,
    listed: &mut Listing<T>,
    response: ApiResponse<Vec<T>>,
    most: usize,
) -> Result<bool, ApiError> {
    if is_last_page(&response, listed) {
        return Ok(false);
    }
    let texts: Vec<Box<RawValue>> =
        serde_json::from_str(&response.text).map_err(|error| ApiError::Unavailable {
            operation: "list a history".to_owned(),
            url: host.to_string(),
            reason: error.to_string(),
            retry_after: None,
            transient: false,
        })?;
    listed.documents.extend(response.document);
    listed.texts.extend(texts);
    let is_truncated = listed.documents.len() > most;
    if is_truncated {
        listed.truncate(most);
    }
    Ok(is_truncated)
}
