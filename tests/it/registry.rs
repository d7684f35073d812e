//! Fingerprints of images, by a registry on loopback that does what registries do, and what they do
//! not.

mod server;

use std::fs;
use std::path::Path;
use std::process::Output;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

pub(crate) use server::Registry;
use server::{ReceivedRequest, digest, refusal};

use crate::command_line::{envsnap, install_script, text};

/// The digest of the image in the registry, without `sha256:`.
const HEX: &str = "9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625";
const PASSWORD: &str = "pa55word-of-alice";
const TOKEN: &str = "t0k3n-of-the-registry";
const MANIFEST: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json"}"#;

#[track_caller]
fn assert_prints(output: &Output, expected: &str) {
    let stderr = text(&output.stderr);
    assert_eq!((text(&output.stdout), &*stderr), (format!("{expected}\n"), ""), "{output:?}");
    assert_eq!(output.status.code(), Some(0));
}

/// `config.json` with this text, in a directory that also has a credential helper, `docker-credential-x`.
fn docker_config(config: &str, helper: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("config.json"), config).unwrap();
    install_script(helper, &directory.path().join("docker-credential-x"));
    directory
}

fn as_text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn fingerprint_of_an_image_is_the_digest_that_its_registry_returns() {
    let registry = Registry::with_tokens(None).await;
    assert_prints(&registry.run_fingerprint(&[], &[]), HEX);
    let scope = "scope=repository%3Aa%2Fweb%3Apull&service=fake";
    let expected = ["GET /v2/", &format!("GET /token?{scope}"), "HEAD /v2/a/web/manifests/1.2"];
    assert_eq!(registry.lines(), expected);
    for kind in ["oci.image.index", "oci.image.manifest", "distribution.manifest.list"] {
        assert!(registry.last_request().header("accept").contains(kind), "{kind}");
    }
    let document: Value =
        serde_json::from_slice(&registry.run_fingerprint(&["-o", "json"], &[]).stdout).unwrap();
    let image = registry.image();
    assert_eq!(document, json!({ "artifact": image, "type": "image", "fingerprint": HEX }));
}

