//! `envsnap pipeline ls`: the pipelines of an organization.

use unicode_width::UnicodeWidthStr as _;

use crate::api::wire::Flow;
use crate::cli::csv::{self, Column};
use crate::cli::escape::{escape_json, replace_invisible, wrap};
use crate::cli::server_args::ServerArgs;
use crate::cli::tables::table;
use crate::cli::terminal::Terminal;
use crate::cli::{OutputFormat, print};

/// In columns of the terminal. With less, a description would be printed letter by letter.
const MIN_DESCRIPTION_WIDTH: usize = 20;

/// In columns of the terminal: `VISIBILITY`, and the gaps before and after `DESCRIPTION`.
const WIDTH_BESIDE_NAME_AND_DESCRIPTION: usize = 2 + 2 + "VISIBILITY".len();

/// List the organization's pipelines
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  envsnap pipeline ls
  envsnap pipeline ls -o wide              with what was reported last, and tags
  envsnap pipeline ls -o json | jq -r '.[].name'")]
pub(super) struct Arguments {}

const CSV_COLUMNS: [Column; 6] = [
    Column::Text("pipeline", "/name"),
    Column::Text("description", "/description"),
    Column::Text("visibility", "/visibility"),
    Column::Text("state", "/latest_state"),
    Column::Time("latest_activity", "/latest_activity_at"),
    Column::Time("last_deployment", "/last_deployment_at"),
];

pub(super) async fn run(args: &ServerArgs) -> anyhow::Result<()> {
    let connection = args.connect().await?;
    let answer = connection.client.flows().await?;
    print(&match args.output {
        OutputFormat::Json => escape_json(&answer.text),
        OutputFormat::Csv => {
            csv::list(&CSV_COLUMNS, &serde_json::from_str::<Vec<_>>(&answer.text)?)?
        }
        _ if answer.document.is_empty() => {
            format!("{} has no pipeline yet.\n", replace_invisible(&connection.org))
        }
        format => flow_table(&answer.document, format, &args.terminal()),
    })?;
    Ok(())
}

fn flow_table(flows: &[Flow], format: OutputFormat, terminal: &Terminal) -> String {
    let name_width =
        flows.iter().map(|flow| replace_invisible(&flow.name).width()).max().unwrap_or(0);
    let width = terminal
        .width
        .saturating_sub(name_width + WIDTH_BESIDE_NAME_AND_DESCRIPTION)
        .max(MIN_DESCRIPTION_WIDTH);
    let rows = flows.iter().map(|flow| {
        let (name, description) =
            (replace_invisible(&flow.name), replace_invisible(&flow.description));
        let visibility = replace_invisible(&flow.visibility);
        if format != OutputFormat::Wide {
            return vec![name, wrap(&description, width).join("\n"), visibility];
        }
        let tags: Vec<_> = flow.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        vec![
            name,
            description,
            visibility,
            replace_invisible(flow.latest_state.as_deref().unwrap_or("N/A")),
            flow.latest_activity_at.map_or_else(|| "never".to_owned(), |at| terminal.age(at)),
            replace_invisible(&tags.join(",")),
        ]
    });
    let mut headings = vec!["NAME", "DESCRIPTION", "VISIBILITY"];
    if format == OutputFormat::Wide {
        headings.extend(["LATEST_STATE", "LATEST_ACTIVITY", "TAGS"]);
    }
    table(&headings, rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::terminal::tests::berlin;

    fn flows() -> Vec<Flow> {
        serde_json::from_value(json!([
            {"name": "languages-start-points", "description": "Language+TestFramework choices",
             "visibility": "public"},
            {"name": "runner", "description": "Test runner", "visibility": "public",
             "tags": {"kind": "build"}, "latest_state": "COMPLIANT",
             "latest_activity_at": 1_661_161_157.0},
        ]))
        .unwrap()
    }

    #[test]
    fn pipelines_are_listed_with_description_and_visibility_and_if_wide_with_state_and_tags() {
        assert_eq!(
            flow_table(&flows(), OutputFormat::Table, &berlin()),
            "\
NAME                    DESCRIPTION                     VISIBILITY
languages-start-points  Language+TestFramework choices  public
runner                  Test runner                     public
"
        );
        let wide = flow_table(&flows(), OutputFormat::Wide, &berlin());
        assert!(wide.contains("  COMPLIANT     11 days ago      kind=build\n"), "{wide}");
    }

    #[test]
    fn long_pipeline_description_wraps_at_the_width_of_the_terminal() {
        let mut flows = flows();
        flows[0].description = "all that customers see ".repeat(5);
        let shown = flow_table(&flows, OutputFormat::Table, &berlin());
        assert!(shown.lines().all(|line| line.width() <= 100), "{shown}");
        assert_eq!(shown.matches("customers").count(), 5, "{shown}");
    }
}
