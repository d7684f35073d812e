//! Listings that the server returns in pages.

use reqwest::Url;
use serde_json::value::RawValue;

use super::queries::{ApiResponse, EventsPage, HistoryQuery};
use super::{ApiError, EnvironmentClient};
use crate::api::wire::{EnvironmentEvent, SnapshotListEntry};

/// The server's maximum of items per page.
const MAX_PER_PAGE: usize = 100;

/// A listing back to a time ends after so many snapshots in succession that are earlier: all of the
/// history would be many pages.
const MAX_EARLIER_SNAPSHOTS: u64 = 100;

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
        self.snapshots_back_to(interval, f64::NEG_INFINITY, most).await
    }

    /// The snapshots that were recorded, or were the latest at any time, from `since` to `until`, in
    /// seconds since the Unix epoch, latest first.
    ///
    /// # Errors
    /// The environment does not exist, or the server does not return it.
    pub async fn snapshots_between(
        &self,
        since: f64,
        until: f64,
    ) -> Result<Listing<SnapshotListEntry>, ApiError> {
        let mut listed = self.snapshots_back_to("", since, usize::MAX).await?;
        // The next one has an earlier time if the clock was set back.
        let is_wanted = |it: &SnapshotListEntry| {
            it.from <= until && (it.to <= 0.0 || it.to.max(it.from) > since)
        };
        let wanted: Vec<_> = listed.documents.iter().map(is_wanted).collect();
        let mut keep = wanted.iter().copied();
        listed.documents.retain(|_| keep.next().unwrap_or_default());
        let mut keep = wanted.iter().copied();
        listed.texts.retain(|_| keep.next().unwrap_or_default());
        Ok(listed)
    }

    /// The latest snapshots of `interval`, at most `most`, as far back as [`is_back_to`] `since`.
    async fn snapshots_back_to(
        &self,
        interval: &str,
        since: f64,
        most: usize,
    ) -> Result<Listing<SnapshotListEntry>, ApiError> {
        let mut listed = Listing::<SnapshotListEntry>::default();
        let mut interval = interval.to_owned();
        for page in 1.. {
            let response = self.snapshots(page_query(&interval, page, most)).await?;
            let indexes = || response.document.iter().map(|snapshot| snapshot.index);
            let (Some(lowest), Some(highest)) = (indexes().min(), indexes().max()) else { break };
            // The server repeats a page; the duration of the latest snapshot is another one.
            if listed.documents.iter().any(|snapshot| snapshot.index <= lowest) {
                break;
            }
            if page == 1 {
                interval = fix_moving_ends(&interval, highest);
            }
            let is_truncated = append_page(&self.client.host, &mut listed, response, most)?;
            let times = listed.documents.iter().map(|snapshot| (snapshot.index, snapshot.from));
            if is_truncated || lowest <= 1 || is_back_to(since, times) {
                break;
            }
        }
        Ok(listed)
    }

    /// The latest events of `interval`, at most `most`, back to the earliest one that was reported
    /// at `since` or later, in seconds since the Unix epoch.
    ///
    /// # Errors
    /// The environment does not exist, or the server does not return it.
    pub async fn latest_events(
        &self,
        interval: &str,
        since: f64,
        most: usize,
    ) -> Result<Listing<EnvironmentEvent>, ApiError> {
        let mut listed = Listing::<EnvironmentEvent>::default();
        let mut interval = interval.to_owned();
        for page in 1.. {
            let EventsPage { events, total } =
                self.events(page_query(&interval, page, most)).await?;
            // The server repeats a page.
            let is_repeated = listed.documents.ends_with(&events.document);
            let highest = events.document.iter().map(|event| event.snapshot_index).max();
            let Some(highest) = highest.filter(|_| !is_repeated) else { break };
            if page == 1 {
                interval = fix_moving_ends(&interval, highest);
            }
            let is_truncated = append_page(&self.client.host, &mut listed, events, most)?;
            let seen = u64::try_from(listed.documents.len()).unwrap_or(u64::MAX);
            let has_all = total.is_some_and(|total| total <= seen);
            let times = listed.documents.iter().map(|it| (it.snapshot_index, it.reported_at));
            if is_truncated || has_all || is_back_to(since, times) {
                break;
            }
        }
        let earliest = listed.documents.iter().rposition(|event| event.reported_at >= since);
        Ok(listed.at_most(earliest.map_or(0, |earliest| earliest + 1)))
    }
}

/// The interval without ends that move while snapshots are recorded, which would move the pages.
/// `highest` is the latest snapshot in it.
fn fix_moving_ends(interval: &str, highest: u64) -> String {
    let Some((from, to)) = interval.split_once("..") else {
        // One snapshot has no further page.
        return if interval.is_empty() { format!("1..{highest}") } else { interval.to_owned() };
    };
    let latest = match (offset_from_latest(from), offset_from_latest(to)) {
        (Some(one), Some(other)) => highest + one.min(other),
        // The other end is in the order of the snapshots, and may be the higher one.
        (Some(offset), None) if offset == 0 || is_below(to, highest) => highest + offset,
        (None, Some(offset)) if offset == 0 || is_below(from, highest) => highest + offset,
        _ => return interval.to_owned(),
    };
    let fix = |end: &str| match offset_from_latest(end) {
        Some(offset) => latest.saturating_sub(offset).max(1).to_string(),
        None => end.to_owned(),
    };
    format!("{}..{}", fix(from), fix(to))
}

/// How far an end of an interval is behind the latest snapshot; `None` if it does not move with it.
fn offset_from_latest(end: &str) -> Option<u64> {
    if end.is_empty() || end.eq_ignore_ascii_case("NOW") {
        return Some(0);
    }
    end.strip_prefix('~')?.parse().ok()
}

/// Whether an end of an interval is a snapshot before `highest`.
fn is_below(end: &str, highest: u64) -> bool {
    end.parse::<u64>().is_ok_and(|index| index < highest)
}

/// Whether a list of indexes and times, latest first, ends with `MAX_EARLIER_SNAPSHOTS` or more that
/// are before `since`.
///
/// The order is that of the indexes. If the clock was behind for some of the snapshots, those before
/// them have later times.
fn is_back_to(since: f64, times: impl Iterator<Item = (u64, f64)>) -> bool {
    let mut times = times.peekable();
    let first = times.peek().map_or(0, |(index, _)| *index);
    let (mut earliest_since, mut last) = (first, first);
    for (index, time) in times {
        last = index;
        if time >= since {
            earliest_since = index;
        }
    }
    earliest_since.saturating_sub(last) >= MAX_EARLIER_SNAPSHOTS
}

/// Page number `page`, in pages of `most` items and one more, which shows whether there are more.
fn page_query(interval: &str, page: u32, most: usize) -> HistoryQuery<'_> {
    let per_page = most.saturating_add(1).min(MAX_PER_PAGE);
    let per_page = u32::try_from(per_page).unwrap_or(u32::MAX);
    HistoryQuery { interval, page, per_page, reverse: false }
}

/// Adds the items of a page to `listed`, at most `most` altogether. Returns whether there are more
/// than `most`.
fn append_page<T>(
    host: &Url,
    listed: &mut Listing<T>,
    response: ApiResponse<Vec<T>>,
    most: usize,
) -> Result<bool, ApiError> {
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
