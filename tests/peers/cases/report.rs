//! A report, in the words of the tables.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::account::{CREATED, STARTED};

/// A line for the entries that differ in their task alone, sorted: `2 x app/web web:1=a` are two
/// entries for two tasks of cluster `app` and service `web` (`-` for none), each with the one artifact
/// `web:1`, whose fingerprint is 64 times `a`. If entries share tasks, the line says how many there
/// are. An unknown fingerprint is left out, and so is the start that every task has.
pub(super) fn lines(report: &Value) -> Vec<String> {
    let report = report.as_object().unwrap();
    assert_eq!(report.keys().collect::<Vec<_>>(), ["artifacts"]);
    let mut tasks: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for entry in report["artifacts"].as_array().unwrap() {
        tasks.entry(entry_line(entry)).or_default().push(entry["taskArn"].as_str().unwrap());
    }
    let counted = |(line, tasks): (String, Vec<&str>)| {
        let distinct = tasks.iter().collect::<BTreeSet<_>>().len();
        match (tasks.len(), distinct) {
            (1, 1) => line,
            (entries, tasks) if entries == tasks => format!("{entries} x {line}"),
            (entries, tasks) => format!("{entries} x {line} (tasks: {tasks})"),
        }
    };
    tasks.into_iter().map(counted).collect()
}

/// The line of one entry, as [`lines`] has it.
fn entry_line(entry: &Value) -> String {
    let text = |field: &str| entry.get(field).map_or("-", |text| text.as_str().unwrap());
    let cluster = text("cluster_name");
    assert!(text("taskArn").contains(&format!(":task/{cluster}/")), "{entry}");
    let artifacts: String = entry["digests"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, digest)| [" ", name, "=", digest.as_str().unwrap()].concat())
        .collect();
    let start = start_suffix(entry["creationTimestamp"].as_i64().unwrap());
    format!("{cluster}/{}{}{start}", text("service_name"), with_short_digests(artifacts))
}

/// The text with a single digit for each digest of 64 equal digits.
fn with_short_digests(text: String) -> String {
    "0123456789abcdef"
        .chars()
        .map(String::from)
        .fold(text, |text, digit| text.replace(&digit.repeat(64), &digit))
}

/// How a line says when the task started: empty for the time that every task has.
fn start_suffix(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    match seconds {
        STARTED => String::new(),
        CREATED => " since it was created".to_owned(),
        seconds if now.abs_diff(seconds.unsigned_abs()) < 600 => " since now".to_owned(),
        seconds => format!(" since {seconds}"),
    }
}
