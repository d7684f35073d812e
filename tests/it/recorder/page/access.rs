use std::io::Write as _;

use envsnap::recorder::{Access, SqliteStore};
use serde_json::json;

use super::*;

#[tokio::test]
async fn token_as_basic_auth_password_opens_only_pages_of_its_organizations() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(
        file,
        "acme-000 label=a org=acme read\nboth-000 label=b org=acme read\n\
         both-000 label=b org=other write\nall-0000 label=c org=* write\n"
    )
    .unwrap();
    let access = Access::from_token_file(file.path()).unwrap();
    let recorder = Recorder::with(SqliteStore::in_memory().unwrap(), access).await;
    for org in ["acme", "other", "third"] {
        let body = json!({"name": format!("of-{org}"), "type": "ECS", "description": ""});
        let path = format!("/api/v2/environments/{org}");
        let answer = recorder.send(Method::PUT, &path, Some("all-0000"), body.to_string()).await;
        assert_eq!(answer.status, StatusCode::CREATED);
    }
    for (password, seen) in [
        ("acme-000", &["acme"][..]),
        ("both-000", &["acme", "other"]),
        ("all-0000", &["acme", "other", "third"]),
    ] {
        let words = send(&recorder, Method::GET, "/", Some(password)).await.words();
        for org in ["acme", "other", "third"] {
            let expected = seen.contains(&org);
            assert_eq!(words.contains(org), expected, "{password} {org}: {words}");
            for path in [
                format!("/{org}/environments"),
                format!("/{org}/environments/of-{org}"),
                format!("/{org}/flows"),
                format!("/{org}/matrix"),
                format!("/{org}/search?q=of-{org}"),
            ] {
                let page = send(&recorder, Method::GET, &path, Some(password)).await;
                let status = if expected { 200 } else { 403 };
                assert_eq!(page.status.as_u16(), status, "{password} {path}");
                assert!(expected || !page.words().contains("of-"), "{password} {path}");
            }
        }
    }
}

#[tokio::test]
async fn page_without_a_valid_token_is_401_with_a_basic_auth_challenge() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "acme-000 label=a org=acme read").unwrap();
    let access = Access::from_token_file(file.path()).unwrap();
    let recorder = Recorder::with(SqliteStore::in_memory().unwrap(), access).await;
    for path in [
        "/",
        "/acme/environments",
        "/acme/environments/env",
        "/acme/environments/env/snapshots/1",
        "/acme/compare?from=env&to=env",
        "/acme/flows",
        "/acme/flows/flow",
        "/acme/flows/flow/trails/trail",
        "/acme/artifacts/0101010101010101010101010101010101010101010101010101010101010101",
        "/acme/matrix",
        "/acme/search?q=0101010",
    ] {
        for password in [None, Some(""), Some("wrong")] {
            let page = send(&recorder, Method::GET, path, password).await;
            assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{path}");
            let challenges: Vec<_> = page.headers.get_all("www-authenticate").iter().collect();
            assert!(challenges.iter().any(|it| it.to_str().unwrap().starts_with("Basic ")));
            let words = page.words();
            assert!(
                words.contains(
                    "Log in Log in with any user name, and a token of this recorder as the password"
                ),
                "{words}"
            );
        }
    }
    // The page that says so has its style.
    for path in ["/assets/page.css", "/assets/page.js", "/assets/icon.svg"] {
        assert_eq!(get(&recorder, path).await.status, StatusCode::OK, "{path}");
    }
}
