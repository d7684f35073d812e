//! What registries say of images that no pipeline seems to have reported. A CI job may have reported the
//! digest of an index of which ECS pulled the manifest for one platform, or the reverse.

use std::time::Duration;

use envsnap_model::provenance::Origin;
use futures_util::stream::{self, StreamExt as _};

use super::finding::Finding;
use crate::api::Client;
use crate::api::wire::RecordedArtifact;
use crate::cli::artifact::MAX_CONCURRENT_REQUESTS;
use crate::cli::fingerprint::docker_config;
use crate::redact::redact_known;
use crate::registry::{self, CredentialSource, Reference};
use crate::snapshot::{Fingerprint, ImageName};

/// For one manifest, authentication included.
const MANIFEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The most images to look up; each takes three requests or more to its registry.
const MAX_IMAGES: usize = 50;

/// The most platforms of an index to search for: an index with more counts as not reported.
const MAX_PLATFORMS: usize = 20;

/// The result of looking an image up in its registry.
#[derive(Debug)]
pub(super) enum Lookup {
    /// It belongs to an artifact that a pipeline has reported.
    Found(RelatedArtifact),
    /// To none.
    NotFound,
    /// The registry or the server did not return it, for this reason.
    Failed(String),
}

/// A reported artifact to which an image belongs.
#[derive(Debug)]
pub(super) struct RelatedArtifact {
    pub(super) relation: Relation,
    pub(super) fingerprint: String,
    pub(super) name: String,
    pub(super) flow: String,
    /// Seconds since the Unix epoch.
    reported_at: f64,
}

/// How an image belongs to a reported artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// The artifact is the index that lists the image.
    Index,
    /// The image is an index, and every platform in it was reported; the artifact is one of them.
    Platform,
}

impl Relation {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Platform => "platform",
        }
    }
}

/// Asks the registries of the images that seem to be rogue. Those that belong to a reported artifact
/// are then known or late.
pub(super) async fn look_up_rogue_images(client: &Client, findings: &mut [Finding<'_>]) {
    // Never a password for any registry: the name of the registry comes from what runs.
    let credentials = docker_config();
    let rogue: Vec<_> = (0..findings.len())
        .filter(|&number| findings[number].origin == Origin::Rogue)
        .map(|number| (number, findings[number].artifact))
        .collect();
    let lookups: Vec<_> = stream::iter(rogue.iter().take(MAX_IMAGES))
        .map(async |&(number, artifact)| {
            let lookup = match find_related(client, artifact, &credentials).await {
                Ok(Some(related)) => Lookup::Found(related),
                Ok(None) => Lookup::NotFound,
                Err(error) => Lookup::Failed(redact_known(&format!("{error:#}")).into_owned()),
            };
            (number, lookup)
        })
        .buffered(MAX_CONCURRENT_REQUESTS)
        .collect()
        .await;
    for (number, lookup) in lookups {
        apply_lookup(&mut findings[number], lookup);
    }
    for &(number, _) in rogue.iter().skip(MAX_IMAGES) {
        let reason = format!("only the first {MAX_IMAGES} images are looked up");
        findings[number].lookup = Some(Lookup::Failed(reason));
    }
}

fn apply_lookup(finding: &mut Finding<'_>, lookup: Lookup) {
    if let Lookup::Found(related) = &lookup {
        let started = finding.first_started.unwrap_or(f64::INFINITY);
        let is_late = related.reported_at > started;
        finding.origin = if is_late { Origin::Late } else { Origin::Known };
        finding.delay = is_late.then_some(related.reported_at - started);
    }
    finding.lookup = Some(lookup);
}

/// The reported artifact to which an image belongs: a platform of it if it is an index, or else the
/// index that its tag names now if that lists it.
async fn find_related(
    client: &Client,
    artifact: &RecordedArtifact,
    credentials: &CredentialSource,
) -> anyhow::Result<Option<RelatedArtifact>> {
    let digest: Fingerprint = artifact.fingerprint.as_deref().unwrap_or_default().parse()?;
    let name = ImageName::new(&artifact.name);
    let image: Reference = name.without_digest().parse()?;
    let own = registry::manifest(&image.at_digest(digest), credentials, MANIFEST_TIMEOUT).await?;
    if let Some(platforms) = own.platforms {
        return latest_reported_platform(client, &platforms).await;
    }
    if name.tag.is_none() {
        return Ok(None);
    }
    // The hash of its content is checked, so that it really is the index that was reported.
    let tagged = registry::manifest(&image, credentials, MANIFEST_TIMEOUT).await?;
    if tagged.platforms.is_some_and(|platforms| platforms.contains(&digest)) {
        return first_report(client, tagged.digest, Relation::Index).await;
    }
    Ok(None)
}

/// The one of these that was reported last, if each was reported: an index can list a known image
/// beside an unknown one, and ECS does not say which of them it runs.
async fn latest_reported_platform(
    client: &Client,
    platforms: &[Fingerprint],
) -> anyhow::Result<Option<RelatedArtifact>> {
    let mut latest: Option<RelatedArtifact> = None;
    if platforms.len() > MAX_PLATFORMS {
        return Ok(None);
    }
    for platform in platforms {
        let Some(related) = first_report(client, *platform, Relation::Platform).await? else {
            return Ok(None);
        };
        if latest.as_ref().is_none_or(|latest| latest.reported_at < related.reported_at) {
            latest = Some(related);
        }
    }
    Ok(latest)
}

/// The artifact with this fingerprint, by its first report; `None` if no pipeline has reported it.
async fn first_report(
    client: &Client,
    fingerprint: Fingerprint,
    relation: Relation,
) -> anyhow::Result<Option<RelatedArtifact>> {
    let fingerprint = fingerprint.to_string();
    let found = client.search(&fingerprint).await?.document.artifacts;
    let mut first: Option<RelatedArtifact> = None;
    for known in found {
        if !known.has_provenance || known.fingerprint != fingerprint {
            continue;
        }
        let report = client.artifact_by_fingerprint(&known.flow, &fingerprint).await?.document;
        let reported_at = report.created_at.parse().unwrap_or(f64::NEG_INFINITY);
        if first.as_ref().is_none_or(|first| reported_at < first.reported_at) {
            let (fingerprint, flow) = (fingerprint.clone(), known.flow);
            first = Some(RelatedArtifact {
                relation,
                fingerprint,
                name: report.filename,
                flow,
                reported_at,
            });
        }
    }
    Ok(first)
}
