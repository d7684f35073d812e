//! The index of the latest snapshot, compared by the client: for servers that take no `If-Match`.

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};

use super::exchange::AttemptError;
use super::latest::parse_latest_snapshot;
use super::{ApiError, EnvironmentClient, LatestSnapshot};

impl EnvironmentClient<'_> {
    /// Checks that `index` is that of the environment's latest snapshot, 0 for none.
    pub(super) async fn check_latest_index(&self, index: u64) -> Result<(), AttemptError> {
        let operation = format!("return the latest snapshot of \"{}\"", self.name);
        let url = self.client.url(&["snapshots", &self.client.org, self.name, "-1"]);
        let http = self.client.http.get();
        let none = HeaderMap::new();
        let answer =
            self.send_once(&http, &operation, &Method::GET, &url, &none, None::<&()>).await;
        let latest = match answer {
            Err(AttemptError { error: ApiError::NoSnapshotYet { .. }, .. }) => 0,
            answer => match parse_latest_snapshot(&operation, &answer?)? {
                LatestSnapshot::Snapshot { index, .. } => index,
                LatestSnapshot::NoSnapshotYet | LatestSnapshot::OtherType(_) => 0,
            },
        };
        if latest == index {
            return Ok(());
        }
        let error = ApiError::Rejected {
            operation,
            url: url.into(),
            status: StatusCode::PRECONDITION_FAILED,
            message: format!("its index is {latest}, not {index}"),
        };
        Err(error.into())
    }
}

impl AttemptError {
    /// The error of `operation`, which was not attempted again, since this one came before.
    pub(super) fn before_retry_of(mut self, operation: &str) -> Self {
        if let ApiError::Unavailable { operation: failed, reason, .. } = &mut self.error {
            *reason = format!(
                "after an attempt that failed, and may have reached it, it did not {failed}: {reason}"
            );
            operation.clone_into(failed);
        }
        self
    }
}
