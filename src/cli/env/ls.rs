//! `envsnap env ls`: the environments of an organization.

use crate::api::wire::Environment;
use crate::cli::asking::Asking;
use crate::cli::screen::Screen;
use crate::cli::tables::{plain, plain_within};
use crate::cli::visible::{document, visible};
use crate::cli::{Form, print};

/// List the organization's environments
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  envsnap env ls
  envsnap env ls --db snapshots.db
  envsnap env ls -o json | jq -r '.[].name'")]
pub(super) struct Arguments {}

pub(super) async fn run(asking: &Asking) -> anyhow::Result<()> {
    let asked = asking.connect().await?;
    let answer = asked.client.environments(None).await?;
    print(&match asking.output {
        Form::Json => document(&answer.text),
        Form::Table | Form::Wide if answer.document.is_empty() => {
            format!("{} has no environment yet.\n", visible(&asked.org))
        }
        form => table(&answer.document, form, &asking.screen()),
    })?;
    Ok(())
}

fn table(environments: &[Environment], form: Form, screen: &Screen) -> String {
    let age = |time: Option<f64>| time.map_or_else(|| "never".to_owned(), |at| screen.age(at));
    let rows = environments.iter().map(|environment| {
        let mut row = vec![
            visible(&environment.name),
            visible(&environment.environment_type),
            age(environment.last_reported_at),
            age(environment.last_changed_at),
        ];
        if form == Form::Wide {
            row.push(if environment.include_scaling { "included" } else { "ignored" }.to_owned());
        }
        row.push(visible(&environment.description));
        row
    });
    match form {
        Form::Wide => plain(
            &["NAME", "TYPE", "LAST_REPORTED", "LAST_CHANGED", "SCALING", "DESCRIPTION"],
            rows,
        ),
        _ => plain_within(
            screen.width,
            &["NAME", "TYPE", "LAST_REPORTED", "LAST_CHANGED", "DESCRIPTION"],
            rows,
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::screen::tests::berlin;

    #[test]
    fn a_long_description_wraps_and_nothing_else_does() {
        let name = "a-name-that-is-rather-long-for-an-environment";
        let environments: Vec<Environment> = serde_json::from_value(json!([
            {"name": name, "type": "ECS", "description": "all that customers see ".repeat(5)},
        ]))
        .unwrap();
        let shown = table(&environments, Form::Table, &berlin());
        assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
        assert!(
            shown.contains(&format!("\n{name}  ECS   never          never         all that")),
            "{shown}"
        );
        assert_eq!(shown.matches("customers").count(), 5, "{shown}");
        let wide = table(&environments, Form::Wide, &berlin());
        assert_eq!(wide.lines().count(), 2, "{wide}");
    }

    #[test]
    fn environments_are_listed_with_their_last_report_and_change() {
        let environments: Vec<Environment> = serde_json::from_value(json!([
            {"name": "aws-beta", "type": "ECS", "description": "Before prod"},
            {"name": "aws-prod", "type": "ECS", "last_reported_at": 1_662_119_939.5,
             "last_changed_at": 1_661_161_162.48, "include_scaling": true,
             "description": "\u{1b}[31mred"},
        ]))
        .unwrap();
        assert_eq!(
            table(&environments, Form::Table, &berlin()),
            "\
NAME      TYPE  LAST_REPORTED  LAST_CHANGED  DESCRIPTION
aws-beta  ECS   never          never         Before prod
aws-prod  ECS   1 minute ago   11 days ago   \u{fffd}[31mred
"
        );
        assert!(table(&environments, Form::Wide, &berlin()).contains("  included  "));
    }
}
