//! An artifact, with its history.

use std::fmt::Write as _;

use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

use crate::api::wire::{FlowArtifact, HistoryEvent};
use crate::cli::escape::replace_invisible;
use crate::cli::terminal::{Colour, Terminal};

/// The state of an artifact with all its evidence.
const COMPLIANT_STATE: &str = "COMPLIANT";

/// In columns: a label with its colon, and a gap.
const LABEL_WIDTH: usize = 13;

/// What is known of an artifact. With `names_flow` its pipeline and trail are named too: several cards
/// may be of several pipelines.
pub(in crate::cli) fn card(
    artifact: &FlowArtifact,
    names_flow: bool,
    terminal: &Terminal,
) -> String {
    let created = artifact.created_at.parse().unwrap_or_default();
    let mut lines = vec![
        ("Name", terminal.paint(Colour::Bold, &replace_invisible(&artifact.filename))),
        ("SHA256", replace_invisible(&artifact.fingerprint)),
        ("Created on", terminal.time_and_age(created)),
        ("Git commit", or_not_available(&artifact.git_commit)),
        ("Commit URL", or_not_available(&artifact.commit_url)),
        ("Build URL", or_not_available(&artifact.build_url)),
        ("State", state_text(artifact, terminal)),
    ];
    if names_flow {
        let trail = artifact.trail_name.as_deref().unwrap_or_default();
        let flow = or_not_available(&artifact.flow_name);
        let named = if trail.is_empty() {
            flow
        } else {
            format!("{flow}, trail {}", replace_invisible(trail))
        };
        lines.insert(2, ("Pipeline", named));
    }
    let mut text = String::new();
    for (label, value) in lines {
        let _infallible = writeln!(text, "{:LABEL_WIDTH$}{value}", format!("{label}:"));
    }
    text.push_str(&history_text(&artifact.history, terminal));
    text
}

/// What happened to an artifact, in the order of time.
pub(in crate::cli) fn history_text(history: &[HistoryEvent], terminal: &Terminal) -> String {
    if history.is_empty() {
        return "History:     N/A\n".to_owned();
    }
    let mut history: Vec<_> = history.iter().collect();
    history.sort_by(|a, b| a.timestamp.total_cmp(&b.timestamp));
    let lines: Vec<_> =
        history.iter().map(|it| (event_text(it), terminal.time(it.timestamp))).collect();
    let widest = lines.iter().map(|(event, _)| event.width()).max().unwrap_or(0);
    let mut text = "History:\n".to_owned();
    for (event, time) in lines {
        if 4 + widest + 2 + time.width() <= terminal.width {
            let gap = " ".repeat(widest - event.width());
            let _infallible = writeln!(text, "    {event}{gap}  {time}");
        } else {
            let _infallible = writeln!(text, "    {event}\n        {time}");
        }
    }
    text
}

/// The text of an event. `Started running in` becomes `Reported running in`, as only that is known. A
/// start that no flow had announced is marked as a derived deployment.
fn event_text(event: &HistoryEvent) -> String {
    let text = replace_invisible(&event.event);
    let text = match text.strip_prefix("Started running in ") {
        Some(rest) => format!("Reported running in {rest}"),
        None => text,
    };
    if event.derived_deployment.is_some() { format!("{text} (derived deployment)") } else { text }
}

/// The artifact's state, coloured, with its problems if it is not compliant.
fn state_text(artifact: &FlowArtifact, terminal: &Terminal) -> String {
    let state = or_not_available(&artifact.state);
    if artifact.state == COMPLIANT_STATE {
        return state;
    }
    let colour = if artifact.state == "INCOMPLETE" { Colour::Yellow } else { Colour::Red };
    let state = terminal.paint(colour, &state);
    match problems(artifact) {
        Some(problems) => format!("{state} ({problems})"),
        None => state,
    }
}

/// The names of evidence that is missing or non-compliant; `None` if the artifact is compliant.
pub(in crate::cli) fn problems(artifact: &FlowArtifact) -> Option<String> {
    if artifact.state == COMPLIANT_STATE {
        return None;
    }
    let names = |list: Vec<&String>| {
        list.into_iter().map(|name| replace_invisible(name)).collect::<Vec<_>>().join(", ")
    };
    let evidence = &artifact.evidence;
    let missing: Vec<_> =
        artifact.template.iter().filter(|name| !evidence.contains_key(*name)).collect();
    let failed = |it: &&String| evidence[*it].get("is_compliant") == Some(&Value::Bool(false));
    let failed: Vec<_> = evidence.keys().filter(failed).collect();
    let mut problems = Vec::new();
    if !missing.is_empty() {
        problems.push(format!("missing: {}", names(missing)));
    }
    if !failed.is_empty() {
        problems.push(format!("non-compliant: {}", names(failed)));
    }
    match problems[..] {
        [] => Some(replace_invisible(&artifact.state_info)).filter(|info| !info.is_empty()),
        _ => Some(problems.join("; ")),
    }
}

