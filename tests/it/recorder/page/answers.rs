//! The questions of an auditor, asked on the page.

use super::*;

/// `acme/env`: `web:1`, which `web:2` replaces after an hour; a miner that ran for an hour in between;
/// no report for a day; and then another replica. `acme/other` was reported once, in the beginning.
async fn recorder_with_report_gap() -> Recorder {
    let recorder = Recorder::start().await;
    recorder.create("env", Some(true)).await;
    recorder.create("other", Some(true)).await;
    let web =
        |version: u8, count| replicas(&format!("reg.example.com/web:{version}"), version, count);
    let miner = replicas("docker.io/xmrig:6", 9, 1);
    recorder.report("other", &web(7, 1)).await;
    recorder.report("env", &web(1, 1)).await;
    recorder.advance(3_600.0);
    recorder.report("env", &[web(2, 1), miner].concat()).await;
    recorder.advance(3_600.0);
    recorder.report("env", &web(2, 1)).await;
    recorder.advance(86_400.0);
    recorder.report("env", &web(2, 2)).await;
    recorder.advance(600.0);
    recorder
}

/// A comparison says what a difference of two snapshots does not: the same as `env diff`.
#[tokio::test]
async fn compare_page_shows_report_gaps_and_what_ran_only_between_the_snapshots() {
    let recorder = recorder_with_report_gap().await;
    let words = get(&recorder, "/acme/compare?from=env%231&to=env%234").await.words();
    for expected in [
        "From env#1 recorded 2022-08-22 09:39:22 UTC To env#4 recorded 2022-08-23 11:39:22 UTC",
        "Between them no report from 2022-08-22 11:39:22 UTC to 2022-08-23 11:39:22 UTC : 1 d",
        "Replaced versions web 1 → 2",
        &format!(
            "Started and exited in between Artifact Started Exited xmrig :6 docker.io/xmrig:6 {} \
             #2 2022-08-22 10:39:22 UTC first time here: registry #3 2022-08-22 11:39:22 UTC",
            digest(9)
        ),
    ] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    // Times that are asked for are part of the answer, and decide what is between.
    let path = "/acme/compare?from=env%40{2022-08-22T10:00:00}&to=env%40{2022-08-22T20:00:00}";
    let words = get(&recorder, path).await.words();
    for expected in [
        "From env#1 what ran at 2022-08-22 10:00:00 UTC recorded 2022-08-22 09:39:22 UTC",
        "To env#3 what ran at 2022-08-22 20:00:00 UTC recorded 2022-08-22 11:39:22 UTC not covered: no \
         report from 2022-08-22 11:39:22 UTC to 2022-08-23 11:39:22 UTC : 1 d",
        "xmrig",
    ] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    assert!(!words.contains("Between them"), "{words}");
    let reversed = get(&recorder, "/acme/compare?from=env%234&to=env%231").await;
    assert!(reversed.words().contains("Swap them"), "{}", reversed.words());
    let swapped = "/acme/compare?from=env%231&to=env%234".to_owned();
    assert!(reversed.attributes("href").contains(&swapped));
    let other = get(&recorder, "/acme/compare?from=env&to=other").await.words();
    assert!(!other.contains("in between") && !other.contains("exited"), "{other}");
    let differs = "What differs between env#4 and other#1";
    for expected in [differs, "1 only in env, 1 only in other, 0 with other replicas, 0 the same."]
    {
        assert!(other.contains(expected), "{expected}: {other}");
    }
}

