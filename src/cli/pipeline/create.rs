//! `envsnap pipeline create`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde_json::json;

use super::pipeline_name;
use crate::api::{ApiError, Attachment, FlowRequest};
use crate::cli::server_args::ServerArgs;
use crate::cli::{OutputFormat, print};

/// Create a pipeline, or change the settings of one
///
/// What is not given stays as it is: the description, who may see it, and the template, which says what
/// each trail is expected to have.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  envsnap pipeline create runner --description 'Test runner' --visibility public
  envsnap pipeline create runner --template-file template.yml

A template is YAML:
  version: 1
  trail:
    attestations: [{name: pull-request, type: pull_request}]
    artifacts:
    - name: runner
      attestations: [{name: unit-test, type: junit}]")]
pub(super) struct Arguments {
    /// Its name
    #[arg(value_name = "PIPELINE", value_parser = pipeline_name)]
    name: String,
    /// What it is, for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Who may see it
    #[arg(long, value_enum, value_name = "WHO")]
    visibility: Option<Visibility>,
    /// A file with the template
    #[arg(long, value_name = "FILE")]
    template_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Visibility {
    Public,
    Private,
}

pub(super) async fn run(args: &ServerArgs, arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { name, description, visibility, template_file } = arguments;
    let template = template_file
        .map(|file| {
            let content = fs::read(&file)
                .with_context(|| format!("cannot read the template {}", file.display()))?;
            if content.trim_ascii().is_empty() {
                bail!("the template {} is empty", file.display());
            }
            let filename = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            anyhow::Ok(Attachment { filename, content })
        })
        .transpose()?;
    let connection = args.connect_to_write().await?;
    let description = match description {
        Some(description) => description,
        // The request always carries one.
        None => match connection.client.flow(&name).await {
            Ok(flow) => flow.document.description,
            Err(ApiError::EnvironmentNotFound { .. }) => String::new(),
            Err(error) => return Err(error.into()),
        },
    };
    let visibility = visibility.map(|visibility| match visibility {
        Visibility::Public => "public".to_owned(),
        Visibility::Private => "private".to_owned(),
    });
    let request = FlowRequest { name: name.clone(), description, visibility };
    let created = connection.client.save_flow(&request, template.as_ref()).await?;
    let done = if created { "Created" } else { "Updated" };
    print(&match args.output {
        OutputFormat::Json => format!("{:#}\n", json!({"name": name, "created": created})),
        _ => format!("{done} pipeline '{name}' of organization '{}'.\n", connection.org),
    })?;
    Ok(())
}
