//! `envsnap missing`: what was announced and what runs, compared.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use envsnap_model::provenance::Origin;
use envsnap_model::snapshot::ImageName;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use super::artifact::MAX_CONCURRENT_REQUESTS;
use super::artifact_table::{ArtifactRow, artifact_table};
use super::csv::{self, Column};
use super::escape::{escape_json, replace_invisible};
use super::expression::environment_name;
use super::server_args::{Connection, ServerArgs};
use super::tables::fingerprint_or_unknown;
use super::terminal::Terminal;
use super::{ExitStatus, OutputFormat, print};
use crate::api::ServerApi as _;
use crate::api::wire::{ArtifactRun, Deployment, RecordedArtifact};

/// Compare announced deployments with what runs in an environment
///
/// not started: a deployment was announced, and nothing of it ever started. not announced: it runs, and
/// no deployment announced it. rolled back: it runs, though the artifact of a later deployment of the
/// same pipeline and repository ran here and exited.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  envsnap missing aws-prod
  envsnap missing aws-prod --exit-code || echo look at it")]
pub(super) struct Arguments {
    /// The environment
    #[arg(value_name = "ENVIRONMENT", value_parser = environment_name)]
    environment: String,
    /// Exit with 1 if there is anything to list
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    args: ServerArgs,
}

/// How an announced deployment and what runs differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeploymentProblem {
    NotStarted,
    NotAnnounced,
    RolledBack,
}

impl DeploymentProblem {
    fn as_str(self) -> &'static str {
        match self {
            Self::NotStarted => "not started",
            Self::NotAnnounced => "not announced",
            Self::RolledBack => "rolled back",
        }
    }
}

/// One difference between the announced deployments and what runs.
#[derive(Debug, PartialEq)]
struct Finding<'a> {
    problem: DeploymentProblem,
    fingerprint: &'a str,
    /// Empty if the snapshot does not say it.
    name: String,
    flow: &'a str,
    /// Of the artifact or, if it was rolled back, the later one.
    deployment: Option<&'a Deployment>,
    /// The artifact's latest start, if it runs.
    started: Option<i64>,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitStatus> {
    let Arguments { environment, exit_code, args } = arguments;
    let connection = args.connect().await?;
    let snapshot = connection.client.environment(&environment, None).snapshot("-1").await?;
    if !connection.client.supports_artifact_runs() {
        bail!(
            "this server keeps no announced deployments, which are an extension of envsnap's own recorder"
        );
    }
    let deployments = connection.client.deployments_to(&environment).await?.document;
    let announced: BTreeSet<_> = deployments.iter().map(|it| &*it.artifact_fingerprint).collect();
    let runs: BTreeMap<&str, Vec<ArtifactRun>> = stream::iter(announced)
        .map(async |fingerprint| {
            let runs = connection.client.artifact_runs(fingerprint, Some(&environment)).await?;
            anyhow::Ok((fingerprint, runs))
        })
        .buffered(MAX_CONCURRENT_REQUESTS)
        .try_collect()
        .await?;
    let running: Vec<_> = snapshot.running().collect();
    let mut findings = find_differences(&deployments, &runs, &running);
    for finding in findings.iter_mut().filter(|finding| finding.name.is_empty()) {
        finding.name = name_in_flow(&connection, finding).await?;
    }
    let snapshot = format!("{environment}#{}", snapshot.index);
    print(&match args.output {
        OutputFormat::Json => json(&snapshot, &findings)?,
        OutputFormat::Csv => csv::list(&CSV_COLUMNS, &finding_rows(&findings))?,
        _ if deployments.is_empty() => format!(
            "No deployment was announced to {environment}: envsnap artifact deployment does that.\n"
        ),
        _ if findings.is_empty() => {
            nothing_missing_text(&snapshot, count_allowed_unannounced(&deployments, &running))
        }
        format => findings_table(&findings, format == OutputFormat::Wide, &args.terminal()),
    })?;
    let differs = exit_code && !findings.is_empty();
    Ok(if differs { ExitStatus::Different } else { ExitStatus::Success })
}

