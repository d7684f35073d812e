//! Image references, as task definitions have them: `repo:tag`, `repo@sha256:…` or
//! `repo:tag@sha256:…`.

use super::Fingerprint;

/// The fingerprint that an image reference pins, if it pins one.
pub fn pinned_digest(image: &str) -> Option<Fingerprint> {
    let (_, digest) = image.rsplit_once('@')?;
    Fingerprint::from_digest(digest).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625";

    #[test]
    fn a_pinned_digest_is_found_with_and_without_a_tag() {
        let expected = HEX.parse().ok();
        for image in [
            format!("runner@sha256:{HEX}"),
            format!("runner:16d9990@sha256:{HEX}"),
            format!("localhost:5000/a/b:c@sha256:{HEX}"),
        ] {
            assert_eq!(pinned_digest(&image), expected, "{image}");
        }
    }

    #[test]
    fn a_tag_pins_nothing() {
        for image in [
            "",
            "runner",
            "runner:16d9990",
            "@",
            "runner@",
            "runner@sha256:",
            "runner@sha256:9af401c",
            &format!("runner@sha512:{HEX}{HEX}"),
            &format!("runner:{HEX}"),
        ] {
            assert_eq!(pinned_digest(image), None, "{image}");
        }
    }

    proptest! {
        #[test]
        fn no_reference_panics(image in "[a-z:@/é]{0,40}(sha256:)?[0-9a-f]{0,70}") {
            let _ = pinned_digest(&image);
        }
    }
}
