//! `envsnap artifact get`: what is known of an artifact.

use std::str::FromStr;

use anyhow::bail;

use super::card::{card, history_text};
use crate::api::wire::{FlowArtifact, FoundArtifact};
use crate::cli::escape::{escape_json, replace_invisible};
use crate::cli::pipeline::pipeline_name;
use crate::cli::server_args::{Connection, ServerArgs};
use crate::cli::terminal::Terminal;
use crate::cli::{OutputFormat, print};
use crate::recorder::domain::MIN_DIGITS;

/// Show what is known of an artifact: its commit, its build, its state and its history
#[derive(Debug, clap::Args)]
#[command(after_help = "\
ARTIFACT is
  runner:16d9990      what pipeline runner built from a commit, or its beginning
  runner@9af401c      the artifact of pipeline runner with a fingerprint, or its beginning
  9af401c             a fingerprint alone, in any pipeline and in none

Examples:
  envsnap artifact get runner:16d9990ad23a40eecaf087abac2a58a2d2a4b3f4
  envsnap artifact get 9af401c -o json")]
pub(super) struct Arguments {
    /// Which one
    #[arg(value_name = "ARTIFACT")]
    artifact: Selector,
}

/// Which artifact is meant; `digits` are the beginning of a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Selector {
    Commit { flow: String, digits: String },
    Fingerprint { flow: Option<String>, digits: String },
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((flow, digits)) = text.split_once('@') {
            let flow = Some(pipeline_name(flow)?);
            return Ok(Self::Fingerprint { flow, digits: hex_digits(digits, "fingerprint")? });
        }
        match text.split_once(':') {
            Some((flow, digits)) if flow != "sha256" => Ok(Self::Commit {
                flow: pipeline_name(flow)?,
                digits: hex_digits(digits, "commit")?,
            }),
            _ => Ok(Self::Fingerprint { flow: None, digits: hex_digits(text, "fingerprint")? }),
        }
    }
}

/// At least five digits of a commit or a fingerprint, in lower case.
pub(in crate::cli) fn hex_digits(text: &str, what: &str) -> Result<String, String> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let is_valid = (MIN_DIGITS..=64).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_valid {
        return Ok(digits.to_ascii_lowercase());
    }
    Err(format!("a {what} is given by {MIN_DIGITS} to 64 hexadecimal digits"))
}

pub(super) async fn run(args: &ServerArgs, arguments: &Arguments) -> anyhow::Result<()> {
    let connection = args.connect().await?;
    let terminal = args.terminal();
    let (artifacts, text) = match &arguments.artifact {
        Selector::Commit { flow, digits } => {
            let answer = connection.client.artifacts_by_commit(flow, digits).await?;
            (answer.document, answer.text)
        }
        Selector::Fingerprint { flow: Some(flow), digits } => {
            let answer = connection.client.artifact_by_fingerprint(flow, digits).await?;
            (vec![answer.document], answer.text)
        }
        Selector::Fingerprint { flow: None, digits } => {
            return print_by_fingerprint(args, &connection, digits).await;
        }
    };
    print(&match args.output {
        OutputFormat::Json => escape_json(&text),
        _ => cards(&artifacts, &terminal),
    })?;
    Ok(())
}

fn cards(artifacts: &[FlowArtifact], terminal: &Terminal) -> String {
    let several_flows = artifacts.windows(2).any(|two| two[0].flow_name != two[1].flow_name);
    let cards: Vec<_> =
        artifacts.iter().map(|artifact| card(artifact, several_flows, terminal)).collect();
    cards.join("\n")
}

/// Prints the artifact as each flow reported it, or what is known of one that no flow reported.
async fn print_by_fingerprint(
    args: &ServerArgs,
    connection: &Connection,
    digits: &str,
) -> anyhow::Result<()> {
    let mut found = connection.client.search(digits).await?.document.artifacts;
    found.retain(|artifact| artifact.fingerprint.starts_with(digits));
    let Some(first) = found.first() else {
        bail!(
            "no artifact of {} has a fingerprint that begins with {digits}. envsnap artifact where \
             NAME looks for it by its name",
            replace_invisible(&connection.org)
        );
    };
    if let Some(other) = found.iter().find(|other| other.fingerprint != first.fingerprint) {
        bail!(
            "several artifacts have a fingerprint that begins with {digits}: {} and {}, for example. \
             Give more digits",
            replace_invisible(&first.fingerprint),
            replace_invisible(&other.fingerprint)
        );
    }
    let artifacts = fetch_reported_artifacts(connection, &found).await?;
    let terminal = args.terminal();
    print(&match args.output {
        OutputFormat::Json if artifacts.is_empty() => {
            escape_json(&serde_json::to_string_pretty(&found)?)
        }
        OutputFormat::Json => escape_json(&serde_json::to_string_pretty(&artifacts)?),
        _ if artifacts.is_empty() => unreported_artifact_card(first, &terminal),
        _ => cards(&artifacts, &terminal),
    })?;
    Ok(())
}

/// The artifacts as their flows reported them, with a request for each search result in `found` that
/// has a flow.
pub(in crate::cli) async fn fetch_reported_artifacts(
    connection: &Connection,
    found: &[FoundArtifact],
) -> anyhow::Result<Vec<FlowArtifact>> {
    let mut artifacts: Vec<FlowArtifact> = Vec::new();
    for FoundArtifact { flow, fingerprint, has_provenance, .. } in found {
        let is_known = |it: &FlowArtifact| it.flow_name == *flow && it.fingerprint == *fingerprint;
        if *has_provenance && !flow.is_empty() && !artifacts.iter().any(is_known) {
            let answer = connection.client.artifact_by_fingerprint(flow, fingerprint).await?;
            artifacts.push(answer.document);
        }
    }
    Ok(artifacts)
}

/// The text of an artifact that runs or ran, and that no flow has reported.
pub(in crate::cli) fn unreported_artifact_card(
    artifact: &FoundArtifact,
    terminal: &Terminal,
) -> String {
    format!(
        "Name:        {}\nSHA256:      {}\nState:       N/A (no pipeline has reported it)\n{}",
        replace_invisible(&artifact.name),
        replace_invisible(&artifact.fingerprint),
        history_text(&artifact.history, terminal)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifact_selector_has_a_flow_with_commit_or_fingerprint_or_a_fingerprint_alone() {
        let commit = |flow: &str, digits: &str| {
            Ok(Selector::Commit { flow: flow.to_owned(), digits: digits.to_owned() })
        };
        let fingerprint = |flow: Option<&str>, digits: &str| {
            Ok(Selector::Fingerprint { flow: flow.map(str::to_owned), digits: digits.to_owned() })
        };
        let short = Err("a commit is given by 5 to 64 hexadecimal digits".to_owned());
        for (text, expected) in [
            ("runner:16D9990", commit("runner", "16d9990")),
            ("runner@9af401c", fingerprint(Some("runner"), "9af401c")),
            ("runner@sha256:9af401c", fingerprint(Some("runner"), "9af401c")),
            ("sha256:9af401c", fingerprint(None, "9af401c")),
            ("9af401c", fingerprint(None, "9af401c")),
            ("runner:16d9", short.clone()),
            ("runner:", short),
        ] {
            assert_eq!(text.parse::<Selector>(), expected, "{text}");
        }
        assert!("a/b:16d9990".parse::<Selector>().is_err());
        assert!("runner".parse::<Selector>().is_err());
    }
}
