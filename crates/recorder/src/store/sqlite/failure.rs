//! Errors inside the store, and their mapping to the domain's errors.

use std::time::Duration;

use rusqlite::ErrorCode;

use super::StoreError;
use crate::domain::{Error, StorageErrorKind};

/// Why an operation on the file failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// An error of the domain.
    Domain(Error),
    /// An error of SQLite.
    Sql(rusqlite::Error),
    /// An error of the database file.
    File(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::File(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Domain(error)
    }
}

/// JSON in the file that cannot be parsed.
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Sql(rusqlite::Error::FromSqlConversionFailure(
            0,
            rusqlite::types::Type::Text,
            Box::new(error),
        ))
    }
}

impl Failure {
    /// SQLite's extended error code, if there is one.
    pub(super) fn code(&self) -> Option<i32> {
        match self {
            Self::Sql(error) => error.sqlite_error().map(|error| error.extended_code),
            Self::Domain(_) | Self::File(_) => None,
        }
    }

    /// The domain's error for `operation`, such as `read environment 'aws-prod'`.
    pub(super) fn into_error(self, operation: &str) -> Error {
        let operation = operation.to_owned();
        match self {
            Self::Domain(error) => error,
            Self::File(StoreError::Overloaded { seconds, .. }) => {
                Error::Busy { retry_after: Duration::from_secs(seconds) }
            }
            Self::File(source) => {
                let kind = StorageErrorKind::Failed;
                Error::Storage { operation, kind, source: Box::new(source) }
            }
            Self::Sql(source) => {
                let kind = match source.sqlite_error_code() {
                    Some(ErrorCode::DatabaseBusy) => StorageErrorKind::Locked,
                    Some(ErrorCode::DiskFull) => StorageErrorKind::Full,
                    _ => StorageErrorKind::Failed,
                };
                Error::Storage { operation, kind, source: Box::new(source) }
            }
        }
    }
}