#[tokio::test(flavor = "multi_thread")]
async fn image_with_a_digest_is_fingerprinted_without_a_request() {
    let registry = Registry::with_tokens(None).await;
    let image = format!("{}@sha256:{HEX}", registry.image());
    assert_prints(&envsnap(&["fingerprint", &image], &[]), HEX);
    assert_eq!(registry.lines(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn registry_credentials_come_from_options_variables_or_docker_config() {
    let user = "alice:pa55word-of-alice";
    let registry = Registry::with_tokens(Some(user)).await;
    let host = &registry.host;
    let options = ["--registry-username", "alice", "--registry-password", PASSWORD];
    assert_prints(&registry.run_fingerprint(&options, &[]), HEX);
    let variables = [("KOSLI_REGISTRY_USERNAME", "alice"), ("KOSLI_REGISTRY_PASSWORD", PASSWORD)];
    assert_prints(&registry.run_fingerprint(&[], &variables), HEX);

    let answer = json!({ "ServerURL": host, "Username": "alice", "Secret": PASSWORD });
    let helper = format!("test \"$1\" = get && test \"$(cat)\" = {host} && echo '{answer}'");
    let auth = STANDARD.encode(user);
    for config in [
        json!({ "auths": { host: { "auth": auth } } }),
        json!({ "auths": { format!("https://{host}/v2/"): { "auth": auth } }, "credsStore": "" }),
        json!({ "auths": { host: { "username": "alice", "password": PASSWORD } } }),
        json!({ "credHelpers": { host: "x" }, "credsStore": "nosuch" }),
        json!({ "auths": { host: {} }, "credsStore": "x" }),
    ] {
        let docker = docker_config(&config.to_string(), &helper);
        let directory = as_text(docker.path());
        let path = format!("{directory}:{}", std::env::var("PATH").unwrap());
        let variables = [("DOCKER_CONFIG", directory), ("PATH", &path)];
        assert_prints(&registry.run_fingerprint(&[], &variables), HEX);
    }
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".docker")).unwrap();
    let config = json!({ "auths": { host: { "auth": auth } } }).to_string();
    fs::write(home.path().join(".docker/config.json"), config).unwrap();
    assert_prints(&registry.run_fingerprint(&[], &[("HOME", as_text(home.path()))]), HEX);

    // The last request is for the image, with the token and nothing else.
    assert_eq!(registry.last_request().header("authorization"), format!("Bearer {TOKEN}"));
    for seen in registry.seen.lock().unwrap().iter() {
        let has_password = seen.header("authorization").starts_with("Basic ");
        assert_eq!(has_password, seen.target.starts_with("/token?"), "{}", seen.line());
    }

    let wrong = registry
        .fingerprint_error(&["--registry-username", "bob", "--registry-password", "x"], &[]);
    for part in [&format!("GET http://{host}/token: "), "401", "incorrect password", "\"bob\""] {
        assert!(wrong.contains(part), "{wrong}");
    }
    let none = registry.fingerprint_error(&[], &[]);
    assert!(none.contains(&format!("sign in with docker login {host}")), "{none}");
    let half = registry.fingerprint_error(&["--registry-username", "alice"], &[]);
    assert!(half.contains("Set KOSLI_REGISTRY_PASSWORD as well"), "{half}");
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_token_is_exchanged_in_a_request_body_and_not_in_a_url() {
    let registry = Registry::with_tokens(None).await;
    let host = &registry.host;
    let answer = json!({ "Username": "<token>", "Secret": "identity&token=" });
    for config in [
        json!({ "auths": { host: { "identitytoken": "identity&token=" } } }),
        json!({ "credsStore": "x" }),
    ] {
        let docker =
            docker_config(&config.to_string(), &format!("cat > /dev/null; echo '{answer}'"));
        let directory = as_text(docker.path());
        let path = format!("{directory}:{}", std::env::var("PATH").unwrap());
        let variables = [("DOCKER_CONFIG", directory), ("PATH", &path)];
        assert_prints(&registry.run_fingerprint(&[], &variables), HEX);
        let seen = registry.seen.lock().unwrap();
        let exchange = seen.iter().rev().find(|seen| seen.method == Method::POST).unwrap();
        assert_eq!(exchange.target, "/token");
        assert!(exchange.body.contains("grant_type=refresh_token"), "{}", exchange.body);
        assert!(exchange.body.contains("refresh_token=identity%26token%3D"), "{}", exchange.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_docker_config_or_credential_helper_is_an_error_without_secrets() {
    let registry = Registry::with_tokens(Some("alice:x")).await;
    let host = &registry.host;
    let script = "echo 'keychain is locked' >&2; exit 1";
    for (config, helper, expected) in [
        (format!(r#"{{"auths": {{"{host}": {{"auth": 5, "x": "{PASSWORD}"}}}}}}"#), "", "line 1"),
        (format!(r#"{{"auths": {{"{host}": "{PASSWORD}"}}}}"#), "", "at line 1"),
        (format!(r#"{{"auths": {{"{host}": {{"auth": "{PASSWORD}"}}}}}}"#), "", "not base64"),
        (format!(r#"{{"auths": {{"{host}": {{"auth": "YQ=="}}}}}}"#), "", "not USER:PASSWORD"),
        (r#"{"credsStore": "x"}"#.to_owned(), script, "keychain is locked"),
        (r#"{"credsStore": "x"}"#.to_owned(), "echo nothing", "did not answer with a JSON object"),
        (r#"{"credsStore": "../x"}"#.to_owned(), "", "is a path"),
        (r#"{"credsStore": "nosuch"}"#.to_owned(), "", "cannot be run"),
        // No credentials are none.
        (r#"{"credsStore": "x"}"#.to_owned(), "echo credentials not found; exit 1", "docker login"),
        (r#"{"auths": null}"#.to_owned(), "", "docker login"),
    ] {
        let docker = docker_config(&config, helper);
        let directory = as_text(docker.path());
        let path = format!("{directory}:{}", std::env::var("PATH").unwrap());
        let error =
            registry.fingerprint_error(&[], &[("DOCKER_CONFIG", directory), ("PATH", &path)]);
        assert!(error.contains(expected), "{config}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn registry_with_a_basic_challenge_gets_user_name_and_password() {
    let expected = format!("Basic {}", STANDARD.encode("AWS:pa55word-of-alice"));
    let registry = Registry::start(move |_, seen| {
        if seen.header("authorization") == expected {
            return digest(HEX);
        }
        let challenge = r#"Basic realm="https://x/",service="ecr.amazonaws.com""#;
        (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response()
    })
    .await;
    let options = ["--registry-username", "AWS", "--registry-password", PASSWORD];
    assert_prints(&registry.run_fingerprint(&options, &[]), HEX);
    let none = registry.fingerprint_error(&[], &[]);
    assert!(none.contains("asks for a user name and a password, and none are known"), "{none}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redirect_keeps_credentials_for_the_same_host_and_drops_them_for_another() {
    let other = Registry::start(|_, _| digest(HEX)).await;
    let elsewhere = format!("http://{}/blob?X-Signature=s1gnature", other.host);
    let with_tokens = Registry::with_tokens(None).await.host;
    let registry = Registry::start(move |host, seen| match &*seen.target {
        "/v2/" => {
            let challenge = format!(r#"Bearer realm="http://{with_tokens}/token""#);
            (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response()
        }
        "/v2/a/web/manifests/1.2" => {
            let location = format!("http://{host}/moved");
            (StatusCode::TEMPORARY_REDIRECT, [("location", location)]).into_response()
        }
        _ => (StatusCode::TEMPORARY_REDIRECT, [("location", elsewhere.clone())]).into_response(),
    })
    .await;
    assert_prints(&registry.run_fingerprint(&[], &[]), HEX);
    let moved = registry.last_request();
    assert_eq!(moved.line(), "HEAD /moved");
    assert_eq!(moved.header("authorization"), format!("Bearer {TOKEN}"));
    assert_eq!(other.last_request().line(), "HEAD /blob?X-Signature=s1gnature");
    assert_eq!(other.last_request().header("authorization"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_hashed_if_the_registry_sends_no_digest() {
    for head in [StatusCode::OK, StatusCode::METHOD_NOT_ALLOWED] {
        let registry = Registry::open(move |_, seen| match seen.method {
            Method::HEAD => head.into_response(),
            _ => MANIFEST.into_response(),
        })
        .await;
        let hashed = envsnap::snapshot::Fingerprint::from(<[u8; 32]>::from(
            <sha2::Sha256 as sha2::Digest>::digest(MANIFEST),
        ));
        assert_prints(&registry.run_fingerprint(&[], &[]), &hashed.to_string());
        let expected = ["GET /v2/", "HEAD /v2/a/web/manifests/1.2", "GET /v2/a/web/manifests/1.2"];
        assert_eq!(registry.lines(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn registry_response_without_a_usable_digest_is_an_error_with_url_and_cause() {
    /// The response to all requests but the first, and a part of the error.
    type Case = (fn(&str, &ReceivedRequest) -> Response, &'static str);
    let cases: [Case; 14] = [
        (
            |_, _| refusal(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown"),
            "the answer was 404 Not Found: MANIFEST_UNKNOWN manifest unknown. Check the name and the tag",
        ),
        (|_, _| refusal(StatusCode::FORBIDDEN, "DENIED", "no"), "does not exist or is not public"),
        (
            |_, _| (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "77")]).into_response(),
            "429 Too Many Requests. Try again in 77 s, or sign in",
        ),
        (|_, _| StatusCode::BAD_GATEWAY.into_response(), "502 Bad Gateway. Try again later"),
        (|_, _| StatusCode::UNAUTHORIZED.into_response(), "without a challenge that is known"),
        (|_, _| "<html>Sign in</html>".into_response(), "is no manifest of an image"),
        (|_, _| r#"{"schemaVersion": 1}"#.into_response(), "a manifest of version 1, not 2"),
        (
            |_, seen| match seen.method {
                Method::HEAD => StatusCode::OK.into_response(),
                _ => {
                    ([("docker-content-digest", format!("sha256:{HEX}"))], MANIFEST).into_response()
                }
            },
            "but the manifest has sha256:",
        ),
        (
            |_, _| [("docker-content-digest", "sha512:00")].into_response(),
            "the digest \"sha512:00\" is not sha256:",
        ),
        (
            |_, seen| match seen.method {
                Method::HEAD => StatusCode::OK.into_response(),
                _ => Body::from(vec![b' '; 5 << 20]).into_response(),
            },
            "larger than 4 MiB",
        ),
        (
            |_, seen| (StatusCode::FOUND, [("location", seen.target.clone())]).into_response(),
            "more than 5 redirects",
        ),
        (|_, _| StatusCode::FOUND.into_response(), "302 Found without an address to go to"),
        (
            |host, _| {
                let location = format!("http://user@{host}/");
                (StatusCode::FOUND, [("location", location)]).into_response()
            },
            "with a user name",
        ),
        (
            |_, _| (StatusCode::FOUND, [("location", "file:///etc/passwd")]).into_response(),
            "without an address to go to",
        ),
    ];
    for (answer, expected) in cases {
        let registry = Registry::open(answer).await;
        let error = registry.fingerprint_error(&[], &[]);
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(
            error.contains(&format!(" http://{}/v2/a/web/manifests/1.2", registry.host)),
            "{error}"
        );
    }
    let limited = Registry::open(|_, _| StatusCode::TOO_MANY_REQUESTS.into_response()).await;
    limited.fingerprint_error(&[], &[]);
    assert_eq!(limited.lines().len(), 2, "it is left alone: {:?}", limited.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_not_sent_to_an_unencrypted_or_invalid_token_server() {
    for (realm, expected) in [
        ("http://auth.example/token", "http://auth.example/token, which is not encrypted"),
        ("https://bob:secret@auth.example/t", "https://auth.example/t with a user name"),
        ("token", "\"token\", which is no address"),
        ("file:///token", "which is not encrypted"),
    ] {
        let challenge = format!("Bearer realm=\"{realm}\"");
        let registry = Registry::start(move |_, _| {
            (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge.clone())]).into_response()
        })
        .await;
        let options = ["--registry-username", "alice", "--registry-password", PASSWORD];
        let error = registry.fingerprint_error(&options, &[]);
        assert!(error.contains(expected) && error.contains("was not sent"), "{error}");
        assert!(!error.contains("secret"), "{error}");
        assert_eq!(registry.lines(), ["GET /v2/"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_echoed_in_a_registrys_message_are_redacted() {
    let registry = Registry::start(|host, seen| {
        let sent = seen.header("authorization");
        if seen.target.starts_with("/token") {
            let password = STANDARD.decode(sent.strip_prefix("Basic ").unwrap()).unwrap();
            let message = format!("{sent}: {}", String::from_utf8(password).unwrap());
            return refusal(StatusCode::UNAUTHORIZED, "DENIED", &message);
        }
        let challenge = format!("Bearer realm=\"http://{host}/token\"");
        (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response()
    })
    .await;
    let options = ["--registry-username", "alice", "--registry-password", PASSWORD];
    let error = registry.fingerprint_error(&options, &[]);
    assert!(error.contains("DENIED Basic ") && error.contains("alice:[token]"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_registry_times_out_and_refused_connection_is_an_error_with_its_url() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = silent.local_addr().unwrap().to_string();
    let image = format!("{host}/a/web:1.2");
    let output = envsnap(&["fingerprint", &image, "--timeout", "200ms"], &[]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        error.contains("no complete answer came in time") && error.contains("--timeout"),
        "{error}"
    );
    drop(silent);
    let output = envsnap(&["fingerprint", &image], &[]);
    let error = text(&output.stderr);
    assert!(error.contains(&format!("there is no file or directory \"{image}\"")), "{error}");
    for scheme in ["http", "https"] {
        assert!(error.contains(&format!("GET {scheme}://{host}/v2/: cannot connect")), "{error}");
    }
}
