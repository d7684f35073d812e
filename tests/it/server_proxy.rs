//! The proxy between here and the snapshot server.

use envsnap::api::{Client, EnvironmentApi as _, Latest, ServerApi as _};
use envsnap::token::TokenSource;
use serde_json::json;

use crate::harness::{aws, config};
use crate::scripted::Scripted;

#[tokio::test]
async fn requests_to_the_server_go_by_way_of_its_proxy_and_those_to_this_machine_do_not() {
    let (proxy, local) = (Scripted::start().await, Scripted::start().await);
    let variables = [("KOSLI_HTTP_PROXY", proxy.url.as_str()), ("ALLOW_HTTP", "true")];
    for (host, asked) in [("http://snapshots.example", &proxy), (local.url.as_str(), &local)] {
        let config = config(host, &variables);
        let tokens = TokenSource::new(&config.token, &aws(&local.url));
        let client = Client::with_proxy(config.host, config.proxy, config.org, tokens).unwrap();
        asked.then_json(200, &json!({"index": 3, "type": "ECS", "artifacts": []}));
        let latest = client.environment("e", None).latest_snapshot().await.unwrap();
        assert!(matches!(latest, Latest::Snapshot { index: 3, .. }), "{host}");
    }
    let asked = |by: &Scripted| by.received().into_iter().map(|r| r.path).collect::<Vec<_>>();
    assert_eq!(asked(&proxy), ["http://snapshots.example/api/v2/snapshots/acme/e/-1"]);
    assert_eq!(asked(&local), ["/api/v2/snapshots/acme/e/-1"]);
}

#[tokio::test]
async fn a_proxy_that_is_out_of_reach_is_an_error_that_names_the_server() {
    let variables = [("KOSLI_HTTP_PROXY", "127.0.0.1:9"), ("ALLOW_HTTP", "true")];
    let config = config("http://snapshots.example", &variables);
    let tokens = TokenSource::new(&config.token, &aws("http://127.0.0.1:9"));
    let client = Client::with_proxy(config.host, config.proxy, config.org, tokens).unwrap();
    let give_up_at = tokio::time::Instant::now() + std::time::Duration::from_millis(500);
    let environment = client.environment("e", Some(give_up_at));
    let error = environment.latest_snapshot().await.unwrap_err().to_string();
    assert!(error.contains("(http://snapshots.example/api/v2/"), "{error}");
}
