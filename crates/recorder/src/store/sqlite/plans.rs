//! How SQLite answers the queries that must not grow with the history.

use std::path::Path;

use rusqlite::{Connection, StatementStatus};

use super::provenance::{self, TrailSelection};
use super::schema;

/// The steps that `EXPLAIN QUERY PLAN` prints for `sql`.
fn query_plan_steps(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let mut rows = statement.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        steps.push(row.get(3).unwrap());
    }
    steps
}

#[test]
fn queries_of_running_artifacts_and_of_runs_use_an_index_without_table_scan() {
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
            super::runs::ARTIFACTS_BY_PREFIX.to_owned(),
            "SEARCH artifact USING INDEX sqlite_autoindex_artifact_2 (org_id=? AND fingerprint>? AND fingerprint<?)",
        ),
        (
            super::runs::RUNS_OF_ARTIFACT.to_owned(),
            "SEARCH interval USING INDEX interval_by_artifact (org_id=? AND artifact_id=?)",
        ),
    ];
    for (sql, wanted) in cases {
        let steps = query_plan_steps(&connection, &sql);
        assert!(steps.iter().any(|step| step == wanted), "{steps:#?}");
        assert!(!steps.iter().any(|step| step.starts_with("SCAN")), "{steps:#?}");
    }
}

#[test]
fn cached_statement_is_not_reprepared_for_other_parameter_values() {
    let connection = super::open_in_memory().unwrap();
    for environment in 0..3 {
        let mut statement = connection.prepare_cached(super::latest::QUERY).unwrap();
        assert!(!statement.exists([1, environment]).unwrap());
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }
}

/// Whether a query plan scans nothing but JSON arrays and sorts nothing: rows come from index searches,
/// in the order of the index.
fn uses_no_table_scan_and_no_sort(steps: &[String]) -> bool {
    let is_array = |step: &str| step.contains("VIRTUAL TABLE INDEX");
    steps
        .iter()
        .all(|step| !step.contains("TEMP B-TREE") && (!step.starts_with("SCAN") || is_array(step)))
}

#[test]
fn provenance_queries_for_many_artifacts_use_indexes_without_scan_or_sort() {
    let connection = Connection::open_in_memory().unwrap();
    schema::create(&connection).unwrap();
    for (sql, wanted) in [
        (
            provenance::FIRST_STARTS.to_owned(),
            "SEARCH interval USING INDEX interval_by_artifact (org_id=? AND artifact_id=? AND environment_id=? AND run_from=? AND from_index=?)",
        ),
        (
            provenance::DEPLOYMENTS.to_owned(),
            "SEARCH deployment USING INDEX deployment_by_fingerprint (org_id=? AND fingerprint=?)",
        ),
        (provenance::flows_query(), "SEARCH flow USING PRIMARY KEY (org_id=? AND id=?)"),
        (provenance::trails_query(), "SEARCH trail USING PRIMARY KEY (org_id=? AND id=?)"),
        (
            provenance::attestations_query(),
            "SEARCH attestation USING INDEX attestation_by_artifact \
             (org_id=? AND trail_id=? AND fingerprint=? AND git_commit=?)",
        ),
        (
            provenance::entries_query(),
            "SEARCH ledger USING INDEX sqlite_autoindex_ledger_1 (org_id=? AND seq=?)",
        ),
    ] {
        let steps = query_plan_steps(&connection, &sql);
        assert!(steps.iter().any(|step| step == wanted), "{steps:#?}");
        assert!(uses_no_table_scan_and_no_sort(&steps), "{steps:#?}");
    }
}

#[test]
fn snapshot_is_read_without_a_search_of_other_snapshots() {
    let connection = Connection::open_in_memory().unwrap();
    schema::create(&connection).unwrap();
    let steps = query_plan_steps(&connection, &super::snapshots::running_query());
    assert_eq!(
        steps,
        [
            "SEARCH interval USING PRIMARY KEY (org_id=? AND environment_id=? AND node=?)",
            "SEARCH artifact USING PRIMARY KEY (org_id=? AND id=?)",
            // Only for an interval that is not the last one of its run.
            "CORRELATED SCALAR SUBQUERY 1",
            "SEARCH last USING INDEX interval_by_artifact \
             (org_id=? AND artifact_id=? AND environment_id=? AND run_from=?)",
        ]
    );
}

