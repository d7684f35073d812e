//! The snapshots of an environment, in the API's form.

use crate::api::wire::SnapshotListEntry;
use crate::recorder::store::{History, Lasted};

/// The answer to who asks how long each snapshot lasted.
pub(in crate::recorder) fn history(history: History) -> Vec<SnapshotListEntry> {
    let History { snapshots, now } = history;
    let entry = |Lasted { index, from, to, confirmed_until, silences }| SnapshotListEntry {
        index: u64::from(index),
        from,
        to: to.unwrap_or(0.0),
        // As of the snapshot itself: nothing is known of compliance.
        compliant: false,
        // A clock may have been set back since.
        duration: (to.unwrap_or(now) - from).max(0.0),
        confirmed_until: Some(confirmed_until),
        silences,
    };
    snapshots.into_iter().map(entry).collect()
}
