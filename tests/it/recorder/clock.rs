//! A clock that is set while the recorder runs, or was wrong while it ran before.

use std::sync::{Arc, Mutex};

use envsnap::recorder::{Access, Clock, SqliteStore};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::crash::Process;
use super::server::{Recorder, digest, task};

/// In seconds.
const YEAR: f64 = 365.0 * 86_400.0;

/// The index of the snapshot in `env` that `@{expression}` selects; 0 if there is none.
async fn index_of(recorder: &Recorder, expression: &str) -> u64 {
    let answer = recorder.get(&format!("/snapshots/acme/env/@%7B{expression}%7D")).await;
    answer.body["index"].as_u64().unwrap_or_default()
}

#[tokio::test]
async fn snapshot_recorded_with_a_wrong_clock_does_not_hide_others_from_time_expressions() {
    for ahead in [10.0 * YEAR, -10.0 * YEAR] {
        let recorder = Recorder::start().await;
        recorder.create("env", None).await;
        let began = 1_661_161_162.5;
        // An hour apart: #1, #2, one with the wrong clock, #4, #5.
        for byte in 1..=5 {
            if byte == 3 {
                recorder.advance(ahead);
            }
            assert_eq!(recorder.report("env", &[task(1, "web", &digest(byte), 10)]).await, 201);
            if byte == 3 {
                recorder.advance(-ahead);
            }
            recorder.advance(3_600.0);
        }
        let list = recorder.get("/snapshots/acme/env?reverse=true").await.body;
        let times: Vec<_> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["from"].as_f64().unwrap() - began)
            .collect();
        assert_eq!(times, [0.0, 3_600.0, 7_200.0 + ahead, 10_800.0, 14_400.0]);

        // It is five hours after the first now.
        for (hours, index) in [(6, 0), (5, 1), (4, 2), (3, 2), (2, 4), (1, 5)] {
            let expression = format!("{hours}.hours.ago");
            assert_eq!(index_of(&recorder, &expression).await, index, "{ahead} {expression}");
        }
        assert_eq!(index_of(&recorder, "now").await, 5);
        let events =
            recorder.get("/environments/acme/env/events?interval=@%7B2.hours.ago%7D..").await;
        assert_eq!(events.status, StatusCode::OK);

        // The picture has them in order.
        let page = reqwest::get(format!("{}/acme/environments/env", recorder.url)).await.unwrap();
        assert_eq!(page.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn gap_that_ended_with_a_report_at_a_wrong_time_is_corrected_by_the_next_report() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    let report = async || recorder.report("env", &[task(1, "web", &digest(1), 10)]).await;
    report().await;
    recorder.advance(10.0 * YEAR);
    report().await;
    recorder.advance(600.0 - 10.0 * YEAR);
    report().await;
    let list = recorder.get("/snapshots/acme/env").await.body;
    let began = 1_661_161_162.5;
    assert_eq!(list[0]["gaps"], json!(null), "ten minutes");
    assert_eq!(list[0]["confirmed_until"], began + 600.0);
    recorder.advance(10_000.0);
    report().await;
    recorder.advance(10.0 * YEAR);
    report().await;
    recorder.advance(600.0 - 10.0 * YEAR);
    report().await;
    let list = recorder.get("/snapshots/acme/env").await.body;
    let gap = json!([{"from": began + 600.0, "until": began + 10_600.0}]);
    assert_eq!(list[0]["gaps"], gap);
}

#[tokio::test]
async fn writes_get_503_while_the_wall_clock_deviates_from_the_monotonic_clock() {
    let monotonic = Arc::new(Mutex::new(0.0));
    let (store, passed) = (SqliteStore::in_memory().unwrap(), Arc::clone(&monotonic));
    let recorder = Recorder::with_clock(store, Access::open(), |wall| {
        Clock::with_monotonic(move || *wall.lock().unwrap(), move || Some(*passed.lock().unwrap()))
    });
    let recorder = recorder.await;
    recorder.create("env", None).await;
    let report = async |byte| {
        let body = json!({"artifacts": [task(1, "web", &digest(byte), 1)]}).to_string();
        recorder.put("/environments/acme/env/report/ECS", body).await
    };
    assert_eq!(report(1).await.status, StatusCode::CREATED);
    for set in [61.0, -61.0, 10.0 * YEAR, -60.0 * YEAR, 9_000.0 * YEAR] {
        recorder.advance(set);
        let refused = report(2).await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{set}");
        assert!(refused.message().contains("clock is wrong: nothing was saved"), "{refused:?}");
        assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
        let body = json!({"name": "other", "type": "ECS", "description": ""}).to_string();
        assert_eq!(recorder.put("/environments/acme", body).await.status, 503);
        assert_eq!(recorder.latest("env").await.index, 1, "what is there can be read");
        recorder.advance(-set);
    }
    // A day goes by.
    recorder.advance(86_400.0);
    *monotonic.lock().unwrap() += 86_400.0;
    assert_eq!(report(2).await.status, StatusCode::CREATED);
    assert_eq!(recorder.send(Method::GET, "/ready", None, "").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn start_with_a_clock_behind_the_last_report_is_logged_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let recorder = Recorder::on(&file).await;
    recorder.create("env", None).await;
    recorder.advance(100.0 * YEAR);
    recorder.report("env", &[task(1, "web", &digest(1), 1)]).await;
    recorder.stop().await;

    let before = jiff::Timestamp::now().as_second();
    let mut recorder = Process::start(&file).await;
    assert_eq!(recorder.report("env", &[task(1, "web", &digest(2), 1)]).await, 201);
    let (_, latest) = recorder.get("/snapshots/acme/env/-1").await;
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds")]
    let at = latest["timestamp"].as_f64().unwrap() as i64;
    assert!((before..before + 600).contains(&at), "{latest}");

    let line = recorder.logged("WARN").await;
    // What was reported in the next century, with dates that a person can compare.
    let year = jiff::Timestamp::now().strftime("host says %Y-%m-").to_string();
    for part in [
        " days behind the last report to environment 'env' of organization 'acme', of 2122-",
        &year,
        "set the clock",
    ] {
        assert!(line.contains(part), "{line}");
    }
    // Now the last report has the right time.
    recorder.end("-TERM").await;
    let recorder = Process::start(&file).await;
    assert_eq!(recorder.index("env").await, 2);
    // The line of a request comes after whatever was logged at the start.
    recorder.logged("method=GET").await;
    assert!(!recorder.log().contains("WARN"), "{}", recorder.log());
}

#[tokio::test]
async fn ready_with_a_wrong_clock_is_503_and_names_the_clock() {
    let recorder =
        Recorder::with_clock(SqliteStore::in_memory().unwrap(), Access::open(), |wall| {
            Clock::with_monotonic(move || *wall.lock().unwrap(), || Some(0.0))
        })
        .await;
    recorder.advance(-60.0 * YEAR);
    let ready = recorder.send(Method::GET, "/ready", None, "").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.message(), "The recorder's clock is wrong; its log says more");
}
