//! Image references: `[registry/]repository[:tag][@digest]`.

use std::fmt;
use std::str::FromStr;

use crate::snapshot::Fingerprint;

/// The registry of a reference that names none.
const DOCKER_HUB: &str = "docker.io";

/// Other names of Docker Hub, the first of which serves its images.
const DOCKER_HUB_HOSTS: [&str; 2] = ["registry-1.docker.io", "index.docker.io"];

/// The key of Docker Hub in Docker's `config.json` and in its credential helpers.
const DOCKER_HUB_CREDENTIALS_KEY: &str = "https://index.docker.io/v1/";

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `docker.io`, or a host with an optional port.
    pub(super) registry: String,
    pub(super) repository: String,
    pub(super) version: Version,
}

/// The tag or digest that selects an image of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Version {
    Tag(String),
    Digest(Fingerprint),
}

/// The text is not an image reference.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "\"{reference}\" is not an image reference: {problem}. One looks like \
     [REGISTRY/]REPOSITORY[:TAG][@sha256:DIGEST], for example ghcr.io/acme/web:1.2"
)]
pub struct ParseImageReferenceError {
    reference: String,
    problem: &'static str,
}

impl Reference {
    /// The digest in the reference itself, whatever its tag.
    pub fn pinned(&self) -> Option<Fingerprint> {
        match self.version {
            Version::Digest(digest) => Some(digest),
            Version::Tag(_) => None,
        }
    }

    /// The image of this digest in the same repository.
    #[must_use]
    pub fn at_digest(&self, digest: Fingerprint) -> Self {
        Self { version: Version::Digest(digest), ..self.clone() }
    }

    /// The host, with its port if it has one, that serves the images.
    pub(super) fn host(&self) -> &str {
        if self.registry == DOCKER_HUB { DOCKER_HUB_HOSTS[0] } else { &self.registry }
    }

    /// The key of the registry in Docker's `config.json` and in its credential helpers.
    pub(super) fn credentials_key(&self) -> &str {
        if self.registry == DOCKER_HUB { DOCKER_HUB_CREDENTIALS_KEY } else { &self.registry }
    }

    /// Whether the credentials that Docker's configuration keeps under `key` are for the registry.
    pub(super) fn has_credentials_key(&self, key: &str) -> bool {
        let host = key.split_once("://").map_or(key, |(_, host)| host);
        let host = host.split('/').next().unwrap_or_default();
        canonical_registry(host) == self.registry
    }
}

fn canonical_registry(host: &str) -> &str {
    if DOCKER_HUB_HOSTS.contains(&host) { DOCKER_HUB } else { host }
}

impl FromStr for Reference {
    type Err = ParseImageReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text)
            .map_err(|problem| ParseImageReferenceError { reference: text.to_owned(), problem })
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    let (name, digest) = match text.split_once('@') {
        None => (text, None),
        Some((name, digest)) => {
            let digest = Fingerprint::from_digest(digest);
            (name, Some(digest.map_err(|_| "the digest is not sha256: and 64 hexadecimal digits")?))
        }
    };
    let first = name.split_once('/');
    // As in Docker: otherwise `library/nginx` would be a host.
    let is_host = |host: &str| {
        host.contains(['.', ':']) || host == "localhost" || host.contains(char::is_uppercase)
    };
    let (registry, path) = match first {
        Some((host, path)) if is_host(host) => (canonical_registry(host), path),
        _ => (DOCKER_HUB, name),
    };
    if !is_registry(registry) {
        return Err("the registry is not a host name with an optional port");
    }
    let (repository, tag) = match path.rsplit_once(':') {
        None => (path, None),
        Some((repository, tag)) => (repository, Some(tag)),
    };
    if !tag.is_none_or(is_tag) {
        return Err(
            "a tag has 1 to 128 letters, digits, _, . and -, and begins with none of the last two",
        );
    }
    if repository.contains(char::is_uppercase) {
        return Err("a repository is written in lower case");
    }
    if repository.len() > 255 || !repository.split('/').all(is_path_component) {
        return Err(
            "a repository has 1 to 255 lower-case letters and digits, separated by /, ., _, __ or -",
        );
    }
    let is_official = registry == DOCKER_HUB && !repository.contains('/');
    Ok(Reference {
        registry: registry.to_owned(),
        repository: if is_official {
            format!("library/{repository}")
        } else {
            repository.to_owned()
        },
        version: match digest {
            Some(digest) => Version::Digest(digest),
            None => Version::Tag(tag.unwrap_or("latest").to_owned()),
        },
    })
}

