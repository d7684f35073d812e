//! `envsnap serve`: the embedded snapshot server.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::complain;
use crate::recorder::{self, Access, Store};

/// Run the embedded snapshot server
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The SQLite file that holds environments and snapshots; made if it does not exist
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
    /// Where to listen; anything but loopback needs a token file
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Who may read and report what: a line a token, `TOKEN org=ORG|* read|write`
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { db, listen, token_file } = arguments;
    let access =
        token_file.as_deref().map_or_else(|| Ok(Access::open()), Access::from_token_file)?;
    access.may_listen_on(listen)?;
    let store = Store::open(&db)?;
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    // Before it says that it is there: whoever reads that may end it.
    let mut terminated = signal(SignalKind::terminate())?;
    let db = db.display();
    complain(&format!("Recording in {db}; the page and the API are on http://{address}\n"));
    if token_file.is_none() {
        complain("Without a token file it serves loopback only, and accepts any token or none.\n");
    }
    let stopped = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
    };
    recorder::serve(listener, store, access, stopped).await?;
    Ok(())
}
