//! `envsnap report`: the function's work, once, from a terminal.

use anyhow::bail;

use super::server_args::env_var;
use super::terminal::{ColourChoice, Terminal};
use super::{ReportFormat, eprint, progress, tables, warn_of_misspelt_variables};
use crate::aws;
use crate::config::{Config, ReadingConfig, is_server_unset};
use crate::report::{
    ConnectedReporter, EcsInventory, Outcome, RemedyContext, Trigger, TriggerKind,
};

/// Report once what runs in ECS, as the function would
#[derive(Debug, clap::Args)]
#[command(after_help = "The function's environment variables say what to report and where to: \
    KOSLI_ENVIRONMENT, KOSLI_ORG, KOSLI_HOST, KOSLI_API_TOKEN, ECS_CLUSTERS and the others in \
    docs/configuration.md. AWS credentials and the region are found as the AWS CLI finds them.")]
pub(super) struct Arguments {
    /// Read and compare, but post and create nothing; without a server, only read
    #[arg(long)]
    dry_run: bool,
    /// Fetch the state of the server and post, even if nothing differs
    #[arg(long)]
    force: bool,
    /// Explain for each container whether it counts
    #[arg(long)]
    explain: bool,
    /// How to print the outcome
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    output: ReportFormat,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { dry_run, force, explain, output } = arguments;
    let is_dry_run =
        dry_run || env_var("DRY_RUN").is_some_and(|it| it.trim().eq_ignore_ascii_case("true"));
    let trigger = Trigger { dry_run, force, explain, ..Trigger::new(TriggerKind::Manual) };
    if is_dry_run {
        warn_of_misspelt_variables();
    }
    let outcome = if is_dry_run && is_server_unset(env_var) {
        read_without_server(&trigger).await?
    } else {
        // What would be recorded might be more than was meant.
        let config = if is_dry_run { Config::from_lookup(env_var) } else { Config::from_env() };
        report(config?, &trigger).await?
    };
    let outcome = outcome.truncated();
    super::print(&render(&outcome, output)?)?;
    let failures: Vec<_> = outcome
        .failures()
        .map(|(failed, error)| {
            let message = error.with_remedy(RemedyContext::Terminal);
            format!("{}: {}: {message}.", failed.environment, error.kind.error_type())
        })
        .collect();
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(())
}

/// Reads ECS, compares with the server and posts, as the function does.
async fn report(config: Config, trigger: &Trigger) -> anyhow::Result<Outcome> {
    let aws = aws::load_config().await?;
    let mut reporter = ConnectedReporter::connect(config, &aws).await?;
    reporter.refresh(None).await?;
    let status = || progress::summary(reporter.progress(), ", querying the server");
    Ok(progress::with_progress(reporter.run(trigger, None), status).await?)
}

/// Reads ECS and compares nothing: no server is configured.
async fn read_without_server(trigger: &Trigger) -> anyhow::Result<Outcome> {
    let config = ReadingConfig::from_lookup(env_var)?;
    let aws = aws::load_config().await?;
    let mut reader = EcsInventory::connect_to_read(config, &aws).await?;
    reader.refresh(None).await?;
    let status = || progress::summary(reader.progress(), "");
    let read = progress::with_progress(reader.read(trigger.explain), status).await;
    eprint(
        "No server is configured (KOSLI_ORG and KOSLI_API_TOKEN are not set): nothing was \
         compared.\n",
    );
    let environments = read.into_iter().map(|inventory| inventory.outcome).collect();
    Ok(Outcome { trigger: trigger.kind, environments })
}

fn render(outcome: &Outcome, output: ReportFormat) -> serde_json::Result<String> {
    Ok(match output {
        ReportFormat::Json => serde_json::to_string_pretty(outcome)? + "\n",
        ReportFormat::Table => {
            let terminal = Terminal::detect(ColourChoice::Auto);
            let tables: Vec<_> = outcome
                .environments
                .iter()
                .map(|environment| tables::outcome(environment, &terminal))
                .collect();
            tables.join("\n")
        }
    })
}
