//! Provenance: columns and marks in tables of artifacts, and the pages of artifacts, flows (which the
//! pages call pipelines, as the command line does) and trails.

mod artifact;
mod artifact_table;
mod columns;
mod evidence;
mod flows;
mod links;
mod marks;
mod matrix;
mod search;
mod trail;

pub(super) use columns::{Columns, nothing_reported};
pub(crate) use marks::Mark;
pub(super) use marks::{Marks, marks};
pub(super) use search::MAX_QUERY_CHARS;

use axum::Router;
use axum::routing::get;

use crate::store::Store;
use crate::store::provenance::ProvenanceStore;

pub(super) fn pages<S: Store + ProvenanceStore>() -> Router<S> {
    Router::new()
        .route("/{org}/artifacts/{fingerprint}", get(artifact::show::<S>))
        .route("/{org}/flows", get(flows::list::<S>))
        .route("/{org}/flows/{flow}", get(flows::show::<S>))
        .route("/{org}/flows/{flow}/trails/{trail}", get(trail::show::<S>))
        .route("/{org}/matrix", get(matrix::show::<S>))
        .route("/{org}/search", get(search::show::<S>))
}