/// Whether it is a host name or an IPv6 address in brackets, with an optional port.
fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            let is_address = address.parse::<std::net::Ipv6Addr>().is_ok();
            (if is_address { "ip" } else { "" }, port)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_label = |label: &str| {
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty()
            && label.chars().all(inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let has_port = port.strip_prefix(':').is_some_and(|port| {
        port.bytes().all(|digit| digit.is_ascii_digit()) && port.parse::<u16>().is_ok()
    });
    host.split('.').all(is_label) && (port.is_empty() || has_port)
}

fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= 128
        && text.starts_with(word)
        && text.chars().all(|c| word(c) || c == '.' || c == '-')
}

/// Whether it is lower-case letters and digits, with at most one separator between them: `.`, `_`,
/// `__` or dashes.
fn is_path_component(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator = |text: &str| {
        matches!(text, "" | "." | "_" | "__") || text.chars().all(|character| character == '-')
    };
    text.starts_with(word) && text.ends_with(word) && text.split(word).all(is_separator)
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.registry, self.repository, self.version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, ":{tag}"),
            Self::Digest(digest) => write!(f, "@sha256:{digest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625";

    #[test]
    fn reference_without_registry_or_tag_means_docker_hub_and_latest_as_in_docker() {
        let pinned = format!("nginx:1.2@{DIGEST}");
        for (text, expected) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.2", "docker.io/library/nginx:1.2"),
            ("cyberdojo/runner:16d9990", "docker.io/cyberdojo/runner:16d9990"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("index.docker.io/a/b", "docker.io/a/b:latest"),
            ("ghcr.io/acme/web/api:v1", "ghcr.io/acme/web/api:v1"),
            ("localhost/web", "localhost/web:latest"),
            ("localhost:5000/web", "localhost:5000/web:latest"),
            ("[::1]:5000/web:x", "[::1]:5000/web:x"),
            ("a/b__c/d---e.f", "docker.io/a/b__c/d---e.f:latest"),
            (&pinned, &format!("docker.io/library/nginx@{DIGEST}")),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), expected, "{text}");
            assert_eq!(expected.parse(), Ok(reference), "{text}");
        }
    }

    #[test]
    fn malformed_image_reference_is_rejected_with_the_invalid_part() {
        for (text, problem) in [
            ("", "a repository has"),
            (" ", "a repository has"),
            ("nginx:", "a tag has"),
            ("nginx:-1", "a tag has"),
            ("Nginx", "lower case"),
            ("ghcr.io/Acme/web", "lower case"),
            ("ghcr.io/", "a repository has"),
            ("ghcr.io//web", "a repository has"),
            ("a/../b", "a repository has"),
            ("a___b", "a repository has"),
            ("user@ghcr.io/web", "the digest"),
            ("nginx@sha256:12", "the digest"),
            ("ghcr.io:99999/web", "the registry"),
            ("ghcr.io:/web", "the registry"),
            ("-a.io/web", "the registry"),
            ("https://ghcr.io/web", "the registry"),
            ("a.b%2fc/web", "the registry"),
        ] {
            let error = text.parse::<Reference>().unwrap_err();
            assert!(error.problem.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn docker_config_key_matches_the_registry_by_host_including_docker_hub_aliases() {
        let hub: Reference = "nginx".parse().unwrap();
        let other: Reference = "ghcr.io/a/b".parse().unwrap();
        for key in ["https://index.docker.io/v1/", "docker.io", "registry-1.docker.io"] {
            assert!(hub.has_credentials_key(key) && !other.has_credentials_key(key), "{key}");
        }
        for key in ["ghcr.io", "https://ghcr.io", "https://ghcr.io/v2/", "http://ghcr.io"] {
            assert!(other.has_credentials_key(key) && !hub.has_credentials_key(key), "{key}");
        }
        assert!(!other.has_credentials_key("evil-ghcr.io") && !other.has_credentials_key(""));
    }

    proptest! {
        #[test]
        fn printed_image_reference_parses_to_the_same_reference(
            text in "[a-zA-Z0-9:/@._-]{0,30}|\\PC{0,12}",
        ) {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse(), Ok(reference));
            }
        }
    }
}
