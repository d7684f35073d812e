//! `envsnap env ls`: the environments of an organization.

use crate::api::wire::Environment;
use crate::cli::csv::{self, Column};
use crate::cli::escape::{escape_json, replace_invisible};
use crate::cli::server_args::ServerArgs;
use crate::cli::tables::{table, table_within};
use crate::cli::terminal::Terminal;
use crate::cli::{OutputFormat, print};

/// List the organization's environments
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  envsnap env ls
  envsnap env ls --db snapshots.db
  envsnap env ls -o json | jq -r '.[].name'")]
pub(super) struct Arguments {}

const CSV_COLUMNS: [Column; 6] = [
    Column::Text("environment", "/name"),
    Column::Text("type", "/type"),
    Column::Time("last_reported", "/last_reported_at"),
    Column::Time("last_changed", "/last_changed_at"),
    Column::Text("include_scaling", "/include_scaling"),
    Column::Text("description", "/description"),
];

pub(super) async fn run(args: &ServerArgs) -> anyhow::Result<()> {
    let connection = args.connect().await?;
    let answer = connection.client.environments(None).await?;
    print(&match args.output {
        OutputFormat::Json => escape_json(&answer.text),
        OutputFormat::Csv => {
            csv::list(&CSV_COLUMNS, &serde_json::from_str::<Vec<_>>(&answer.text)?)?
        }
        OutputFormat::Table | OutputFormat::Wide if answer.document.is_empty() => {
            format!("{} has no environment yet.\n", replace_invisible(&connection.org))
        }
        format => environment_table(&answer.document, format, &args.terminal()),
    })?;
    Ok(())
}

fn environment_table(
    environments: &[Environment],
    format: OutputFormat,
    terminal: &Terminal,
) -> String {
    let age = |time: Option<f64>| time.map_or_else(|| "never".to_owned(), |at| terminal.age(at));
    let rows = environments.iter().map(|environment| {
        let mut row = vec![
            replace_invisible(&environment.name),
            replace_invisible(&environment.environment_type),
            age(environment.last_reported_at),
            age(environment.last_changed_at),
        ];
        if format == OutputFormat::Wide {
            row.push(if environment.include_scaling { "included" } else { "ignored" }.to_owned());
        }
        row.push(replace_invisible(&environment.description));
        row
    });
    match format {
        OutputFormat::Wide => table(
            &["NAME", "TYPE", "LAST_REPORTED", "LAST_CHANGED", "SCALING", "DESCRIPTION"],
            rows,
        ),
        _ => table_within(
            terminal.width,
            &["NAME", "TYPE", "LAST_REPORTED", "LAST_CHANGED", "DESCRIPTION"],
            rows,
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::terminal::tests::berlin;

    #[test]
    fn table_wraps_a_long_description_at_terminal_width_but_no_name_or_time() {
        let name = "a-name-that-is-rather-long-for-an-environment";
        let environments: Vec<Environment> = serde_json::from_value(json!([
            {"name": name, "type": "ECS", "description": "all that customers see ".repeat(5)},
        ]))
        .unwrap();
        let output = environment_table(&environments, OutputFormat::Table, &berlin());
        assert!(output.lines().all(|line| line.chars().count() <= 100), "{output}");
        assert!(
            output.contains(&format!("\n{name}  ECS   never          never         all that")),
            "{output}"
        );
        assert_eq!(output.matches("customers").count(), 5, "{output}");
        let wide = environment_table(&environments, OutputFormat::Wide, &berlin());
        assert_eq!(wide.lines().count(), 2, "{wide}");
    }

    #[test]
    fn environments_are_listed_with_the_age_of_their_last_report_and_last_change() {
        let environments: Vec<Environment> = serde_json::from_value(json!([
            {"name": "aws-beta", "type": "ECS", "description": "Before prod"},
            {"name": "aws-prod", "type": "ECS", "last_reported_at": 1_662_119_939.5,
             "last_changed_at": 1_661_161_162.48, "include_scaling": true,
             "description": "\u{1b}[31mred"},
        ]))
        .unwrap();
        assert_eq!(
            environment_table(&environments, OutputFormat::Table, &berlin()),
            "\
NAME      TYPE  LAST_REPORTED  LAST_CHANGED  DESCRIPTION
aws-beta  ECS   never          never         Before prod
aws-prod  ECS   1 minute ago   11 days ago   \u{fffd}[31mred
"
        );
        assert!(
            environment_table(&environments, OutputFormat::Wide, &berlin())
                .contains("  included  ")
        );
    }
}
