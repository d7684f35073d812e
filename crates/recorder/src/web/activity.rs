//! The environments that need attention, and the changes of the last day, over all environments.

use std::collections::BTreeMap;

use envsnap_model::expression::Interval;
use maud::{Markup, html};

use super::artifact_name::linked_label;
use super::environment::address;
use super::history::replica_change;
use super::provenance::{Mark, marks};
use super::seen::first_time_here;
use super::time::{ago, time};
use crate::domain::{EnvironmentStats, Error, Event, FirstTime, Micros, OrgFilter, Page};
use crate::http::mark_counts::{MarkCounts, MarksByEnvironment};
use crate::store::Store;
use crate::store::provenance::ProvenanceStore;

/// The most environments whose changes are read: those that changed last.
const MAX_CHANGED_ENVIRONMENTS: usize = 25;
/// The most changes that are read of each environment.
const CHANGES_PER_ENVIRONMENT: u32 = 20;
/// The most changes that are listed.
const MAX_CHANGES: usize = 50;
/// The most environments that are listed as in need of attention.
const MAX_ATTENTION: usize = 50;

/// The environments that need attention, and the changes of the last day, in some organizations.
pub(crate) struct Activity {
    now: Micros,
    /// Whether it is of a single organization.
    is_one: bool,
    /// Environments that are not covered now, or have marked artifacts, with the number of these.
    attention: Vec<(EnvironmentStats, BTreeMap<Mark, u64>)>,
    /// Latest first.
    changes: Vec<Change>,
    /// Whether there were more changes.
    has_more: bool,
}

/// A change of one artifact in an environment.
struct Change {
    org: String,
    environment: String,
    event: Event,
}

impl Activity {
    /// `is_one` is whether the page is of a single organization, so that its name is not repeated.
    pub(crate) async fn read<S: Store + ProvenanceStore>(
        store: &S,
        mark_counts: &MarkCounts,
        readable: &OrgFilter,
        is_one: bool,
    ) -> Result<Self, Error> {
        let now = store.now();
        let mut environments = store.stats().await?.by_environment;
        if let OrgFilter::Only(orgs) = readable {
            environments.retain(|environment| orgs.contains(&environment.org));
        }
        let mut marked: BTreeMap<String, MarksByEnvironment> = BTreeMap::new();
        for of_org in environments.chunk_by(|one, next| one.org == next.org) {
            let org = &of_org[0].org;
            marked.insert(org.clone(), mark_counts.of_org(store, org).await?);
        }
        let attention = environments.iter().filter_map(|environment| {
            let marks = marked.get(&environment.org)?.get(&environment.name);
            let is_uncovered = environment.is_covered(now) == Some(false);
            (marks.is_some() || is_uncovered)
                .then(|| (environment.clone(), marks.cloned().unwrap_or_default()))
        });
        let attention = attention.collect();
        let (changes, has_more) = recent_changes(store, environments, now).await?;
        Ok(Self { now, is_one, attention, changes, has_more })
    }

    fn environment_link(&self, org: &str, environment: &str) -> Markup {
        html! {
            a href=(address(org, environment)) {
                @if !self.is_one { (org) "/" }
                (environment)
            }
        }
    }

    /// The environments that are not covered now, or have artifacts with a mark.
    pub(crate) fn attention_section(&self) -> Markup {
        let now = self.now.seconds();
        html! {
            @if !self.attention.is_empty() {
                section.attention aria-labelledby="attention" {
                    h2 id="attention" { "Needs attention" }
                    ul {
                        @for (environment, marks) in self.attention.iter().take(MAX_ATTENTION) {
                            li {
                                (self.environment_link(&environment.org, &environment.name)) ": "
                                @if let (Some(false), Some(last)) =
                                    (environment.is_covered(self.now), environment.last_reported_at)
                                {
                                    span.mark.uncovered { "not covered now" }
                                    " last reported " (ago(last.seconds(), now))
                                    @if !marks.is_empty() { ", " }
                                }
                                @for (at, (mark, count)) in marks.iter().enumerate() {
                                    @if at > 0 { ", " }
                                    span.one { (count) " " (mark.badge()) }
                                }
                            }
                        }
                        @if self.attention.len() > MAX_ATTENTION {
                            li.quiet { "and " (self.attention.len() - MAX_ATTENTION) " more" }
                        }
                    }
                }
            }
        }
    }

