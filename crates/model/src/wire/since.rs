//! Since when an artifact runs.

use serde::{Deserialize, Serialize};

/// Since when an artifact runs, and until when that is known. Only this project's recorder sends it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RunningSince {
    /// When its oldest replica started, as ECS says, in seconds since the Unix epoch; `None` if it
    /// exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<i64>,
    /// When the first snapshot of the environment was recorded that contains it without
    /// interruption, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<f64>,
    /// The index of that snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_snapshot: Option<u64>,
    /// Whether that is the environment's first snapshot, so that it may have run before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen_at_the_latest: Option<bool>,
    /// The last report that still contained it, in seconds since the Unix epoch, even if that came
    /// after this snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_until: Option<f64>,
}
