//! `envsnap env log` of a recorder.

use super::ask_at;
use crate::recorder::server::{Recorder, digest, task};

#[tokio::test(flavor = "multi_thread")]
async fn env_log_lists_the_latest_15_snapshots_or_all_of_an_interval() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", None).await;
    for byte in 1..=17 {
        recorder.report("aws-prod", &[task(1, "web", &digest(byte), 1)]).await;
    }
    for (interval, listed, truncated) in
        [("", 15, true), ("1..17", 17, false), ("..NOW", 1, false), ("2..", 16, false)]
    {
        let answer =
            ask_at(&recorder.url, &["env", "log", "aws-prod", interval, "-o", "csv"]).await;
        assert_eq!(answer.error.contains("--limit N lists more"), truncated, "{interval}");
        assert_eq!(answer.out.lines().count(), 1 + listed, "{interval}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn env_log_shows_a_gap_without_reports_within_an_unchanged_snapshot() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", None).await;
    for pause in [3_600.0, 259_200.0, 0.0] {
        recorder.report("aws-prod", &[task(1, "runner", &digest(1), 5)]).await;
        recorder.advance(pause);
    }
    let gap_line = |from: &str| {
        format!(
            "  (no report from Mon, 22 Aug 2022 {from} UTC to Thu, 25 Aug 2022 10:39:22 UTC: 3 d)"
        )
    };
    for arguments in [&["env", "log", "aws-prod"][..], &["env", "log", "aws-prod", "--long"]] {
        let shown = ask_at(&recorder.url, arguments).await.success();
        assert!(shown.contains(&gap_line("10:39:22")), "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
    }
}
