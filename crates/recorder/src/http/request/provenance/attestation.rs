//! The bodies that report attestations.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::names::{check_attestation_name, check_fingerprint, check_template_name};
use super::{MAX_LABEL_BYTES, check_common, details, fields};
use crate::domain::provenance::{
    ATTESTATION_KINDS, AttachmentFile, AttestationKind, AttestationReport, Details,
};
use crate::domain::{Error, MAX_ENVIRONMENT_NAME_BYTES};
use crate::http::request::json::{FromJson, invalid, parse};
use crate::http::request::multipart::{FilePart, FromParts, Parts};
use crate::http::request::text::{List, Text};

/// The most artifacts that an attestation names.
const MAX_TARGETS: usize = 100;

#[derive(Deserialize)]
struct AttestationFields {
    attestation_name: Text<MAX_ENVIRONMENT_NAME_BYTES>,
    #[serde(default)]
    artifact_fingerprint: Option<Text<64>>,
    #[serde(default)]
    target_artifacts: Option<List<Text<MAX_ENVIRONMENT_NAME_BYTES>, MAX_TARGETS>>,
    #[serde(default)]
    git_commit_info: Option<CommitFields>,
    #[serde(default)]
    type_name: Option<Text<MAX_ENVIRONMENT_NAME_BYTES>>,
}

#[derive(Deserialize)]
struct CommitFields {
    sha1: Text<MAX_ENVIRONMENT_NAME_BYTES>,
}

#[derive(Deserialize)]
struct OverrideFields {
    new_compliance_status: bool,
    original_attestation_type: Text<MAX_ENVIRONMENT_NAME_BYTES>,
    #[expect(dead_code, reason = "only its type is checked; the details keep it")]
    reason: Text<10_000>,
}

/// The body of an attestation, whose type is in the last part of the request's path.
pub(crate) struct AttestationRequest {
    fields: AttestationFields,
    /// All of its fields, among which the results have a name for each type.
    document: Map<String, Value>,
    details: Details,
    attachment: Option<AttachmentFile>,
}

impl FromParts for AttestationRequest {
    fn from_parts(mut parts: Parts) -> Result<Self, Error> {
        let file = parts.take_file("attachment_file");
        let document = parts.document()?;
        let document_fields = fields(document)?;
        check_common(&document_fields)?;
        let attachment = file.map(hash_attachment).transpose()?;
        let (fields, details) = (parse(document)?, details(document)?);
        Ok(Self { fields, document: document_fields, details, attachment })
    }
}

fn hash_attachment(file: FilePart) -> Result<AttachmentFile, Error> {
    if file.filename.len() > MAX_LABEL_BYTES {
        return Err(invalid("attachment_file", "its name is too long"));
    }
    let sha256 = Sha256::digest(&file.content).into();
    Ok(AttachmentFile { filename: file.filename, sha256, content: file.content })
}

impl AttestationRequest {
    /// The report, with the type that `path`, the last part of the request's path, and `type_name` say.
    ///
    /// # Errors
    /// There is no such type, or the results are not of its shape.
    pub(crate) fn into_report(self, path: &str) -> Result<AttestationReport, Error> {
        let type_name = self.fields.type_name.as_ref().map(|name| name.0.to_string());
        let kind = find_kind(path, type_name.as_deref())?;
        let results =
            self.document.get(kind.results).ok_or_else(|| invalid(kind.results, "is required"))?;
        let is_compliant = kind.is_compliant(results).map_err(|error| {
            invalid(kind.results, format!("is not what a {path} attestation reports: {error}"))
        })?;
        let kind = kind.name(type_name.as_deref());
        build_report(self.fields, kind, is_compliant, false, self.details, self.attachment)
    }
}

fn find_kind(path: &str, type_name: Option<&str>) -> Result<&'static AttestationKind, Error> {
    let mut kinds = AttestationKind::for_path(path).peekable();
    if kinds.peek().is_none() {
        let paths: BTreeSet<_> = ATTESTATION_KINDS.iter().map(|kind| kind.path).collect();
        let paths = Vec::from_iter(paths).join(", ");
        return Err(Error::bad_request(format!(
            "There are no attestations of kind '{path}': they are {paths}, override"
        )));
    }
    let found = kinds.find(|kind| match kind.type_name {
        None => true,
        Some("") => type_name.is_some_and(|name| !name.is_empty()),
        Some(wanted) => type_name == Some(wanted),
    });
    found.ok_or_else(|| {
        let names: Vec<_> =
            AttestationKind::for_path(path).filter_map(|kind| kind.type_name).collect();
        match names[..] {
            [""] => invalid("type_name", "must be the name of a type"),
            _ => invalid("type_name", format!("must be {}", names.join(" or "))),
        }
    })
}

/// The body that overrides the compliance of the latest attestation of its name.
pub(crate) struct Override(pub(crate) AttestationReport);

impl FromJson for Override {
    fn from_json(body: &[u8]) -> Result<Self, Error> {
        check_common(&fields(body)?)?;
        let OverrideFields { new_compliance_status, original_attestation_type, .. } = parse(body)?;
        let is_compliant = Some(new_compliance_status);
        let kind = String::from(original_attestation_type);
        build_report(parse(body)?, kind, is_compliant, true, details(body)?, None).map(Self)
    }
}

fn build_report(
    fields: AttestationFields,
    kind: String,
    is_compliant: Option<bool>,
    is_override: bool,
    details: Details,
    attachment: Option<AttachmentFile>,
) -> Result<AttestationReport, Error> {
    check_attestation_name(&fields.attestation_name.0)?;
    let fingerprint = fields.artifact_fingerprint.map(String::from).filter(|it| !it.is_empty());
    if let Some(fingerprint) = &fingerprint {
        check_fingerprint("artifact_fingerprint", fingerprint)?;
    }
    let List(targets) = fields.target_artifacts.unwrap_or(List(Vec::new()));
    let targets: Vec<String> = targets.into_iter().map(String::from).collect();
    for target in &targets {
        check_template_name("target_artifacts", target)?;
    }
    let commit = fields.git_commit_info.map(|commit| commit.sha1.0.to_ascii_lowercase());
    if !targets.is_empty() && fingerprint.is_none() && commit.is_none() {
        return Err(Error::bad_request(
            "An attestation for target_artifacts requires at least one of: artifact_fingerprint or \
             git_commit_info.",
        ));
    }
    Ok(AttestationReport {
        kind,
        name: fields.attestation_name.into(),
        fingerprint,
        targets,
        commit,
        is_compliant,
        is_override,
        details,
        attachment,
    })
}
