//! The accept loop, with limits of connections, time and memory.

mod connection;
mod log_throttle;
mod write_timeout;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use self::log_throttle::LogThrottle;
use self::write_timeout::WriteTimeout;
use super::metrics::Metrics;
use super::open_files;
use crate::domain::Error;

/// How long the head of a request may take to arrive after the previous response; idle connections
/// are closed after that as well.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The most bytes of a request's head, and of one read of a body. Ten times what clients of this
/// API send, and the most that a client can hold that never finishes its head.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// How long a request may take, its body included, for example if the disk hangs.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// How long requests may continue after the shutdown began.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait after `accept` failed for want of descriptors or memory.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// The most connections that are refused with a response at a time; further ones are just closed.
const MAX_REFUSALS: usize = 64;

/// How long a refused client may take to send its request, and then to read the response.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The response if there are too many connections.
const BUSY_RESPONSE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\n\
content-type: application/json\r\ncontent-length: 62\r\n\r\n\
{\"message\":\"The recorder has too many connections. Try again\"}";

/// The response while the clock is before 1970 or after 9999, where hyper panics.
const CLOCK_ERROR_RESPONSE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 60\r\nconnection: close\r\n\
content-type: application/json\r\ncontent-length: 54\r\n\r\n\
{\"message\":\"The recorder's clock is wrong. Try again\"}";

/// Serves `router` until `shutdown` completes and all requests in progress are answered, or
/// [`SHUTDOWN_TIMEOUT`] is over.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    metrics: &Metrics,
    shutdown: impl Future<Output = ()>,
) {
    serve_with_limit(open_files::max_connections(), listener, router, metrics, shutdown).await;
}

/// As [`serve`], with `most` connections at a time.
async fn serve_with_limit(
    most: usize,
    listener: TcpListener,
    router: Router,
    metrics: &Metrics,
    shutdown: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .auto_date_header(false);
    let (end, ending) = watch::channel(false);
    let (free, refusing) = (Arc::new(Semaphore::new(most)), Arc::new(Semaphore::new(MAX_REFUSALS)));
    let (mut too_many, mut failing) = (LogThrottle::default(), LogThrottle::default());
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if is_client_error(&error) => continue,
            Err(error) => {
                metrics.connection_refused();
                if let Some(count) = failing.count() {
                    tracing::error!(count, %error, "connections cannot be accepted");
                }
                tokio::select! {
                    () = tokio::time::sleep(ACCEPT_RETRY_DELAY) => continue,
                    () = &mut shutdown => break,
                }
            }
        };
        let Ok(permit) = Arc::clone(&free).try_acquire_owned() else {
            metrics.connection_refused();
            if let Some(count) = too_many.count() {
                tracing::warn!(
                    count,
                    most,
                    "connections are refused: there are as many as the recorder has at a time. \
                     Raise its limit of open files if this is less than 4096, or find out which \
                     clients keep so many open"
                );
            }
            if let Ok(turn) = Arc::clone(&refusing).try_acquire_owned() {
                tokio::spawn(refuse(stream, turn));
            }
            continue;
        };
        // A response is one small packet, which Nagle's algorithm could delay. Only slower if it
        // cannot be set.
        let _slower = stream.set_nodelay(true);
        let open = metrics.connection_opened();
        let service = TowerToHyperService::new(router.clone());
        let stream = WriteTimeout::new(stream, metrics.clone());
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let ending = ending.clone();
        tokio::spawn(async move {
            if let Some(left) = connection::serve(connection, ending).await {
                tracing::error!(
                    "the clock of this host is before 1970 or after 9999, and requests are refused: \
                     set it (with timedatectl, for example)"
                );
                respond_without_reading(left, CLOCK_ERROR_RESPONSE).await;
            }
            drop((open, permit));
        });
    }
    drop(listener);
    end.send_replace(true);
    // Each connection holds one permit; connections that are still open after that are dropped.
    let all = free.acquire_many(u32::try_from(most).unwrap_or(u32::MAX));
    let _overdue = tokio::time::timeout(SHUTDOWN_TIMEOUT, all).await;
}

/// Whether `accept` failed since the client disconnected before, or by a signal.
fn is_client_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Refuses a connection beyond the limit.
async fn refuse(stream: TcpStream, _turn: OwnedSemaphorePermit) {
    respond_without_reading(stream, BUSY_RESPONSE).await;
}

/// Responds without parsing the request. Closing the socket before the request was read would reset
/// the connection, and the client would lose the response.
async fn respond_without_reading(mut stream: TcpStream, answer: &[u8]) {
    // Some clients do not accept a response that arrives before they have sent the request.
    let _asked_before = tokio::time::timeout(REFUSAL_TIMEOUT, stream.peek(&mut [0])).await;
    let answer = async {
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        let mut unread = [0; 4096];
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    let _gone = tokio::time::timeout(REFUSAL_TIMEOUT, answer).await;
}

/// Responds 503 in place of a handler that has not responded after [`REQUEST_TIMEOUT`].
pub(crate) async fn timeout_request(request: Request, next: Next) -> Response {
    tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await.unwrap_or_else(|_| {
        let message = "The request timed out and may still take effect. Try again";
        Error::busy(message).into_response()
    })
}

#[cfg(test)]
mod tests;
