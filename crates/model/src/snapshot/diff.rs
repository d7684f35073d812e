//! The difference between two snapshots.

use super::{Artifact, Fingerprint, Snapshot};

/// Artifacts that started, exited or changed their number of replicas, each list in a snapshot's
/// order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// Artifacts that only run after.
    pub started: Vec<Artifact>,
    /// Artifacts that only ran before.
    pub exited: Vec<Artifact>,
    /// Artifacts that run before and after, with another number of replicas.
    pub scaled: Vec<Scaled>,
}

/// An artifact whose number of replicas changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scaled {
    /// Its name after the change.
    pub name: String,
    /// Its fingerprint, if known.
    pub fingerprint: Option<Fingerprint>,
    /// Replicas before.
    pub from: u64,
    /// Replicas after.
    pub to: u64,
}

impl Diff {
    /// The changes from `before` to `after`.
    pub fn between(before: &Snapshot, after: &Snapshot) -> Self {
        let mut diff = Self::default();
        for (identity, artifact) in &after.0 {
            match before.0.get(identity) {
                None => diff.started.push(artifact.clone()),
                Some(was) if was.replicas != artifact.replicas => diff.scaled.push(Scaled {
                    name: artifact.name.clone(),
                    fingerprint: artifact.fingerprint,
                    from: was.replicas,
                    to: artifact.replicas,
                }),
                Some(_) => {}
            }
        }
        diff.exited = before
            .0
            .iter()
            .filter(|(identity, _)| !after.0.contains_key(identity))
            .map(|(_, artifact)| artifact.clone())
            .collect();
        diff
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.same_artifacts() && self.scaled.is_empty()
    }

    /// Whether nothing started or exited; replicas may differ.
    pub fn same_artifacts(&self) -> bool {
        self.started.is_empty() && self.exited.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::artifact;
    use super::*;

    #[test]
    fn diff_lists_started_exited_and_scaled_artifacts_and_no_unchanged_ones() {
        let before: Snapshot = [
            artifact("same", Some(1), 1),
            artifact("gone", Some(2), 1),
            artifact("scaled", Some(3), 3),
            artifact("unknown", None, 1),
        ]
        .into_iter()
        .collect();
        let after: Snapshot = [
            artifact("same", Some(1), 1),
            artifact("scaled", Some(3), 1),
            artifact("new", Some(4), 2),
            artifact("unknown", None, 2),
        ]
        .into_iter()
        .collect();
        let scaled = |name: &str, fingerprint: Option<u8>, from, to| Scaled {
            name: name.to_owned(),
            fingerprint: fingerprint.map(|byte| Fingerprint::from([byte; 32])),
            from,
            to,
        };

        let diff = Diff::between(&before, &after);

        assert_eq!(diff.started, [artifact("new", Some(4), 2)]);
        assert_eq!(diff.exited, [artifact("gone", Some(2), 1)]);
        assert_eq!(diff.scaled, [scaled("scaled", Some(3), 3, 1), scaled("unknown", None, 1, 2)]);
        assert!(!diff.is_empty() && !diff.same_artifacts());
    }

    #[test]
    fn diff_of_replica_counts_alone_is_not_empty_but_has_the_same_artifacts() {
        let three: Snapshot = [artifact("web", Some(1), 3)].into_iter().collect();
        let one: Snapshot = [artifact("web", Some(1), 1)].into_iter().collect();
        let diff = Diff::between(&three, &one);
        assert!(diff.same_artifacts() && !diff.is_empty());
    }
}
