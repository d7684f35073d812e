use std::io::{BufRead as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use envsnap::recorder::{Access, SqliteStore, serve};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::file::on;
use super::operations::start_serve;
use super::server::{Recorder, digest, task, write_secret};
use crate::command_line::text;
use crate::harness::http_client;

#[tokio::test]
async fn token_allows_only_what_its_right_permits_in_its_organization() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "wr1ter-0 label=w org=acme write\nre4der-0 label=r org=acme read\nbu1lder-0 label=ci org=acme attest\nro0t-000 label=root org=* write\n").unwrap();
    let access = Access::from_token_file(file.path()).unwrap();
    let recorder = Recorder::with(SqliteStore::in_memory().unwrap(), access).await;
    let environment = json!({"name": "env", "type": "ECS", "description": ""}).to_string();
    let report = json!({"artifacts": []}).to_string();
    let flow = json!({"name": "runner", "description": ""}).to_string();
    let artifact = json!({
        "fingerprint": digest(1), "filename": "web:1", "build_url": "", "commit_url": "",
    })
    .to_string();
    let allowed = json!({"artifact_fingerprint": digest(2), "artifact_name": "n"}).to_string();
    let (get, put, post) = (Method::GET, Method::PUT, Method::POST);
    let cases = [
        (Some("wr1ter-0"), &put, "environments/acme", &environment, 201),
        (Some("ro0t-000"), &put, "environments/other", &environment, 201),
        (Some("wr1ter-0"), &put, "environments/other", &environment, 403),
        (Some("re4der-0"), &put, "environments/acme", &environment, 403),
        (Some("wr1ter-0"), &put, "environments/acme/env/report/ECS", &report, 200),
        (Some("re4der-0"), &put, "environments/acme/env/report/ECS", &report, 403),
        (None, &put, "environments/acme/env/report/ECS", &report, 401),
        (Some("re4der-0"), &get, "environments/acme", &report, 200),
        (Some("re4der-0"), &get, "environments/acme/env", &report, 200),
        (Some("re4der-0"), &get, "snapshots/acme/env/-1", &report, 404),
        (Some("re4der-0"), &get, "snapshots/acme/env", &report, 200),
        (Some("re4der-0"), &get, "environments/acme/env/events", &report, 200),
        (Some("re4der-0"), &get, "env-diff/acme?snappish1=env&snappish2=env", &report, 404),
        (Some("re4der-0"), &get, "environments/other/env", &report, 403),
        (Some("re4der-0"), &get, "environments/other/env/events", &report, 403),
        (Some("re4der-0"), &get, "snapshots/other/env", &report, 403),
        (Some("re4der-0"), &get, "env-diff/other?snappish1=env&snappish2=env", &report, 403),
        (Some("re4der-0"), &put, "environments/acme/env/rename", &report, 403),
        (Some("re4der-0"), &put, "environments/acme/env/archive", &report, 403),
        (Some("re4der-0"), &get, "snapshots/other/env/-1", &report, 403),
        (Some("re4der-0"), &get, "environments/%61cme/env", &report, 200),
        (Some("bu1lder-0"), &put, "flows/acme", &flow, 201),
        (Some("bu1lder-0"), &post, "artifacts/acme/runner", &artifact, 201),
        (Some("bu1lder-0"), &get, "artifacts/acme/runner/ab/latest_commit", &report, 200),
        (Some("re4der-0"), &get, "artifacts/acme/runner/ab/latest_commit", &report, 200),
        (Some("bu1lder-0"), &put, "flows/other", &flow, 403),
        (Some("bu1lder-0"), &get, "flows/acme", &report, 403),
        (Some("bu1lder-0"), &put, "flows/acme/runner/archive", &report, 403),
        (Some("bu1lder-0"), &put, "allowlists/acme/env", &allowed, 403),
        (Some("bu1lder-0"), &put, "environments/acme/env/report/ECS", &report, 403),
        (Some("bu1lder-0"), &get, "snapshots/acme/env/-1", &report, 403),
        (Some("re4der-0"), &put, "flows/acme", &flow, 403),
        (Some("re4der-0"), &get, "flows/acme", &report, 200),
        (Some("re4der-0"), &put, "allowlists/acme/env", &allowed, 403),
        (Some("wr1ter-0"), &put, "allowlists/acme/env", &allowed, 201),
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
async fn without_tokens_requests_with_a_foreign_host_header_are_refused() {
    let open = Recorder::start().await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "wr1ter-0 label=w org=* write").unwrap();
    let access = Access::from_token_file(file.path()).unwrap();
    let with_tokens = Recorder::with(SqliteStore::in_memory().unwrap(), access).await;
    let client = http_client();
    for (recorder, host, status) in [
        (&open, "localhost:8080", 200),
        (&open, "evil.example", 403),
        (&with_tokens, "snapshots.example.com", 200),
    ] {
        for path in ["/", "/api/v2/environments/acme"] {
            let request = client.get(format!("{}{path}", recorder.url)).header("host", host);
            let answer = request.bearer_auth("wr1ter-0").send().await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{host} {path}");
        }
    }
}

