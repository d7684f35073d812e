//! Where software comes from: what stands beside artifacts on every page, and the pages of
//! artifacts, flows (which the page calls pipelines, as the command line does) and trails.

mod artifacts;
mod beside;
mod card;
mod evidence;
mod flows;
mod links;
mod marks;
mod matrix;
mod search;
mod trail;

pub(super) use beside::{Columns, nothing_reported};
pub(super) use marks::{Mark, Marks, marks};
pub(super) use search::LONGEST_QUERY;

use axum::Router;
use axum::routing::get;

use crate::store::Store;
use crate::store::provenance::ProvenanceStore;

/// The pages about provenance.
pub(super) fn pages<S: Store + ProvenanceStore>() -> Router<S> {
    Router::new()
        .route("/{org}/artifacts/{fingerprint}", get(card::show::<S>))
        .route("/{org}/flows", get(flows::list::<S>))
        .route("/{org}/flows/{flow}", get(flows::show::<S>))
        .route("/{org}/flows/{flow}/trails/{trail}", get(trail::show::<S>))
        .route("/{org}/matrix", get(matrix::show::<S>))
        .route("/{org}/search", get(search::show::<S>))
}
