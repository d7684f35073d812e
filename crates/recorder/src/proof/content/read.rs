//! Reading all pages of the store.

use envsnap_model::expression::{Expression, Interval, Snappish};

use crate::domain::{Error, Event, Page, SnapshotArtifact, SnapshotRecord, SnapshotSpan};
use crate::store::Store as _;
use crate::store::sqlite::SqliteStore;

/// How many snapshots or events are read from the store at once.
const PAGE_SIZE: u32 = 10_000;

/// The expression for the snapshot with this index.
pub(super) fn snapshot_at(environment: &str, index: u32) -> Result<Snappish, Error> {
    let expression: Expression = format!("#{index}").parse().map_err(|_| Error::Fault)?;
    Ok(Snappish { environment: environment.to_owned(), expression })
}

/// All snapshots of an environment, the first one first.
pub(super) async fn all_spans(
    store: &SqliteStore,
    org: &str,
    environment: &str,
) -> Result<Vec<SnapshotSpan>, Error> {
    let mut spans = Vec::new();
    for number in 1.. {
        let page = Page { number, size: PAGE_SIZE };
        let read = store.snapshot_spans(org, environment, Interval::default(), page, true).await?;
        if read.is_empty() {
            break;
        }
        spans.extend(read);
    }
    Ok(spans)
}

/// What changed with each snapshot after the `first` up to the `last`.
pub(super) async fn all_events(
    store: &SqliteStore,
    org: &str,
    environment: &str,
    (first, last): (u32, u32),
) -> Result<Vec<Event>, Error> {
    let mut events = Vec::new();
    if first == last {
        return Ok(events);
    }
    let interval: Interval = format!("{}..{last}", first + 1).parse().map_err(|_| Error::Fault)?;
    for number in 1.. {
        let page = Page { number, size: PAGE_SIZE };
        let read = store.events(org, environment, interval.clone(), page, true).await?;
        if read.events.is_empty() {
            break;
        }
        events.extend(read.events);
    }
    Ok(events)
}

/// The artifacts of the snapshot with this index.
pub(super) async fn artifacts_in(
    store: &SqliteStore,
    org: &str,
    environment: &str,
    index: u32,
) -> Result<Vec<SnapshotArtifact>, Error> {
    let artifacts = |[record]: [SnapshotRecord; 1]| record.artifacts;
    store.snapshots(org, [snapshot_at(environment, index)?], artifacts).await
}
