use std::future::pending;
use std::net::SocketAddr;

use axum::middleware::from_fn;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::*;

/// The bytes at `/large`: more than any socket holds.
const LARGE_RESPONSE_BYTES: usize = 64 << 20;

/// Starts a server that serves so many connections at a time. `/never` does not answer.
async fn start_server(max_connections: usize) -> (SocketAddr, Metrics) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/", get(|| async { "here" }))
        .route("/never", get(pending::<()>))
        .route("/large", get(|| async { vec![0; LARGE_RESPONSE_BYTES] }))
        .layer(from_fn(timeout_request));
    let metrics = Metrics::new().unwrap();
    let counted = metrics.clone();
    tokio::spawn(async move {
        serve_with_limit(max_connections, listener, router, &counted, pending()).await;
    });
    (address, metrics)
}

/// A connection to a server of its own.
async fn connect_to_new_server() -> TcpStream {
    TcpStream::connect(start_server(100).await.0).await.unwrap()
}

async fn read_to_close(connection: &mut TcpStream) -> String {
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(start_paused = true)]
async fn connection_with_unfinished_request_head_is_closed_after_the_head_timeout() {
    for begun in ["", "GET / HTTP/1.1\r\nhost: x\r\nx-slow: "] {
        let mut connection = connect_to_new_server().await;
        let since = Instant::now();
        connection.write_all(begun.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(!answer.contains("here"), "{answer}");
        assert!(since.elapsed() >= HEAD_TIMEOUT);
    }
}

#[tokio::test(start_paused = true)]
async fn idle_connection_stays_open_if_the_next_request_is_within_the_head_timeout() {
    let mut connection = connect_to_new_server().await;
    for _ in 0..3 {
        connection.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"here") {
            assert_ne!(connection.read_buf(&mut answer).await.unwrap(), 0);
        }
        tokio::time::sleep(HEAD_TIMEOUT / 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn request_that_exceeds_the_request_timeout_is_answered_503() {
    let mut connection = connect_to_new_server().await;
    let request = b"GET /never HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    connection.write_all(request).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains(r#"{"message":"The request timed out"#), "{answer}");
}

#[tokio::test]
async fn connection_over_the_limit_is_answered_503_with_retry_after_and_counted() {
    let (address, metrics) = start_server(2).await;
    let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut connection = TcpStream::connect(address).await.unwrap();
        // Part of an answer shows that it was let in.
        connection.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        connection.read_exact(&mut [0; 8]).await.unwrap();
        open.push(connection);
    }
    for _ in 0..3 {
        let mut refused = TcpStream::connect(address).await.unwrap();
        refused.write_all(request).await.unwrap();
        let refused = read_to_close(&mut refused).await;
        let (head, body) = refused.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("retry-after: 5"), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        serde_json::from_str::<envsnap_model::wire::ErrorBody>(body).unwrap();
    }
    let counted = metrics.connection_counts();
    assert_eq!(counted, (2, 3));
    open.pop();
    while metrics.connection_counts().0 > 1 {
        tokio::task::yield_now().await;
    }
    let mut let_in = TcpStream::connect(address).await.unwrap();
    let_in.write_all(request).await.unwrap();
    assert!(read_to_close(&mut let_in).await.ends_with("here"));
}

#[tokio::test(start_paused = true)]
async fn client_that_does_not_read_a_large_response_is_disconnected_and_counted() {
    let (address, metrics) = start_server(100).await;
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let since = Instant::now();
    while metrics.slow_readers() == 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(since.elapsed() >= Duration::from_secs(30));
    let mut read = Vec::new();
    let _reset = connection.read_to_end(&mut read).await;
    assert!(read.len() < LARGE_RESPONSE_BYTES, "{}", read.len());
}

#[tokio::test]
async fn client_that_reads_receives_a_large_response_completely() {
    let (address, _) = start_server(100).await;
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request = b"GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    connection.write_all(request).await.unwrap();
    let mut read = Vec::new();
    connection.read_to_end(&mut read).await.unwrap();
    assert!(read.len() > LARGE_RESPONSE_BYTES);
}
