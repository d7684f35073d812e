//! Histories of several pages, of servers with a wrong clock or with new snapshots between the pages.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::ask_at;
use crate::scripted::Scripted;

/// When a right clock recorded snapshot `index`, in seconds since the Unix epoch.
fn time(index: u64) -> u64 {
    1_600_000_000 + index * 60
}

/// The list of these snapshots, latest first, the latest of which is `latest`. The clock was behind while those of
/// `wrong` were recorded.
fn snapshots(indexes: RangeInclusive<u64>, latest: u64, wrong: &RangeInclusive<u64>) -> Value {
    let from = |index: u64| if wrong.contains(&index) { index } else { time(index) };
    let snapshot = |index| {
        let to = if index == latest { 0 } else { from(index + 1) };
        json!({"index": index, "from": from(index), "to": to})
    };
    indexes.rev().map(snapshot).collect()
}

/// The list of one event of each of these snapshots, latest first.
fn events(indexes: RangeInclusive<u64>, wrong: &RangeInclusive<u64>) -> Value {
    let event = |index: u64| {
        let time = if wrong.contains(&index) { index } else { time(index) };
        json!({
            "environment_name": "aws-prod", "snapshot_index": index, "reported_at": time,
            "artifact_name": format!("job:{index}"), "sha256": format!("{index:064x}"),
            "type": "started-unknown",
        })
    };
    indexes.rev().map(event).collect()
}

/// The numbers in field `name` of a JSON list.
fn numbers(list: &str, name: &str) -> Vec<u64> {
    let list: Vec<Value> = serde_json::from_str(list).unwrap();
    list.iter().map(|item| item[name].as_u64().unwrap()).collect()
}

/// The parameters `interval` and `page` of each request for a list.
fn requested_pages(server: &Scripted) -> Vec<String> {
    let paths = server.received().into_iter().map(|received| received.path);
    let queries = paths.filter_map(|path| Some(path.split_once("?interval=")?.1.to_owned()));
    queries.map(|query| query.split("&per_page").next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn env_log_since_lists_what_was_recorded_before_and_after_the_clock_was_behind() {
    // One snapshot, and all of a page.
    for (wrong, first_listed) in [(350..=350, 280), (301..=350, 280)] {
        let server = Scripted::start().await;
        for last in [400, 350, 300, 250, 200, 150, 100, 50] {
            server.then_json(200, &snapshots(last - 49..=last, 400, &wrong));
        }
        let since = time(280).to_string();
        let arguments = ["env", "log", "aws-prod", "--since", &since, "-o", "json"];
        let listed = ask_at(&server.url, &arguments).await.out;
        let was_latest = |index: &u64| !wrong.contains(index) || *index == 350;
        let expected: Vec<_> = (first_listed..=400).rev().filter(was_latest).collect();
        assert_eq!(numbers(&listed, "index"), expected, "{wrong:?}");
        let pages = requested_pages(&server);
        assert_eq!(pages.len(), 5, "a hundred earlier snapshots end the list: {pages:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn artifact_where_since_finds_what_started_before_the_clock_was_behind() {
    for wrong in [350..=350, 301..=350] {
        let server = Scripted::start().await;
        let snapshot =
            json!({"index": 400, "type": "ECS", "timestamp": time(400), "artifacts": []});
        server.then_json(200, &json!([{"name": "aws-prod", "type": "ECS"}]));
        server.then_json(200, &snapshot);
        for last in [400, 350, 300, 250, 200, 150, 100, 50] {
            server.then_json(200, &events(last - 49..=last, &wrong));
        }
        let since = time(280).to_string();
        let answer =
            ask_at(&server.url, &["artifact", "where", "job:290", "--since", &since]).await;
        assert!(answer.out.contains("aws-prod#290"), "{wrong:?}: {answer:?}");
        assert!(answer.error.contains("not searched before #280"), "{wrong:?}: {answer:?}");
        assert_eq!(requested_pages(&server).len(), 5, "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn env_log_lists_each_snapshot_and_event_once_if_one_is_recorded_between_pages() {
    let none = 0..=0;
    for (interval, first, second) in [
        ("1..", "1..", "1..150"),
        ("1..NOW", "1..NOW", "1..150"),
        ("now..1", "now..1", "150..1"),
        ("~149..", "%7E149..", "1..150"),
        ("1..~5", "1..%7E5", "1..150"),
        ("~5..~154", "%7E5..%7E154", "150..1"),
        ("150..~900", "150..%7E900", "150..%7E900"),
        ("", "", "1..150"),
    ] {
        let mut arguments = vec!["env", "log", "aws-prod", "-n", "500", "-o", "json"];
        arguments.extend([interval].iter().filter(|interval| !interval.is_empty()));
        let server = Scripted::start().await;
        server.then_json(200, &snapshots(51..=150, 150, &none));
        server.then_json(200, &snapshots(1..=50, 150, &none));
        let listed = ask_at(&server.url, &arguments).await.success();
        assert_eq!(numbers(&listed, "index"), (1..=150).rev().collect::<Vec<_>>(), "{interval}");
        let pages = [format!("{first}&page=1"), format!("{second}&page=2")];
        assert_eq!(requested_pages(&server), pages, "{interval}");

        arguments.push("--long");
        let server = Scripted::start().await;
        server.then_json(200, &snapshots(1..=150, 150, &none));
        let of_all = |indexes| events(indexes, &none).to_string();
        server.then_with(200, &[("x-total-count", "150")], of_all(51..=150));
        server.then_with(200, &[("x-total-count", "150")], of_all(1..=50));
        let listed = ask_at(&server.url, &arguments).await.success();
        let expected: Vec<_> = (1..=150).rev().collect();
        assert_eq!(numbers(&listed, "snapshot_index"), expected, "{interval}");
        assert_eq!(requested_pages(&server)[1..], pages, "{interval} --long");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn env_log_ends_if_the_server_repeats_the_page_of_the_latest_snapshot() {
    let server = Scripted::start().await;
    for duration in [7, 8] {
        server.then_json(
            200,
            &json!([
                {"index": 5, "from": 2.0, "to": 0.0, "duration": duration},
                {"index": 4, "from": 1.0, "to": 2.0, "duration": 1},
            ]),
        );
    }
    let listed = ask_at(&server.url, &["env", "log", "aws-prod", "-o", "json"]).await.success();
    assert_eq!(numbers(&listed, "index"), [5, 4]);
    assert_eq!(requested_pages(&server).len(), 2);
}
