//! One running container.

use std::fmt;

use serde::{Serialize, Serializer};

use super::{Artifact, Fingerprint, TaskOrigin, image::pinned_digest};

/// The source of an artifact's fingerprint, the most reliable first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DigestSource {
    /// ECS, which pulled the image.
    Ecs,
    /// A digest in the image reference.
    Pinned,
    /// None: the fingerprint is unknown.
    Unknown,
}

impl fmt::Display for DigestSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ecs => "ecs",
            Self::Pinned => "pinned",
            Self::Unknown => "unknown",
        })
    }
}

impl Serialize for DigestSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A running container and its task, as described by ECS. Borrowed, since an account may run ten
/// thousand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunningContainer<'t> {
    /// Cluster name.
    pub cluster: &'t str,
    /// Service name; `None` for a standalone task.
    pub service: Option<&'t str>,
    /// Task ARN.
    pub task_arn: &'t str,
    /// When the task started, in seconds since the Unix epoch.
    pub started_at: i64,
    /// Where the task comes from; `None` if it is not known.
    pub origin: Option<&'t TaskOrigin>,
    /// The name of the artifact.
    pub artifact_name: &'t str,
    /// The fingerprint of the pulled image; `None` if it is unknown.
    pub fingerprint: Option<Fingerprint>,
    /// The source of the fingerprint.
    pub digest_source: DigestSource,
}

impl RunningContainer<'_> {
    /// One replica of this container's artifact.
    pub fn as_artifact(&self) -> Artifact {
        let name = self.artifact_name.to_owned();
        Artifact { name, fingerprint: self.fingerprint, replicas: 1 }
    }
}

impl DigestSource {
    /// The fingerprint of a running image, and its source: the digest from ECS if there is one,
    /// otherwise the digest in the image reference.
    ///
    /// A digest of ECS's that is no SHA-256 does not fall back on the reference: ECS did say what
    /// was pulled, in a form that is not supported.
    pub fn resolve(
        image: Option<&str>,
        ecs_digest: Option<&str>,
    ) -> (Option<Fingerprint>, DigestSource) {
        let (fingerprint, source) = match ecs_digest.filter(|digest| !digest.is_empty()) {
            // ECS has been seen to omit the algorithm.
            Some(digest) => {
                (digest.strip_prefix("sha256:").unwrap_or(digest).parse().ok(), Self::Ecs)
            }
            None => (image.and_then(pinned_digest), Self::Pinned),
        };
        match fingerprint {
            Some(_) => (fingerprint, source),
            None => (None, Self::Unknown),
        }
    }
}

/// The name of an artifact: its image, or its container's name if there is no image.
///
/// AWS's own sidecars carry a random suffix (`ecs-service-connect-Xa1b2`), which would make every
/// replaced task look like new software; it is left off.
pub fn artifact_name<'t>(image: Option<&'t str>, container: &'t str) -> &'t str {
    const AWS_SIDECARS: [&str; 2] = ["ecs-service-connect", "aws-guardduty-agent"];
    match image.filter(|image| !image.is_empty()) {
        Some(image) => image,
        None => AWS_SIDECARS
            .into_iter()
            .find(|sidecar| {
                container.strip_prefix(sidecar).is_some_and(|suffix| suffix.starts_with('-'))
            })
            .unwrap_or(container),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECS_DIGEST: &str =
        "sha256:9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625";
    const PINNED_IMAGE: &str =
        "web@sha256:eeb0cfc9ee7f69fbd9531d5b8c1e8d22a8de119e2a422344a714a868e9a8bfec";

    #[test]
    fn digest_from_ecs_takes_precedence_over_the_one_in_the_image_reference() {
        let ecs = Fingerprint::from_digest(ECS_DIGEST).ok();
        let pin = pinned_digest(PINNED_IMAGE);
        let cases = [
            (Some(PINNED_IMAGE), Some(ECS_DIGEST), ecs, DigestSource::Ecs),
            (Some("web:1"), Some(ECS_DIGEST), ecs, DigestSource::Ecs),
            (None, Some(ECS_DIGEST), ecs, DigestSource::Ecs),
            (Some(PINNED_IMAGE), ECS_DIGEST.strip_prefix("sha256:"), ecs, DigestSource::Ecs),
            (Some(PINNED_IMAGE), None, pin, DigestSource::Pinned),
            (Some(PINNED_IMAGE), Some(""), pin, DigestSource::Pinned),
            (Some("web:1"), None, None, DigestSource::Unknown),
            (Some(PINNED_IMAGE), Some("sha512:00"), None, DigestSource::Unknown),
            (None, None, None, DigestSource::Unknown),
        ];
        for (image, digest, fingerprint, source) in cases {
            assert_eq!(
                DigestSource::resolve(image, digest),
                (fingerprint, source),
                "{image:?} {digest:?}"
            );
        }
    }

    #[test]
    fn aws_sidecar_without_an_image_is_named_without_its_random_suffix() {
        let cases = [
            (Some("web:1"), "web", "web:1"),
            (Some(""), "web", "web"),
            (None, "web-a1b2", "web-a1b2"),
            (None, "ecs-service-connect-Xa1b2", "ecs-service-connect"),
            (None, "aws-guardduty-agent-9Zk", "aws-guardduty-agent"),
            (None, "ecs-service-connector", "ecs-service-connector"),
            (Some("envoy:1"), "ecs-service-connect-Xa1b2", "envoy:1"),
        ];
        for (image, container, expected) in cases {
            assert_eq!(artifact_name(image, container), expected);
        }
    }
}
