//! Names of images, as task definitions have them: `[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`.

use super::Fingerprint;

/// The parts of an image's name. Any text has them: names also come from clients of the API, and are not
/// checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageName<'a> {
    name: &'a str,
    /// The host with its port, if it is named: `localhost:5000`.
    pub registry: Option<&'a str>,
    /// The path in the registry: `cyberdojo/runner`. Empty only if the name has none.
    pub repository: &'a str,
    /// What follows the colon; `None` if it is missing or empty.
    pub tag: Option<&'a str>,
    /// What follows the last `@`, as it is written; `None` if it is missing or empty.
    pub digest: Option<&'a str>,
}

impl<'a> ImageName<'a> {
    /// The parts of `name`.
    pub fn new(name: &'a str) -> Self {
        let (image, digest) = name.rsplit_once('@').unwrap_or((name, ""));
        let (registry, path) = match image.split_once('/') {
            Some((host, path)) if is_host(host) => (Some(host), path),
            _ => (None, image),
        };
        // A colon before a slash does not begin a tag.
        let (repository, tag) = match path.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            _ => (path, ""),
        };
        let not_empty = |text: &'a str| (!text.is_empty()).then_some(text);
        Self { name, registry, repository, tag: not_empty(tag), digest: not_empty(digest) }
    }

    /// The name without a digest.
    pub fn without_digest(&self) -> &'a str {
        self.name.rsplit_once('@').map_or(self.name, |(image, _)| image)
    }

    /// The name without a tag and a digest.
    pub fn without_tag(&self) -> &'a str {
        let image = self.without_digest();
        match image.rsplit_once(':') {
            Some((image, tag)) if !tag.contains('/') => image,
            _ => image,
        }
    }
}

/// Whether the first part of a path is a registry's host and not a folder, as Docker decides it.
fn is_host(part: &str) -> bool {
    part == "localhost" || part.contains(['.', ':']) || part.contains(char::is_uppercase)
}

/// The fingerprint that an image reference pins, if it pins one.
pub fn pinned_digest(image: &str) -> Option<Fingerprint> {
    Fingerprint::from_digest(ImageName::new(image).digest?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST_HEX: &str = "9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625";

    #[test]
    fn a_pinned_digest_is_found_with_and_without_a_tag() {
        let expected = DIGEST_HEX.parse().ok();
        for image in [
            format!("runner@sha256:{DIGEST_HEX}"),
            format!("runner:16d9990@sha256:{DIGEST_HEX}"),
            format!("localhost:5000/a/b:c@sha256:{DIGEST_HEX}"),
        ] {
            assert_eq!(pinned_digest(&image), expected, "{image}");
        }
    }

    #[test]
    fn image_without_a_complete_sha256_digest_has_no_pinned_digest() {
        for image in [
            "",
            "runner",
            "runner:16d9990",
            "@",
            "runner@",
            "runner@sha256:",
            "runner@sha256:9af401c",
            &format!("runner@sha512:{DIGEST_HEX}{DIGEST_HEX}"),
            &format!("runner:{DIGEST_HEX}"),
        ] {
            assert_eq!(pinned_digest(image), None, "{image}");
        }
    }

    #[test]
    fn image_name_is_split_into_registry_repository_tag_and_digest() {
        let digest = format!("sha256:{DIGEST_HEX}");
        let with_digest = |name: &str| format!("{name}@{digest}");
        for (name, registry, repository, tag, digest) in [
            ("runner", None, "runner", None, None),
            ("runner:16d9990", None, "runner", Some("16d9990"), None),
            ("cyberdojo/runner:1", None, "cyberdojo/runner", Some("1"), None),
            ("ghcr.io/acme/team/app:1", Some("ghcr.io"), "acme/team/app", Some("1"), None),
            ("localhost/app", Some("localhost"), "app", None, None),
            ("localhost:5000/app", Some("localhost:5000"), "app", None, None),
            ("registry:5000/a/b:c", Some("registry:5000"), "a/b", Some("c"), None),
            ("[::1]:5000/a:1", Some("[::1]:5000"), "a", Some("1"), None),
            // A port needs a path behind it.
            ("registry:5000", None, "registry", Some("5000"), None),
            ("Registry/app", Some("Registry"), "app", None, None),
            ("App:V1", None, "App", Some("V1"), None),
            (&with_digest("a/b:1"), None, "a/b", Some("1"), Some(&*digest)),
            (&with_digest("public.ecr.aws/b"), Some("public.ecr.aws"), "b", None, Some(&*digest)),
            (&with_digest(""), None, "", None, Some(&*digest)),
            ("nginx@evil@sha256:ab", None, "nginx@evil", None, Some("sha256:ab")),
            ("a:b:c", None, "a:b", Some("c"), None),
            ("a:b/c", Some("a:b"), "c", None, None),
            ("team/a:b/c", None, "team/a:b/c", None, None),
            ("ghcr.io/", Some("ghcr.io"), "", None, None),
            ("/app", None, "/app", None, None),
            ("app:", None, "app", None, None),
            ("app@", None, "app", None, None),
            (":", None, "", None, None),
            ("@", None, "", None, None),
            ("", None, "", None, None),
        ] {
            let found = ImageName::new(name);
            let expected = ImageName { name, registry, repository, tag, digest };
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn without_digest_and_without_tag_cut_an_image_name_but_not_its_port() {
        for (name, without_digest, without_tag) in [
            ("registry:5000/web:2@sha256:ab", "registry:5000/web:2", "registry:5000/web"),
            ("registry:5000/web", "registry:5000/web", "registry:5000/web"),
            ("nginx@evil@sha256:ab", "nginx@evil", "nginx@evil"),
            ("app:", "app:", "app"),
            ("", "", ""),
        ] {
            let image = ImageName::new(name);
            assert_eq!(
                (image.without_digest(), image.without_tag()),
                (without_digest, without_tag)
            );
        }
    }

    proptest! {
        #[test]
        fn parts_of_an_image_name_joined_are_the_name_without_its_digest(
            name in "[a-zA-Z.:@/é]{0,12}",
        ) {
            let image = ImageName::new(&name);
            let mut whole = image.registry.map(|host| format!("{host}/")).unwrap_or_default();
            whole += image.repository;
            whole += &image.tag.map(|tag| format!(":{tag}")).unwrap_or_default();
            prop_assert!(image.without_digest().strip_prefix(&*whole).is_some_and(|rest| rest.is_empty() || rest == ":"));
        }

        #[test]
        fn reading_the_pinned_digest_of_an_image_never_panics(
            image in "[a-z:@/é]{0,40}(sha256:)?[0-9a-f]{0,70}",
        ) {
            let _ = pinned_digest(&image);
        }
    }
}
