//! The proxy between here and the snapshot server.

use envsnap::api::{Client, EnvironmentApi as _, LatestSnapshot, ServerApi as _};
use envsnap::token::TokenSource;
use serde_json::json;

use crate::command_line::envsnap;
use crate::harness::{aws, config};
use crate::scripted::Scripted;

#[tokio::test]
async fn requests_to_the_server_use_its_proxy_unless_the_server_is_on_loopback() {
    let (proxy, local) = (Scripted::start().await, Scripted::start().await);
    let variables = [("KOSLI_HTTP_PROXY", proxy.url.as_str()), ("ALLOW_HTTP", "true")];
    for (host, server) in [("http://snapshots.example", &proxy), (local.url.as_str(), &local)] {
        let config = config(host, &variables);
        let tokens = TokenSource::new(&config.token, &aws(&local.url));
        let client = Client::with_proxy(config.host, config.proxy, config.org, tokens).unwrap();
        server.then_json(200, &json!({"index": 3, "type": "ECS", "artifacts": []}));
        let latest = client.environment("e", None).latest_snapshot().await.unwrap();
        assert!(matches!(latest, LatestSnapshot::Snapshot { index: 3, .. }), "{host}");
    }
    let paths_requested =
        |by: &Scripted| by.received().into_iter().map(|r| r.path).collect::<Vec<_>>();
    assert_eq!(paths_requested(&proxy), ["http://snapshots.example/api/v2/snapshots/acme/e/-1"]);
    assert_eq!(paths_requested(&local), ["/api/v2/snapshots/acme/e/-1"]);
}

#[tokio::test]
async fn error_of_an_unreachable_proxy_names_the_url_of_the_server() {
    let variables = [("KOSLI_HTTP_PROXY", "127.0.0.1:9"), ("ALLOW_HTTP", "true")];
    let config = config("http://snapshots.example", &variables);
    let tokens = TokenSource::new(&config.token, &aws("http://127.0.0.1:9"));
    let client = Client::with_proxy(config.host, config.proxy, config.org, tokens).unwrap();
    let give_up_at = tokio::time::Instant::now() + std::time::Duration::from_millis(500);
    let environment = client.environment("e", Some(give_up_at));
    let error = environment.latest_snapshot().await.unwrap_err().to_string();
    assert!(error.contains("(http://snapshots.example/api/v2/"), "{error}");
}

/// Scheme and host of the requests that each proxy gets from `envsnap report`.
async fn requested_origins(
    variables: &[(&str, &str)],
    proxies: [&Scripted; 2],
) -> [Vec<String>; 2] {
    let mut all = vec![
        ("AWS_ENDPOINT_URL", "http://ecs.example"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("KOSLI_HOST", "http://snapshots.example"),
        ("ALLOW_HTTP", "true"),
        ("KOSLI_ORG", "acme"),
        ("KOSLI_ENVIRONMENT", "aws-prod"),
        ("KOSLI_API_TOKEN", "t0k3n"),
        ("ECS_CLUSTERS", "app"),
        ("COMPARE_REPLICAS", "false"),
    ];
    all.extend(variables);
    let all: Vec<_> = all.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    for proxy in proxies {
        for _ in 0..4 {
            let refused =
                json!({"__type": "AccessDeniedException", "message": "len(snapshots) == 0"});
            proxy.then_json(400, &refused);
        }
    }
    let output = tokio::task::spawn_blocking(move || {
        let all: Vec<_> = all.iter().map(|(n, v)| (&**n, &**v)).collect();
        envsnap(&["report"], &all)
    });
    let output = output.await.unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    proxies.map(|proxy| {
        let mut hosts: Vec<_> = proxy
            .received()
            .into_iter()
            .map(|request| request.path.split('/').take(3).collect::<Vec<_>>().join("/"))
            .collect();
        hosts.sort();
        hosts.dedup();
        hosts
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn kosli_http_proxy_overrides_http_proxy_for_the_server_but_not_for_aws() {
    let (ecs, server) = ("http://ecs.example".to_owned(), "http://snapshots.example".to_owned());
    let (general, own) = (Scripted::start().await, Scripted::start().await);
    let variables = [("HTTP_PROXY", general.url.as_str())];
    let [by_general, by_own] = requested_origins(&variables, [&general, &own]).await;
    assert_eq!((by_general, by_own), (vec![ecs.clone(), server.clone()], vec![]));

    let (general, own) = (Scripted::start().await, Scripted::start().await);
    let variables = [("HTTP_PROXY", general.url.as_str()), ("KOSLI_HTTP_PROXY", own.url.as_str())];
    let [by_general, by_own] = requested_origins(&variables, [&general, &own]).await;
    assert_eq!((by_general, by_own), (vec![ecs], vec![server]));
}