fn or_not_available(text: &str) -> String {
    if text.is_empty() { "N/A".to_owned() } else { replace_invisible(text) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::terminal::tests::berlin;

    /// An artifact of pipeline `runner`, with the fields in `more` in place of its own.
    fn runner_artifact(more: &Value) -> FlowArtifact {
        let mut document = json!({
            "filename": "cyberdojo/runner:16d9990",
            "fingerprint": "9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625",
            "flow_name": "runner", "trail_name": "16d9990", "created_at": "1661160900.0",
            "git_commit": "16d9990ad23a40eecaf087abac2a58a2d2a4b3f4",
            "commit_url": "https://github.com/cyber-dojo/runner/commit/16d9990ad23a",
            "build_url": "https://github.com/cyber-dojo/runner/actions/runs/2902808452",
            "state": "COMPLIANT",
            "history": [
                {"event": "Started running in aws-beta#84 environment", "timestamp": 1_661_161_108.5},
                {"event": "Artifact created", "timestamp": 1_661_160_900.0},
                {"event": "branch-coverage evidence received", "timestamp": 1_661_160_962.0},
            ],
        });
        for (key, value) in more.as_object().unwrap() {
            document[key] = value.clone();
        }
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn card_shows_commit_build_state_and_history_and_the_pipeline_if_asked() {
        assert_eq!(
            card(&runner_artifact(&json!({})), false, &berlin()),
            "\
Name:        cyberdojo/runner:16d9990
SHA256:      9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625
Created on:  Mon, 22 Aug 2022 11:35:00 CEST • 11 days ago
Git commit:  16d9990ad23a40eecaf087abac2a58a2d2a4b3f4
Commit URL:  https://github.com/cyber-dojo/runner/commit/16d9990ad23a
Build URL:   https://github.com/cyber-dojo/runner/actions/runs/2902808452
State:       COMPLIANT
History:
    Artifact created                             Mon, 22 Aug 2022 11:35:00 CEST
    branch-coverage evidence received            Mon, 22 Aug 2022 11:36:02 CEST
    Reported running in aws-beta#84 environment  Mon, 22 Aug 2022 11:38:28 CEST
"
        );
        let named = card(&runner_artifact(&json!({})), true, &berlin());
        assert!(named.contains("\nPipeline:    runner, trail 16d9990\n"), "{named}");
    }

    #[test]
    fn start_without_an_announced_deployment_is_marked_as_derived() {
        let history = json!([
            {"event": "Started running in aws-beta#84 environment", "timestamp": 5.0,
             "derived_deployment": {"environment_name": "aws-beta", "snapshot_index": 84}},
            {"event": "Started running in aws-prod#9 environment", "timestamp": 6.0},
        ]);
        let shown = card(&runner_artifact(&json!({"history": history})), false, &berlin());
        let marked = "Reported running in aws-beta#84 environment (derived deployment)  Thu";
        assert!(shown.contains(marked), "{shown}");
        assert_eq!(shown.matches("derived").count(), 1, "{shown}");
    }

    #[test]
    fn state_names_the_missing_and_non_compliant_evidence() {
        for (document, expected) in [
            (
                json!({"state": "INCOMPLETE", "template": ["unit-test", "scan"],
                       "evidence": {"scan": {"is_compliant": true}}}),
                "State:       INCOMPLETE (missing: unit-test)\n",
            ),
            (
                json!({"state": "NON-COMPLIANT", "template": ["unit-test"],
                       "evidence": {"scan": {"is_compliant": false}}}),
                "State:       NON-COMPLIANT (missing: unit-test; non-compliant: scan)\n",
            ),
            (
                json!({"state": "INCOMPLETE", "state_info": "another type"}),
                "State:       INCOMPLETE (another type)\n",
            ),
            (json!({"state": ""}), "State:       N/A\n"),
        ] {
            let shown = card(&runner_artifact(&document), false, &berlin());
            assert!(shown.contains(expected), "{shown}");
        }
    }

    #[test]
    fn event_that_is_too_wide_has_its_time_on_the_next_line() {
        let history =
            json!([{"event": format!("{} evidence received", "x".repeat(60)), "timestamp": 5.0}]);
        let shown = card(&runner_artifact(&json!({"history": history})), false, &berlin());
        assert!(shown.lines().all(|line| line.width() <= 100), "{shown}");
        assert!(shown.contains("received\n        Thu, 01 Jan 1970"), "{shown}");
    }
}
