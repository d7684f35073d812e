//! Since when an artifact is known to run in an environment, and what never ran there before.

use std::borrow::Cow;

use envsnap_model::snapshot::{Fingerprint, ImageName};

use super::Micros;

/// The registry of images whose name has none.
const DEFAULT_REGISTRY: &str = "docker.io";

/// Since when, and until when at least, an artifact has run in an environment without interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The first snapshot that contains it, from which on every one did.
    pub first_index: u32,
    /// When that was recorded. If it is the environment's first, the artifact may have run before.
    pub first_at: Micros,
    /// The last report that still had it.
    pub confirmed_until: Micros,
    pub firsts: Firsts,
}

/// The indexes of the first snapshots of an environment that contained an artifact's image, any image of its
/// repository, and any image of its registry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Firsts {
    pub image: u32,
    pub repository: u32,
    /// 0 if the image's registry is not known.
    pub registry: u32,
}

/// What of an artifact ran in an environment for the first time: its image, its repository or its registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FirstTime {
    /// The fingerprint.
    Image,
    /// The path in its registry, and so the fingerprint.
    Repository,
    /// All three.
    Registry,
}

impl FirstTime {
    /// From the narrowest to the widest.
    pub const ALL: [Self; 3] = [Self::Image, Self::Repository, Self::Registry];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Repository => "repository",
            Self::Registry => "registry",
        }
    }
}

impl Firsts {
    /// The widest of the three that first ran after the snapshot `index`. Nothing is new in an
    /// environment's first snapshot: what ran before it is not known.
    pub fn after(&self, index: u32) -> Option<FirstTime> {
        let is_new = |first: u32| first > index.max(1);
        let of = |time| match time {
            FirstTime::Image => self.image,
            FirstTime::Repository => self.repository,
            FirstTime::Registry => self.registry,
        };
        FirstTime::ALL.into_iter().rev().find(|time| is_new(of(*time)))
    }
}

/// The names that identify an artifact's image, its repository and its registry, in this order. Docker Hub's
/// repositories are the same with and without its name. A word alone may also be the name of a container, and
/// has no registry.
pub fn names_of(name: &str, fingerprint: Option<Fingerprint>) -> Vec<(FirstTime, Cow<'_, str>)> {
    let ImageName { registry, repository, tag, digest, .. } = ImageName::new(name);
    let identity = fingerprint.map_or(Cow::Borrowed(name), |known| Cow::Owned(known.to_string()));
    let is_image = tag.is_some() || digest.is_some() || repository.contains('/');
    let registry = match registry {
        Some("docker.io" | "index.docker.io" | "registry-1.docker.io") => Some(DEFAULT_REGISTRY),
        None if is_image => Some(DEFAULT_REGISTRY),
        registry => registry,
    };
    let repository = match registry {
        Some(DEFAULT_REGISTRY) | None => {
            Cow::Borrowed(repository.strip_prefix("library/").unwrap_or(repository))
        }
        Some(registry) => Cow::Owned(format!("{registry}/{repository}")),
    };
    let mut names = vec![(FirstTime::Image, identity), (FirstTime::Repository, repository)];
    names.extend(registry.map(|registry| (FirstTime::Registry, Cow::Borrowed(registry))));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_name_is_split_into_repository_and_registry_which_is_docker_hub_by_default() {
        let known = Fingerprint::from([0xab; 32]);
        for (name, repository, registry) in [
            ("ghcr.io/acme/web:1", "ghcr.io/acme/web", Some("ghcr.io")),
            ("localhost:5000/web", "localhost:5000/web", Some("localhost:5000")),
            ("nginx:1", "nginx", Some("docker.io")),
            ("docker.io/library/nginx@sha256:ab", "nginx", Some("docker.io")),
            ("xmrig/xmrig", "xmrig/xmrig", Some("docker.io")),
            ("envoy", "envoy", None),
            ("", "", None),
        ] {
            let image = known.to_string();
            let mut expected =
                vec![(FirstTime::Image, &*image), (FirstTime::Repository, repository)];
            expected.extend(registry.map(|registry| (FirstTime::Registry, registry)));
            let found = names_of(name, Some(known));
            let found: Vec<_> = found.iter().map(|(time, name)| (*time, &**name)).collect();
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(names_of("envoy", None)[0], (FirstTime::Image, "envoy".into()));
    }

    #[test]
    fn first_time_is_the_widest_that_is_new_and_none_in_the_first_snapshot() {
        let firsts = |image, repository, registry| Firsts { image, repository, registry };
        for (firsts, index, expected) in [
            (firsts(5, 3, 1), 4, Some(FirstTime::Image)),
            (firsts(5, 3, 1), 2, Some(FirstTime::Repository)),
            (firsts(5, 5, 5), 4, Some(FirstTime::Registry)),
            (firsts(5, 5, 0), 4, Some(FirstTime::Repository)),
            (firsts(5, 5, 5), 5, None),
            (firsts(1, 1, 1), 0, None),
            (firsts(2, 1, 1), 0, Some(FirstTime::Image)),
        ] {
            assert_eq!(firsts.after(index), expected, "{firsts:?} {index}");
        }
    }
}
