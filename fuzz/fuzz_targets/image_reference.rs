//! The name and the fingerprint of an artifact, from an image reference, a digest and a container's name,
//! each on a line of its own.
#![cfg_attr(not(test), no_main)]

use envsnap::snapshot::{DigestSource, Fingerprint, artifact_name, pinned_digest};

/// Checks one input of the fuzzer.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let (image, digest) = (lines.next(), lines.next());
    let container = lines.next().unwrap_or("unnamed");

    check_artifact_name(image, container);
    let pinned = image.and_then(pinned_digest);
    if let (Some(image), Some(pinned)) = (image, pinned) {
        assert!(image.ends_with(&format!("@sha256:{pinned}")), "{image}");
    }
    match DigestSource::resolve(image, digest) {
        (Some(fingerprint), DigestSource::Ecs) => {
            assert_eq!(digest, Some(&*format!("sha256:{fingerprint}")));
        }
        (fingerprint @ Some(_), DigestSource::Pinned) => {
            assert_eq!(fingerprint, pinned);
            assert!(digest.is_none_or(str::is_empty), "{digest:?}");
        }
        (None, DigestSource::Unknown) => {
            assert!(pinned.is_none() || digest.is_some_and(|digest| !digest.is_empty()));
        }
        (fingerprint, source) => panic!("{fingerprint:?} of source {source}"),
    }
    for text in text.split(['\n', ':']) {
        check_fingerprint(text);
    }
}

/// The name is the image, otherwise a beginning of the container's name.
fn check_artifact_name(image: Option<&str>, container: &str) {
    let name = artifact_name(image, container);
    if let Some(image) = image.filter(|image| !image.is_empty()) {
        assert_eq!(name, image);
    } else {
        assert!(container.starts_with(name), "{container}");
        assert_eq!(name.is_empty(), container.is_empty());
    }
}

/// Exactly 64 lower-case hexadecimal digits are a fingerprint, which every format keeps.
fn check_fingerprint(text: &str) {
    let is_valid = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let Ok(parsed) = text.parse::<Fingerprint>() else { return assert!(!is_valid, "{text}") };
    assert!(is_valid, "{text}");
    assert_eq!(parsed.to_string(), text);
    assert_eq!(Fingerprint::from_digest(&format!("sha256:{text}")), Ok(parsed));
    let json = serde_json::to_string(&parsed).unwrap();
    assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), parsed);
}

#[cfg(not(test))]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
