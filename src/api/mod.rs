//! The snapshot server's API: its documents, as the client and the recorder write and read them,
//! and the client.

pub mod wire;
