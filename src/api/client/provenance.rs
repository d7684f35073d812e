//! Requests about provenance: flows, artifacts, evidence, deployments, and what is allowed.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::exchange::{RawResponse, RequestBody, parse};
use super::queries::ApiResponse;
use super::{ApiError, Client};
use crate::api::wire::{AllowedArtifact, Deployment, Flow, FlowArtifact, SearchAnswer};

/// A flow to create, or new settings of one that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlowRequest {
    pub name: String,
    pub description: String,
    /// `public` or `private`; the server's default if it is `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visibility: Option<String>,
}

/// A file that is uploaded: the template of a flow, or one that belongs to an attestation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub filename: String,
    pub content: Vec<u8>,
}

/// A body of type `multipart/form-data`: a JSON document, and perhaps a file.
struct Form {
    boundary: String,
    body: Vec<u8>,
}

impl Form {
    fn new(
        document: &impl Serialize,
        file: Option<(&str, &Attachment)>,
    ) -> serde_json::Result<Self> {
        let document = serde_json::to_vec(document)?;
        let mut hash = Sha256::new_with_prefix(&document);
        hash.update(file.map(|(_, file)| &file.content[..]).unwrap_or_default());
        // No content holds a hash of itself.
        let boundary = format!("envsnap-{}", hex::encode(&hash.finalize()[..16]));
        let mut body =
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"data_json\"\r\n\r\n")
                .into_bytes();
        body.extend_from_slice(&document);
        if let Some((name, file)) = file {
            let filename: String = file
                .filename
                .chars()
                .map(|c| if c.is_control() || matches!(c, '"' | '\\') { '_' } else { c })
                .collect();
            body.extend_from_slice(
                format!(
                    "\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; \
                     filename=\"{filename}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
                )
                .as_bytes(),
            );
            body.extend_from_slice(&file.content);
        }
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        Ok(Self { boundary, body })
    }
}

impl RequestBody for Form {
    fn add_to(&self, request: RequestBuilder) -> RequestBuilder {
        let content_type = format!("multipart/form-data; boundary={}", self.boundary);
        request.header(CONTENT_TYPE, content_type).body(self.body.clone())
    }
}

impl Client {
    /// Every flow, by name.
    ///
    /// # Errors
    /// The server does not return them.
    pub async fn flows(&self) -> Result<ApiResponse<Vec<Flow>>, ApiError> {
        let operation = format!("list the pipelines of \"{}\"", self.org);
        self.read(&operation, &["flows", &self.org], &[]).await
    }

    /// One flow.
    ///
    /// # Errors
    /// It does not exist, or the server does not return it.
    pub async fn flow(&self, flow: &str) -> Result<ApiResponse<Flow>, ApiError> {
        let operation = format!("describe pipeline \"{flow}\"");
        self.read(&operation, &["flows", &self.org, flow], &[]).await
    }

    /// Creates a flow or changes it; without a template it keeps the one it has. Returns whether it is
    /// new.
    ///
    /// # Errors
    /// The template is not valid, or the server does not do it.
    pub async fn save_flow(
        &self,
        request: &FlowRequest,
        template: Option<&Attachment>,
    ) -> Result<bool, ApiError> {
        let operation = format!("make pipeline \"{}\"", request.name);
        let path = ["flows", &self.org, "template_file"];
        let file = template.map(|file| ("template_file", file));
        let answer = self.send_form(&operation, Method::PUT, &path, request, file).await?;
        Ok(answer.status == StatusCode::CREATED)
    }

    /// The artifacts of a flow, the latest first, on the page with this number, from 1.
    ///
    /// # Errors
    /// The server does not return them.
    pub async fn flow_artifacts(
        &self,
        flow: &str,
        page: usize,
        per_page: usize,
    ) -> Result<ApiResponse<Vec<FlowArtifact>>, ApiError> {
        let operation = format!("list the artifacts of pipeline \"{flow}\"");
        let query = [
            ("flow_name", flow.to_owned()),
            ("page", page.to_string()),
            ("per_page", per_page.to_string()),
        ];
        self.read(&operation, &["artifacts", &self.org], &query).await
    }

    /// The artifact of a flow whose fingerprint begins with these digits.
    ///
    /// # Errors
    /// There is none, or several, or the server does not return it.
    pub async fn artifact_by_fingerprint(
        &self,
        flow: &str,
        digits: &str,
    ) -> Result<ApiResponse<FlowArtifact>, ApiError> {
        let operation = format!("describe artifact {digits} of pipeline \"{flow}\"");
        self.read(&operation, &["artifacts", &self.org, flow, "fingerprint", digits], &[]).await
    }

    /// The artifacts of a flow that were built from the commit that begins with these digits.
    ///
    /// # Errors
    /// There is none, or the server does not return them.
    pub async fn artifacts_by_commit(
        &self,
        flow: &str,
        digits: &str,
    ) -> Result<ApiResponse<Vec<FlowArtifact>>, ApiError> {
        let operation = format!("describe what pipeline \"{flow}\" built from commit {digits}");
        self.read(&operation, &["artifacts", &self.org, flow, "commit_sha", digits], &[]).await
    }

    /// What a commit or a fingerprint that begins with these digits belongs to; nothing is no error.
    ///
    /// # Errors
    /// The server does not say it.
    pub async fn search(&self, digits: &str) -> Result<ApiResponse<SearchAnswer>, ApiError> {
        let operation = format!("search for {digits}");
        let found = self.read(&operation, &["search", &self.org, "sha", digits], &[]).await;
        match found {
            Err(ApiError::Rejected { status: StatusCode::NOT_FOUND, message, .. })
                if message.contains("No matches") =>
            {
                let nothing = SearchAnswer { resolved_to: Value::Null, artifacts: Vec::new() };
                Ok(ApiResponse { document: nothing, text: "{\"artifacts\": []}".to_owned() })
            }
            found => found,
        }
    }

