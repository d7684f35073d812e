//! The ledger itself, for those who verify it elsewhere.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use envsnap_model::wire::{LedgerEntries, LedgerHead};

use super::check_org_name;
use crate::domain::Error;
use crate::http::request::Parameters;
use crate::http::views;
use crate::signing::HeadSigner;
use crate::store::Store;

/// `GET /ledger/{org}/head`: the last entry, signed if the recorder has a key.
pub(super) async fn head<S: Store>(
    State(store): State<S>,
    Extension(signer): Extension<Option<HeadSigner>>,
    Path(org): Path<String>,
) -> Result<Json<LedgerHead>, Error> {
    check_org_name(&org)?;
    let head = store.head(&org).await?;
    let signature = signer.map(|signer| signer.sign(&head));
    Ok(Json(LedgerHead {
        text: head.to_string(),
        org: head.org,
        seq: head.seq,
        hash: head.hash.to_string(),
        key: signature.map(|it| hex::encode(it.key_id)),
        signature: signature.map(|it| hex::encode(it.bytes)),
    }))
}

/// `GET /ledger/{org}/entries?after=SEQ`: the entries that follow, as many as fit into a response.
pub(super) async fn entries<S: Store>(
    State(store): State<S>,
    Path(org): Path<String>,
    mut parameters: Parameters,
) -> Result<Json<LedgerEntries>, Error> {
    check_org_name(&org)?;
    let after = parameters.last("after").map_or(Ok(0), str::parse);
    let after = after.ok().filter(|after: &i64| *after >= 0);
    if after.is_none() {
        parameters.add_error("after", "must be the number of an entry, or 0");
    }
    parameters.check()?;
    let entries = store.ledger_entries(&org, after.unwrap_or_default()).await?;
    Ok(Json(LedgerEntries { entries: entries.into_iter().map(views::ledger_entry).collect() }))
}
