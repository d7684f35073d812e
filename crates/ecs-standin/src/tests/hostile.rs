//! Requests that no SDK would send.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{app, start, world};
use crate::{Fault, Operation, StandIn};

/// Of the `X-Amz-Target` header: a dot and the name of the operation follow it.
const TARGET_SERVICE: &str = "AmazonEC2ContainerServiceV20141113";

/// Sends one request, whose request line and first headers are `head`. Returns the status line with
/// the headers, and the body.
async fn send_raw_request(ecs: &StandIn, head: &str, body: &[u8]) -> (String, String) {
    let address = ecs.endpoint().replace("http://", "");
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "{head}\r\nhost: ecs\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(body).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

async fn call_operation(ecs: &StandIn, operation: &str, body: &[u8]) -> (String, String) {
    let head = format!("POST / HTTP/1.1\r\nx-amz-target: {TARGET_SERVICE}.{operation}");
    send_raw_request(ecs, &head, body).await
}

#[tokio::test]
async fn valid_request_is_answered_with_status_200_as_aws_json_1_1() {
    let (ecs, _client) = start(world().cluster(app(0))).await;
    let (head, body) = call_operation(&ecs, "ListClusters", b"{}").await;
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains("content-type: application/x-amz-json-1.1"));
    assert_eq!(body, r#"{"clusterArns":["arn:aws:ecs:eu-central-1:274425519734:cluster/app"]}"#);
}

#[tokio::test]
async fn malformed_request_body_is_answered_with_400_and_the_error_type_of_ecs() {
    let (ecs, _client) = start(world().cluster(app(1))).await;
    let nested = [b"{\"a\":".repeat(100_000), b"[".repeat(500_000)].concat();
    let long = format!(r#"{{"cluster":"app","nextToken":"{}"}}"#, "f".repeat(1 << 20));
    let cases: [(&str, &[u8], &str); 12] = [
        ("ListTasks", b"", "SerializationException"),
        ("ListTasks", b"not json", "SerializationException"),
        ("ListTasks", b"{\"cluster\":\"app\"", "SerializationException"),
        ("ListTasks", b"{\"cluster\":\"\xff\"}", "SerializationException"),
        ("ListTasks", b"[]", "SerializationException"),
        ("ListTasks", b"null", "SerializationException"),
        ("ListTasks", &nested, "SerializationException"),
        ("ListTasks", b"{\"cluster\":7}", "InvalidParameterException"),
        ("ListTasks", b"{\"maxResults\":1e99}", "InvalidParameterException"),
        ("ListTasks", long.as_bytes(), "InvalidParameterException"),
        ("DescribeTasks", b"{\"tasks\":[null]}", "InvalidParameterException"),
        ("DescribeClusters", b"{\"include\":[]}", "InvalidParameterException"),
    ];
    for (operation, body, code) in cases {
        let (head, answer) = call_operation(&ecs, operation, body).await;
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]);
        assert!(head.starts_with("HTTP/1.1 400"), "{shown}: {head}");
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["__type"], code, "{shown}");
        assert!(!answer["message"].as_str().unwrap().is_empty());
    }
    let (head, _) = call_operation(&ecs, "ListTasks", br#"{"cluster":"app"}"#).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[tokio::test]
async fn request_for_an_unknown_operation_is_answered_with_400_and_not_counted_as_a_call() {
    let (ecs, _client) = start(world().cluster(app(1))).await;
    for head in [
        "POST / HTTP/1.1",
        "POST / HTTP/1.1\r\nx-amz-target: ListTasks",
        "POST / HTTP/1.1\r\nx-amz-target: AmazonEC2ContainerServiceV20141113.",
        "POST / HTTP/1.1\r\nx-amz-target: AmazonEC2ContainerServiceV20141113.DeleteCluster",
        "POST / HTTP/1.1\r\nx-amz-target: \u{e9}",
        "POST /other HTTP/1.1\r\nx-amz-target: AmazonEC2ContainerServiceV20141113.ListTasks",
        "GET / HTTP/1.1\r\nx-amz-target: AmazonEC2ContainerServiceV20141113.ListTasks",
    ] {
        let (answer, body) = send_raw_request(&ecs, head, b"{}").await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{head}: {answer}");
        assert!(body.contains("UnknownOperationException"), "{head}: {body}");
    }
    assert_eq!(ecs.calls().total(), 0);
}

#[tokio::test]
async fn reset_fault_resets_the_tcp_connection_instead_of_closing_it() {
    let (ecs, _client) = start(world().cluster(app(1))).await;
    ecs.faults(|faults| {
        faults.once(Operation::ListClusters, Fault::Reset);
    });
    let address = ecs.endpoint().replace("http://", "");
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: ecs\r\nx-amz-target: {TARGET_SERVICE}.ListClusters\r\n\
         content-length: 2\r\n\r\n{{}}"
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let error = connection.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn request_body_of_many_megabytes_is_rejected_and_the_next_request_succeeds() {
    let (ecs, client) = start(world().cluster(app(1))).await;
    let address = ecs.endpoint().replace("http://", "");
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: ecs\r\nx-amz-target: {TARGET_SERVICE}.ListTasks\r\n\
         content-length: 1000000000000\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let megabyte = vec![b' '; 1 << 20];
    for _ in 0..4 {
        // It may close in the middle, once it has read enough.
        if connection.write_all(&megabyte).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(client.list_clusters().send().await.is_ok());
}