    /// Every allowance of the organization: an artifact or name that may run without provenance.
    ///
    /// # Errors
    /// The server does not return it.
    pub async fn allowances(&self) -> Result<ApiResponse<Vec<AllowedArtifact>>, ApiError> {
        let operation = format!("list what \"{}\" allows", self.org);
        self.read(&operation, &["allowlists", &self.org], &[]).await
    }

    /// Allows what `request` says in an environment, or in all.
    ///
    /// # Errors
    /// The environment does not exist, the request is not valid, or the server does not do it.
    pub async fn allow(&self, environment: Option<&str>, request: &Value) -> Result<(), ApiError> {
        let mut path = vec!["allowlists", &self.org];
        path.extend(environment);
        let client = self.for_organization(None);
        client.send("allow the artifact", Method::PUT, &path, Some(request)).await.map(drop)
    }

    /// Withdraws what was allowed under this identifier.
    ///
    /// # Errors
    /// There is none, or the server does not do it.
    pub async fn withdraw_allowance(&self, id: &str) -> Result<(), ApiError> {
        let operation = format!("withdraw allowance {id}");
        let path = ["allowlists", &self.org, "entries", id];
        let client = self.for_organization(None);
        let answer = client.send(&operation, Method::DELETE, &path, None::<&()>).await.map(drop);
        // An earlier attempt may have withdrawn it.
        if matches!(answer, Err(ApiError::EnvironmentNotFound { .. }))
            && client.has_lost_answer()
            && let Ok(allowances) = self.allowances().await
            && allowances.document.iter().all(|allowance| allowance.id.as_deref() != Some(id))
        {
            return Ok(());
        }
        answer
    }

    /// Reports an artifact that a flow built.
    ///
    /// # Errors
    /// The report is not valid, or the server does not record it.
    pub async fn report_artifact(&self, flow: &str, report: &Value) -> Result<(), ApiError> {
        let operation = format!("record an artifact of pipeline \"{flow}\"");
        let path = ["artifacts", &self.org, flow];
        let client = self.for_organization(None);
        client.send(&operation, Method::POST, &path, Some(report)).await.map(drop)
    }

    /// Reports evidence of this kind (`generic`, `junit`, …) in a trail of a flow.
    ///
    /// # Errors
    /// The report is not valid, or the server does not record it.
    pub async fn report_attestation(
        &self,
        (flow, trail, kind): (&str, &str, &str),
        report: &Value,
        attachment: Option<&Attachment>,
    ) -> Result<(), ApiError> {
        let operation =
            format!("record {kind} evidence in trail \"{trail}\" of pipeline \"{flow}\"");
        let path = ["attestations", &self.org, flow, "trail", trail, kind];
        let file = attachment.map(|file| ("attachment_file", file));
        self.send_form(&operation, Method::POST, &path, report, file).await.map(drop)
    }

    /// Announces a deployment, and returns the server's answer, which has its number.
    ///
    /// # Errors
    /// The artifact is not known, or the server keeps no deployments.
    pub async fn report_deployment(&self, flow: &str, report: &Value) -> Result<Value, ApiError> {
        let operation = format!("record a deployment of pipeline \"{flow}\"");
        let path = ["deployments", &self.org, flow];
        let client = self.for_organization(None);
        parse(&operation, &client.send(&operation, Method::POST, &path, Some(report)).await?)
    }

    /// The deployments that were announced to an environment, the earliest first.
    ///
    /// # Errors
    /// The environment does not exist, or the server keeps no deployments.
    pub async fn deployments_to(
        &self,
        environment: &str,
    ) -> Result<ApiResponse<Vec<Deployment>>, ApiError> {
        let operation = format!("list the deployments announced to \"{environment}\"");
        let query = [("env_name", environment.to_owned()), ("derived", "false".to_owned())];
        self.read(&operation, &["deployments", &self.org], &query).await
    }

    /// The document at an API path, for a request without a deadline.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        operation: &str,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<ApiResponse<T>, ApiError> {
        self.for_organization(None).get_document(operation, path, query).await
    }

    async fn send_form(
        &self,
        operation: &str,
        method: Method,
        path: &[&str],
        document: &impl Serialize,
        file: Option<(&str, &Attachment)>,
    ) -> Result<RawResponse, ApiError> {
        let form = Form::new(document, file).map_err(|error| ApiError::Unavailable {
            operation: operation.to_owned(),
            url: self.url(path).to_string(),
            reason: error.to_string(),
            retry_after: None,
            transient: false,
        })?;
        self.for_organization(None).send(operation, method, path, Some(&form)).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn multipart_form_has_the_json_document_and_the_file_with_a_safe_filename() {
        let file = Attachment { filename: "a\"\r\n.xml".to_owned(), content: b"<a/>".to_vec() };
        let form = Form::new(&json!({"a": 1}), Some(("attachment_file", &file))).unwrap();
        let text = String::from_utf8(form.body).unwrap();
        let parts: Vec<_> = text.split(&format!("--{}", form.boundary)).collect();
        assert_eq!(
            parts,
            [
                "",
                "\r\nContent-Disposition: form-data; name=\"data_json\"\r\n\r\n{\"a\":1}\r\n",
                "\r\nContent-Disposition: form-data; name=\"attachment_file\"; filename=\"a___.xml\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n<a/>\r\n",
                "--\r\n",
            ]
        );
    }
}
