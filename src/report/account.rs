//! The AWS account of the process, for messages.

use std::time::Duration;

use aws_config::SdkConfig;
use tokio::sync::OnceCell;

/// STS is only called after a run has failed.
const STS_TIMEOUT: Duration = Duration::from_secs(2);

/// The account whose credentials the process has.
#[derive(Debug, Default)]
pub(super) struct OwnAccount {
    /// `None` inside: STS did not return it.
    id: OnceCell<Option<String>>,
    sts: Option<aws_sdk_sts::Client>,
}

impl OwnAccount {
    /// The account that `aws` has credentials of. Nothing is requested yet.
    pub(super) fn new(aws: &SdkConfig) -> Self {
        Self { id: OnceCell::new(), sts: Some(aws_sdk_sts::Client::new(aws)) }
    }

    /// Sets the id, if it is known from elsewhere. The first value stays.
    pub(super) fn set(&self, id: &str) {
        let _known = self.id.set(Some(id.to_owned()));
    }

    /// The account's id, from STS unless it was set. Every identity may call STS
    /// `GetCallerIdentity`. `None` if STS does not answer in time.
    pub(super) async fn id(&self) -> Option<&str> {
        self.id.get_or_init(|| self.fetch_from_sts()).await.as_deref()
    }

    async fn fetch_from_sts(&self) -> Option<String> {
        let request = self.sts.as_ref()?.get_caller_identity().send();
        match tokio::time::timeout(STS_TIMEOUT, request).await {
            Ok(Ok(identity)) => identity.account,
            // The message then says that the account is not known.
            Ok(Err(_)) | Err(_) => None,
        }
    }
}