    pub(crate) fn changes_section(&self) -> Markup {
        html! {
            section aria-labelledby="changes" {
                h2 id="changes" { "Changes of the last day" }
                @if self.changes.is_empty() {
                    p.empty { "Nothing changed in the last 24 hours." }
                } @else {
                    div.wide tabindex="0" role="region" aria-labelledby="changes" {
                        table {
                            thead {
                                tr {
                                    th scope="col" { "Snapshot" }
                                    th scope="col" { "Change" }
                                    th scope="col" { "Artifact" }
                                    th scope="col" { "Recorded" }
                                }
                            }
                            tbody { @for change in &self.changes { (self.change_row(change)) } }
                        }
                    }
                    @if self.has_more {
                        p.quiet { "There were more changes: the pages of the environments list them." }
                    }
                }
            }
        }
    }

    fn change_row(&self, Change { org, environment, event }: &Change) -> Markup {
        let artifact = &event.artifact;
        let fingerprint = artifact.fingerprint.map(|known| known.to_string()).unwrap_or_default();
        let recorded = event.recorded_at.seconds();
        html! {
            tr {
                th scope="row" {
                    a href={(address(org, environment)) "/snapshots/" (event.index)} {
                        @if !self.is_one { (org) "/" }
                        (environment) "#" (event.index)
                    }
                }
                td {
                    (replica_change(artifact.was, artifact.now))
                    (first_time_here(event.first_time_here().map(FirstTime::as_str)))
                }
                td {
                    (linked_label(org, &artifact.name, &fingerprint))
                    (marks(artifact.provenance.as_deref()))
                }
                td { (ago(recorded, self.now.seconds())) span.beneath { (time(recorded)) } }
            }
        }
    }
}

/// The changes of the last day, latest first, and whether there were more.
async fn recent_changes<S: Store + ProvenanceStore>(
    store: &S,
    mut environments: Vec<EnvironmentStats>,
    now: Micros,
) -> Result<(Vec<Change>, bool), Error> {
    let since = now.seconds() - 86_400.0;
    environments.retain(|it| it.last_snapshot_at.is_some_and(|at| at.seconds() >= since));
    environments.sort_by_key(|environment| std::cmp::Reverse(environment.last_snapshot_at));
    let mut has_more = environments.len() > MAX_CHANGED_ENVIRONMENTS;
    environments.truncate(MAX_CHANGED_ENVIRONMENTS);
    let mut changes = Vec::new();
    for EnvironmentStats { org, name, .. } in environments {
        let has_provenance = store.has_provenance(&org).await?;
        let page = Page { number: 1, size: CHANGES_PER_ENVIRONMENT };
        let found = store.events(&org, &name, Interval::default(), page, false).await?;
        let read = found.events.len();
        let events = found.events.into_iter().filter(|it| it.recorded_at.seconds() >= since);
        let before = changes.len();
        changes.extend(events.map(|mut event| {
            if !has_provenance {
                event.artifact.provenance = None;
            }
            Change { org: org.clone(), environment: name.clone(), event }
        }));
        let all_are_recent = changes.len() - before == read;
        has_more |= all_are_recent && found.total > u64::from(CHANGES_PER_ENVIRONMENT);
    }
    changes.sort_by_key(|change| std::cmp::Reverse(change.event.recorded_at));
    has_more |= changes.len() > MAX_CHANGES;
    changes.truncate(MAX_CHANGES);
    Ok((changes, has_more))
}
