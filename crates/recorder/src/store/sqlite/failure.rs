//! Failures of SQLite, as the domain has them.

use std::time::Duration;

use rusqlite::ErrorCode;

use super::StoreError;
use crate::domain::{Error, StorageErrorKind};

/// Why a piece of work on the file was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// The request cannot be done as things are.
    Domain(Error),
    /// SQLite could not do it.
    Sql(rusqlite::Error),
    /// The file is not as it should be.
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

/// Text in the file that is not what it should be.
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
    /// SQLite's extended code, if it is SQLite's failure.
    pub(super) fn code(&self) -> Option<i32> {
        match self {
            Self::Sql(error) => error.sqlite_error().map(|error| error.extended_code),
            Self::Domain(_) | Self::File(_) => None,
        }
    }

    /// The error of a request, whose `operation` is such as `read environment 'aws-prod'`.
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
