//! The limit for the size of a snapshot's document.

use std::io;

use envsnap_model::wire::{MAX_RESPONSE_BYTES, RecordedArtifact};
use serde::Serialize;

use super::provenance::{remove_provenance, shorten_provenance};
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

/// Leaves out provenance until clients can read the JSON of these artifacts of a snapshot: [`check_size`]
/// does not count it, since CI jobs report it at any time.
pub(super) fn limit_provenance(artifacts: &mut [RecordedArtifact]) {
    for leave_out in [shorten_provenance, remove_provenance] {
        // Measuring takes as long as writing the document.
        if !artifacts.iter().any(has_provenance) || json_size(&artifacts) <= 2 * MAX_ARTIFACTS_BYTES
        {
            return;
        }
        artifacts.iter_mut().for_each(leave_out);
    }
}

/// Whether the document of the artifact has anything of which provenance decides the length.
fn has_provenance(artifact: &RecordedArtifact) -> bool {
    let allowed = artifact.origin.as_ref().and_then(|origin| origin.allowed.as_ref());
    !artifact.flows.is_empty() || !artifact.deployments.is_empty() || allowed.is_some()
}

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
    use envsnap_model::provenance::{self, State};

    use super::*;
    use crate::domain::provenance::{ArtifactProvenance, RecordId, ReportRecord};
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

    /// An artifact that flows reported, each with these problems and with a build of this address.
    fn reported_artifact(flows: i64, problems: &[String], build_url: &str) -> RecordedArtifact {
        let report = |seq| ReportRecord {
            id: RecordId::new("acme", seq),
            flow: format!("flow-{seq}"),
            trail: Some("trail".to_owned()),
            template_name: None,
            commit: "16d9990ad23a40eecaf087abac2a58a2d2a4b3f4".to_owned(),
            details: serde_json::json!({"build_url": build_url}).to_string(),
            first_reported_at: Micros(0),
            reported_at: Micros(0),
            state: State::Incomplete,
            state_trail: None,
            problems: problems.to_vec(),
            template: None,
        };
        let provenance = ArtifactProvenance {
            flows: (1..=flows).map(report).collect(),
            deployments: Vec::new(),
            first_started_at: 0,
            origin: provenance::Origin::Known,
            allowed: None,
            updated: false,
        };
        let entry = ReportEntry {
            task_arn: "arn".into(),
            cluster_name: None,
            service_name: None,
            digests: vec![("web:1".into(), None)],
            started_at: 1,
            origin: None,
        };
        let running = Report::new(&[entry]).unwrap().running;
        let provenance = Some(Box::new(provenance));
        artifact("acme", "", SnapshotArtifact { provenance, ..snapshot_artifact(&running[0]) })
    }

    #[test]
    fn artifact_in_a_snapshot_names_the_first_20_problems_and_how_many_more_there_are() {
        let problems: Vec<_> = (0..2_500).map(|number| format!("a{number}")).collect();
        for (count, last) in [(20, "a19"), (21, "and 1 more"), (2_500, "and 2480 more")] {
            let document = reported_artifact(1, &problems[..count], "");
            let flow = &document.flows[0];
            assert_eq!(flow.problems[..20], problems[..20]);
            assert_eq!(
                (flow.problems.len(), &*flow.problems[count.min(21) - 1]),
                (count.min(21), last)
            );
            assert_eq!(flow.flow_reasons_for_non_compliance.len(), 20);
        }
    }

    #[test]
    fn provenance_is_left_out_of_a_snapshot_that_clients_could_not_read_with_it() {
        let url = "u".repeat(8_000);
        let mut few = vec![reported_artifact(20, &[], &url); 3];
        limit_provenance(&mut few);
        assert!(few.iter().all(|it| it.flows.len() == 20 && it.flows[0].build_url.is_some()));

        let mut many = vec![reported_artifact(20, &[], &url); 300];
        limit_provenance(&mut many);
        assert!(json_size(&many) <= 2 * MAX_ARTIFACTS_BYTES);
        assert!(many.iter().all(|it| it.flows.len() == 1 && it.flow_name.is_some()));

        let mut allowed = vec![reported_artifact(1, &[], "")];
        allowed[0].origin.as_mut().unwrap().allowed = Some("r".repeat(2 * MAX_ARTIFACTS_BYTES));
        limit_provenance(&mut allowed);
        assert!(json_size(&allowed) < 1_000);
        assert_eq!(allowed[0].origin.as_ref().unwrap().status, provenance::Origin::Known);
    }
}
