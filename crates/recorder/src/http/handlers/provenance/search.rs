//! Searching by commit and by fingerprint.

use axum::Json;
use axum::extract::{Path, State};
use envsnap_model::wire::SearchAnswer;
use serde_json::json;

use super::digits;
use crate::domain::{Error, MIN_DIGITS};
use crate::http::views;
use crate::store::provenance::ProvenanceStore;

/// `GET /search/{org}/sha/{digits}`: artifacts whose commit or fingerprint begins with the digits.
pub(super) async fn search<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, text)): Path<(String, String)>,
) -> Result<Json<SearchAnswer>, Error> {
    let digits = digits(&text, MIN_DIGITS)?;
    let found = store.search(&org, &digits).await?;
    let kind = if found.commits.is_empty() { "fingerprint" } else { "commit" };
    let matches = if kind == "commit" { &found.commits } else { &found.fingerprints };
    let list = |kind: &str, matches: &[String]| json!({"type": kind, "count": matches.len(), "matches": matches});
    let resolved_to = json!({
        "type": kind,
        "full_match": matches.first(),
        "fingerprints": list("fingerprint", &found.fingerprints),
        "commits": list("commit", &found.commits),
    });
    let artifacts =
        found.artifacts.into_iter().map(|record| views::found_artifact(&org, record)).collect();
    Ok(Json(SearchAnswer { resolved_to, artifacts }))
}