/// Whether the artifact may run without provenance, and so without an announcement.
fn is_allowed(artifact: &RecordedArtifact) -> bool {
    artifact.origin.as_ref().is_some_and(|it| it.status == Origin::Allowed)
}

/// Whether a deployment was announced of the artifact.
fn is_announced(deployments: &[Deployment], artifact: &RecordedArtifact) -> bool {
    let fingerprint = artifact.fingerprint.as_deref().unwrap_or_default();
    deployments.iter().any(|it| it.artifact_fingerprint == fingerprint)
}

/// The number of artifacts that were not announced, and are allowed to run.
fn count_allowed_unannounced(deployments: &[Deployment], running: &[&RecordedArtifact]) -> usize {
    running.iter().filter(|it| is_allowed(it) && !is_announced(deployments, it)).count()
}

/// The output if nothing is missing. `allowed` is the number of artifacts that need no announcement.
fn nothing_missing_text(snapshot: &str, allowed: usize) -> String {
    let except = match allowed {
        0 => return format!("What runs in {snapshot} is what was announced.\n"),
        1 => "an artifact that is".to_owned(),
        count => format!("{count} artifacts that are"),
    };
    format!(
        "What runs in {snapshot} was announced, except for {except} allowed to run without it.\n\
         (envsnap allow --list has the reasons.)\n"
    )
}

/// The artifact's name, as its flow reported it.
async fn name_in_flow(connection: &Connection, finding: &Finding<'_>) -> anyhow::Result<String> {
    let client = &connection.client;
    let found = client.artifact_by_fingerprint(finding.flow, finding.fingerprint).await?;
    Ok(found.document.filename)
}

/// Compares the announced deployments with what runs and ran. `runs` has the runs of each announced
/// artifact in the environment. Without any deployment nothing is found.
fn find_differences<'a>(
    deployments: &'a [Deployment],
    runs: &BTreeMap<&str, Vec<ArtifactRun>>,
    running: &[&'a RecordedArtifact],
) -> Vec<Finding<'a>> {
    let ran_since = |fingerprint: &str, at: f64| {
        let mut runs = runs.get(fingerprint).into_iter().flatten();
        runs.any(|run| run.to.is_none_or(|to| to > at))
    };
    let is_running = |fingerprint: &str| {
        running.iter().any(|artifact| artifact.fingerprint.as_deref() == Some(fingerprint))
    };
    // A pipeline may build several images.
    let ran_as = |fingerprint: &str, repository: &str| {
        let mut runs = runs.get(fingerprint).into_iter().flatten();
        runs.any(|run| ImageName::new(&run.name).repository == repository)
    };
    let mut findings: Vec<_> = deployments
        .iter()
        .filter(|it| !ran_since(&it.artifact_fingerprint, it.created_at))
        .map(|deployment| Finding {
            problem: DeploymentProblem::NotStarted,
            fingerprint: &deployment.artifact_fingerprint,
            name: String::new(),
            flow: &deployment.flow_name,
            deployment: Some(deployment),
            started: None,
        })
        .collect();
    if deployments.is_empty() {
        return findings;
    }
    for &artifact in running {
        let fingerprint = artifact.fingerprint.as_deref().unwrap_or_default();
        let finding = |problem, flow, deployment| Finding {
            problem,
            fingerprint,
            name: artifact.name.clone(),
            flow,
            deployment,
            started: artifact.creation_timestamp.last().copied(),
        };
        if !is_announced(deployments, artifact) && !is_allowed(artifact) {
            let flow = artifact.flows.first().map_or("", |flow| &flow.flow_name);
            findings.push(finding(DeploymentProblem::NotAnnounced, flow, None));
        }
        let repository = ImageName::new(&artifact.name).repository;
        for flow in &artifact.flows {
            let of_same = deployments.iter().filter(|it| {
                it.flow_name == flow.flow_name && ran_as(&it.artifact_fingerprint, repository)
            });
            let Some(latest) = of_same.max_by_key(|it| it.deployment_id) else { continue };
            let latest_fingerprint = &latest.artifact_fingerprint;
            if latest_fingerprint != fingerprint
                && !is_running(latest_fingerprint)
                && ran_since(latest_fingerprint, latest.created_at)
            {
                findings.push(finding(
                    DeploymentProblem::RolledBack,
                    &latest.flow_name,
                    Some(latest),
                ));
            }
        }
    }
    findings
}

