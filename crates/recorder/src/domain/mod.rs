//! The domain, without SQL and HTTP: ledger entries, reports and what they change, coverage, and
//! errors.

mod artifact_pattern;
mod clock;
pub mod console;
mod coverage;
mod entry;
mod error;
mod hash;
mod limits;
mod payload;
pub mod provenance;
mod records;
mod report;
mod running;
mod seen;
mod time;

pub use artifact_pattern::{ArtifactPattern, MIN_DIGITS, ParseArtifactPatternError};
pub use clock::{Clock, ClockError, is_plausible_time};
pub use coverage::{ReportGap, coverage_secs, is_covered};
pub use entry::{Entry, LedgerEntry};
pub use envsnap_model::{EntryHash, Head, ParseEntryHashError, ParseLedgerHeadError, SignedHead};
pub use error::{Error, StorageErrorKind};
pub use hash::hash_fields;
pub use limits::{MAX_ENVIRONMENT_NAME_BYTES, MAX_ORG_NAME_BYTES};
pub use payload::{
    Change, ClockCorrected, Confirmed, EcsLocation, EnvironmentArchived, EnvironmentChanged,
    EnvironmentCreated, EnvironmentRenamed, EnvironmentRestored, Origin, ParsePayloadError,
    Payload, SnapshotTaken, Task,
};
pub use records::{
    ArtifactRun, EnvironmentRecord, EnvironmentSettings, EnvironmentStats, EnvironmentSummary,
    Event, EventPage, OrgFilter, Page, ReportOutcome, SettingsChange, SnapshotArtifact,
    SnapshotRecord, SnapshotSpan, SnapshotSummary, SnapshotWindow, StoreStats,
};
pub use report::Report;
pub use running::{MAX_REPLICAS, ReportEntry, RunningArtifact, running_artifacts, to_snapshot};
pub use seen::{FirstTime, Firsts, Seen, names_of};
pub use time::Micros;
