//! What a registry's answers hold: digests, manifests and errors.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::Error;
use super::http::Answer;
use crate::excerpt::excerpt;
use crate::redact;
use crate::snapshot::Fingerprint;

const DIGEST_HEADER: &str = "docker-content-digest";

/// The digest that the registry names in its response's header; `None` if it names none.
pub(super) fn digest_in(answer: &Answer) -> Result<Option<Fingerprint>, Error> {
    let Some(value) = answer.headers.get(DIGEST_HEADER) else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let digest = Fingerprint::from_digest(text.trim()).map_err(|_| Error::Unexpected {
        request: answer.request.clone(),
        problem: format!(
            "the digest \"{}\" is not sha256: and 64 hexadecimal digits",
            excerpt(&text)
        ),
    })?;
    Ok(Some(digest))
}

/// The SHA-256 of the manifest that came back, which has to be the digest that the registry names.
pub(super) fn hashed_manifest(answer: &Answer) -> Result<Fingerprint, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Manifest {
        schema_version: u32,
    }
    let unexpected =
        |problem: String| Error::Unexpected { request: answer.request.clone(), problem };
    match serde_json::from_slice(&answer.body) {
        Ok(Manifest { schema_version: 2 }) => {}
        // Its digest leaves out the signatures in it.
        Ok(Manifest { schema_version }) => {
            return Err(unexpected(format!(
                "a manifest of version {schema_version}, not 2, came back"
            )));
        }
        Err(_) => return Err(unexpected("what came back is no manifest of an image".to_owned())),
    }
    let hashed = Fingerprint::from(<[u8; 32]>::from(Sha256::digest(&answer.body)));
    match digest_in(answer)? {
        Some(named) if named != hashed => Err(unexpected(format!(
            "the registry names the digest sha256:{named}, but the manifest has sha256:{hashed}"
        ))),
        _ => Ok(hashed),
    }
}

/// The digests of the manifests for platforms that an index lists; `None` if the manifest is not an
/// index.
pub(super) fn platform_digests(manifest: &[u8]) -> Option<Vec<Fingerprint>> {
    #[derive(Deserialize)]
    struct Index {
        manifests: Vec<Descriptor>,
    }
    #[derive(Deserialize)]
    struct Descriptor {
        digest: String,
        #[serde(default)]
        platform: Option<Platform>,
    }
    #[derive(Deserialize)]
    struct Platform {
        os: String,
        architecture: String,
    }
    // No machine pulls what is for an unknown platform: attestations of the build.
    let is_for_machines = |entry: &Descriptor| {
        entry.platform.as_ref().is_none_or(|it| it.os != "unknown" || it.architecture != "unknown")
    };
    let Index { manifests } = serde_json::from_slice(manifest).ok()?;
    let digests = manifests.iter().filter(|entry| is_for_machines(entry));
    Some(digests.filter_map(|entry| Fingerprint::from_digest(&entry.digest).ok()).collect())
}

/// The text of a registry's error response, behind a colon; empty if it has none.
pub(super) fn error_suffix(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct ErrorResponse {
        errors: Vec<ErrorDetail>,
    }
    #[derive(Deserialize)]
    struct ErrorDetail {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let text = match serde_json::from_slice::<ErrorResponse>(body) {
        Ok(ErrorResponse { errors }) if !errors.is_empty() => {
            let all =
                errors.iter().map(|ErrorDetail { code, message }| format!("{code} {message}"));
            all.collect::<Vec<_>>().join("; ")
        }
        _ => String::from_utf8_lossy(body).into_owned(),
    };
    let text = redact::redact_known(text.trim()).into_owned();
    if text.is_empty() { text } else { format!(": {}", excerpt(&text)) }
}
