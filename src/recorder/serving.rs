//! Connections, and how long a client or a request may hold one.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use super::answer::Refusal;

/// How long the head of a request may take to arrive, from when the one before it was answered: a
/// connection that says nothing is closed after that, too.
const HEAD: Duration = Duration::from_secs(30);

/// How long a request may take, its body included: it waits its turn, or for a disk that hangs.
const LONGEST_REQUEST: Duration = Duration::from_mins(1);

/// How long requests that had begun may go on after the shutdown.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// Lets `router` answer until `shutdown` is over and every request that had begun is answered, or
/// its time is up.
pub(super) async fn serve(
    mut listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let connections = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, _) = tokio::select! {
            // Through axum's trait, which waits where no more connections can be had.
            accepted = axum::serve::Listener::accept(&mut listener) => accepted,
            () = &mut shutdown => break,
        };
        // An answer is one small packet: without this it may wait for an acknowledgement. Where it
        // cannot be set, it does.
        let _slower = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        // A connection that breaks is its client's affair.
        tokio::spawn(async move { drop(connection.await) });
    }
    drop(listener);
    // What is still unanswered then is given up.
    let _overdue = tokio::time::timeout(LAST_REQUESTS, connections.shutdown()).await;
}

/// Answers in a minute, if need be that there is no answer.
pub(super) async fn in_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(LONGEST_REQUEST, next.run(request)).await.unwrap_or_else(|_| {
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The recorder took too long, and may still do what was asked: ask again",
        )
        .into_response()
    })
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use axum::middleware::from_fn;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::time::Instant;

    use super::*;

    /// A connection to a server that answers at `/` only.
    async fn connected() -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/", get(|| async { "here" }))
            .route("/never", get(pending::<()>))
            .layer(from_fn(in_time));
        tokio::spawn(serve(listener, router, pending()));
        TcpStream::connect(address).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_finish_its_head_is_let_go() {
        for begun in ["", "GET / HTTP/1.1\r\nhost: x\r\nx-slow: "] {
            let mut connection = connected().await;
            let since = Instant::now();
            connection.write_all(begun.as_bytes()).await.unwrap();
            let mut answer = String::new();
            connection.read_to_string(&mut answer).await.unwrap();
            assert!(!answer.contains("here"), "{answer}");
            assert!(since.elapsed() >= HEAD);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_speaks_again_in_time_keeps_its_connection() {
        let mut connection = connected().await;
        for _ in 0..3 {
            connection.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"here") {
                assert_ne!(connection.read_buf(&mut answer).await.unwrap(), 0);
            }
            tokio::time::sleep(HEAD / 2).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_too_long_is_answered_all_the_same() {
        let mut connection = connected().await;
        let request = b"GET /never HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        connection.write_all(request).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains(r#"{"message":"The recorder took too long"#), "{answer}");
    }
}
