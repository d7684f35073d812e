//! What happened between two snapshots, and a difference of the two does not show.

use std::collections::{BTreeMap, BTreeSet};

use super::ImageName;

/// An artifact's start, exit, or change of replicas, as recorded with a snapshot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change<'a> {
    /// The artifact's label.
    pub name: &'a str,
    /// `""` if it is unknown.
    pub fingerprint: &'a str,
    /// The snapshot's index.
    pub index: u64,
    /// When it was recorded, in seconds since the Unix epoch.
    pub recorded_at: f64,
    /// Whether the artifact exited.
    pub is_exit: bool,
}

/// An artifact that ran between two snapshots, and in neither of them.
#[derive(Debug, Clone, PartialEq)]
pub struct InterimArtifact {
    /// Its label.
    pub name: String,
    /// `""` if it is unknown.
    pub fingerprint: String,
    /// The snapshot with which it first started, and the time of that, in seconds since the Unix epoch.
    pub started: (u64, f64),
    /// The snapshot with which it last exited.
    pub exited: Option<(u64, f64)>,
}

/// The artifacts that started and exited between two snapshots, sorted by the snapshot of the start
/// and by name.
///
/// `running` are the fingerprint (`""` if unknown) and the name of each artifact that runs in one
/// of the two, and `changes` are those after the first snapshot up to the second, earliest first.
pub fn interim_artifacts<'a>(
    running: impl IntoIterator<Item = (&'a str, &'a str)>,
    changes: impl IntoIterator<Item = Change<'a>>,
) -> Vec<InterimArtifact> {
    let identity = |fingerprint: &'a str, name: &'a str| {
        if fingerprint.is_empty() { ("", name) } else { (fingerprint, "") }
    };
    let running: BTreeSet<_> =
        running.into_iter().map(|(fingerprint, name)| identity(fingerprint, name)).collect();
    let mut found = BTreeMap::<_, InterimArtifact>::new();
    for change in changes {
        let identity = identity(change.fingerprint, change.name);
        if running.contains(&identity) {
            continue;
        }
        let at = (change.index, change.recorded_at);
        let artifact = found.entry(identity).or_insert_with(|| InterimArtifact {
            name: change.name.to_owned(),
            fingerprint: change.fingerprint.to_owned(),
            started: at,
            exited: None,
        });
        if change.is_exit {
            artifact.exited = Some(at);
        }
    }
    let mut found: Vec<_> = found.into_values().collect();
    found.sort_by(|a, b| (a.started.0, &a.name).cmp(&(b.started.0, &b.name)));
    found
}

/// The versions of one image that exited, and those that started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplacedVersions<'a> {
    /// The image without tag and digest.
    pub image: &'a str,
    /// Tags, or digests of images without a tag.
    pub from: Vec<&'a str>,
    /// The same of those that started.
    pub to: Vec<&'a str>,
}

/// The images of which one version exited and another one started, sorted by name. `exited` and
/// `started` are full image names.
pub fn replaced_versions<'a>(
    exited: impl IntoIterator<Item = &'a str>,
    started: impl IntoIterator<Item = &'a str>,
) -> Vec<ReplacedVersions<'a>> {
    let mut versions = BTreeMap::<_, [Vec<_>; 2]>::new();
    let exited = exited.into_iter().map(|name| (0, name));
    for (side, name) in exited.chain(started.into_iter().map(|name| (1, name))) {
        let image = ImageName::new(name);
        if let Some(version) = image.tag.or(image.digest) {
            versions.entry(image.without_tag()).or_default()[side].push(version);
        }
    }
    versions
        .into_iter()
        .filter(|(_, versions)| versions.iter().all(|side| !side.is_empty()))
        .map(|(image, [from, to])| ReplacedVersions { image, from, to })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exited_and_started_versions_are_paired_by_image() {
        let exited = ["r/differ:5894f34", "r/gone:1", "q/web:1", "l:5000/a@sha256:ab", "none"];
        let started = ["r/differ:4d27021", "r/web:2", "l:5000/a:2@sha256:cd", "none"];
        let replaced = replaced_versions(exited, started);
        let pairs: Vec<_> = replaced.iter().map(|it| (it.image, &*it.from, &*it.to)).collect();
        assert_eq!(
            pairs,
            [
                ("l:5000/a", &["sha256:ab"][..], &["2"][..]),
                ("r/differ", &["5894f34"], &["4d27021"]),
            ]
        );
    }

    #[test]
    fn interim_artifacts_ran_between_the_snapshots_and_in_neither_of_them() {
        let change = |name, fingerprint, index: u32, is_exit| Change {
            name,
            fingerprint,
            index: index.into(),
            recorded_at: f64::from(index),
            is_exit,
        };
        let changes = [
            change("web:2", "b", 2, false),
            change("miner", "c", 3, false),
            change("sidecar", "", 3, false),
            change("miner", "c", 4, true),
            change("sidecar", "", 5, true),
            change("miner", "c", 6, false),
            change("miner", "c", 7, true),
            change("web:1", "a", 7, true),
        ];
        let found = interim_artifacts([("a", "web:1"), ("b", "web:2")], changes);
        let found: Vec<_> =
            found.iter().map(|it| (&*it.name, it.started.0, it.exited.map(|it| it.0))).collect();
        assert_eq!(found, [("miner", 3, Some(7)), ("sidecar", 3, Some(5))]);
    }
}
