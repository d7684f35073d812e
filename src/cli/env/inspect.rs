//! `envsnap env inspect`: the environment itself.

use crate::api::wire::{Environment, SnapshotListEntry};
use crate::api::{ApiError, HistoryQuery, ServerApi as _};
use crate::cli::escape::{escape_json, replace_invisible};
use crate::cli::expression::environment_name;
use crate::cli::server_args::ServerArgs;
use crate::cli::terminal::Terminal;
use crate::cli::{OutputFormat, print};

/// Show what the server knows of an environment itself
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  envsnap env inspect aws-prod
  envsnap env inspect aws-prod -o json | jq .last_reported_at")]
pub(super) struct Arguments {
    /// Its name
    #[arg(value_name = "NAME", value_parser = environment_name)]
    name: String,
}

pub(super) async fn run(args: &ServerArgs, arguments: &Arguments) -> anyhow::Result<()> {
    let connection = args.connect().await?;
    let environment = connection.client.environment(&arguments.name, None);
    let answer = environment.describe().await?;
    if args.output == OutputFormat::Json {
        return Ok(print(&escape_json(&answer.text))?);
    }
    let part = HistoryQuery { per_page: 1, ..HistoryQuery::default() };
    let latest = match environment.snapshots(part).await {
        Err(ApiError::NoSnapshotYet { .. }) => None,
        answer => answer?.document.into_iter().next(),
    };
    print(&render(&answer.document, latest.as_ref(), &args.terminal()))?;
    Ok(())
}

fn render(
    environment: &Environment,
    latest: Option<&SnapshotListEntry>,
    terminal: &Terminal,
) -> String {
    let time = |time: Option<f64>| {
        time.map_or_else(|| "never".to_owned(), |time| terminal.time_and_age(time))
    };
    let mut rows = vec![
        ("Name", replace_invisible(&environment.name)),
        ("Type", replace_invisible(&environment.environment_type)),
        ("Description", replace_invisible(&environment.description)),
        ("Organization", replace_invisible(&environment.org)),
        (
            "State",
            match environment.state {
                Some(true) => "COMPLIANT",
                Some(false) => "NON-COMPLIANT",
                None => "N/A",
            }
            .to_owned(),
        ),
        (
            "Scaling",
            if environment.include_scaling {
                "included: a change of replicas alone makes a snapshot"
            } else {
                "ignored: a change of replicas alone makes no snapshot"
            }
            .to_owned(),
        ),
        ("Last reported", time(environment.last_reported_at)),
        ("Last changed", time(environment.last_changed_at)),
        ("Last modified", terminal.time_and_age(environment.last_modified_at)),
        ("Snapshots", latest.map_or(0, |latest| latest.index).to_string()),
    ];
    if let Some(confirmed_until) = latest.and_then(|latest| latest.confirmed_until) {
        rows.push(("Confirmed", terminal.time_and_age(confirmed_until)));
    }
    let lists = [
        ("Policies", environment.policies.as_deref()),
        ("Environments", environment.included_environments.as_deref()),
    ];
    for (label, list) in lists {
        if let Some(list) = list.filter(|list| !list.is_empty()) {
            rows.push((label, replace_invisible(&list.join(", "))));
        }
    }
    if !environment.tags.is_empty() {
        let tags: Vec<_> = environment
            .tags
            .iter()
            .map(|(name, value)| match value.as_str() {
                Some(value) => format!("{name}={value}"),
                None => format!("{name}={value}"),
            })
            .collect();
        rows.push(("Tags", replace_invisible(&tags.join(", "))));
    }
    rows.iter().fold(String::new(), |text, (label, value)| {
        let line = format!("{:<15}{value}", format!("{label}:"));
        text + line.trim_end() + "\n"
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::terminal::tests::berlin;

    #[test]
    fn an_environment_is_printed_with_one_property_per_line() {
        let environment = serde_json::from_value(json!({
            "org": "cyber-dojo", "name": "aws-prod", "type": "ECS", "description": "",
            "last_modified_at": 1_661_161_162.48, "last_reported_at": 1_662_119_939.5,
            "last_changed_at": 1_661_161_162.48, "state": null, "include_scaling": true,
            "tags": {"team": "a\u{9b}b"}, "policies": ["provenance"],
        }))
        .unwrap();
        let latest = serde_json::from_value(json!({
            "index": 66, "from": 1.0, "to": 0.0, "confirmed_until": 1_662_119_939.5,
        }))
        .unwrap();
        assert_eq!(
            render(&environment, Some(&latest), &berlin()),
            "\
Name:          aws-prod
Type:          ECS
Description:
Organization:  cyber-dojo
State:         N/A
Scaling:       included: a change of replicas alone makes a snapshot
Last reported: Fri, 02 Sep 2022 13:58:59 CEST • 1 minute ago
Last changed:  Mon, 22 Aug 2022 11:39:22 CEST • 11 days ago
Last modified: Mon, 22 Aug 2022 11:39:22 CEST • 11 days ago
Snapshots:     66
Confirmed:     Fri, 02 Sep 2022 13:58:59 CEST • 1 minute ago
Policies:      provenance
Tags:          team=a\u{fffd}b
"
        );
    }
}
