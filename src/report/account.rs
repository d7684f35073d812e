//! Which account the process itself belongs to, for messages.

use std::time::Duration;

use aws_config::SdkConfig;
use tokio::sync::OnceCell;

/// How long STS may take to name the account: it is only asked when a run has failed already.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The account whose credentials the process has.
#[derive(Debug, Default)]
pub(super) struct OwnAccount {
    /// `None` inside: it could not be found out.
    id: OnceCell<Option<String>>,
    sts: Option<aws_sdk_sts::Client>,
}

impl OwnAccount {
    /// The account that `aws` has credentials of. Nothing is asked yet.
    pub(super) fn new(aws: &SdkConfig) -> Self {
        Self { id: OnceCell::new(), sts: Some(aws_sdk_sts::Client::new(aws)) }
    }

    /// Its number is known without asking. The first one stays.
    pub(super) fn set(&self, id: &str) {
        let _known = self.id.set(Some(id.to_owned()));
    }

    /// Its number. STS is asked if nothing else named it; every identity may ask it that.
    pub(super) async fn id(&self) -> Option<&str> {
        self.id.get_or_init(|| self.fetch()).await.as_deref()
    }

    async fn fetch(&self) -> Option<String> {
        let asked = self.sts.as_ref()?.get_caller_identity().send();
        match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(Ok(identity)) => identity.account,
            // The message that it was for says that it is not known.
            Ok(Err(_)) | Err(_) => None,
        }
    }
}
