use rusqlite::Connection;

use super::super::tests::{Fixture, at};
use crate::SqliteStore;
use crate::domain::{Micros, ReportGap};
use crate::store::Store as _;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A store with environment `prod`, to which one report was made at the start of the clock.
async fn reported_once() -> Fixture {
    let fixture = Fixture::in_memory();
    fixture.create("prod").await;
    fixture.report("prod", &[(1, 1)]).await;
    fixture
}

/// Reports `artifact` every ten minutes, and the last time after `seconds`.
async fn report_for(fixture: &Fixture, seconds: i64, artifact: u8) {
    for _ in 0..seconds / (10 * MINUTE) {
        fixture.advance(10 * MINUTE);
        fixture.report("prod", &[(artifact, 1)]).await;
    }
}

/// The gaps of each snapshot, which are the same in the list of all and in that of one.
async fn gaps(fixture: &Fixture) -> Vec<Vec<ReportGap>> {
    let spans = fixture.spans("prod").await;
    for span in &spans {
        let one = fixture.snapshot(&format!("prod#{}", span.index)).await;
        assert_eq!(one.gaps, span.gaps, "of #{}", span.index);
    }
    spans.into_iter().map(|span| span.gaps).collect()
}

fn gap(from: Micros, until: Micros) -> ReportGap {
    ReportGap { from, until: Some(until) }
}

#[tokio::test]
async fn reports_with_a_clock_that_was_ahead_for_hours_leave_no_gap() {
    for ahead in [HOUR, 3 * HOUR, 3 * DAY, 3_650 * DAY] {
        let fixture = reported_once().await;
        fixture.advance(ahead);
        report_for(&fixture, 5 * HOUR, 1).await;
        fixture.advance(-ahead);
        // Until long after the time that the clock had shown, unless that is years ahead.
        for day in 0..6 {
            report_for(&fixture, DAY, 1).await;
            assert_eq!(gaps(&fixture).await, [vec![]], "{ahead} seconds ahead, day {day}");
        }
    }
}

#[tokio::test]
async fn pause_before_the_first_report_after_the_clock_was_set_back_is_a_gap() {
    let fixture = reported_once().await;
    fixture.advance(DAY);
    report_for(&fixture, HOUR, 1).await;
    // Four hours after the last report with the right time, for three of which there are none.
    fixture.advance(3 * HOUR - DAY);
    fixture.report("prod", &[(1, 1)]).await;
    let expected = [vec![gap(at(0), at(4 * HOUR))]];
    assert_eq!(gaps(&fixture).await, expected);
    report_for(&fixture, 2 * DAY, 1).await;
    assert_eq!(gaps(&fixture).await, expected, "later reports do not make it longer");
}

#[tokio::test]
async fn pause_that_lasts_after_the_clock_was_set_back_is_a_gap_without_an_end() {
    let fixture = reported_once().await;
    fixture.advance(DAY);
    report_for(&fixture, HOUR, 1).await;
    fixture.advance(HOUR - DAY);
    assert_eq!(gaps(&fixture).await, [vec![]], "two hours, for one of which there are reports");
    fixture.advance(2 * HOUR);
    let expected = [vec![ReportGap { from: at(0), until: None }]];
    assert_eq!(gaps(&fixture).await, expected);
}

#[tokio::test]
async fn gap_belongs_to_the_snapshot_that_was_the_latest_although_its_time_is_wrong() {
    for ahead in [3 * HOUR, DAY, 3_650 * DAY] {
        let fixture = reported_once().await;
        fixture.advance(ahead);
        report_for(&fixture, HOUR, 2).await;
        fixture.advance(-ahead);
        report_for(&fixture, HOUR, 2).await;
        fixture.advance(5 * HOUR);
        fixture.report("prod", &[(2, 1)]).await;
        let first = gap(at(2 * HOUR), at(7 * HOUR));
        assert_eq!(gaps(&fixture).await, [vec![], vec![first]], "{ahead} seconds ahead");
        fixture.advance(10 * MINUTE);
        fixture.report("prod", &[(3, 1)]).await;
        fixture.advance(3 * HOUR);
        fixture.report("prod", &[(3, 1)]).await;
        let second = gap(at(7 * HOUR + 10 * MINUTE), at(10 * HOUR + 10 * MINUTE));
        let expected = [vec![], vec![first], vec![second]];
        assert_eq!(gaps(&fixture).await, expected, "{ahead} seconds ahead");
    }
}

#[tokio::test]
async fn confirmations_are_recorded_every_six_hours_after_the_clock_was_set_back() {
    let fixture = reported_once().await;
    fixture.advance(3_650 * DAY);
    let ahead = fixture.report("prod", &[(1, 1)]).await.head.seq;
    fixture.advance(10 * MINUTE - 3_650 * DAY);
    let set_back = fixture.report("prod", &[(1, 1)]).await.head.seq;
    assert_eq!(set_back, ahead + 2, "the correction of the clock, and the confirmation");
    report_for(&fixture, DAY, 1).await;
    let later = fixture.store.head("acme").await.unwrap().seq;
    assert_eq!(later, set_back + 4);
}

/// Before, one covered period went on although it had begun while the clock was ahead.
#[tokio::test]
async fn period_that_an_earlier_version_began_in_the_future_ends_the_gap_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshots.db");
    {
        let fixture = Fixture::with(SqliteStore::open(&path).unwrap());
        fixture.create("prod").await;
        fixture.report("prod", &[(1, 1)]).await;
        fixture.advance(DAY);
        fixture.report("prod", &[(1, 1)]).await;
    }
    let years = 10 * 365 * DAY * 1_000_000;
    let changed = Connection::open(&path)
        .unwrap()
        .execute("UPDATE coverage SET from_at = from_at + $1 WHERE number = 2", [years])
        .unwrap();
    assert_eq!(changed, 1);
    let fixture = Fixture::with(SqliteStore::open(&path).unwrap());
    fixture.advance(DAY);
    for minutes in [10, 20] {
        fixture.advance(10 * MINUTE);
        fixture.report("prod", &[(1, 1)]).await;
        assert_eq!(gaps(&fixture).await, [vec![gap(at(0), at(DAY + minutes * MINUTE))]]);
    }
}
