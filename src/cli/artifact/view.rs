//! Output of `envsnap artifact where`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr as _;

use super::{ArtifactKey, EnvironmentRuns, Pattern, Run, SearchScope};
use crate::cli::coverage;
use crate::cli::csv::{self, Column};
use crate::cli::escape::{escape_json, replace_invisible};
use crate::cli::since;
use crate::cli::tables::fingerprint_or_unknown;
use crate::cli::terminal::{Colour, Terminal};
use crate::recorder::domain::MIN_DIGITS;
use crate::recorder::text::{pluralize, unix_secs};

/// By artifact: its latest label, and each environment's runs.
type ByArtifact<'a> = BTreeMap<(&'a str, &'a ArtifactKey), Vec<(&'a str, &'a Run)>>;

fn group_by_artifact(found: &[EnvironmentRuns]) -> ByArtifact<'_> {
    // Each artifact gets one label, whatever each environment calls it.
    let mut names = BTreeMap::new();
    for environment in found {
        for (key, (name, _)) in &environment.artifacts {
            names.entry(key).or_insert(name.as_str());
        }
    }
    let mut artifacts = ByArtifact::new();
    for environment in found {
        for (key, (name, runs)) in &environment.artifacts {
            let name = names.get(key).copied().unwrap_or(name);
            let found = artifacts.entry((name, key)).or_default();
            found.extend(runs.iter().map(|run| (environment.name.as_str(), run)));
        }
    }
    artifacts
}

/// Empty if only the name is known.
fn fingerprint(key: &ArtifactKey) -> &str {
    match key {
        ArtifactKey::Fingerprint(fingerprint) => fingerprint,
        ArtifactKey::Name(_) => "",
    }
}

fn not_found_text(wanted: &Pattern, searched: &SearchScope<'_>) -> String {
    let (wanted_name, environments) = (replace_invisible(wanted.as_str()), searched.environments);
    let mut text = format!("{wanted_name} was not found in {environments}.\n");
    if !searched.similar.is_empty() {
        let names: Vec<_> = searched.similar.iter().map(|name| replace_invisible(name)).collect();
        let _infallible = writeln!(text, "Similar names that run: {}.", names.join(", "));
    }
    if wanted.is_too_short() {
        let _infallible =
            writeln!(text, "A fingerprint is looked for by its first {MIN_DIGITS} digits or more.");
    }
    text
}

/// The output for people: each artifact with its runs, or that it was not found.
pub(super) fn text(
    found: &[EnvironmentRuns],
    wanted: &Pattern,
    searched: &SearchScope<'_>,
    terminal: &Terminal,
) -> String {
    let artifacts = group_by_artifact(found);
    if artifacts.is_empty() {
        return not_found_text(wanted, searched);
    }
    let artifacts: Vec<_> = artifacts
        .into_iter()
        .map(|((name, key), runs)| {
            let name =
                terminal.paint(Colour::Bold, &format!("Name:   {}", replace_invisible(name)));
            let fingerprint = fingerprint_or_unknown(Some(fingerprint(key)));
            let mut text = format!("{name}\nSHA256: {fingerprint}\n");
            text.push_str(&run_lines(&runs, terminal));
            text
        })
        .collect();
    artifacts.join("\n")
}

/// The runs of one artifact, a line each.
fn run_lines(runs: &[(&str, &Run)], terminal: &Terminal) -> String {
    let intervals: Vec<_> =
        runs.iter().map(|(environment, run)| snapshot_interval(environment, run)).collect();
    let widest = intervals.iter().map(|it| it.width()).max().unwrap_or(0);
    let mut text = String::new();
    for (interval, (_, run)) in intervals.iter().zip(runs) {
        let time = run_times(run, terminal);
        let gap = " ".repeat(widest - interval.width());
        if 4 + widest + 2 + time.width() <= terminal.width {
            let _infallible = writeln!(text, "    {interval}{gap}  {time}");
        } else {
            let _infallible = writeln!(text, "    {interval}\n        {time}");
        }
        text.push_str(&run_details(run, terminal));
    }
    text
}

