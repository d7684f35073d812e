//! Bodies about provenance. Fields that are not known are kept and mean nothing: clients add some with
//! every version.

mod artifact;
mod attestation;
mod flow;
mod names;
mod rules;
mod trail;

use serde_json::{Map, Value};

use super::json::{invalid, parse};
use super::multipart::MAX_DOCUMENT_BYTES;
use crate::domain::Error;
use crate::domain::provenance::Details;

pub(crate) use artifact::Deployment;
pub(crate) use attestation::{AttestationRequest, Override};
pub(crate) use names::{check_flow_name, check_trail_name};

/// The longest description, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 2_000;

/// The longest URL, author or branch, in bytes.
const MAX_URL_BYTES: usize = 2_048;

/// The longest message of a commit, in bytes.
const MAX_MESSAGE_BYTES: usize = 100_000;

/// The longest name of an artifact or of an attached file, in bytes.
const MAX_LABEL_BYTES: usize = 1_024;

/// The whole JSON document, to be stored unchanged.
fn details(document: &[u8]) -> Result<Details, Error> {
    if document.len() > MAX_DOCUMENT_BYTES {
        return Err(Error::too_large("The document is larger than 1 MB"));
    }
    let text = String::from_utf8(document.to_vec())
        .map_err(|_| Error::bad_request("The document is not UTF-8"))?;
    Details::new(text).map_err(|error| {
        Error::bad_request(format!("The request body is not a JSON object: {error}"))
    })
}

/// The fields of a document.
fn fields(document: &[u8]) -> Result<Map<String, Value>, Error> {
    if document.len() > MAX_DOCUMENT_BYTES {
        return Err(Error::too_large("The document is larger than 1 MB"));
    }
    parse(document)
}

/// Checks the optional fields that several documents share: description, addresses, commit, repository
/// and annotations.
fn check_common(fields: &Map<String, Value>) -> Result<(), Error> {
    check_text(fields, "description", MAX_DESCRIPTION_BYTES)?;
    for url in ["origin_url", "repo_url", "commit_url", "build_url"] {
        check_text(fields, url, MAX_URL_BYTES)?;
    }
    if let Some(commit) = present(fields, "git_commit_info") {
        let commit = as_object(commit, "git_commit_info")?;
        let sha1 = commit.get("sha1").and_then(Value::as_str).unwrap_or_default();
        if sha1.is_empty() {
            return Err(invalid("git_commit_info.sha1", "must be a string that is not empty"));
        }
        for text in ["message", "author", "branch", "url"] {
            let most = if text == "message" { MAX_MESSAGE_BYTES } else { MAX_URL_BYTES };
            check_text(commit, text, most).map_err(|_| {
                let problem = format!("must be a string of at most {most} bytes");
                invalid(format!("git_commit_info.{text}"), problem)
            })?;
        }
        if commit.get("timestamp").is_some_and(|it| !it.is_number() && !it.is_null()) {
            return Err(invalid("git_commit_info.timestamp", "must be a number"));
        }
    }
    if let Some(repo) = present(fields, "repo_info") {
        as_object(repo, "repo_info")?;
    }
    if let Some(urls) = present(fields, "external_urls") {
        for (label, url) in as_object(urls, "external_urls")? {
            if !url.get("href").is_some_and(Value::is_string) {
                return Err(invalid(format!("external_urls.{label}.href"), "must be a string"));
            }
        }
    }
    if let Some(annotations) = present(fields, "annotations") {
        for (key, value) in as_object(annotations, "annotations")? {
            names::check_annotation_key(key)?;
            if !value.is_string() {
                return Err(invalid(format!("annotations.{key}"), "must be a string"));
            }
        }
    }
    Ok(())
}

/// A field that is there and not `null`.
fn present<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

/// `at` is the path of the value, for the error.
fn as_object<'a>(value: &'a Value, at: &str) -> Result<&'a Map<String, Value>, Error> {
    value.as_object().ok_or_else(|| invalid(at, "must be an object"))
}

/// Checks that a field is a string of at most `most` bytes, if it is there.
fn check_text(fields: &Map<String, Value>, name: &str, most: usize) -> Result<(), Error> {
    match present(fields, name) {
        None => Ok(()),
        Some(Value::String(text)) if text.len() <= most => Ok(()),
        Some(Value::String(_)) => {
            Err(invalid(name, format!("must not be longer than {most} bytes")))
        }
        Some(_) => Err(invalid(name, "must be a string")),
    }
}
