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

/// For one image.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Images that are looked up; each takes three requests or more to its registry.
const MAX_IMAGES: usize = 50;

/// Platforms of one index.
const MAX_PLATFORMS: usize = 20;

/// The result of looking an image up in its registry.
#[derive(Debug)]
pub(super) enum Lookup {
    /// It belongs to an artifact that a pipeline has reported.
    Found(Related),
    /// To none.
    NotFound,
    /// The registry or the server did not return it, for this reason.
    Failed(String),
}

/// A reported artifact to which an image belongs.
#[derive(Debug)]
pub(super) struct Related {
    pub(super) relation: Relation,
    pub(super) fingerprint: String,
    pub(super) name: String,
    pub(super) flow: String,
    /// Seconds since the Unix epoch.
    reported_at: f64,
}

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

/// Asks the registries of the images that seem to be rogue, and changes the findings accordingly.
pub(super) async fn look_up(client: &Client, findings: &mut [Finding<'_>]) {
    // Never a password for any registry: the name of the registry comes from what runs.
    let credentials = docker_config();
    let rogue: Vec<_> = (0..findings.len())
        .filter(|&number| findings[number].origin == Origin::Rogue)
        .map(|number| (number, findings[number].artifact))
        .collect();
    let lookups: Vec<_> = stream::iter(rogue.iter().take(MAX_IMAGES))
        .map(async |&(number, artifact)| {
            let lookup = match related(client, artifact, &credentials).await {
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
        apply(&mut findings[number], lookup);
    }
    for &(number, _) in rogue.iter().skip(MAX_IMAGES) {
        let reason = format!("only the first {MAX_IMAGES} images are looked up");
        findings[number].lookup = Some(Lookup::Failed(reason));
    }
}

fn apply(finding: &mut Finding<'_>, lookup: Lookup) {
    if let Lookup::Found(related) = &lookup {
        let started = finding.first_started.unwrap_or(f64::INFINITY);
        let is_late = related.reported_at > started;
        finding.origin = if is_late { Origin::Late } else { Origin::Known };
        finding.delay = is_late.then_some(related.reported_at - started);
    }
    finding.lookup = Some(lookup);
}

/// The reported artifact to which an image belongs.
async fn related(
    client: &Client,
    artifact: &RecordedArtifact,
    credentials: &CredentialSource,
) -> anyhow::Result<Option<Related>> {
    let digest: Fingerprint = artifact.fingerprint.as_deref().unwrap_or_default().parse()?;
    let name = ImageName::new(&artifact.name);
    let image: Reference = name.without_digest().parse()?;
    let own = registry::manifest(&image.at_digest(digest), credentials, TIMEOUT).await?;
    if let Some(platforms) = own.platforms {
        return reported_platform(client, &platforms).await;
    }
    if name.tag.is_none() {
        return Ok(None);
    }
    // The hash of its content is checked, so that it really is the index that was reported.
    let tagged = registry::manifest(&image, credentials, TIMEOUT).await?;
    if tagged.platforms.is_some_and(|platforms| platforms.contains(&digest)) {
        return reported(client, tagged.digest, Relation::Index).await;
    }
    Ok(None)
}

/// One of these, if each was reported: an index can list a known image beside an unknown one, and ECS
/// does not say which of them it runs.
async fn reported_platform(
    client: &Client,
    platforms: &[Fingerprint],
) -> anyhow::Result<Option<Related>> {
    let mut latest: Option<Related> = None;
    if platforms.len() > MAX_PLATFORMS {
        return Ok(None);
    }
    for platform in platforms {
        let Some(related) = reported(client, *platform, Relation::Platform).await? else {
            return Ok(None);
        };
        if latest.as_ref().is_none_or(|latest| latest.reported_at < related.reported_at) {
            latest = Some(related);
        }
    }
    Ok(latest)
}

/// The first report of an artifact.
async fn reported(
    client: &Client,
    fingerprint: Fingerprint,
    relation: Relation,
) -> anyhow::Result<Option<Related>> {
    let fingerprint = fingerprint.to_string();
    let found = client.search(&fingerprint).await?.document.artifacts;
    let mut first: Option<Related> = None;
    for known in found {
        if !known.has_provenance || known.fingerprint != fingerprint {
            continue;
        }
        let report = client.artifact_by_fingerprint(&known.flow, &fingerprint).await?.document;
        let reported_at = report.created_at.parse().unwrap_or(f64::NEG_INFINITY);
        if first.as_ref().is_none_or(|first| reported_at < first.reported_at) {
            let (fingerprint, flow) = (fingerprint.clone(), known.flow);
            first =
                Some(Related { relation, fingerprint, name: report.filename, flow, reported_at });
        }
    }
    Ok(first)
}
