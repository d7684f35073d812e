//! Requests about provenance, as clients send them.

use reqwest::Method;
use serde_json::{Value, json};

use super::form::{Part, multipart, multipart_type};
use crate::recorder::server::{Answer, Recorder};

/// The git commit of reported artifacts.
pub(in crate::recorder) const COMMIT: &str = "4d9c2bcb8922c2e98149143c1e7dc907197dbd3b";

/// A `multipart/form-data` body with JSON in its field `data_json`, and a file in the field of this name.
pub(crate) fn document(json: &Value, file: Option<(&str, &[u8])>) -> Vec<u8> {
    let json = json.to_string();
    let disposition =
        file.map(|(name, _)| format!("form-data; name=\"{name}\"; filename=\"{name}.dat\""));
    let mut parts: Vec<Part<'_>> = vec![("form-data; name=\"data_json\"", None, json.as_bytes())];
    if let (Some(disposition), Some((_, content))) = (&disposition, file) {
        parts.push((disposition, Some("application/octet-stream"), content));
    }
    multipart(&parts)
}

impl Recorder {
    /// Sends a `multipart/form-data` body to a path below `/api/v2`.
    pub(crate) async fn send_parts(&self, method: Method, path: &str, body: Vec<u8>) -> Answer {
        self.send_typed(method, &format!("/api/v2{path}"), &multipart_type(), body).await
    }

    /// Posts JSON to a path below `/api/v2`.
    pub(in crate::recorder) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, &format!("/api/v2{path}"), Some("any"), body.to_string()).await
    }

    /// Reports an artifact with this fingerprint, built in a trail from [`COMMIT`].
    pub(crate) async fn artifact(&self, org: &str, flow: &str, trail: &str, fingerprint: &str) {
        let body = json!({
            "fingerprint": fingerprint, "filename": "cyberdojo/runner:16d9990", "git_commit": COMMIT,
            "build_url": "https://b/1", "commit_url": "https://c/1", "trail_name": trail,
            "template_reference_name": "runner",
        });
        let answer = self.post(&format!("/artifacts/{org}/{flow}"), &body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// Reports a generic attestation; `path` is `ORG/FLOW/trail/TRAIL`.
    pub(in crate::recorder) async fn generic(&self, path: &str, json: &Value) -> Answer {
        self.send_parts(
            Method::POST,
            &format!("/attestations/{path}/generic"),
            document(json, None),
        )
        .await
    }
}
