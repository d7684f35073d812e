//! A pipeline reported the digest of an index, and ECS pulled a platform's manifest, or the reverse.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::story::{COMMIT, Story, unix_time};
use crate::registry::Registry;

/// A manifest or an index in the registry, and its digest.
struct Manifest {
    text: String,
    digest: String,
}

impl Manifest {
    fn new(document: &Value) -> Self {
        let text = document.to_string();
        let digest = hex::encode(Sha256::digest(&text));
        Self { text, digest }
    }

    /// A manifest of an image, which differs with `name`.
    fn image(name: &str) -> Self {
        Self::new(&json!({
            "schemaVersion": 2, "config": {"digest": format!("sha256:{name}")}, "layers": [],
        }))
    }

    /// An index of these images, each for another architecture, and of an attestation of the build.
    fn index(images: &[&Self]) -> Self {
        let entry = |digest: &str, os: &str, architecture: &str| {
            json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1,
                "digest": format!("sha256:{digest}"),
                "platform": {"os": os, "architecture": architecture},
            })
        };
        let mut manifests: Vec<_> = images
            .iter()
            .zip(["amd64", "arm64"])
            .map(|(image, architecture)| entry(&image.digest, "linux", architecture))
            .collect();
        manifests.push(entry(&"ee".repeat(32), "unknown", "unknown"));
        Self::new(&json!({"schemaVersion": 2, "manifests": manifests}))
    }
}

/// A registry with these manifests by repository and tag; without a tag, only the digest finds one.
async fn registry(images: &[(&str, Option<&str>, &Manifest)]) -> Registry {
    let mut found: Vec<(String, String)> = Vec::new();
    for (repository, tag, content) in images {
        let mut names = vec![format!("sha256:{}", content.digest)];
        names.extend(tag.map(str::to_owned));
        for name in names {
            found.push((format!("/v2/{repository}/manifests/{name}"), content.text.clone()));
        }
    }
    Registry::serving(found).await
}

/// Of each artifact that was found, sorted by name: name, status, relation, and whether the
/// registry answered 404.
fn statuses(found: &Value) -> Vec<(String, Value, Value, bool)> {
    let mut statuses: Vec<_> = found["artifacts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            let name = it["name"].as_str().unwrap().rsplit('/').next().unwrap();
            let name = name.split(':').next().unwrap().to_owned();
            let error = it["registry_error"].as_str().is_some_and(|it| it.contains("404"));
            (name, it["status"].clone(), it["related"]["relation"].clone(), error)
        })
        .collect();
    statuses.sort_by(|a, b| a.0.cmp(&b.0));
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn rogue_with_registry_matches_platform_images_and_indexes_of_reported_artifacts() {
    let [runner, web, mixed, evil, moved, pinned] =
        ["runner", "web", "mixed", "evil", "moved", "pinned"].map(Manifest::image);
    let other = Manifest::image("other");
    let [runner_index, web_index] = [Manifest::index(&[&runner, &other]), Manifest::index(&[&web])];
    let mixed_index = Manifest::index(&[&mixed, &evil]);
    let moved_index = Manifest::index(&[&other]);
    let pinned_index = Manifest::index(&[&pinned]);
    let registry = registry(&[
        ("runner", None, &runner),
        ("runner", Some("1"), &runner_index),
        ("web", Some("1"), &web_index),
        ("mixed", Some("1"), &mixed_index),
        ("moved", None, &moved),
        ("moved", Some("1"), &moved_index),
        ("pinned", None, &pinned),
        ("pinned", Some("1"), &pinned_index),
    ])
    .await;

    let story = Story::at("2022-08-22T08:00:00Z").await;
    for environment in ["aws-prod", "aws-beta"] {
        story.recorder.create(environment, Some(true)).await;
    }
    let report = async |at: &str, name: &str, content: &Manifest| {
        let digest = &content.digest;
        let report = ["artifact", "report", name, "--name", name, "--fingerprint", digest];
        story.job(at, name, COMMIT, &report).await;
    };
    report("2022-08-22T08:10:00Z", "runner", &runner_index).await;
    report("2022-08-22T08:10:00Z", "mixed", &mixed).await;
    report("2022-08-22T08:10:00Z", "moved", &moved_index).await;
    report("2022-08-22T08:10:00Z", "pinned", &pinned_index).await;
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds")]
    let started = unix_time("2022-08-22T09:00:00Z") as i64;
    let task = |name: &str, digest: &str| {
        vec![json!({
            "taskArn": format!("arn:aws:ecs:eu-central-1:1:task/app/{name}"),
            "cluster_name": "app", "service_name": name,
            "digests": {format!("{}/{name}", registry.host): digest},
            "creationTimestamp": started,
        })]
    };
    let runner_task = task("runner:1", &runner.digest);
    let pinned_name = format!("pinned:1@sha256:{}", pinned.digest);
    let tasks = [
        runner_task.clone(),
        task(&pinned_name, &pinned.digest),
        task("web:1", &web_index.digest),
        task("mixed:1", &mixed_index.digest),
        task("moved:1", &moved.digest),
        task("gone:1", &other.digest),
    ];
    story.report("aws-prod", "2022-08-22T09:01:00Z", &tasks).await;
    story.report("aws-beta", "2022-08-22T09:01:00Z", &[runner_task]).await;
    report("2022-08-22T10:00:00Z", "web", &web).await;

    // Without the registry, whose images are not looked up.
    let before = story.ask(&["rogue", "aws-prod"]).await;
    assert!(before.out.contains("\n6 rogue among 6 artifacts of aws-prod#1.\n"), "{before:?}");
    assert!(registry.lines().is_empty());

    let shown = story.ask(&["rogue", "aws-prod", "--registry"]).await;
    assert_eq!((shown.code, &*shown.error), (Some(1), ""), "{shown:?}");
    let words: Vec<_> = shown.out.split_whitespace().collect();
    let words = words.join(" ");
    for line in [
        format!("a platform of the index runner of pipeline runner, {}", runner_index.digest),
        format!("a platform of the index pinned of pipeline pinned, {}", pinned_index.digest),
        format!("the index of web of pipeline web, {}", web.digest),
        "reported by pipeline web 1 hour after that".to_owned(),
        "its registry does not say more: ".to_owned(),
        "3 rogue, 1 late, 2 known among 6 artifacts of aws-prod#1.".to_owned(),
    ] {
        assert!(words.contains(&line), "{line:?} is not in {}", shown.out);
    }
    assert!(shown.out.lines().all(|line| line.chars().count() <= 100), "{}", shown.out);
    assert!(registry.lines().iter().all(|line| line.starts_with("GET ")), "only reads");

    let found = story.ask(&["rogue", "aws-prod", "--registry", "-o", "json"]).await;
    let found: Value = serde_json::from_str(&found.out).unwrap();
    let statuses = statuses(&found);
    let row = |name: &str, status: &str, relation: Value, error: bool| {
        (name.to_owned(), json!(status), relation, error)
    };
    assert_eq!(
        statuses,
        [
            row("gone", "rogue", Value::Null, true),
            // A known image beside one that no pipeline reported.
            row("mixed", "rogue", Value::Null, false),
            // The tag now names another index.
            row("moved", "rogue", Value::Null, false),
            row("pinned", "known", json!("index"), false),
            row("runner", "known", json!("index"), false),
            row("web", "late", json!("platform"), false),
        ]
    );

    let shown = story.ask(&["rogue", "aws-beta", "--registry"]).await.success();
    assert!(shown.contains("\nknown   Name: ") && shown.contains("\n1 known among 1 "), "{shown}");
}
