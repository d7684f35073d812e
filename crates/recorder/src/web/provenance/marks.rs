//! Marks of artifacts that need attention, by the same rule on every page.

use std::collections::{BTreeMap, BTreeSet};

use envsnap_model::provenance::{Origin, State};
use envsnap_model::snapshot::Identity;
use maud::{Markup, html};

use crate::domain::SnapshotArtifact;
use crate::domain::provenance::ArtifactProvenance;

/// A reason why an artifact needs attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    Rogue,
    Late,
    NonCompliant,
    /// Evidence is missing.
    Incomplete,
}

impl Mark {
    pub(in crate::web) const ALL: [Self; 4] =
        [Self::Rogue, Self::Late, Self::NonCompliant, Self::Incomplete];

    /// The marks of an artifact, worst first.
    pub(crate) fn from_provenance(provenance: &ArtifactProvenance) -> BTreeSet<Self> {
        let of_origin = match provenance.origin {
            Origin::Rogue => Some(Self::Rogue),
            Origin::Late => Some(Self::Late),
            Origin::Known | Origin::Allowed | Origin::Unknown => None,
        };
        let of_states = provenance.flows.iter().filter_map(|report| Self::from_state(report.state));
        of_states.chain(of_origin).collect()
    }

    /// The mark of an artifact in this state in a flow.
    pub(super) fn from_state(state: State) -> Option<Self> {
        match state {
            State::Compliant => None,
            State::NonCompliant => Some(Self::NonCompliant),
            State::Incomplete | State::Missing => Some(Self::Incomplete),
        }
    }

    /// The mark's name on pages, which is also its CSS class.
    pub(in crate::web) fn word(self) -> &'static str {
        match self {
            Self::Rogue => "rogue",
            Self::Late => "late",
            Self::NonCompliant => "non-compliant",
            Self::Incomplete => "incomplete",
        }
    }

    pub(in crate::web) fn meaning(self) -> &'static str {
        match self {
            Self::Rogue => "no pipeline has reported it",
            Self::Late => "a pipeline reported it only after it had started",
            Self::NonCompliant => "a pipeline reported evidence against it",
            Self::Incomplete => "evidence that its pipeline expects is missing",
        }
    }

    pub(in crate::web) fn badge(self) -> Markup {
        let class = format!("mark {}", self.word());
        html! { span class=(class) title=(self.meaning()) { (self.word()) } }
    }
}

/// The marks of the artifacts of an environment.
#[derive(Debug, Default)]
pub(in crate::web) struct Marks(BTreeMap<Identity, BTreeSet<Mark>>);

impl Marks {
    pub(in crate::web) fn new(artifacts: &[SnapshotArtifact]) -> Self {
        let marked = artifacts.iter().filter_map(|artifact| {
            Some((artifact.identity(), Mark::from_provenance(artifact.provenance.as_deref()?)))
        });
        Self(marked.collect())
    }

    pub(in crate::web) fn badges(&self, artifact: &SnapshotArtifact) -> Markup {
        self.badges_of(&artifact.identity())
    }

    pub(in crate::web) fn badges_of(&self, identity: &Identity) -> Markup {
        badges(self.0.get(identity).into_iter().flatten().copied())
    }
}

fn badges(marks: impl IntoIterator<Item = Mark>) -> Markup {
    html! { @for mark in marks { " " (mark.badge()) } }
}

/// The marks of an artifact; none if its provenance was not requested.
pub(in crate::web) fn marks(provenance: Option<&ArtifactProvenance>) -> Markup {
    badges(provenance.map(Mark::from_provenance).unwrap_or_default())
}

pub(in crate::web) fn legend(marks: &BTreeSet<Mark>) -> Markup {
    html! {
        @if !marks.is_empty() {
            ul.legend aria-label="Marks" {
                @for mark in marks { li { (mark.badge()) " " (mark.meaning()) } }
            }
        }
    }
}

/// The label of an artifact's, a trail's or a pipeline's state, coloured by the mark that it gives.
pub(super) fn state(state: State) -> Markup {
    let class = match state {
        State::Compliant => "state compliant",
        State::NonCompliant => "mark non-compliant",
        State::Incomplete | State::Missing => "mark incomplete",
    };
    html! { span class=(class) { (state.as_str()) } }
}
