//! The snapshot server's API: its documents, as the client and the recorder write and read them,
//! the client, and the port that it is behind.

mod client;
mod port;

pub use client::{
    Answered, ApiError, Client, EnvironmentClient, EnvironmentStatus, EventsPage, HistoryPart,
    Latest, Listed, LocalServer, NoClient, ReportOptions, Reported, is_loopback,
};
pub use envsnap_model::wire;
pub use port::{EnvironmentApi, ServerApi};
