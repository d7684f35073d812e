//! The snapshot server's API: its documents, the client, and the port that the reporter uses.

mod client;
mod port;

pub use client::{
    ApiError, ApiResponse, BuildClientError, Client, EnvironmentClient, EnvironmentStatus,
    EventsPage, HistoryQuery, LatestSnapshot, Listing, LocalServer, ReportOptions, ReportResponse,
    is_loopback,
};
#[cfg(feature = "cli")]
pub use client::{Attachment, FlowRequest};
pub use envsnap_model::wire;
pub use port::{EnvironmentApi, ServerApi};
