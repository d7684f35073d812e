//! The snapshot server's API: its documents, as the client and the recorder write and read them,
//! the client, and the port that it is behind.

mod client;
mod port;

pub use client::{
    ApiError, ApiResponse, BuildClientError, Client, EnvironmentClient, EnvironmentStatus,
    EventsPage, HistoryQuery, LatestSnapshot, Listing, LocalServer, ReportOptions, ReportResponse,
    is_loopback,
};
pub use envsnap_model::wire;
pub use port::{EnvironmentApi, ServerApi};