#[tokio::test]
async fn basic_auth_accepts_the_token_as_password_and_401_offers_bearer_and_basic() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "re4der-0 label=r org=acme read").unwrap();
    let access = Access::from_token_file(file.path()).unwrap();
    let recorder = Recorder::with(SqliteStore::in_memory().unwrap(), access).await;
    let client = http_client();
    let get = async |org: &str, user: &str, password: &str| {
        let url = format!("{}/api/v2/environments/{org}", recorder.url);
        client.get(url).basic_auth(user, Some(password)).send().await.unwrap()
    };
    for user in ["", "someone", "re4der-0"] {
        assert_eq!(get("acme", user, "re4der-0").await.status(), 200, "{user}");
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
    assert_eq!(challenges("other", "re4der-0", 403).await, [""; 0], "the token is a good one");
}

#[tokio::test]
async fn without_tokens_any_token_or_none_is_accepted() {
    let recorder = Recorder::start().await;
    for token in [None, Some("any")] {
        let answer = recorder.send(Method::GET, "/api/v2/environments/acme", token, "").await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn without_tokens_serving_on_a_non_loopback_address_is_refused() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let store = SqliteStore::in_memory().unwrap();
    let refused = serve(listener, store, Access::open(), None, std::future::pending()).await;
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("without a token file"), "{said}");
}

#[tokio::test]
async fn client_that_sends_its_whole_body_before_reading_gets_the_403() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "re4der-0 label=r org=acme read").unwrap();
    let access = Access::from_token_file(file.path()).unwrap();
    let recorder = Recorder::with(SqliteStore::in_memory().unwrap(), access).await;
    let path = "/api/v2/environments/acme/env/report/ECS";
    // All of the request is sent before any of the answer is read, as many clients do.
    let body = vec![b' '; 9_000_000];
    let address = recorder.url.trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer re4der-0\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&body).await.unwrap();
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 403");
}

/// A recorder with a token file of these lines.
async fn recorder_with_tokens(lines: &str) -> Recorder {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    write_secret(&file, lines);
    let access = Access::from_token_file(&file).unwrap();
    Recorder::with(SqliteStore::in_memory().unwrap(), access).await
}

