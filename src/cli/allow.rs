//! `envsnap allow`: what may run although no pipeline reports it.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use clap::ArgGroup;
use serde_json::json;

use super::artifact::parse_fingerprint;
use super::csv::{self, Column};
use super::escape::{escape_json, replace_invisible};
use super::expression::environment_name;
use super::server_args::ServerArgs;
use super::terminal::Terminal;
use super::{OutputFormat, print};
use crate::api::Client;
use crate::api::wire::AllowedArtifact;
use crate::recorder::domain::provenance::BUILT_IN_ALLOWANCES;

/// Allow what no pipeline reports, list what is allowed, and withdraw it
///
/// envsnap rogue shows what is allowed as such, with the reason. Who allowed it and when is kept.
#[derive(Debug, clap::Args)]
#[command(
    group(ArgGroup::new("what").required(true).args(["fingerprint", "pattern", "list", "remove"])),
    // The generated line has all of it in one alternative, and over 100 columns.
    override_usage = "\
envsnap allow [OPTIONS] <--fingerprint SHA256|--pattern PATTERN> <ENVIRONMENT|--everywhere>
       envsnap allow [OPTIONS] --list [ENVIRONMENT]
       envsnap allow [OPTIONS] --remove <ID>",
    after_help = "Examples:
  envsnap allow aws-prod --fingerprint \"$DIGEST\" --name alpine:3.16 --reason 'the backup job'
  envsnap allow aws-prod --pattern 'public.ecr.aws/datadog/agent*' --reason 'monitoring, by its vendor'
  envsnap allow --everywhere --pattern 'fluent-bit*' --reason 'logs'
  envsnap allow --list
  envsnap allow --remove 65e3a1f0-0000-0000-0000-00000001"
)]
pub(super) struct Arguments {
    /// Where it may run
    #[arg(value_name = "ENVIRONMENT", value_parser = environment_name, conflicts_with_all = ["everywhere", "remove"])]
    environment: Option<String>,
    /// Allow it in every environment
    #[arg(long, conflicts_with_all = ["list", "remove"])]
    everywhere: bool,
    /// Allow the artifact with this fingerprint
    #[arg(long, value_name = "SHA256", value_parser = parse_fingerprint)]
    fingerprint: Option<String>,
    /// The artifact's name, for people [default: the one with which it ran last]
    #[arg(long, value_name = "NAME", requires = "fingerprint")]
    name: Option<String>,
    /// Allow every artifact of this name, with * for anything; a name without a tag allows every tag
    #[arg(long, value_name = "PATTERN")]
    pattern: Option<String>,
    /// Why it may run
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["list", "remove"])]
    reason: Option<String>,
    /// List what is allowed
    #[arg(long)]
    list: bool,
    /// Withdraw what was allowed under an identifier of the list
    #[arg(long, value_name = "ID")]
    remove: Option<String>,
    #[command(flatten)]
    args: ServerArgs,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { environment, everywhere, name, reason, args, .. } = &arguments;
    if arguments.list {
        return print_allowances(args, environment.as_deref()).await;
    }
    args.refuse_csv()?;
    if let Some(id) = &arguments.remove {
        let connection = args.connect_to_write().await?;
        connection.client.withdraw_allowance(id).await?;
        print(&match args.output {
            OutputFormat::Json => format!("{:#}\n", json!({"withdrawn": id})),
            _ => format!("Withdrawn: {}.\n", replace_invisible(id)),
        })?;
        return Ok(());
    }
    if environment.is_none() && !everywhere {
        bail!("no environment is given. Name the one where it may run, or give --everywhere");
    }
    let Some(reason) = reason.as_deref().filter(|reason| !reason.trim().is_empty()) else {
        bail!("--reason is required. It says why the artifact may run");
    };
    let mut request = json!({"description": reason});
    let connection = args.connect_to_write().await?;
    let (what, allowed) = match (&arguments.fingerprint, &arguments.pattern) {
        (Some(fingerprint), _) => {
            let name = match name {
                Some(name) => name.clone(),
                None => latest_name(&connection.client, fingerprint).await?,
            };
            request["artifact_fingerprint"] = json!(fingerprint);
            request["artifact_name"] = json!(name);
            (fingerprint, format!("{}\nSHA256: {fingerprint}", replace_invisible(&name)))
        }
        (None, pattern) => {
            let pattern =
                pattern.as_ref().context("neither a fingerprint nor a pattern is given")?;
            request["name_pattern"] = json!(pattern);
            (pattern, format!("{}.", replace_invisible(pattern)))
        }
    };
    connection.client.allow(environment.as_deref(), &request).await?;
    let place = environment.as_deref().unwrap_or("every environment");
    print(&match args.output {
        OutputFormat::Json => {
            format!("{:#}\n", json!({"allowed": what, "environment": environment}))
        }
        _ => format!("Allowed in {place}: {allowed}\n"),
    })?;
    Ok(())
}

