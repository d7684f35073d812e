//! The commands about provenance, put to a recorder on which the tutorial's history was played.

mod git;
mod registry;
mod reporting;
mod rogue;
mod story;
mod tracing;
mod tutorial;

pub(crate) use tutorial::PIPELINE_LIST;
