//! How SQLite answers the queries that must not grow with the history.

use rusqlite::Connection;

use super::schema;

/// Every step of the plan of `sql`, in a new file.
fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let mut rows = statement.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        steps.push(row.get(3).unwrap());
    }
    steps
}

#[test]
fn a_report_and_a_snapshot_read_only_what_they_need() {
    let connection = Connection::open_in_memory().unwrap();
    schema::create(&connection).unwrap();
    let cases = [
        (
            super::latest::QUERY.to_owned(),
            "SEARCH interval USING PRIMARY KEY (org_id=? AND environment_id=? AND node=?)",
        ),
        (
            super::snapshots::running_query(),
            "SEARCH interval USING PRIMARY KEY (org_id=? AND environment_id=? AND node=?)",
        ),
        (
            super::runs::QUERY.to_owned(),
            "SEARCH interval USING INDEX interval_by_artifact (org_id=? AND artifact_id=?)",
        ),
    ];
    let cases = cases.into_iter().chain([(
        super::provenance::FIRST_START.to_owned(),
        "SEARCH interval USING INDEX interval_by_artifact (org_id=? AND artifact_id=? AND environment_id=?)",
    )]);
    for (sql, wanted) in cases {
        let steps = plan(&connection, &sql);
        assert!(steps.iter().any(|step| step == wanted), "{steps:#?}");
        assert!(!steps.iter().any(|step| step.starts_with("SCAN")), "{steps:#?}");
    }
}