/// The name with which the artifact ran last, in any environment.
async fn latest_name(client: &Client, fingerprint: &str) -> anyhow::Result<String> {
    let runs = match client.artifact_runs(fingerprint, None).await {
        Err(_) if !client.supports_artifact_runs() => {
            bail!("this server does not say with which name the artifact ran. Give --name")
        }
        runs => runs?,
    };
    let latest = runs.into_iter().max_by(|one, other| one.from.total_cmp(&other.from));
    latest.map(|run| run.name).context(
        "this artifact has run in no environment, so that its name is not known. Give --name",
    )
}

/// Of `--list -o csv`.
const CSV_COLUMNS: [Column; 8] = [
    Column::Text("id", "/id"),
    Column::Text("environment", "/environment_name"),
    Column::Text("artifact", "/artifact_name"),
    Column::Text("fingerprint", "/fingerprint"),
    Column::Text("pattern", "/name_pattern"),
    Column::Text("reason", "/description"),
    Column::Text("by", "/user_name"),
    Column::Time("at", "/timestamp"),
];

async fn print_allowances(args: &ServerArgs, environment: Option<&str>) -> anyhow::Result<()> {
    let connection = args.connect().await?;
    let answer = connection.client.allowances().await?;
    let is_wanted = |it: &AllowedArtifact| {
        environment.is_none_or(|environment| [environment, "*"].contains(&&*it.environment_name))
    };
    let wanted: Vec<_> = answer.document.iter().filter(|it| is_wanted(it)).collect();
    print(&match args.output {
        OutputFormat::Json if environment.is_none() => escape_json(&answer.text),
        OutputFormat::Json => escape_json(&serde_json::to_string_pretty(&wanted)?),
        OutputFormat::Csv => {
            let rows = wanted.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
            csv::list(&CSV_COLUMNS, &rows)?
        }
        _ => text(&wanted, &args.terminal()),
    })?;
    Ok(())
}

/// The allowances, and the sidecars of AWS that are always allowed, for people.
fn text(allowed: &[&AllowedArtifact], terminal: &Terminal) -> String {
    let mut text = String::new();
    for entry in allowed {
        let or_none =
            |text: &str| if text.is_empty() { "N/A".to_owned() } else { replace_invisible(text) };
        if let Some(pattern) = &entry.name_pattern {
            let _infallible = writeln!(text, "Pattern:     {}", replace_invisible(pattern));
        } else {
            let (name, fingerprint) =
                (or_none(&entry.artifact_name), replace_invisible(&entry.fingerprint));
            let _infallible = writeln!(text, "Name:        {name}\nSHA256:      {fingerprint}");
        }
        let environment = match &*entry.environment_name {
            "*" => "every one".to_owned(),
            name => replace_invisible(name),
        };
        let _infallible = writeln!(
            text,
            "Environment: {environment}\nReason:      {}\nAllowed on:  {}\nAllowed by:  {}\nID:          {}\n",
            or_none(&entry.description),
            terminal.time_and_age(entry.timestamp),
            or_none(&entry.user_name),
            or_none(entry.id.as_deref().unwrap_or_default()),
        );
    }
    if allowed.is_empty() {
        text.push_str("Nothing is allowed but the sidecars that AWS itself adds:\n");
    } else {
        text.push_str("The sidecars that AWS itself adds are always allowed:\n");
    }
    for (pattern, reason) in BUILT_IN_ALLOWANCES {
        let _infallible = writeln!(text, "    {pattern}\n        {reason}");
    }
    text
}