#[tokio::test]
async fn token_with_report_right_allows_only_the_requests_of_the_reporter() {
    let recorder = recorder_with_tokens(
        "rep0rter label=reporter org=acme report\nwr1ter-0 label=admin org=acme write\n",
    )
    .await;
    let named = |name: &str, kind: &str, description: &str| {
        json!({"name": name, "type": kind, "description": description}).to_string()
    };
    let report = json!({"artifacts": [task(1, "web", &digest(1), 1)]}).to_string();
    let rename = json!({"new_name": "other"}).to_string();
    let (get, put) = (&Method::GET, &Method::PUT);
    let cases = [
        // Whatever the reporter does, an attempt that is repeated included.
        (put, "environments/acme", named("env", "ECS", "by the reporter"), 201),
        (put, "environments/acme", named("env", "ECS", "by the reporter"), 201),
        (put, "environments/acme/env/report/ECS", report.clone(), 201),
        (get, "environments/acme/env", String::new(), 200),
        (get, "snapshots/acme/env/-1", String::new(), 200),
        (get, "snapshots/acme/env/~0", String::new(), 200),
        // And nothing more.
        (put, "environments/acme", named("env", "ECS", "changed"), 403),
        (put, "environments/acme", named("group", "logical", ""), 403),
        (put, "environments/other", named("env", "ECS", ""), 403),
        (put, "environments/acme/env/archive", String::new(), 403),
        (put, "environments/acme/env/rename", rename.clone(), 403),
        (get, "environments/acme", String::new(), 403),
        (get, "environments/acme/env/events", String::new(), 403),
        (get, "snapshots/acme/env", String::new(), 403),
        (get, "snapshots/acme/env/1", String::new(), 403),
        (get, "env-diff/acme?snappish1=env&snappish2=env", String::new(), 403),
    ];
    let send = async |token: &str, method: &Method, path: &str, body: String| {
        let path = format!("/api/v2/{path}");
        recorder.send(method.clone(), &path, Some(token), body).await.status.as_u16()
    };
    for (method, path, body, status) in cases {
        let shown = format!("{method} {path} {body}");
        assert_eq!(send("rep0rter", method, path, body).await, status, "{shown}");
    }
    let home = reqwest::Client::new().get(format!("{}/", recorder.url)).bearer_auth("rep0rter");
    assert_eq!(home.send().await.unwrap().status(), 403);
    // What was put away stays there until someone who may brings it back.
    assert_eq!(send("wr1ter-0", put, "environments/acme/env/archive", String::new()).await, 200);
    let again = named("env", "ECS", "by the reporter");
    assert_eq!(send("rep0rter", put, "environments/acme", again.clone()).await, 403);
    assert_eq!(send("wr1ter-0", put, "environments/acme", again).await, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reloads_the_token_file_unless_it_is_invalid() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let (mut serve, log, url) = start_serve(&file, "first-00 label=first org=acme read\n");
    let tokens = file.with_extension("tokens");
    let (said, mut lines) = tokio::sync::mpsc::unbounded_channel();
    let reader = tokio::task::spawn_blocking(move || {
        for line in log.lines() {
            let _ended = said.send(line.unwrap());
        }
    });
    let client = http_client();
    let status = async |token: &str| {
        let request = client.get(format!("{url}/api/v2/environments/acme")).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    };
    let process = serve.id().to_string();
    let mut reload = async |said: &str| {
        let kill = Command::new("kill").args(["-HUP", &process]).status().unwrap();
        assert!(kill.success());
        loop {
            let line = lines.recv().await.unwrap();
            if line.contains(said) {
                return line;
            }
        }
    };
    assert_eq!((status("first-00").await, status("second-0").await), (200, 401));

    write_secret(&tokens, "second-0 label=second org=acme read\n");
    reload("reloaded the token file").await;
    assert_eq!((status("first-00").await, status("second-0").await), (401, 200));

    write_secret(&tokens, "third-00 org=acme read\n");
    let line = reload("kept the current tokens").await;
    assert!(line.contains("ERROR") && line.contains("label=ci-runner"), "{line}");
    assert!(!line.contains("third-00"), "{line}");
    write_secret(&tokens, "third-00 label=third org=acme read\n");
    std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o666)).unwrap();
    let line = reload("kept the current tokens").await;
    assert!(line.contains("has mode 0666") && line.contains("chmod 600"), "{line}");
    assert_eq!((status("third-00").await, status("second-0").await), (401, 200));
    // One that would be waited for: no program writes to it.
    std::fs::remove_file(&tokens).unwrap();
    assert!(Command::new("mkfifo").arg(&tokens).status().unwrap().success());
    let line = reload("kept the current tokens").await;
    assert!(line.contains("is not a regular file"), "{line}");
    std::fs::remove_file(&tokens).unwrap();
    write_secret(&tokens, &"# all the same\n".repeat(100_000));
    let line = reload("kept the current tokens").await;
    assert!(line.contains("has more than 1024 KiB"), "{line}");
    assert_eq!((status("third-00").await, status("second-0").await), (401, 200));
    serve.kill().unwrap();
    serve.wait().unwrap();
    reader.await.unwrap();
}

#[test]
fn an_invalid_token_file_is_refused_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let (file, tokens) = (folder.path().join("snapshots.db"), folder.path().join("tokens"));
    let started = |line: &str, mode| {
        write_secret(&tokens, line);
        std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(mode)).unwrap();
        let tokens = tokens.to_str().unwrap();
        let serve = on("serve", &file, &["--listen", "127.0.0.1:0", "--token-file", tokens]);
        assert_eq!(serve.status.code(), Some(2));
        text(&serve.stderr)
    };
    for (line, mode, said) in [
        (
            "s3cret-0 label=a org=acme read",
            0o666,
            "has mode 0666, so that every user may change it",
        ),
        ("s3cret-0 label=a org=acme read", 0o644, "every user may read it"),
        ("s3cr3 label=a org=acme read", 0o600, "fewer than 8 characters"),
        ("s3cret-0 org=acme read", 0o600, "has a token without a label. Add label=NAME"),
        (
            "s3cret-0 label=a org=acme admin",
            0o600,
            "one of the rights report, attest, write and read",
        ),
    ] {
        let error = started(line, mode);
        assert!(error.contains(said) && !error.contains("s3cr"), "{error}");
    }
}
