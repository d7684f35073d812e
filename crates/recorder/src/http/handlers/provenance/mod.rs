//! Flows, and what they report.

mod allowlist;
mod artifacts;
mod attestations;
mod deployments;
mod flows;
mod not_kept;
mod search;
mod trails;

use axum::Router;
use axum::routing::{delete, get, patch, post, put};

use super::check_org_name;
use crate::domain::Error;
use crate::http::error::quote;
use crate::http::request::Parameters;
use crate::store::Store;
use crate::store::provenance::ProvenanceStore;

pub(super) use not_kept::not_kept;

const TRAIL_ATTESTATIONS_PATH: &str = "/attestations/{org}/{flow}/trail/{trail}";

/// The most elements on a page of a list.
const MAX_PER_PAGE: u32 = 100;

/// The routes by which CI jobs report, and what can be read at the same addresses.
pub(super) fn report_routes<S: Store + ProvenanceStore>() -> Router<S> {
    Router::new()
        .route("/flows/{org}", put(flows::save_with_template_names::<S>).get(flows::list::<S>))
        // A flow may have this name, and an attestation the one of the other address.
        .route(
            "/flows/{org}/template_file",
            put(flows::save::<S>).get(flows::show_template_file::<S>),
        )
        .route("/trails/{org}/{flow}", put(trails::save::<S>).get(trails::list_of_flow::<S>))
        .route("/artifacts/{org}/{flow}", post(artifacts::report::<S>))
        .route(
            &format!("{TRAIL_ATTESTATIONS_PATH}/override"),
            post(attestations::report_override::<S>).get(attestations::named_override::<S>),
        )
        .route(
            &format!("{TRAIL_ATTESTATIONS_PATH}/{{name}}"),
            post(attestations::report::<S>).get(attestations::in_trail::<S>),
        )
        .route(
            "/deployments/{org}/{flow}",
            post(deployments::report::<S>).get(deployments::list::<S>),
        )
}

/// The routes that CI jobs read before they report.
pub(super) fn job_query_routes<S: ProvenanceStore>() -> Router<S> {
    let latest_commit = "/artifacts/{org}/{flow}/{fingerprint}/latest_commit";
    Router::new().route(latest_commit, get(artifacts::latest_commit::<S>))
}

/// The other routes of provenance: `GET` needs the right to read, and other methods the right to write.
pub(super) fn read_and_write_routes<S: Store + ProvenanceStore>() -> Router<S> {
    let (flow, artifact) = ("/flows/{org}/{flow}", "/artifacts/{org}/{flow}");
    Router::new()
        .route(flow, get(flows::show::<S>))
        .route(&format!("{flow}/rename"), put(flows::rename::<S>))
        .route(&format!("{flow}/archive"), put(flows::archive::<S>))
        .route("/tags/{org}/flow/{flow}", patch(flows::change_tags::<S>))
        .route("/tags/{org}/flows/{flow}", patch(flows::change_tags::<S>))
        .route("/trails/{org}", get(trails::list::<S>))
        .route("/trails/{org}/{flow}/{trail}", get(trails::show::<S>))
        .route("/artifacts/{org}", get(artifacts::list::<S>))
        .route(&format!("{artifact}/fingerprint/{{digits}}"), get(artifacts::by_fingerprint::<S>))
        .route(&format!("{artifact}/commit_sha/{{digits}}"), get(artifacts::by_commit::<S>))
        .route("/attestations/{org}", get(attestations::by_id::<S>))
        .route("/attestations/{org}/{flow}", get(attestations::of_flow::<S>))
        .route(
            &format!("{TRAIL_ATTESTATIONS_PATH}/attestation/{{id}}/evidence"),
            get(attestations::attachment::<S>),
        )
        .route(
            "/attestations/{org}/{flow}/artifact/{fingerprint}/{name}",
            get(attestations::of_artifact::<S>),
        )
        .route("/search/{org}/sha/{digits}", get(search::search::<S>))
        .route("/allowlists/{org}", get(allowlist::list::<S>).put(allowlist::allow_everywhere::<S>))
        .route("/allowlists/{org}/{environment}", put(allowlist::allow::<S>))
        .route("/allowlists/{org}/entries/{id}", delete(allowlist::withdraw::<S>))
        .route("/deployments/{org}", get(deployments::to_environment::<S>))
}

/// The hexadecimal digits of a commit or a fingerprint in lowercase, `fewest` to 64 of them.
fn digits(text: &str, fewest: usize) -> Result<String, Error> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
    let is_valid = (fewest..=64).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_valid {
        return Ok(digits);
    }
    Err(Error::bad_request(format!(
        "'{}' is not a commit or a fingerprint: it must be {fewest} to 64 hexadecimal digits",
        quote(text)
    )))
}

/// Tags in a parameter: `key`, or `key` and a value after `separator`.
fn tags(parameters: &Parameters, name: &str, separator: char) -> Vec<(String, Option<String>)> {
    let split = |tag: &str| match tag.split_once(separator) {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (tag.to_owned(), None),
    };
    parameters.all(name).map(split).collect()
}
