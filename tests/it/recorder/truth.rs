//! Against the domain's own idea of a snapshot.

use envsnap::api::wire::EcsReport;
use envsnap::snapshot::Diff;
use proptest::prelude::*;
use serde_json::json;

use super::server::{Recorder, digest, task};

/// Few names and digests, so that consecutive reports are often equal.
fn any_report() -> impl Strategy<Value = EcsReport> {
    proptest::collection::vec(("[ab]", 0..3_u8, 1..4_i64), 0..4).prop_map(|tasks| {
        let entries: Vec<_> = (0..)
            .zip(tasks)
            .map(|(id, (name, byte, started))| {
                task(id, &name, &if byte == 0 { String::new() } else { digest(byte) }, started)
            })
            .collect();
        serde_json::from_value(json!({"artifacts": entries})).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn report_makes_a_snapshot_exactly_if_artifacts_or_replicas_changed(
        reports in proptest::collection::vec(any_report(), 1..6)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let recorder = Recorder::start().await;
            recorder.create("env", Some(true)).await;
            let mut recorded = EcsReport { artifacts: Vec::new() }.snapshot();
            let mut index = 0;
            for report in reports {
                let is_new = !Diff::between(&recorded, &report.snapshot()).is_empty();
                recorded = report.snapshot();
                let body = serde_json::to_value(&report).unwrap();
                let status = recorder.report("env", body["artifacts"].as_array().unwrap()).await;
                prop_assert_eq!(status, if is_new { 201 } else { 200 });
                index += u64::from(is_new);
                if index == 0 {
                    continue;
                }
                let latest = recorder.latest("env").await;
                prop_assert_eq!(latest.index, index);
                // Names may differ: they are no change.
                prop_assert_eq!(latest.snapshot().content_hash(), recorded.content_hash());
                for artifact in latest.running() {
                    prop_assert_eq!(
                        artifact.creation_timestamp.len() as u64, artifact.annotation.now);
                    prop_assert!(artifact.creation_timestamp.is_sorted());
                }
            }
            Ok(())
        })?;
    }
}
