//! Views: the API's documents, made from what the store returns.

mod comparison;
mod environment;
mod event;
mod history;
mod ledger;
mod provenance;
mod runs;
mod size;
mod snapshot;

pub(crate) use comparison::comparison;
pub(crate) use environment::environment;
pub(crate) use event::event;
pub(crate) use history::{history, report_gap};
pub(crate) use ledger::ledger_entry;
pub(crate) use provenance::{
    allowed, artifact, artifact_url, attachment_url, attestation, deployment, derived_deployment,
    flow, flow_url, found_artifact, text, trail, trail_summary, trail_url,
};
pub(crate) use runs::artifact_runs;
pub(crate) use size::check_size;
pub(crate) use snapshot::{html_url, snapshot};
