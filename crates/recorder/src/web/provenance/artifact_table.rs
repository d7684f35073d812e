//! Tables of artifacts over all environments.

use std::collections::{BTreeMap, BTreeSet};

use envsnap_model::snapshot::Identity;
use maud::{Markup, html};

use super::columns::problems;
use super::links::{commit, pipeline};
use super::marks::{Mark, state};
use crate::domain::provenance::{ArtifactRecord, fields};
use crate::domain::{Error, SnapshotArtifact};
use crate::http::views::text;
use crate::store::provenance::ProvenanceStore;
use crate::web::artifact_name::{linked_label, shorten_fingerprint};
use crate::web::time::{ago, time};

/// Artifacts of an organization with their marks.
pub(super) struct ArtifactTable<'a> {
    org: &'a str,
    records: Vec<ArtifactRecord>,
    /// The marks of artifacts that run, in any environment.
    marks: BTreeMap<Identity, BTreeSet<Mark>>,
}

impl<'a> ArtifactTable<'a> {
    pub(super) async fn new<S: ProvenanceStore>(
        store: &S,
        org: &'a str,
        records: Vec<ArtifactRecord>,
    ) -> Result<Self, Error> {
        let mut running: BTreeMap<&str, Vec<SnapshotArtifact>> = BTreeMap::new();
        if store.has_provenance(org).await? {
            for run in records.iter().flat_map(|it| &it.runs).filter(|run| run.to.is_none()) {
                running.entry(&run.environment).or_default().push(run.artifact());
            }
        }
        let mut marks: BTreeMap<Identity, BTreeSet<Mark>> = BTreeMap::new();
        for (environment, artifacts) in running {
            for artifact in store.add_provenance(org, environment, artifacts).await? {
                let known =
                    artifact.provenance.as_deref().map(Mark::from_provenance).unwrap_or_default();
                marks.entry(artifact.identity()).or_default().extend(known);
            }
        }
        Ok(Self { org, records, marks })
    }

    pub(super) fn table(&self, id: &str, now: f64) -> Markup {
        html! {
            div.wide tabindex="0" role="region" aria-labelledby=(id) {
                table {
                    thead {
                        tr {
                            th scope="col" { "Artifact" }
                            th scope="col" { "Commit" }
                            th scope="col" { "Pipeline and state" }
                            th scope="col" { "Created" }
                            th scope="col" { "Runs in" }
                        }
                    }
                    tbody { @for artifact in &self.records { (self.row(artifact, now)) } }
                }
            }
        }
    }

    fn row(&self, artifact: &ArtifactRecord, now: f64) -> Markup {
        let org = self.org;
        let identity = Identity::new(&artifact.name, artifact.fingerprint.parse().ok());
        let marks = self.marks.get(&identity).into_iter().flatten();
        // The state of the report shows the other marks.
        let of_origin = marks.filter(|mark| matches!(mark, Mark::Rogue | Mark::Late));
        let ArtifactRecord { name, fingerprint, report, runs, .. } = artifact;
        html! {
            tr {
                th scope="row" {
                    (linked_label(org, name, fingerprint))
                    @for mark in of_origin { " " (mark.badge()) }
                    @if fingerprint.is_empty() {
                        span.fingerprint { "fingerprint unknown" }
                    } @else {
                        code.fingerprint title=(fingerprint) { (shorten_fingerprint(fingerprint)) }
                    }
                }
                @match report {
                    Some(report) => {
                        td { (commit(&report.commit, &text(&fields(&report.details), "commit_url"))) }
                        td.origin {
                            (pipeline(org, &report.flow)) " " (state(report.state)) (problems(report))
                        }
                        @let created = report.first_reported_at.seconds();
                        td { (ago(created, now)) span.beneath { (time(created)) } }
                    },
                    None => {
                        td { span.quiet { "–" } }
                        td { span.quiet { "no pipeline has reported it" } }
                        td { span.quiet { "–" } }
                    },
                }
                td {
                    @let running = runs.iter().filter(|run| run.to.is_none());
                    @let names: Vec<_> = running.map(|run| &run.environment).collect();
                    @for name in &names {
                        div.one { a href=(crate::web::environment::address(org, name)) { (name) } }
                    }
                    @if names.is_empty() {
                        span.quiet { @if runs.is_empty() { "none (never seen)" } @else { "none (exited)" } }
                    }
                }
            }
        }
    }
}
