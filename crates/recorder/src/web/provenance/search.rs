//! The search for commits, fingerprints and names.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use maud::{Markup, html};

use super::artifact_table::ArtifactTable;
use crate::domain::provenance::ArtifactRecord;
use crate::domain::{Error, MIN_DIGITS};
use crate::http::request::Parameters;
use crate::http::views::artifact_url;
use crate::store::Store;
use crate::store::provenance::ProvenanceStore;
use crate::text::{pluralize, replace_invisible};
use crate::web::artifact_name::truncate;
use crate::web::form::urlencode;
use crate::web::frame::Frame;

/// Results of a search by name.
const MAX_FOUND: usize = 50;
pub(in crate::web) const MAX_QUERY_CHARS: usize = 256;

/// The URL of the results for `query`.
pub(super) fn address(org: &str, query: &str) -> String {
    format!("/{org}/search?q={}", urlencode(query))
}

/// `GET /{org}/search?q=`; a single result is redirected to its page.
pub(super) async fn show<S: Store + ProvenanceStore>(
    State(store): State<S>,
    Path(org): Path<String>,
    parameters: Parameters,
) -> Result<Response, Error> {
    let query = replace_invisible(parameters.last("q").unwrap_or_default().trim());
    let query = &*query;
    if query.is_empty() {
        return Ok(page(&org, query, &html! { (search_hint()) }).into_response());
    }
    if query.chars().count() > MAX_QUERY_CHARS {
        return Err(Error::bad_request(format!(
            "Names, commits and fingerprints of up to {MAX_QUERY_CHARS} characters are looked for"
        )));
    }
    let (found, has_more) = find(&store, &org, query).await?;
    let fingerprints: BTreeSet<_> = found.iter().map(|it| &it.fingerprint).collect();
    if let (Some(only), 1, false) = (fingerprints.first(), fingerprints.len(), has_more)
        && !only.is_empty()
    {
        return Ok(Redirect::to(&artifact_url(&org, only)).into_response());
    }
    let count = found.len();
    let artifacts = ArtifactTable::new(&store, &org, found).await?;
    let main = html! {
        @if count == 0 {
            p.empty {
                "Nothing was found for " bdi.query { (truncate(query, MAX_QUERY_CHARS)) } "."
            }
            (search_hint())
        } @else {
            p.quiet id="found" {
                (pluralize(count as u64, "result")) " for "
                bdi.query { (truncate(query, MAX_QUERY_CHARS)) }
                @if has_more { "; there are more: only the latest are shown" }
                "."
            }
            (artifacts.table("found", store.now().seconds()))
        }
    };
    Ok(page(&org, query, &main).into_response())
}

/// Artifacts with this commit, fingerprint or name, and whether there are more.
async fn find<S: ProvenanceStore>(
    store: &S,
    org: &str,
    query: &str,
) -> Result<(Vec<ArtifactRecord>, bool), Error> {
    let (named, has_more) = store.artifacts_by_name(org, query, MAX_FOUND).await?;
    let digits = query.strip_prefix("sha256:").unwrap_or(query).to_ascii_lowercase();
    let is_digits = (MIN_DIGITS..=64).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut found = if is_digits {
        match store.search(org, &digits).await {
            Ok(result) => result.artifacts,
            Err(Error::NoMatches { .. }) => Vec::new(),
            Err(error) => return Err(error),
        }
    } else {
        Vec::new()
    };
    let known: BTreeSet<_> = found.iter().map(|it| it.fingerprint.clone()).collect();
    found.extend(named.into_iter().filter(|it| !known.contains(&it.fingerprint)));
    Ok((found, has_more))
}

fn search_hint() -> Markup {
    html! {
        p.quiet {
            "Search for a commit or a fingerprint (" (MIN_DIGITS) " digits or more of its \
             beginning), or for part of a name such as " code { "runner:16d9990" } "."
        }
    }
}

fn page(org: &str, query: &str, main: &Markup) -> Html<String> {
    let main = html! { h1 { "Search" } (main) };
    Frame {
        title: "Search",
        breadcrumbs: &[(org, format!("/{org}/environments"))],
        org: Some(org),
        query,
        ..Frame::default()
    }
    .render(&main)
}