/// When the oldest replica started, when it was first seen and last confirmed, and the gaps; a line
/// each.
fn run_details(run: &Run, terminal: &Terminal) -> String {
    let mut text = String::new();
    if let Some(started) = run.started {
        let _infallible = writeln!(text, "        started {}", terminal.time(unix_secs(started)));
    }
    if let Some((index, at)) = run.from.filter(|_| run.confirmed_until.is_some()) {
        let seen = since::first_seen(at, index == 1, terminal);
        let _infallible = writeln!(text, "        first seen {seen}");
    }
    if let Some(until) = run.confirmed_until {
        let _infallible = writeln!(text, "        confirmed until {}", terminal.time(until));
    }
    for gap in &run.gaps {
        let _infallible = writeln!(text, "        ({})", coverage::describe(gap, terminal));
    }
    text
}

/// Every run that was found, of all artifacts, a line each.
pub(super) fn all_run_lines(found: &[EnvironmentRuns], terminal: &Terminal) -> String {
    run_lines(&all_runs(found), terminal)
}

/// Every run that was found, of all artifacts, as a JSON array.
pub(super) fn runs_json(found: &[EnvironmentRuns]) -> Value {
    all_runs(found).into_iter().map(|(environment, run)| run_json(environment, run)).collect()
}

/// Each run that was found, with its environment.
fn all_runs(found: &[EnvironmentRuns]) -> Vec<(&str, &Run)> {
    found
        .iter()
        .flat_map(|environment| {
            let runs = environment.artifacts.values().flat_map(|(_, runs)| runs);
            runs.map(|run| (&*environment.name, run))
        })
        .collect()
}

/// The snapshots in which it ran: `aws-prod#65..#94`.
fn snapshot_interval(environment: &str, run: &Run) -> String {
    let environment = replace_invisible(environment);
    match run.from {
        Some((from, _)) if from == run.last => format!("{environment}#{from}"),
        Some((from, _)) => format!("{environment}#{from}..#{}", run.last),
        None => format!("{environment}..#{}", run.last),
    }
}

/// From when until when it ran: `Mon, 22 Aug 2022 11:39:22 CEST – still running, 3 replicas`.
fn run_times(run: &Run, terminal: &Terminal) -> String {
    let from = run.from.map_or_else(|| "earlier".to_owned(), |(_, time)| terminal.time(time));
    let to = match run.exited_at {
        Some(exited_at) => terminal.time(exited_at),
        None => match run.replicas {
            Some(replicas) => format!("still running, {}", pluralize(replicas, "replica")),
            None => "still running".to_owned(),
        },
    };
    format!("{from} – {to}")
}

/// An array of artifacts with their runs, and what was not searched. It combines several responses,
/// so that there is no single document of the server's.
pub(super) fn json(
    found: &[EnvironmentRuns],
    since: Option<Timestamp>,
    searched: &SearchScope<'_>,
) -> serde_json::Result<String> {
    let artifacts: Vec<_> = group_by_artifact(found)
        .into_iter()
        .map(|((name, key), runs)| {
            let runs: Vec<_> =
                runs.iter().map(|(environment, run)| run_json(environment, run)).collect();
            json!({"name": name, "fingerprint": fingerprint(key), "runs": runs})
        })
        .collect();
    let cuts: Vec<_> = found
        .iter()
        .filter_map(|environment| {
            let (index, time) = environment.searched_back_to?;
            Some(json!({"environment": environment.name, "first_snapshot": index, "from": time}))
        })
        .collect();
    let mut found = json!({"artifacts": artifacts, "looked_back_only_to": cuts});
    if !searched.similar.is_empty() {
        found["similar"] = json!(searched.similar);
    }
    if let Some(since) = since {
        found["since"] = json!(since.to_string());
    }
    Ok(escape_json(&serde_json::to_string_pretty(&found)?))
}

