//! `healthcheck`: reports whether a recorder on this host is ready, for images that contain no
//! other program.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};

/// For connecting to the recorder, and for each read and write: longer than its readiness probe may take.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes of a response that are read: it is one line of JSON.
const MAX_RESPONSE_BYTES: u64 = 4_096;

/// Ask a recorder whether it can record
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where it listens
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

/// Requests the recorder's `GET /ready`.
///
/// # Errors
/// The recorder does not respond, or is not ready.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { listen } = arguments;
    let answer = request_readiness(*listen)
        .with_context(|| format!("cannot ask the recorder on {listen}"))?;
    if answer.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    let status = answer.lines().next().unwrap_or_default();
    let body = answer.lines().last().unwrap_or_default();
    bail!("the recorder on {listen} is not ready: {status}: {body}");
}

/// The whole response to `GET /ready`, with its status line and headers.
fn request_readiness(listen: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&listen, CONNECTION_TIMEOUT)?;
    stream.set_read_timeout(Some(CONNECTION_TIMEOUT))?;
    stream.set_write_timeout(Some(CONNECTION_TIMEOUT))?;
    stream.write_all(b"GET /ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_RESPONSE_BYTES).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
