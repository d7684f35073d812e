//! A snapshot server on one file: the API, the page, and the ledger behind them.
//!
//! A request goes one way: `http` or `web` authenticates and parses it and calls one method of the
//! [`store`](store::Store), which is one transaction; the result becomes a document of the API or a
//! page. [`domain`] knows nothing of HTTP and SQL.

#[cfg(feature = "command")]
pub mod command;
pub mod domain;
mod http;
mod large_work;
pub mod proof;
mod secret_file;
mod server;
mod signing;
pub mod store;
pub mod text;
mod web;
mod webhook;

pub use domain::{Clock, ClockError};
pub use http::{
    Access, AccessError, LogWriter, MetricsError, TokenLineProblem, dropped_log_lines,
    raise_open_files_limit,
};
pub use secret_file::SecretFileError;
pub use server::{LocalRecorder, serve};
pub use signing::{HeadSigner, KeyError, PublicKey, SignatureError};
pub use store::sqlite::{
    AttachmentCheck, BackupSummary, CopyError, LatestCommit, LedgerSummary, RebuildSummary,
    SqliteStore, StoreError, Verified, VerifyError, backup, rebuild, verify,
};
pub use webhook::{
    Deliveries, DeliveryError, ParseWebhookError, Secret as WebhookSecret,
    SecretError as WebhookSecretError, Webhook,
};
