//! The five days, reported every hour with a heartbeat of an hour.

use reqwest::Method;
use serde_json::{Value, json};

use crate::recorder::provenance::requests::document;
use crate::recorder::server::{Recorder, digest, task};

/// When the recorder of a test starts.
const CLOCK_AT_START: f64 = 1_661_161_162.5;

/// 2025-10-23T00:00:00Z, a Thursday.
pub(super) const FIRST_DAY: i64 = 1_761_177_600;

const HOURS: i64 = 120;

const MINER: u8 = 0x66;

/// What runs in `prod` at this hour. The miner runs from 18:00 UTC on Saturday to 06:00 on Sunday;
/// `differ` is deployed on Friday at 15:00.
fn prod(hour: i64) -> Vec<Value> {
    let started = |hour: i64| FIRST_DAY + hour * 3_600 - 40;
    let mut tasks = vec![task(1, "ecr/web:1", &digest(1), started(-500))];
    tasks.push(if hour < 39 {
        task(2, "ecr/differ:5894f34", &digest(2), started(-400))
    } else {
        task(3, "ecr/differ:4d27021", &digest(3), started(39))
    });
    if (66..78).contains(&hour) {
        tasks.push(task(4, "docker.io/xmrig:6", &digest(MINER), started(66)));
    }
    tasks
}

/// The reporter of `prod` is down on Monday after 01:00 UTC, until 11:00.
fn is_down(hour: i64) -> bool {
    (98..107).contains(&hour)
}

/// A recorder with everything, on Tuesday at 00:00 UTC.
pub(super) async fn five_days() -> Recorder {
    let recorder = on_thursday().await;
    pass_five_days(&recorder).await;
    recorder
}

/// The same, of which CI reported the `differ` of Friday with a file as evidence, and a person allowed `web`.
pub(super) async fn five_days_with_provenance() -> Recorder {
    let recorder = on_thursday().await;
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
    pass_five_days(&recorder).await;
    recorder
}

async fn on_thursday() -> Recorder {
    let recorder = Recorder::start().await;
    for name in ["prod", "stage", "dev"] {
        recorder.create(name, None).await;
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    recorder.advance(FIRST_DAY as f64 - CLOCK_AT_START);
    recorder
}

async fn pass_five_days(recorder: &Recorder) {
    for hour in 0..HOURS {
        if !is_down(hour) {
            report(recorder, "prod", &prod(hour)).await;
        }
        // Stage has the new version a day earlier, and dev never the old one.
        report(recorder, "stage", &prod(hour.min(65) + 24)[..2]).await;
        report(recorder, "dev", &prod(39)[..1]).await;
        recorder.advance(3_600.0);
    }
}

async fn report(recorder: &Recorder, name: &str, artifacts: &[Value]) {
    let path = format!("/environments/acme/{name}/report/ECS");
    let body = json!({"artifacts": artifacts}).to_string();
    let answer = recorder.put_with(&path, body, "x-envsnap-heartbeat", Some("3600")).await;
    assert_eq!(answer.body, json!("OK"), "{answer:?}");
}
