//! What runs: containers, artifacts, snapshots and their differences.
//!
//! Values in, values out. Nothing here reads a clock, a variable or a socket.

mod container;
mod diff;
mod fingerprint;
mod image;
mod interim;
mod task_origin;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

pub use container::{DigestSource, RunningContainer, artifact_name};
pub use diff::{Diff, Scaled};
pub use fingerprint::{Fingerprint, ParseFingerprintError};
pub use image::{ImageName, pinned_digest};
pub use interim::{
    Change, InterimArtifact, ReplacedVersions, interim_artifacts, replaced_versions,
};
pub use task_origin::TaskOrigin;

/// Software that runs, with its number of replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// A label: the image reference, or the container's name if there is no image.
    pub name: String,
    /// The fingerprint of the pulled image; `None` if it is unknown.
    pub fingerprint: Option<Fingerprint>,
    /// Running containers.
    pub replicas: u64,
}

/// Identifies an artifact: by the fingerprint, or by the name if the fingerprint is unknown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// Known software, under any name.
    Known(Fingerprint),
    /// Software with an unknown fingerprint.
    Named(String),
}

impl Identity {
    /// The identity of an artifact.
    pub fn new(name: &str, fingerprint: Option<Fingerprint>) -> Self {
        fingerprint.map_or_else(|| Self::Named(name.to_owned()), Self::Known)
    }
}

/// All artifacts of an environment at one time: one entry per identity, each with at least one
/// replica.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<Identity, Artifact>);

impl Snapshot {
    /// Sorted by fingerprint; those without one last, by name.
    pub fn artifacts(&self) -> impl ExactSizeIterator<Item = &Artifact> {
        self.0.values()
    }

    /// Inserts an artifact, or replaces the one with its identity; with 0 replicas that one is removed.
    pub fn set(&mut self, artifact: Artifact) {
        let identity = Identity::new(&artifact.name, artifact.fingerprint);
        if artifact.replicas == 0 {
            self.0.remove(&identity);
        } else {
            self.0.insert(identity, artifact);
        }
    }

    /// SHA-256 over the canonical bytes of (fingerprint, replicas), sorted, in lowercase hex.
    ///
    /// Equal exactly when the same artifacts run with the same replicas: names, tasks and start
    /// times are not in it, except that an artifact without a fingerprint is identified by its name.
    pub fn content_hash(&self) -> String {
        let mut lines = String::new();
        for (identity, artifact) in &self.0 {
            let replicas = artifact.replicas;
            // A String cannot fail.
            let _written = match identity {
                Identity::Known(fingerprint) => {
                    writeln!(lines, "sha256:{fingerprint} {replicas}")
                }
                // The length prevents a name with a line break from being read as two lines.
                Identity::Named(name) => writeln!(lines, "name:{}:{name} {replicas}", name.len()),
            };
        }
        hex::encode(Sha256::digest(lines))
    }
}

impl FromIterator<Artifact> for Snapshot {
    /// Adds up artifacts with the same identity. Their label is the least of their names, so that the
    /// order in which containers were read makes no difference. Artifacts without replicas are left
    /// out.
    fn from_iter<I: IntoIterator<Item = Artifact>>(artifacts: I) -> Self {
        let mut by_identity = BTreeMap::<Identity, Artifact>::new();
        for artifact in artifacts {
            if artifact.replicas == 0 {
                continue;
            }
            let identity = Identity::new(&artifact.name, artifact.fingerprint);
            match by_identity.get_mut(&identity) {
                Some(same) => {
                    same.replicas = same.replicas.saturating_add(artifact.replicas);
                    if artifact.name < same.name {
                        same.name = artifact.name;
                    }
                }
                None => {
                    by_identity.insert(identity, artifact);
                }
            }
        }
        Self(by_identity)
    }
}

impl<'a, 't: 'a> FromIterator<&'a RunningContainer<'t>> for Snapshot {
    /// Counts each container as one replica of its artifact.
    fn from_iter<I: IntoIterator<Item = &'a RunningContainer<'t>>>(containers: I) -> Self {
        containers.into_iter().map(RunningContainer::as_artifact).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Its fingerprint repeats the given byte 32 times.
    pub(super) fn artifact(name: &str, fingerprint: Option<u8>, replicas: u64) -> Artifact {
        Artifact {
            name: name.to_owned(),
            fingerprint: fingerprint.map(|byte| Fingerprint::from([byte; 32])),
            replicas,
        }
    }

    fn any_artifact() -> impl Strategy<Value = Artifact> {
        // Few values, so that identities are often repeated.
        ("[ab]{1,2}", proptest::option::of(0..3_u8), 0..3_u64)
            .prop_map(|(name, fingerprint, replicas)| artifact(&name, fingerprint, replicas))
    }

    #[test]
    fn content_hash_is_the_sha256_of_one_line_per_fingerprint_or_name_with_its_replicas() {
        let snapshot: Snapshot =
            [artifact("envoy", None, 2), artifact("web:1", Some(0xab), 3)].into_iter().collect();
        let bytes = format!("sha256:{} 3\nname:5:envoy 2\n", "ab".repeat(32));
        assert_eq!(snapshot.content_hash(), hex::encode(Sha256::digest(bytes)));
    }

    #[test]
    fn same_digest_under_a_new_tag_has_an_equal_content_hash_and_an_empty_diff() {
        let before: Snapshot = [artifact("web:1", Some(1), 2)].into_iter().collect();
        let after: Snapshot = [artifact("web:2", Some(1), 2)].into_iter().collect();
        assert_eq!(before.content_hash(), after.content_hash());
        assert!(Diff::between(&before, &after).is_empty());
    }

    #[test]
    fn artifacts_with_one_digest_and_two_names_are_merged_under_the_lesser_name() {
        let snapshot: Snapshot =
            [artifact("web:2", Some(1), 1), artifact("web:1", Some(1), 1)].into_iter().collect();
        assert_eq!(snapshot.artifacts().collect::<Vec<_>>(), [&artifact("web:1", Some(1), 2)]);
    }

    #[test]
    fn name_with_a_line_break_does_not_collide_with_the_content_hash_of_two_artifacts() {
        let one: Snapshot = [artifact("a 1\nname:1:b", None, 1)].into_iter().collect();
        let two: Snapshot = [artifact("a", None, 1), artifact("b", None, 1)].into_iter().collect();
        assert_ne!(one.content_hash(), two.content_hash());
    }

    proptest! {
        #[test]
        fn order_of_artifacts_changes_neither_the_snapshot_nor_its_content_hash(
            artifacts in proptest::collection::vec(any_artifact(), 0..12),
            seed in any::<proptest::sample::Index>(),
        ) {
            let mut shuffled = artifacts.clone();
            if !shuffled.is_empty() {
                let at = seed.index(shuffled.len());
                shuffled.rotate_left(at);
                shuffled.reverse();
            }
            let one: Snapshot = artifacts.into_iter().collect();
            let two: Snapshot = shuffled.into_iter().collect();
            prop_assert_eq!(one.content_hash(), two.content_hash());
            prop_assert_eq!(one, two);
        }

        #[test]
        fn content_hashes_are_equal_exactly_when_the_diff_is_empty(
            before in proptest::collection::vec(any_artifact(), 0..5),
            after in proptest::collection::vec(any_artifact(), 0..5),
        ) {
            let before: Snapshot = before.into_iter().collect();
            let after: Snapshot = after.into_iter().collect();
            prop_assert_eq!(
                before.content_hash() == after.content_hash(),
                Diff::between(&before, &after).is_empty()
            );
        }
    }
}
