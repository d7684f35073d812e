//! The same questions, asked on the page.

use super::answers::{TIME_CASES, UTC};
use super::fixture::recorder_after_five_days_with_provenance;
use crate::recorder::page;

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_show_snapshots_at_times_gaps_changes_and_provenance() {
    let recorder = recorder_after_five_days_with_provenance().await;
    let words = async |path: &str| page::get(&recorder, path).await.words();
    // The page reads times in UTC, or with an offset.
    let in_utc = TIME_CASES.iter().filter(|(zone, time, ..)| *zone == UTC || time.ends_with('Z'));
    let mut count = 0;
    for (_, time, index, _) in in_utc {
        let shown = words(&format!("/acme/environments/prod/at?time={time}")).await;
        assert!(shown.contains(&format!("prod#{index} · ")), "{time}: {shown}");
        count += 1;
    }
    assert!(count >= 3, "{count}");
    for (path, expected) in [
        ("/acme/environments/prod/at?time=2025-10-26+01:30%2B01:00", "xmrig :6"),
        (
            "/acme/environments/prod/at?time=2025-10-27+05:00",
            "Not covered: no report from 2025-10-27 01:00:00 UTC to 2025-10-27 11:00:00 UTC",
        ),
        ("/acme/at?time=2025-10-24+12:00", "prod #1 : 2 artifacts"),
        ("/acme/at?time=2025-10-24+12:00", "stage #2 : 2 artifacts"),
        ("/acme/environments/prod/snapshots/3", "started first time here: repository"),
        ("/acme/environments/prod/snapshots/3", "Reported by anonymous"),
        (
            "/acme/compare?from=prod%232&to=prod%234",
            "#3 2025-10-25 18:00:00 UTC first time here: repository #4 2025-10-26 06:00:00 UTC",
        ),
        ("/acme/compare?from=prod%231&to=prod%232", "differ 5894f34 → 4d27021"),
        (
            &format!("/acme/artifacts/{}", crate::recorder::server::digest(1)),
            "built by hand , allowed by anonymous",
        ),
        (&format!("/acme/artifacts/{}", crate::recorder::server::digest(3)), "unit-test"),
    ] {
        let shown = words(path).await;
        assert!(shown.contains(expected), "{path}: {expected}: {shown}");
    }
}
