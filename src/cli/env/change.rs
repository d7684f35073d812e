//! `envsnap env create`, `rename` and `archive`.

use anyhow::bail;

use crate::api::wire::{ECS, EnvironmentRequest};
use crate::api::{ApiError, EnvironmentApi as _, ServerApi as _};
use crate::cli::expression::environment_name;
use crate::cli::print;
use crate::cli::server_args::ServerArgs;

/// Create an environment
///
/// It is of type ECS. One that was archived is in use again, with all that was recorded in it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  envsnap env create aws-prod --description 'production, eu-central-1'
  envsnap env create aws-prod --include-scaling false")]
pub(super) struct CreateArguments {
    /// Its name
    #[arg(value_name = "NAME", value_parser = environment_name)]
    name: String,
    /// A description
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    description: String,
    /// Whether a change of replicas alone makes a snapshot [default: what the server does]
    #[arg(long, value_name = "BOOLEAN")]
    include_scaling: Option<bool>,
}

/// Give an environment another name
///
/// Its history stays with it. Reporters have to be configured with the new name.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  envsnap env rename aws-prod aws-live")]
pub(super) struct RenameArguments {
    /// Its name
    #[arg(value_name = "NAME", value_parser = environment_name)]
    name: String,
    /// The new name
    #[arg(value_name = "NEW_NAME", value_parser = environment_name)]
    new_name: String,
}

/// Archive an environment
///
/// It is not listed any more, and takes no report. Create it again to have it back.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  envsnap env archive aws-old")]
pub(super) struct ArchiveArguments {
    /// Its name
    #[arg(value_name = "NAME", value_parser = environment_name)]
    name: String,
}

/// Runs `envsnap env create`. An environment that exists is an error: the server would change it.
pub(super) async fn create(args: &ServerArgs, arguments: CreateArguments) -> anyhow::Result<()> {
    let CreateArguments { name, description, include_scaling } = arguments;
    let connection = args.connect_to_write().await?;
    let environment = connection.client.environment(&name, None);
    // To create what exists would change it.
    let was_archived = match environment.get().await {
        Ok(_) => bail!(
            "environment '{name}' of organization '{}' exists already, and nothing was changed",
            connection.org
        ),
        Err(ApiError::EnvironmentNotFound { archived, .. }) => archived,
        Err(error) => return Err(error.into()),
    };
    let environment_type = ECS.to_owned();
    let request =
        EnvironmentRequest { name: name.clone(), environment_type, description, include_scaling };
    environment.create(&request).await?;
    let done = if was_archived { "Restored the archived" } else { "Created" };
    Ok(print(&format!("{done} environment '{name}' of organization '{}'.\n", connection.org))?)
}

pub(super) async fn rename(args: &ServerArgs, arguments: &RenameArguments) -> anyhow::Result<()> {
    let RenameArguments { name, new_name } = arguments;
    let connection = args.connect_to_write().await?;
    connection.client.environment(name, None).rename(new_name).await?;
    Ok(print(&format!("Environment '{name}' is now '{new_name}'.\n"))?)
}

pub(super) async fn archive(args: &ServerArgs, arguments: &ArchiveArguments) -> anyhow::Result<()> {
    let ArchiveArguments { name } = arguments;
    let connection = args.connect_to_write().await?;
    connection.client.environment(name, None).archive().await?;
    Ok(print(&format!("Archived environment '{name}'.\n"))?)
}
