//! The limit for the size of a snapshot's document.

use std::io;

use envsnap_model::wire::MAX_RESPONSE_BYTES;
use serde::Serialize;

use super::snapshot::{artifact, html_url};
use crate::domain::{
    EcsLocation, Error, Firsts, MAX_ENVIRONMENT_NAME_BYTES, MAX_ORG_NAME_BYTES, Micros, Origin,
    RunningArtifact, Seen, SnapshotArtifact,
};

/// The most bytes of the JSON of what runs: 12,000 artifacts take 13 MB. A snapshot shows at most
/// what runs and what exited, so twice this, which clients still accept, this project's own among
/// them.
const MAX_ARTIFACTS_BYTES: usize = 15 << 20;

/// The most bytes of the rest of a snapshot's JSON, with the counts of the previous snapshot.
const MAX_ENVELOPE_BYTES: usize = 1 << 20;

const _: () = assert!(2 * MAX_ARTIFACTS_BYTES + MAX_ENVELOPE_BYTES <= MAX_RESPONSE_BYTES);

/// A [`Seen`] whose JSON is as long as any.
const MAX_LENGTH_SEEN: Seen = Seen {
    first_index: u32::MAX,
    first_at: Micros(4_000_000_000_123_457),
    confirmed_until: Micros(4_000_000_000_123_457),
    firsts: Firsts { image: 1, repository: u32::MAX, registry: 1 },
};

/// Checks that the JSON of a snapshot of these artifacts will not be too large.
///
/// # Errors
/// The document would be larger than clients accept.
pub(crate) fn check_size(running: &[RunningArtifact]) -> Result<(), Error> {
    // Most reports are so far below the limit that nothing needs to be measured.
    if running.iter().map(max_json_bytes).sum::<usize>() <= MAX_ARTIFACTS_BYTES {
        return Ok(());
    }
    let html_url = html_url(
        &"o".repeat(MAX_ORG_NAME_BYTES),
        &"e".repeat(MAX_ENVIRONMENT_NAME_BYTES),
        u32::MAX,
    );
    let size = |running: &RunningArtifact| {
        json_size(&artifact("", &html_url, snapshot_artifact(running))) + 1
    };
    let found = running.iter().map(size).sum();
    if found > MAX_ARTIFACTS_BYTES {
        return Err(Error::ReportTooLarge {
            of: "bytes of JSON",
            most: MAX_ARTIFACTS_BYTES,
            found,
        });
    }
    Ok(())
}

/// An upper bound of the size of the artifact's JSON in bytes, from the lengths of its texts alone.
fn max_json_bytes(artifact: &RunningArtifact) -> usize {
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let place = |place: &EcsLocation| length(&place.cluster) + length(&place.service);
    let task = &artifact.task;
    let texts = artifact.name.len()
        + task.arn.len()
        + length(&task.cluster)
        + length(&task.service)
        + task.origin.as_ref().map_or(0, Origin::text_bytes)
        + artifact.places.iter().map(place).sum::<usize>();
    // A character may be escaped as six.
    6 * texts + 2_100 + 100 * artifact.places.len() + 24 * artifact.started_at.len()
}

/// The artifact as a snapshot will have it, where the JSON of what is not known yet is longest.
fn snapshot_artifact(running: &RunningArtifact) -> SnapshotArtifact {
    SnapshotArtifact {
        name: running.name.clone(),
        fingerprint: running.fingerprint,
        was: 0,
        now: running.replicas(),
        started_at: running.started_at.clone(),
        task: running.task.clone(),
        places: running.places.clone(),
        seen: Some(MAX_LENGTH_SEEN),
        provenance: None,
    }
}

/// The size of the JSON of `value` in bytes.
fn json_size(value: &impl Serialize) -> usize {
    struct ByteCounter(usize);

    impl io::Write for ByteCounter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut size = ByteCounter(0);
    // What cannot be serialized counts as too large.
    serde_json::to_writer(&mut size, value).map_or(usize::MAX, |()| size.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Report, ReportEntry};

    #[test]
    fn report_whose_snapshot_would_exceed_the_json_limit_by_escapes_is_rejected() {
        let entry = |name: &str, n: usize| ReportEntry {
            task_arn: "arn".into(),
            cluster_name: None,
            service_name: None,
            digests: vec![(format!("{n}{name}").into(), None)],
            started_at: 1,
            origin: None,
        };
        let check = |name: &str, count: usize| {
            let entries: Vec<_> = (0..count).map(|n| entry(name, n)).collect();
            check_size(&Report::new(&entries).unwrap().running)
        };
        assert!(check(&"a".repeat(700), 8_000).is_ok());
        // Each of these characters is escaped as six.
        let error = check(&"\u{1}".repeat(700), 8_000).unwrap_err();
        assert!(matches!(error, Error::ReportTooLarge { of: "bytes of JSON", .. }), "{error}");
    }
}
