//! Kinds of containers, each in a task that runs.

use envsnap::standin::{Container, World};
use serde_json::json;

use super::account::{account_with_app, container, digest, service_task};
use super::{Case, Crashes, Fails, reports};

const WEB: &str = "app/web web:1=a";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::same_result(
            "two images in one task",
            service_api_of([container("api", "api:1", 'b'), container("proxy", "proxy:1", 'c')]),
            reports(["app/api api:1=b proxy:1=c", WEB]),
        ),
        Case::new(
            "an init container that has exited",
            service_api_of([
                container("api", "api:1", 'b'),
                container("init", "init:1", 'c').exited(0),
            ]),
            reports(["app/api api:1=b", WEB]),
            reports(["app/api api:1=b init:1=c", WEB]),
        ),
        Case::new(
            "a container that is PENDING",
            service_api_of([
                container("api", "api:1", 'b'),
                container("late", "late:1", 'c').last_status("PENDING"),
            ]),
            reports(["app/api api:1=b", WEB]),
            reports(["app/api api:1=b late:1=c", WEB]),
        ),
        Case::new(
            "a container in an unknown state",
            service_api_of([
                container("api", "api:1", 'b'),
                container("odd", "odd:1", 'c').last_status("FROZEN"),
            ]),
            reports(["app/api api:1=b", WEB]),
            reports(["app/api api:1=b odd:1=c", WEB]),
        ),
        Case::new(
            "two containers of one image in a task",
            service_api_of([container("api", "api:1", 'b'), container("twin", "api:1", 'b')]),
            reports(["2 x app/api api:1=b (tasks: 1)", WEB]),
            reports(["app/api api:1=b", WEB]),
        ),
        Case::new(
            "one digest under two names in a task",
            service_api_of([container("api", "api:1", 'b'), container("twin", "api:latest", 'b')]),
            reports(["app/api api:1=b", "app/api api:latest=b", WEB]),
            reports(["app/api api:1=b api:latest=b", WEB]),
        ),
        Case::same_result(
            "a container without an image",
            service_api_of([Container::new("api").digest(&digest('b'))]),
            reports(["app/api api=b", WEB]),
        ),
        Case::same_result(
            "a container without a digest",
            service_api_of([Container::new("api").image("api:1")]),
            reports(["app/api api:1=", WEB]),
        ),
        Case::same_result(
            "a container without a digest, its image pinned by one",
            service_api_of([Container::new("api").image(&format!("api@{}", digest('b')))]),
            reports(["app/api api@sha256:b=b", WEB]),
        ),
        Case::same_result(
            "an image with a tag, pinned by another digest than was pulled",
            service_api_of([container("api", &format!("api:1@{}", digest('b')), 'c')]),
            reports(["app/api api:1@sha256:b=c", WEB]),
        ),
        Case::new(
            "a sidecar of Service Connect, without digest and image",
            service_api_of([
                container("api", "api:1", 'b'),
                Container::new("ecs-service-connect-abc123"),
            ]),
            reports(["app/api api:1=b", "app/api ecs-service-connect=", WEB]),
            reports(["app/api api:1=b ecs-service-connect-abc123=", WEB]),
        ),
        Case::new(
            "a sidecar of GuardDuty, with a digest and without an image",
            service_api_of([
                container("api", "api:1", 'b'),
                Container::new("aws-guardduty-agent-xyz").digest(&digest('c')),
            ]),
            reports(["app/api api:1=b aws-guardduty-agent=c", WEB]),
            reports(["app/api api:1=b aws-guardduty-agent-xyz=c", WEB]),
        ),
        Case::new(
            "a container that is described with its digest only",
            service_api_of([container("api", "api:1", 'b'), container_with_digest_only()]),
            reports(["app/api api:1=b unnamed=c", WEB]),
            Crashes,
        ),
        Case::new(
            "a running task that is described without containers",
            account_with_app([service_task("api", []).raw(json!({"containers": null}))]),
            Fails(2, "aws-prod: EcsUnavailable: "),
            reports(["app/api", WEB]),
        ),
    ]
}

fn container_with_digest_only() -> Container {
    Container { image_digest: Some(digest('c')), ..Container::default() }
}

/// Service `web`, and service `api` with a task of these containers.
fn service_api_of(containers: impl IntoIterator<Item = Container>) -> World {
    account_with_app([service_task("api", containers)])
}
