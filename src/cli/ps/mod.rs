//! `envsnap ps`: what runs in ECS now, without a server.

mod scope;
mod view;
mod watch;

use std::time::Duration;

use anyhow::anyhow;
use aws_config::Region;

use super::terminal::{ColourChoice, Terminal};
use super::{OutputFormat, no_csv_error, print, progress};
use crate::aws;
use crate::report::{ConnectError, EcsInventory, ErrorKind, ErrorRow, Inventory, RemedyContext};
use scope::ScopeArguments;
use view::render;

/// Show what runs in ECS now, by fingerprint and replicas
///
/// Reads the account and region of your own AWS credentials, SSO included, and needs no server, token
/// or organization. Names may be separated by commas, and options repeated.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Credentials and the region are found as the AWS CLI finds them (AWS_PROFILE, \
AWS_REGION). The function's variables (ECS_CLUSTERS and so on) are not read: envsnap report --dry-run \
reads those.

Examples:
  envsnap ps
  envsnap ps app jobs --exclude-service debug
  envsnap ps --cluster-regex '^prod-' --region eu-central-1 -o json | jq '.artifacts[].fingerprint'
  envsnap ps app --explain
  envsnap ps app --watch=30"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    scope: ScopeArguments,
    /// Explain for each container whether it counts
    #[arg(long)]
    explain: bool,
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "10",
        value_parser = clap::value_parser!(u64).range(1..=3600),
        conflicts_with = "explain",
        help = "Show what starts, exits and is scaled, a line each, until Ctrl-C; with -o json a \
                document a line. SECONDS are between two readings [default: 10]"
    )]
    watch: Option<u64>,
    /// How to print: a table, one with more columns that never wraps, JSON or CSV
    #[arg(short, long, value_enum, default_value_t = OutputFormat::Table)]
    output: OutputFormat,
    /// The same as -o json
    #[arg(long, conflicts_with = "output")]
    json: bool,
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value_t = ColourChoice::Auto,
        help = "When to use colours; NO_COLOR turns them off as well"
    )]
    color: ColourChoice,
}

impl Arguments {
    fn format(&self) -> OutputFormat {
        if self.json { OutputFormat::Json } else { self.output }
    }
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let is_list = arguments.watch.is_none() && !arguments.explain;
    if arguments.format() == OutputFormat::Csv && !is_list {
        return Err(no_csv_error());
    }
    let reader = connect(&arguments.scope).await?;
    let (format, terminal) = (arguments.format(), Terminal::detect(arguments.color));
    if let Some(seconds) = arguments.watch {
        return watch::run(&reader, Duration::from_secs(seconds), format, &terminal).await;
    }
    match read_inventory(&reader, arguments.explain).await? {
        Ok(inventory) => Ok(print(&render(&inventory, format, &terminal)?)?),
        Err(error) => Err(anyhow!("{}", with_remedy(&error))),
    }
}

/// Connects to AWS with the user's own credentials. Errors are in terms of the options of `envsnap ps`.
async fn connect(scope: &ScopeArguments) -> anyhow::Result<EcsInventory> {
    let config = scope.config()?;
    let mut aws = aws::load_config().await?;
    if let Some(region) = &scope.region {
        // The role is assumed in this region, too.
        aws = aws.into_builder().region(Region::new(region.clone())).build();
    }
    EcsInventory::connect_to_read(config, &aws).await.map_err(|error| match error {
        ConnectError::NoRegion => {
            anyhow!(
                "no region is known. Give one with --region, AWS_REGION or a profile (AWS_PROFILE)"
            )
        }
        ConnectError::WrongLocation { cluster, read, .. } => {
            anyhow!("cluster {cluster} is not in {read}. Give its own region with --region")
        }
        error => error.into(),
    })
}

/// Reads ECS once, with progress on a terminal; with `explain` also why each container counts or not.
/// The inner error is that of the reading.
async fn read_inventory(
    reader: &EcsInventory,
    explain: bool,
) -> anyhow::Result<Result<Inventory, ErrorRow>> {
    let status = || progress::summary(reader.progress(), "");
    let inventories = progress::with_progress(reader.read(explain), status).await;
    let inventory = inventories.into_iter().next();
    // Options configure exactly one environment.
    let inventory = inventory.ok_or_else(|| anyhow!("nothing was to be read"))?;
    Ok(match &inventory.outcome.error {
        Some(error) => Err(error.clone()),
        None => Ok(inventory),
    })
}

/// The message of an error, with a remedy in terms of the options of `envsnap ps`.
fn with_remedy(ErrorRow { kind, message }: &ErrorRow) -> String {
    let remedy = match kind {
        ErrorKind::NothingInScope => {
            "Compare --cluster, --exclude, --service, --exclude-service and their -regex forms with \
             what exists in that account and region, which AWS_PROFILE and --region choose"
        }
        ErrorKind::ClusterNotFound => {
            "Correct the name, or choose the account and region that the cluster is in with \
             AWS_PROFILE and --region"
        }
        ErrorKind::RoleNotAssumed => {
            "The user or role of AWS_PROFILE needs sts:AssumeRole on it, and it has to trust that one, \
             with the --external-id that it asks for"
        }
        ErrorKind::Throttled => {
            "Others use up the account's quota of ECS calls. Try again, or read fewer clusters"
        }
        ErrorKind::Contradiction => {
            "This usually passes. Try again; a cluster that cannot be read is left out with --exclude"
        }
        kind => kind.remedy(RemedyContext::Terminal),
    };
    format!("{message}. {remedy}")
}
