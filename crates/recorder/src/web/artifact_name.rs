//! Names and fingerprints of artifacts.

use std::fmt::Write as _;

use maud::{Markup, html};

use crate::http::views::artifact_url;
use crate::text::is_invisible;
use envsnap_model::snapshot::{Fingerprint, ImageName};

/// The most characters of a repository, and of a tag, in a short name.
const MAX_PART_CHARS: usize = 40;
/// The most characters of the whole name in a tooltip.
const MAX_TOOLTIP_CHARS: usize = 1_000;
/// The number of hexadecimal digits of a short fingerprint, as usual for commits.
const SHORT_FINGERPRINT_DIGITS: usize = 7;

/// `name` with an escape for each character that would hide or reorder others.
pub(crate) fn escape_invisible(name: &str) -> String {
    let mut visible = String::with_capacity(name.len());
    for c in name.chars() {
        if is_invisible(c) {
            let _infallible = write!(visible, "\\u{{{:x}}}", u32::from(c));
        } else {
            visible.push(c);
        }
    }
    visible
}

/// The tag with its separator, or the digest if there is no tag.
fn tag_or_digest(image: &ImageName<'_>) -> String {
    match (image.tag, image.digest) {
        (Some(tag), _) => format!(":{tag}"),
        (None, Some(digest)) => format!("@{digest}"),
        (None, None) => String::new(),
    }
}

/// `repository:tag` of a name, of a bounded length.
pub(crate) fn short_name(name: &str) -> String {
    let [repository, tag] = short_parts(name);
    format!("{repository}{tag}")
}

/// The repository and the tag with its separator, each of a bounded length.
fn short_parts(name: &str) -> [String; 2] {
    let image = ImageName::new(name);
    // A name that consists of a separator is shown unchanged.
    let repository = if image.repository.is_empty() { name } else { image.repository };
    let tag = if image.repository.is_empty() { String::new() } else { tag_or_digest(&image) };
    [repository, &tag].map(|part| truncate(part, MAX_PART_CHARS))
}

/// Escapes invisible characters. If the text has more than `max` characters then, an ellipsis replaces its
/// middle.
pub(crate) fn truncate(text: &str, max: usize) -> String {
    let text = escape_invisible(text);
    let length = text.chars().count();
    if length <= max {
        return text;
    }
    let half = max / 2;
    let mut short: String = text.chars().take(half).collect();
    short.push('…');
    short.extend(text.chars().skip(length - half));
    short
}

/// `repository:tag`, with the whole reference in a tooltip.
pub(crate) fn label(name: &str) -> Markup {
    let [repository, tag] = short_parts(name);
    html! {
        bdi.label title=(truncate(name, MAX_TOOLTIP_CHARS)) {
            span.repository { (repository) }
            span.tag { (tag) }
        }
    }
}

/// The first digits, or "unknown".
pub(crate) fn short_fingerprint(fingerprint: Option<Fingerprint>) -> String {
    fingerprint.map_or_else(
        || "unknown".to_owned(),
        |fingerprint| shorten_fingerprint(&fingerprint.to_string()),
    )
}

pub(crate) fn shorten_fingerprint(fingerprint: &str) -> String {
    fingerprint.chars().take(SHORT_FINGERPRINT_DIGITS).collect()
}

/// `repository:tag`, as a link to the artifact's page if it has a fingerprint.
pub(crate) fn linked_label(org: &str, name: &str, fingerprint: &str) -> Markup {
    html! {
        @if fingerprint.is_empty() {
            (label(name))
        } @else {
            a href=(artifact_url(org, fingerprint)) { (label(name)) }
        }
    }
}

/// The short name, the whole name and the fingerprint of an artifact.
pub(crate) fn name_and_fingerprint(org: &str, name: &str, fingerprint: &str) -> Markup {
    html! {
        (linked_label(org, name, fingerprint))
        bdi.reference { (escape_invisible(name)) }
        @if fingerprint.is_empty() {
            span.fingerprint { "fingerprint unknown" }
        } @else {
            code.fingerprint { (fingerprint) }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_name_has_repository_and_tag_without_registry_or_digest_if_tagged() {
        let digest = format!("@sha256:{}", "ab".repeat(32));
        let cases = [
            ("runner", "runner", ""),
            ("runner:16d9990", "runner", ":16d9990"),
            (
                "274425519734.dkr.ecr.eu-central-1.amazonaws.com/runner:16d9990",
                "runner",
                ":16d9990",
            ),
            ("ghcr.io/acme/team/app:1", "acme/team/app", ":1"),
            ("localhost/app", "app", ""),
            ("localhost:5000/app", "app", ""),
            ("cyberdojo/runner:1", "cyberdojo/runner", ":1"),
            (&format!("a/b:1{digest}"), "a/b", ":1"),
            ("", "", ""),
            (":", ":", ""),
            ("app:", "app", ""),
        ];
        for (name, repository, tag) in cases {
            assert_eq!(short_parts(name), [repository, tag], "{name}");
        }
        let [repository, tag] = short_parts(&format!("public.ecr.aws/b{digest}"));
        assert!(repository == "b" && tag.starts_with("@sha256:abab"), "{repository}{tag}");
    }

    #[test]
    fn invisible_and_reordering_characters_are_escaped() {
        assert_eq!(escape_invisible("web\u{202e}1\n\0"), "web\\u{202e}1\\u{a}\\u{0}");
        assert_eq!(escape_invisible("we\u{e0062}b"), "we\\u{e0062}b");
        assert_eq!(escape_invisible("größe 好 <b>\"'&"), "größe 好 <b>\"'&");
    }

    proptest! {
        #[test]
        fn short_name_of_any_text_has_a_bounded_number_of_characters(name in ".{0,400}") {
            // An escape has at max ten characters.
            prop_assert!(short_name(&name).chars().count() <= 2 * (MAX_PART_CHARS + 1));
            label(&name);
        }
    }
}
