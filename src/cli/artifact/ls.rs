//! `envsnap artifact ls`: what a pipeline built.

use serde_json::value::RawValue;

use crate::api::wire::FlowArtifact;
use crate::cli::artifact_table::{ArtifactRow, artifact_table};
use crate::cli::csv::{self, Column};
use crate::cli::escape::{escape_json, replace_invisible};
use crate::cli::pipeline::pipeline_name;
use crate::cli::server_args::ServerArgs;
use crate::cli::tables::fingerprint_or_unknown;
use crate::cli::terminal::Terminal;
use crate::cli::{OutputFormat, eprint, print};

/// Artifacts that are requested at a time.
const MAX_PER_PAGE: usize = 100;

/// List the artifacts that a pipeline built, the latest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  envsnap artifact ls runner
  envsnap artifact ls runner --limit 100 -o json | jq -r '.[].git_commit'")]
pub(super) struct Arguments {
    /// The pipeline
    #[arg(value_name = "PIPELINE", value_parser = pipeline_name)]
    pipeline: String,
    /// The most artifacts to list
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// Of `-o csv`.
const CSV_COLUMNS: [Column; 8] = [
    Column::Text("artifact", "/filename"),
    Column::Text("fingerprint", "/fingerprint"),
    Column::Text("pipeline", "/flow_name"),
    Column::Text("trail", "/trail_name"),
    Column::Text("commit", "/git_commit"),
    Column::Text("build_url", "/build_url"),
    Column::Text("state", "/state"),
    Column::Time("reported", "/created_at"),
];

pub(super) async fn run(args: &ServerArgs, arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { pipeline, limit } = arguments;
    let limit = usize::try_from(*limit).unwrap_or(usize::MAX);
    let connection = args.connect().await?;
    let mut artifacts: Vec<FlowArtifact> = Vec::new();
    let mut texts: Vec<Box<RawValue>> = Vec::new();
    // One more shows whether there are more.
    let per_page = limit.saturating_add(1).min(MAX_PER_PAGE);
    for page in 1.. {
        let answer = connection.client.flow_artifacts(pipeline, page, per_page).await?;
        let count = answer.document.len();
        texts.extend(serde_json::from_str::<Vec<Box<RawValue>>>(&answer.text)?);
        artifacts.extend(answer.document);
        if count < per_page || artifacts.len() > limit {
            break;
        }
    }
    if artifacts.is_empty() {
        // An empty list also answers for a pipeline that does not exist.
        connection.client.flow(pipeline).await?;
    }
    let is_truncated = artifacts.len() > limit;
    artifacts.truncate(limit);
    texts.truncate(limit);
    print(&match args.output {
        OutputFormat::Json => escape_json(&serde_json::to_string_pretty(&texts)?),
        OutputFormat::Csv => {
            let rows = artifacts.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
            csv::list(&CSV_COLUMNS, &rows)?
        }
        _ if artifacts.is_empty() => {
            format!("Pipeline {} has reported no artifact yet.\n", replace_invisible(pipeline))
        }
        format => table(&artifacts, format == OutputFormat::Wide, &args.terminal()),
    })?;
    if is_truncated {
        eprint(&format!("There are more than {limit}: --limit says how many are listed.\n"));
    }
    Ok(())
}

fn table(artifacts: &[FlowArtifact], wide: bool, terminal: &Terminal) -> String {
    let rows: Vec<_> = artifacts
        .iter()
        .map(|artifact| {
            let created = artifact.created_at.parse().unwrap_or_default();
            let created = if wide { terminal.time(created) } else { terminal.age(created) };
            let commit: String = artifact.git_commit.chars().take(7).collect();
            let mut cells = vec![
                if commit.is_empty() { "N/A".to_owned() } else { replace_invisible(&commit) },
                replace_invisible(&artifact.filename),
                replace_invisible(&artifact.state),
                created,
            ];
            if wide {
                cells.push(replace_invisible(artifact.trail_name.as_deref().unwrap_or("N/A")));
            }
            let fingerprint = fingerprint_or_unknown(Some(&artifact.fingerprint));
            ArtifactRow { cells, fingerprint, notes: Vec::new() }
        })
        .collect();
    let mut headings = vec!["COMMIT", "ARTIFACT", "STATE", "CREATED_AT"];
    if wide {
        headings.push("TRAIL");
    }
    artifact_table(&headings, 1, &rows, wide, terminal)
}
