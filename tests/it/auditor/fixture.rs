//! The five days, reported every hour with a heartbeat of an hour.

use reqwest::Method;
use serde_json::{Value, json};

use crate::recorder::provenance::requests::document;
use crate::recorder::server::{Recorder, digest, task};

/// Where a test recorder's clock starts, in seconds since the Unix epoch.
const CLOCK_AT_START: f64 = 1_661_161_162.5;

/// 2025-10-23T00:00:00Z, a Thursday, in seconds since the Unix epoch.
pub(super) const FIRST_DAY: i64 = 1_761_177_600;

/// Five days, with a report at the beginning of each hour.
const REPORTED_HOURS: i64 = 120;

/// Byte of which the digest of the miner's image consists.
const MINER_DIGEST_BYTE: u8 = 0x66;

/// Tasks in `prod` at this hour. The miner runs from 18:00 UTC on Saturday to 06:00 on Sunday;
/// `differ` is deployed on Friday at 15:00.
fn tasks_of_prod(hour: i64) -> Vec<Value> {
    let started = |hour: i64| FIRST_DAY + hour * 3_600 - 40;
    let mut tasks = vec![task(1, "ecr/web:1", &digest(1), started(-500))];
    tasks.push(if hour < 39 {
        task(2, "ecr/differ:5894f34", &digest(2), started(-400))
    } else {
        task(3, "ecr/differ:4d27021", &digest(3), started(39))
    });
    if (66..78).contains(&hour) {
        tasks.push(task(4, "docker.io/xmrig:6", &digest(MINER_DIGEST_BYTE), started(66)));
    }
    tasks
}

/// Whether no report of `prod` comes at this hour: none does on Monday after 01:00 and before 11:00
/// UTC.
fn is_reporter_down(hour: i64) -> bool {
    (98..107).contains(&hour)
}

/// A recorder to which the five days were reported; its clock shows Tuesday, 00:00 UTC.
pub(super) async fn recorder_after_five_days() -> Recorder {
    let recorder = recorder_before_reports().await;
    report_five_days(&recorder).await;
    recorder
}

/// The same, to which CI reported the `differ` of Friday with a file as evidence, and in which a
/// user allowed `web`.
pub(super) async fn recorder_after_five_days_with_provenance() -> Recorder {
    let recorder = recorder_before_reports().await;
    recorder.artifact("acme", "differ", "trail-1", &digest(3)).await;
    let evidence = json!({
        "attestation_name": "unit-test", "artifact_fingerprint": digest(3), "is_compliant": true,
    });
    let body = document(&evidence, Some(("attachment_file", b"all passed\n")));
    let path = "/attestations/acme/differ/trail/trail-1/generic";
    let answer = recorder.send_parts(Method::POST, path, body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let body = json!({"name_pattern": "ecr/web", "description": "built by hand"}).to_string();
    let answer = recorder.put("/allowlists/acme", body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    report_five_days(&recorder).await;
    recorder
}

/// Environments `prod`, `stage` and `dev` without reports; the clock shows [`FIRST_DAY`].
async fn recorder_before_reports() -> Recorder {
    let recorder = Recorder::start().await;
    for name in ["prod", "stage", "dev"] {
        recorder.create(name, None).await;
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    recorder.advance(FIRST_DAY as f64 - CLOCK_AT_START);
    recorder
}

async fn report_five_days(recorder: &Recorder) {
    for hour in 0..REPORTED_HOURS {
        if !is_reporter_down(hour) {
            report(recorder, "prod", &tasks_of_prod(hour)).await;
        }
        // Stage has the new version a day earlier, and dev never the old one.
        report(recorder, "stage", &tasks_of_prod(hour.min(65) + 24)[..2]).await;
        report(recorder, "dev", &tasks_of_prod(39)[..1]).await;
        recorder.advance(3_600.0);
    }
}

/// Reports to environment `name` with a heartbeat of an hour.
async fn report(recorder: &Recorder, name: &str, artifacts: &[Value]) {
    let path = format!("/environments/acme/{name}/report/ECS");
    let body = json!({"artifacts": artifacts}).to_string();
    let answer = recorder.put_with(&path, body, "x-envsnap-heartbeat", Some("3600")).await;
    assert_eq!(answer.body, json!("OK"), "{answer:?}");
}