/// Of `-o csv`.
const CSV_COLUMNS: [Column; 9] = [
    Column::Text("artifact", "/name"),
    Column::Text("fingerprint", "/fingerprint"),
    Column::Text("environment", "/run/environment"),
    Column::Text("first_snapshot", "/run/first_snapshot"),
    Column::Text("last_snapshot", "/run/last_snapshot"),
    Column::Time("from", "/run/from"),
    Column::Time("to", "/run/to"),
    Column::Text("replicas", "/run/replicas"),
    Column::Time("confirmed_until", "/run/confirmed_until"),
];

/// A row for each run.
pub(super) fn csv(found: &[EnvironmentRuns]) -> anyhow::Result<String> {
    let mut rows = Vec::new();
    for ((name, key), runs) in group_by_artifact(found) {
        rows.extend(runs.iter().map(|(environment, run)| {
            let run = run_json(environment, run);
            json!({"name": name, "fingerprint": fingerprint(key), "run": run})
        }));
    }
    csv::list(&CSV_COLUMNS, &rows)
}

fn run_json(environment: &str, run: &Run) -> Value {
    json!({
        "environment": environment,
        "first_snapshot": run.from.map(|(index, _)| index),
        "last_snapshot": run.last,
        "from": run.from.map(|(_, time)| time),
        "to": run.exited_at,
        "running": run.exited_at.is_none(),
        "replicas": run.replicas,
        "started": run.started,
        "first_seen": run.from.map(|(_, time)| time),
        "first_seen_at_the_latest": run.from.map(|(index, _)| index == 1),
        "confirmed_until": run.confirmed_until,
        "gaps": run.gaps,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::tests::berlin;

    const SEARCH_SCOPE: SearchScope<'_> =
        SearchScope { environments: "2 environments of acme", similar: &[] };

    fn environment_runs(environment: &str, runs: Vec<Run>) -> EnvironmentRuns {
        let key = ArtifactKey::Fingerprint("9af401c".to_owned());
        let artifacts = BTreeMap::from([(key, ("runner:16d9990".to_owned(), runs))]);
        EnvironmentRuns { name: environment.to_owned(), artifacts, searched_back_to: None }
    }

    fn run(
        from: Option<(u64, f64)>,
        last: u64,
        exited_at: Option<f64>,
        replicas: Option<u64>,
    ) -> Run {
        Run {
            from,
            started: None,
            last,
            exited_at,
            replicas,
            confirmed_until: None,
            gaps: Vec::new(),
        }
    }

    #[test]
    fn runs_are_printed_with_their_snapshot_intervals_and_times() {
        let (from, to) = (1_661_161_162.0, 1_661_364_748.0);
        let found = [
            environment_runs(
                "aws-beta",
                vec![run(None, 80, Some(from), None), run(Some((84, from)), 118, Some(to), None)],
            ),
            environment_runs("aws-prod", vec![run(Some((65, from)), 65, None, Some(3))]),
        ];
        assert_eq!(
            text(&found, &"9af401c".parse().unwrap(), &SEARCH_SCOPE, &berlin()),
            "\
Name:   runner:16d9990
SHA256: 9af401c
    aws-beta..#80      earlier – Mon, 22 Aug 2022 11:39:22 CEST
    aws-beta#84..#118  Mon, 22 Aug 2022 11:39:22 CEST – Wed, 24 Aug 2022 20:12:28 CEST
    aws-prod#65        Mon, 22 Aug 2022 11:39:22 CEST – still running, 3 replicas
"
        );
        let not_found_text = |wanted: &str| not_found_text(&wanted.parse().unwrap(), &SEARCH_SCOPE);
        assert_eq!(not_found_text("9af401c"), "9af401c was not found in 2 environments of acme.\n");
        let hint = "A fingerprint is looked for by its first 5 digits or more.\n";
        assert_eq!(
            not_found_text("9af4"),
            format!("9af4 was not found in 2 environments of acme.\n{hint}")
        );
        let read: Value =
            serde_json::from_str(&json(&found, None, &SEARCH_SCOPE).unwrap()).unwrap();
        let runs = &read["artifacts"][0]["runs"];
        assert_eq!(runs[0]["first_snapshot"], Value::Null);
        assert_eq!(runs[2]["running"], true);
    }
}