#[tokio::test]
async fn page_at_a_time_shows_what_ran_in_one_environment_or_in_all() {
    let recorder = recorder_with_report_gap().await;
    for (time, index, expected) in [
        ("2022-08-22+10:00", 1, "web :1"),
        ("2022-08-22T12:39:23%2B02:00", 2, "xmrig :6"),
        ("yesterday+11:00", 2, "xmrig :6"),
        ("22+hours+ago", 3, "Not covered: no report from 2022-08-22 11:39:22 UTC"),
        ("now", 4, "web :2"),
    ] {
        let path = format!("/acme/environments/env/at?time={time}");
        let page = get(&recorder, &path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.words());
        let words = page.words();
        assert!(words.contains(&format!("env#{index} · envsnap")), "{path}: {words}");
        assert!(
            words.contains(expected) && words.contains(" this was the latest snapshot."),
            "{words}"
        );
        assert!(
            words.contains("What ran 1 artifact,") || words.contains("What ran 2 artifacts,"),
            "{words}"
        );
    }
    // The next report of `other` has not come: what ran after its last one is not known.
    for path in ["/at?time=2022-08-22+11:00", "/acme/at?time=2022-08-22+11:00"] {
        let page = get(&recorder, path).await;
        let words = page.words();
        let link = "/acme/environments/env/snapshots/2".to_owned();
        assert!(page.attributes("href").contains(&link), "{path}");
        for expected in [
            "At 2022-08-22 11:00:00 UTC :",
            "env #2 : 2 artifacts, 2 replicas web :2 xmrig :6 covered by reports 2022-08-22 10:39:22 UTC",
            "other #1 : 1 artifact, 1 replica web :7 not covered no report from 2022-08-22 09:39:22 UTC to \
             now: 1 d 2 h 2022-08-22 09:39:22 UTC",
        ] {
            assert!(words.contains(expected), "{path}: {expected}: {words}");
        }
    }
    let words = get(&recorder, "/at?time=2022-08-22").await.words();
    assert!(words.contains("env nothing was recorded by then"), "{words}");
}

#[tokio::test]
async fn lists_are_filtered_by_a_case_insensitive_part_of_a_name() {
    let recorder = recorder_with_report_gap().await;
    for (path, shown, hidden) in [
        ("/?name=EN", "env d #4", "other d #1"),
        ("/acme/environments?name=th", "other d #1", "env d #4"),
        ("/at?time=2022-08-22+11:00&name=oth", "other #1", "env #2"),
        ("/acme/environments/env/snapshots/2?name=XM", "xmrig :6", "web :2"),
        ("/acme/matrix?name=we", "web", "xmrig"),
    ] {
        let words = get(&recorder, path).await.words();
        assert!(words.contains(shown) && !words.contains(hidden), "{path}: {words}");
    }
    for (path, expected) in [
        ("/?name=none", "No environment has such a name."),
        ("/at?time=2022-08-22+11:00&name=none", "No environment in use has such a name."),
        ("/acme/environments/env/snapshots/2?name=none", "None of them has such a name."),
        ("/acme/matrix?name=none", "No repository that runs has such a name."),
        ("/acme/flows?name=none", "0 pipelines"),
    ] {
        let words = get(&recorder, path).await.words();
        assert!(words.contains(expected), "{path}: {words}");
    }
}

#[tokio::test]
async fn the_home_page_shows_what_needs_attention_and_what_changed_in_the_last_day() {
    let recorder = recorder_with_report_gap().await;
    let page = get(&recorder, "/").await;
    let words = page.words();
    for expected in [
        "Needs attention acme/other : not covered now last reported 1 day ago",
        "other d #1 : 1 artifact, 1 replica web :7 for 1 day 1 day ago 2022-08-22 09:39:22 UTC 1 day ago \
         2022-08-22 09:39:22 UTC not covered now",
        "Changes of the last day Snapshot Change Artifact Recorded acme/env#4 scaled 1 → 2 web :2 10 minutes \
         ago",
    ] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    assert!(!words.contains("env#3") && !words.contains("rogue"), "{words}");
    assert!(page.attributes("href").contains(&"/acme/environments/env/snapshots/4".to_owned()));

    // Since a flow reported something, what no flow reported is rogue.
    recorder.artifact("acme", "web", "t", &digest(2)).await;
    recorder.report("env", &replicas("docker.io/xmrig:6", 9, 1)).await;
    let words = get(&recorder, "/acme/environments").await.words();
    for expected in [
        "Needs attention env : 1 rogue other : not covered now last reported 1 day ago, 1 rogue",
        "env#5 started xmrig :6 rogue just now",
    ] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
}
