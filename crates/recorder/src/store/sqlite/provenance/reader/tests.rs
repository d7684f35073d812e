//! Which attestations of a trail are compared with an artifact of it.

use proptest::prelude::*;

use super::*;

fn report_row(fingerprint: &str, commit: &str) -> ReportRow {
    ReportRow {
        seq: 1,
        flow: 1,
        trail: Some(1),
        fingerprint: fingerprint.to_owned(),
        name: "web:1".to_owned(),
        commit: commit.to_owned(),
        template_name: Some("web".to_owned()),
        recorded_at: Micros(0),
    }
}

fn attestation_row(seq: i64, fingerprint: &str, commit: &str, target: &str) -> AttestationRow {
    AttestationRow {
        seq,
        trail: 1,
        kind: "generic".to_owned(),
        name: "scan".to_owned(),
        fingerprint: fingerprint.to_owned(),
        commit: commit.to_owned(),
        targets: vec![target.to_owned()],
        is_compliant: Some(true),
        overrides: None,
        recorded_at: Micros(0),
    }
}

#[test]
fn attestations_of_one_artifact_are_found_without_those_of_1000_others_in_its_trail() {
    let attestations: Vec<_> = (0..1_000)
        .flat_map(|number| {
            let (fingerprint, commit) = (format!("f{number}"), format!("c{number}"));
            [
                attestation_row(2 * number, "", &commit, "web"),
                attestation_row(2 * number + 1, &fingerprint, "", "web"),
            ]
        })
        .collect();
    let by_binding = AttestationsByBinding::new(&attestations);
    let found = by_binding.candidates(&report_row("f7", "c500"));
    assert_eq!(found.iter().map(|it| it.seq).collect::<Vec<_>>(), [15, 1_000]);
}

proptest! {
    #[test]
    fn attestations_found_by_binding_are_all_that_are_about_the_artifact_in_their_order(
        attestations in proptest::collection::vec(("(|f1|f2)", "(|c1|c2)", "(web|api)"), 0..20),
        (fingerprint, commit) in ("f[12]", "(|c[12])"),
    ) {
        let attestations: Vec<_> = (0..)
            .zip(&attestations)
            .map(|(seq, (fingerprint, commit, target))| {
                attestation_row(seq, fingerprint, commit, target)
            })
            .collect();
        let artifact = report_row(&fingerprint, &commit);
        let is_about = |it: &&AttestationRow| it.is_about(&artifact);
        let expected: Vec<_> = attestations.iter().filter(is_about).map(|it| it.seq).collect();
        let by_binding = AttestationsByBinding::new(&attestations);
        let found = by_binding.candidates(&artifact).into_iter().filter(is_about);
        prop_assert_eq!(found.map(|it| it.seq).collect::<Vec<_>>(), expected);
    }
}
