//! The identifiers of messages, by which receivers recognize those that are repeated.

use std::collections::BTreeSet;

use envsnap_model::snapshot::Fingerprint;
use envsnap_model::wire::ECS;

use super::*;
use crate::SqliteStore;
use crate::domain::{EnvironmentSettings, Report, ReportEntry};

async fn create_environment(store: &SqliteStore, name: &str) {
    let settings = EnvironmentSettings {
        name: name.to_owned(),
        environment_type: ECS.to_owned(),
        description: String::new(),
        include_scaling: None,
        included_environments: None,
        policies: None,
    };
    store.save_environment("acme", settings, true, "admin").await.unwrap();
}

/// Reports one task of each of these versions.
async fn report(store: &SqliteStore, environment: &str, versions: &[u8]) {
    let entries = versions.iter().map(|&version| ReportEntry {
        task_arn: format!("task/{version}").into(),
        cluster_name: Some("app".into()),
        service_name: Some("web".into()),
        digests: vec![(format!("web:{version}").into(), Some(Fingerprint::from([version; 32])))],
        started_at: 1_661_161_162,
        origin: None,
    });
    let report = Report::new(&entries.collect::<Vec<_>>()).unwrap();
    store.record_report("acme", environment, report, "reporter").await.unwrap();
}

async fn deliveries(store: &SqliteStore) -> Deliveries<SqliteStore> {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let secret = Secret::from_file(&secret).unwrap();
    let webhook = "http://127.0.0.1:9/hook".parse().unwrap();
    Deliveries::new(store.clone(), webhook, secret, None).await.unwrap()
}

/// The identifiers of the messages about all entries of the ledger, in their order.
async fn message_ids(store: &SqliteStore) -> Vec<String> {
    let deliveries = deliveries(store).await;
    let names = store.environment_names("acme").await.unwrap();
    let mut ids = Vec::new();
    for entry in store.ledger_entries("acme", 0).await.unwrap() {
        let messages = deliveries.messages("acme", &entry, &names, false).await.unwrap();
        ids.extend(messages.into_iter().map(|message| message.id));
    }
    ids
}

#[tokio::test]
async fn messages_of_two_environments_that_had_one_name_differ_in_their_ids_and_keep_them() {
    let store = SqliteStore::in_memory().unwrap();
    create_environment(&store, "stage").await;
    report(&store, "stage", &[1, 2]).await;
    report(&store, "stage", &[2]).await;
    let before = message_ids(&store).await;
    store.rename_environment("acme", "stage", "old", "admin").await.unwrap();
    create_environment(&store, "stage").await;
    report(&store, "stage", &[1, 2]).await;
    report(&store, "stage", &[2]).await;
    let ids = message_ids(&store).await;
    assert_eq!(ids.len(), 6);
    assert_eq!(ids[..3], before, "sent again after the environment was renamed");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 6, "{ids:?}");
}
