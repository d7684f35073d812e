//! Requests to the recorder: a line with an address that is read, and the body of a report.
#![cfg_attr(not(test), no_main)]

use std::time::Duration;

use envsnap::api::wire::{EcsReport, ErrorBody, RecordedSnapshot};
use envsnap::recorder::{Access, SqliteStore, serve};
use reqwest::{Client, Method, Url};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

const CREATE_ENVIRONMENT_BODY: &str =
    r#"{"name": "env", "type": "ECS", "description": "", "include_scaling": true}"#;

/// The most bytes of an error response, which quotes little of the request.
const MAX_ERROR_BYTES: usize = 40_000;

/// When the client closes idle connections: each recorder has ended by then.
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_millis(100);

/// One client of the recorders, each of which has a store and a socket of its own.
struct Harness {
    runtime: Runtime,
    client: Client,
}

thread_local! {
    static HARNESS: Harness = Harness {
        runtime: Builder::new_current_thread().enable_all().build().unwrap(),
        client: Client::builder()
            .no_proxy()
            .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
            .build()
            .unwrap(),
    };
}

/// Checks one input of the fuzzer: a report is recorded or refused, and the address is answered.
pub(crate) fn check(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (address, report) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let Ok(address) = str::from_utf8(address) else { return };
    HARNESS.with(|harness| harness.runtime.block_on(harness.record_and_read(address, report)));
}

impl Harness {
    /// Starts a recorder, sends it the report, and reads the latest snapshot and `address`.
    async fn record_and_read(&self, address: &str, report: &[u8]) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = format!("http://{}/api/v2/", listener.local_addr().unwrap());
        let Ok(address) = Url::parse(&format!("{api}{address}")) else { return };
        let url_of = |path: &str| format!("{api}{path}").parse::<Url>().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { drop(stopped.await) };
        let served = tokio::spawn(serve(
            listener,
            SqliteStore::in_memory().unwrap(),
            Access::open(),
            None,
            shutdown,
        ));

        let (create_status, _) =
            self.send(Method::PUT, url_of("environments/acme"), CREATE_ENVIRONMENT_BODY).await;
        assert_eq!(create_status, 201);
        let report_url = url_of("environments/acme/env/report/ECS");
        let (report_status, report_response) =
            self.send(Method::PUT, report_url, report.to_vec()).await;
        let (latest_status, latest) =
            self.send(Method::GET, url_of("snapshots/acme/env/-1"), "").await;
        match report_status {
            201 => {
                let report: EcsReport = serde_json::from_slice(report).unwrap();
                let recorded: RecordedSnapshot = serde_json::from_slice(&latest).unwrap();
                assert_eq!(recorded.snapshot().content_hash(), report.snapshot().content_hash());
            }
            200 => assert_eq!(latest_status, 404, "nothing that runs makes no first snapshot"),
            400 | 413 => {
                check_error_body(&report_response);
                assert_eq!(latest_status, 404, "what is refused is not recorded");
            }
            status => panic!("status {status}"),
        }
        let (status, body) = self.send(Method::GET, address, "").await;
        match status {
            200..=299 => {}
            400..=499 => check_error_body(&body),
            status => panic!("status {status}"),
        }

        drop(stop);
        served.await.unwrap().unwrap();
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        body: impl Into<reqwest::Body>,
    ) -> (u16, Vec<u8>) {
        let response = self.client.request(method, url).body(body).send().await.unwrap();
        (response.status().as_u16(), response.bytes().await.unwrap().to_vec())
    }
}

/// An error response is short, and has a message.
fn check_error_body(body: &[u8]) {
    assert!(body.len() < MAX_ERROR_BYTES, "{} bytes", body.len());
    let refusal: ErrorBody = serde_json::from_slice(body).unwrap();
    assert!(!refusal.message.is_empty());
}

#[cfg(not(test))]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
