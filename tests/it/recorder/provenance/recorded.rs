//! The requests that client 2.43.1 sent: one JSON object a line.

use serde::Deserialize;

use super::form::{Part, multipart, multipart_type};

/// A request of the client, with a body or with the parts of a form.
#[derive(Deserialize)]
pub(crate) struct RecordedRequest {
    /// The line of the original recording.
    pub(crate) line: u32,
    pub(crate) method: String,
    /// Below `/api/v2`.
    pub(crate) path: String,
    /// It is about something that the recorder does not keep.
    #[serde(default)]
    pub(crate) not_kept: bool,
    /// JSON, if it is no form.
    #[serde(default)]
    pub(crate) body: Option<String>,
    /// Those of a form; the first one is JSON.
    #[serde(default)]
    pub(crate) parts: Vec<RecordedPart>,
}

#[derive(Deserialize)]
pub(crate) struct RecordedPart {
    disposition: String,
    #[serde(rename = "type")]
    content_type: Option<String>,
    pub(crate) data: String,
}

/// All recorded requests, in the order in which they were sent.
pub(crate) fn recorded_requests() -> Vec<RecordedRequest> {
    include_str!("requests.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

impl RecordedRequest {
    /// The content type and the body.
    pub(crate) fn body(&self) -> (String, Vec<u8>) {
        if self.parts.is_empty() {
            let body = self.body.clone().unwrap_or_default();
            return ("application/json".to_owned(), body.into_bytes());
        }
        let parts: Vec<Part<'_>> = self
            .parts
            .iter()
            .map(|part| (&*part.disposition, part.content_type.as_deref(), part.data.as_bytes()))
            .collect();
        (multipart_type(), multipart(&parts))
    }
}