/// Announced deployments of which nothing started or that were rolled back, and artifacts that run without
/// an announced deployment.
fn findings_table(findings: &[Finding<'_>], wide: bool, terminal: &Terminal) -> String {
    let rows: Vec<_> = findings
        .iter()
        .map(|finding| {
            let flow = if finding.flow.is_empty() { "N/A" } else { finding.flow };
            let cells = vec![
                finding.problem.as_str().to_owned(),
                replace_invisible(&finding.name),
                replace_invisible(flow),
            ];
            let fingerprint = fingerprint_or_unknown(Some(finding.fingerprint));
            ArtifactRow { cells, fingerprint, notes: vec![finding_note(finding, terminal)] }
        })
        .collect();
    artifact_table(&["PROBLEM", "ARTIFACT", "PIPELINE"], 1, &rows, wide, terminal)
}

/// The line below a finding: its deployment, or when the artifact started.
fn finding_note(finding: &Finding<'_>, terminal: &Terminal) -> String {
    let started = finding.started.map(crate::recorder::text::unix_secs).unwrap_or_default();
    match (finding.problem, finding.deployment) {
        (DeploymentProblem::RolledBack, Some(later)) => format!(
            "deployment #{} of {} was announced later, ran and exited",
            later.deployment_id,
            replace_invisible(&later.artifact_fingerprint.chars().take(7).collect::<String>())
        ),
        (_, Some(deployment)) => format!(
            "deployment #{} was announced {}",
            deployment.deployment_id,
            terminal.time_and_age(deployment.created_at)
        ),
        (_, None) => format!("started {}", terminal.time_and_age(started)),
    }
}

/// Of `-o csv`.
const CSV_COLUMNS: [Column; 6] = [
    Column::Text("problem", "/problem"),
    Column::Text("artifact", "/name"),
    Column::Text("fingerprint", "/fingerprint"),
    Column::Text("pipeline", "/pipeline"),
    Column::Text("deployment", "/deployment"),
    Column::Time("started", "/started"),
];

/// The findings, for JSON and CSV.
fn finding_rows(findings: &[Finding<'_>]) -> Vec<Value> {
    findings
        .iter()
        .map(|it| {
            json!({
                "problem": it.problem.as_str(), "name": it.name, "fingerprint": it.fingerprint,
                "pipeline": it.flow, "deployment": it.deployment, "started": it.started,
            })
        })
        .collect()
}

/// The snapshot and the findings. They combine several responses, so that there is no single
/// document of the server's.
fn json(snapshot: &str, findings: &[Finding<'_>]) -> serde_json::Result<String> {
    let document = json!({"snapshot": snapshot, "findings": finding_rows(findings)});
    Ok(escape_json(&serde_json::to_string_pretty(&document)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(number: u32, fingerprint: &str, at: f64) -> Deployment {
        serde_json::from_value(json!({
            "deployment_id": number, "flow_name": "runner", "environment": "aws-prod",
            "artifact_fingerprint": fingerprint, "created_at": at,
        }))
        .unwrap()
    }

    /// The name of the artifact: "api" of fingerprints that begin with it.
    fn name(fingerprint: &str) -> &str {
        if fingerprint.starts_with("api") { "api:1" } else { "runner:1" }
    }

    fn run(fingerprint: &str, from: f64, to: Option<f64>) -> ArtifactRun {
        serde_json::from_value(json!({
            "environment": "aws-prod", "name": name(fingerprint), "fingerprint": fingerprint, "replicas": 1,
            "first_index": 1, "last_index": 2, "from": from, "to": to,
        }))
        .unwrap()
    }

    fn running_artifact(fingerprint: &str) -> RecordedArtifact {
        serde_json::from_value(json!({
            "name": name(fingerprint), "fingerprint": fingerprint, "flows": [{"flow_name": "runner"}],
            "annotation": {"type": "unchanged", "was": 1, "now": 1}, "creationTimestamp": [5],
        }))
        .unwrap()
    }

    #[test]
    fn allowed_artifact_without_deployment_is_counted_as_an_exception() {
        let mut agent = running_artifact("");
        let origin = json!({"status": "allowed", "first_started_at": 50});
        agent.origin = serde_json::from_value(origin).unwrap();
        let mut allowed = running_artifact("bb");
        allowed.origin = agent.origin.clone();
        let deployments = [deployment(1, "aa", 100.0), deployment(2, "bb", 200.0)];
        let announced = running_artifact("aa");
        // A deployment of what is allowed as well was announced.
        assert_eq!(count_allowed_unannounced(&deployments, &[&announced, &allowed]), 0);
        assert_eq!(count_allowed_unannounced(&deployments, &[&announced, &agent]), 1);
        assert_eq!(
            nothing_missing_text("aws-prod#2", 0),
            "What runs in aws-prod#2 is what was announced.\n"
        );
        let shown = nothing_missing_text("aws-prod#2", 1);
        assert!(
            shown.contains("except for an artifact that is allowed to run without it"),
            "{shown}"
        );
        assert!(shown.lines().all(|line| line.len() <= 100), "{shown}");
    }

    /// Deployments, runs with their start and end, what runs, and what is found.
    type Case<'a> = (
        &'a [Deployment],
        Vec<(&'a str, f64, Option<f64>)>,
        Vec<&'a str>,
        Vec<(DeploymentProblem, &'a str)>,
    );

    #[test]
    fn not_started_not_announced_and_rolled_back_artifacts_are_found() {
        use DeploymentProblem::{NotAnnounced, NotStarted, RolledBack};
        let (one, two) = (deployment(1, "aa", 100.0), deployment(2, "bb", 200.0));
        let both = [one.clone(), two];
        let of_two_images = [one.clone(), deployment(2, "api1", 200.0)];
        let latest_of_other = [&both[..], &[deployment(3, "api1", 300.0)]].concat();
        let cases: [Case<'_>; 10] = [
            (&[], vec![], vec!["aa"], vec![]),
            (&both[..1], vec![], vec![], vec![(NotStarted, "aa")]),
            (&both[..1], vec![("aa", 110.0, Some(150.0))], vec![], vec![]),
            // What ended before is no start.
            (&both[..1], vec![("aa", 10.0, Some(50.0))], vec![], vec![(NotStarted, "aa")]),
            (&both[..1], vec![("aa", 110.0, None)], vec!["aa", "cc"], vec![(NotAnnounced, "cc")]),
            (&both, vec![("aa", 110.0, None)], vec!["aa"], vec![(NotStarted, "bb")]),
            // A rollover.
            (&both, vec![("aa", 110.0, None), ("bb", 210.0, None)], vec!["aa", "bb"], vec![]),
            (
                &both,
                vec![("aa", 110.0, None), ("bb", 210.0, Some(220.0))],
                vec!["aa"],
                vec![(RolledBack, "aa")],
            ),
            // The other image of the pipeline was retired, and is no later version of this one.
            (
                &of_two_images,
                vec![("aa", 110.0, None), ("api1", 210.0, Some(250.0))],
                vec!["aa"],
                vec![],
            ),
            // A later deployment of the other image hides no rollback.
            (
                &latest_of_other,
                vec![("aa", 110.0, None), ("bb", 210.0, Some(220.0)), ("api1", 310.0, None)],
                vec!["aa", "api1"],
                vec![(RolledBack, "aa")],
            ),
        ];
        for (deployments, ran, running, expected) in cases {
            let mut runs: BTreeMap<&str, Vec<ArtifactRun>> = BTreeMap::new();
            for (fingerprint, from, to) in &ran {
                runs.entry(fingerprint).or_default().push(run(fingerprint, *from, *to));
            }
            let running: Vec<_> = running.into_iter().map(running_artifact).collect();
            let running: Vec<_> = running.iter().collect();
            let found = find_differences(deployments, &runs, &running);
            let found: Vec<_> = found.iter().map(|it| (it.problem, it.fingerprint)).collect();
            assert_eq!(found, expected, "{ran:?}");
        }
    }
}