#[test]
fn report_queries_by_fingerprint_and_commit_search_an_index_without_table_scan() {
    let connection = Connection::open_in_memory().unwrap();
    schema::create(&connection).unwrap();
    let by_fingerprint =
        "USING COVERING INDEX artifact_report_by_fingerprint (org_id=? AND fingerprint";
    for (sql, wanted) in [
        (provenance::reports_query(), by_fingerprint),
        (provenance::reports_by_flow_query(), by_fingerprint),
        (provenance::first_reports_query(), by_fingerprint),
        (provenance::matches_query("fingerprint"), by_fingerprint),
        (
            provenance::matches_query("git_commit"),
            "USING COVERING INDEX artifact_report_by_commit (org_id=? AND git_commit",
        ),
    ] {
        let steps = query_plan_steps(&connection, &sql);
        assert!(steps.iter().any(|step| step.contains(wanted)), "{steps:#?}");
        // Of the table nothing is read but what was found.
        for step in &steps {
            let is_of_table = ["artifact_report", "report", "latest", "next"]
                .iter()
                .any(|name| step.split(' ').nth(1) == Some(name));
            assert!(!(is_of_table && step.starts_with("SCAN")), "{steps:#?}");
            assert!(!step.starts_with("BLOOM"), "{steps:#?}");
        }
    }
}

#[test]
fn trail_page_and_count_queries_use_an_index_without_scan_or_sort() {
    let connection = Connection::open_in_memory().unwrap();
    schema::create(&connection).unwrap();
    let by_flow = "SEARCH trail USING COVERING INDEX trail_by_flow (org_id=? AND flow_id=?)";
    for (sql, wanted) in [
        (TrailSelection::Flow.page_query(), by_flow),
        (TrailSelection::Flow.count_query(), by_flow),
        (TrailSelection::Flows.count_query(), by_flow),
        (TrailSelection::Flows.page_query(), "SEARCH trail USING PRIMARY KEY (org_id=?)"),
    ] {
        let steps = query_plan_steps(&connection, &sql);
        assert!(steps.iter().any(|step| step == wanted), "{steps:#?}");
        assert!(uses_no_table_scan_and_no_sort(&steps), "{steps:#?}");
    }
}

/// The numbers of the parameters `$1`, `$2` and so on in `sql`, in the order of their first appearances.
fn dollar_parameters(sql: &str) -> Vec<u32> {
    let mut numbers = Vec::new();
    for after in sql.split('$').skip(1) {
        let digits = after.find(|it: char| !it.is_ascii_digit()).map_or(after, |end| &after[..end]);
        let number = digits.parse().ok();
        numbers.extend(number.filter(|number| !numbers.contains(number)));
    }
    numbers
}

/// The Rust files under `folder`.
fn source_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(source_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// SQLite takes `$2` for a name: whatever its digits say, it is the second parameter only if it is the
/// second one that appears.
#[test]
fn dollar_parameters_of_each_sql_text_appear_in_the_order_of_their_numbers() {
    let mut checked = 0;
    for file in source_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store")) {
        let source = std::fs::read_to_string(&file).unwrap();
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let code = source.lines().filter(is_code).collect::<Vec<_>>().join("\n");
        // Code between two texts has no parameters.
        for text in code.split('"') {
            let mut numbers = dollar_parameters(text);
            let statements = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"];
            if !statements.iter().any(|keyword| text.trim_start().starts_with(keyword)) {
                // A part of a longer text, which has the organization, `$1`, before it.
                numbers.retain(|number| *number != 1);
                assert!(numbers.is_sorted(), "{}: {numbers:?} in {text}", file.display());
            } else if text.contains('{') {
                assert!(numbers.is_sorted(), "{}: {numbers:?} in {text}", file.display());
            } else {
                let expected: Vec<_> = (1..).take(numbers.len()).collect();
                assert_eq!(numbers, expected, "{}: {text}", file.display());
                checked += usize::from(!numbers.is_empty());
            }
        }
    }
    assert!(checked > 100, "{checked}");
}
