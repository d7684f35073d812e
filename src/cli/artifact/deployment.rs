//! `envsnap artifact deployment`: a deployment begins.

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use super::build::BuildArgs;
use super::report::ReportedArtifactArgs;
use crate::cli::expression::environment_name;
use crate::cli::pipeline::pipeline_name;
use crate::cli::server_args::ServerArgs;
use crate::cli::{OutputFormat, eprint, print};

/// Announce that an artifact is about to be deployed to an environment
///
/// Deployments are numbered for each pipeline. Only this project's recorder keeps them: another server
/// derives deployments from what starts.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  envsnap artifact deployment runner --environment aws-prod --fingerprint \"$DIGEST\"")]
pub(super) struct Arguments {
    /// The pipeline
    #[arg(value_name = "PIPELINE", value_parser = pipeline_name)]
    pipeline: String,
    #[command(flatten)]
    subject: ReportedArtifactArgs,
    /// The environment
    #[arg(long, value_name = "NAME", value_parser = environment_name)]
    environment: String,
    /// What it is for, for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    build: BuildArgs,
}

pub(super) async fn run(args: &ServerArgs, arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { pipeline, subject, environment, description, build } = arguments;
    let build = build.read()?;
    let connection = args.connect_to_write().await?;
    let fingerprint = subject.fingerprint().await?;
    let fingerprint = fingerprint
        .context("the artifact is not known. Give what to fingerprint, or --fingerprint")?;
    let mut report = Map::from_iter([
        ("artifact_fingerprint".to_owned(), json!(fingerprint)),
        ("environment".to_owned(), json!(environment)),
    ]);
    for (key, value) in [("description", &description), ("build_url", &build.url)] {
        if let Some(value) = value {
            report.insert(key.to_owned(), json!(value));
        }
    }
    let answer = connection.client.report_deployment(&pipeline, &Value::Object(report)).await?;
    if answer.get("environment_exists") == Some(&json!(false)) {
        eprint(&format!(
            "There is no environment {environment} yet. The deployment counts once there is one of this name.\n"
        ));
    }
    print(&match args.output {
        OutputFormat::Json => format!("{answer:#}\n"),
        _ => match answer.get("deployment_id") {
            Some(number) => {
                format!(
                    "Deployment #{number} of pipeline {pipeline} to {environment} is announced.\n"
                )
            }
            None => format!("A deployment of pipeline {pipeline} to {environment} is announced.\n"),
        },
    })?;
    Ok(())
}
