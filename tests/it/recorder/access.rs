use std::io::Write as _;

use envsnap::recorder::{Access, Store, serve};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::server::Recorder;

#[tokio::test]
async fn a_token_opens_its_organization_to_read_or_to_write() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "wr1ter org=acme write\nre4der org=acme read\nro0t org=* write\n").unwrap();
    let access = Access::from_token_file(file.path()).unwrap();
    let recorder = Recorder::with(Store::in_memory().unwrap(), access).await;
    let environment = json!({"name": "env", "type": "ECS", "description": ""}).to_string();
    let report = json!({"artifacts": []}).to_string();
    let (get, put) = (Method::GET, Method::PUT);
    let cases = [
        (Some("wr1ter"), &put, "environments/acme", &environment, 201),
        (Some("ro0t"), &put, "environments/other", &environment, 201),
        (Some("wr1ter"), &put, "environments/other", &environment, 403),
        (Some("re4der"), &put, "environments/acme", &environment, 403),
        (Some("wr1ter"), &put, "environments/acme/env/report/ECS", &report, 200),
        (Some("re4der"), &put, "environments/acme/env/report/ECS", &report, 403),
        (None, &put, "environments/acme/env/report/ECS", &report, 401),
        (Some("re4der"), &get, "environments/acme", &report, 200),
        (Some("re4der"), &get, "environments/acme/env", &report, 200),
        (Some("re4der"), &get, "snapshots/acme/env/-1", &report, 404),
        (Some("re4der"), &get, "snapshots/acme/env", &report, 200),
        (Some("re4der"), &get, "environments/acme/env/events", &report, 200),
        (Some("re4der"), &get, "env-diff/acme?snappish1=env&snappish2=env", &report, 404),
        (Some("re4der"), &get, "environments/other/env", &report, 403),
        (Some("re4der"), &get, "environments/other/env/events", &report, 403),
        (Some("re4der"), &get, "snapshots/other/env", &report, 403),
        (Some("re4der"), &get, "env-diff/other?snappish1=env&snappish2=env", &report, 403),
        (Some("re4der"), &put, "environments/acme/env/rename", &report, 403),
        (Some("re4der"), &put, "environments/acme/env/archive", &report, 403),
        (Some("re4der"), &get, "snapshots/other/env/-1", &report, 403),
        (Some("re4der"), &get, "environments/%61cme/env", &report, 200),
        (Some("unknown"), &get, "environments/acme", &report, 401),
        (Some(""), &get, "environments/acme", &report, 401),
        (None, &get, "environments/acme", &report, 401),
    ];
    for (token, method, path, body, status) in cases {
        let path = format!("/api/v2/{path}");
        let answer = recorder.send(method.clone(), &path, token, body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{token:?} {method} {path}");
        if matches!(status, 401 | 403) {
            let refused = json!({"message": "You don't have permission to access this resource"});
            assert_eq!(answer.body, refused);
        }
    }
}

#[tokio::test]
async fn without_tokens_a_name_that_was_made_to_lead_here_opens_nothing() {
    let open = Recorder::start().await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "wr1ter org=* write").unwrap();
    let access = Access::from_token_file(file.path()).unwrap();
    let with_tokens = Recorder::with(Store::in_memory().unwrap(), access).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (recorder, host, status) in [
        (&open, "localhost:8080", 200),
        (&open, "evil.example", 403),
        (&with_tokens, "snapshots.example.com", 200),
    ] {
        for path in ["/", "/api/v2/environments/acme"] {
            let request = client.get(format!("{}{path}", recorder.url)).header("host", host);
            let answer = request.bearer_auth("wr1ter").send().await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{host} {path}");
        }
    }
}

#[tokio::test]
async fn a_browser_logs_in_with_the_token_as_the_password() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "re4der org=acme read").unwrap();
    let access = Access::from_token_file(file.path()).unwrap();
    let recorder = Recorder::with(Store::in_memory().unwrap(), access).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |org: &str, user: &str, password: &str| {
        let url = format!("{}/api/v2/environments/{org}", recorder.url);
        client.get(url).basic_auth(user, Some(password)).send().await.unwrap()
    };
    for user in ["", "someone", "re4der"] {
        assert_eq!(get("acme", user, "re4der").await.status(), 200, "{user}");
    }
    let challenges = async |org: &str, password: &str, status: u16| {
        let refused = get(org, "someone", password).await;
        assert_eq!(refused.status(), status);
        let challenges = refused.headers().get_all("www-authenticate");
        challenges.iter().map(|it| it.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let expected = ["Bearer realm=\"envsnap\"", "Basic realm=\"envsnap\", charset=\"UTF-8\""];
    assert_eq!(challenges("acme", "wrong", 401).await, expected);
    assert_eq!(challenges("acme", "", 401).await, expected);
    assert_eq!(challenges("other", "re4der", 403).await, [""; 0], "the token is a good one");
}

#[tokio::test]
async fn without_tokens_any_token_or_none_will_do() {
    let recorder = Recorder::start().await;
    for token in [None, Some("any")] {
        let answer = recorder.send(Method::GET, "/api/v2/environments/acme", token, "").await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn without_tokens_nobody_else_is_served() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let store = Store::in_memory().unwrap();
    let refused = serve(listener, store, Access::open(), std::future::pending()).await;
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("without a token file"), "{said}");
}

#[tokio::test]
async fn a_refusal_reaches_who_is_still_sending() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "re4der org=acme read").unwrap();
    let access = Access::from_token_file(file.path()).unwrap();
    let recorder = Recorder::with(Store::in_memory().unwrap(), access).await;
    let path = "/api/v2/environments/acme/env/report/ECS";
    // All of the request is sent before any of the answer is read, as many clients do.
    let body = vec![b' '; 9_000_000];
    let address = recorder.url.trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer re4der\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&body).await.unwrap();
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 403");
}
