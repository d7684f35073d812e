//! `envsnap pipeline inspect`: a pipeline itself.

use std::fmt::Write as _;

use serde_json::Value;

use super::pipeline_name;
use crate::api::wire::Flow;
use crate::cli::escape::{escape_json, replace_invisible, replace_invisible_lines};
use crate::cli::server_args::ServerArgs;
use crate::cli::terminal::Terminal;
use crate::cli::{OutputFormat, print};

/// Show a pipeline, with what its trails are expected to have
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  envsnap pipeline inspect runner")]
pub(super) struct Arguments {
    /// Its name
    #[arg(value_name = "PIPELINE", value_parser = pipeline_name)]
    name: String,
}

pub(super) async fn run(args: &ServerArgs, arguments: &Arguments) -> anyhow::Result<()> {
    let connection = args.connect().await?;
    let answer = connection.client.flow(&arguments.name).await?;
    print(&match args.output {
        OutputFormat::Json => escape_json(&answer.text),
        _ => render(&answer.document, &args.terminal()),
    })?;
    Ok(())
}

fn render(flow: &Flow, terminal: &Terminal) -> String {
    let or_none =
        |text: &str| if text.is_empty() { "N/A".to_owned() } else { replace_invisible(text) };
    let tags: Vec<_> = flow.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let time = |at: Option<f64>| terminal.time_and_age(at.unwrap_or_default());
    let template = match &flow.template {
        Value::String(yaml) => yaml.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let mut text = String::new();
    for (label, value) in [
        ("Name", or_none(&flow.name)),
        ("Description", or_none(&flow.description)),
        ("Visibility", or_none(&flow.visibility)),
        ("Repository", or_none(flow.repo_url.as_deref().unwrap_or_default())),
        ("Tags", or_none(&tags.join(", "))),
        ("Last activity", time(flow.latest_activity_at)),
        ("Last deployment", time(flow.last_deployment_at)),
        ("Latest state", or_none(flow.latest_state.as_deref().unwrap_or_default())),
    ] {
        let _infallible = writeln!(text, "{:17}{value}", format!("{label}:"));
    }
    if template.trim().is_empty() {
        text.push_str("Template:        N/A\n");
    } else {
        text.push_str("Template:\n");
        for line in replace_invisible_lines(template.trim_end()).lines() {
            let _infallible = writeln!(text, "    {line}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::terminal::tests::berlin;

    #[test]
    fn pipeline_is_printed_with_one_property_per_line_and_its_template() {
        let flow: Flow = serde_json::from_value(json!({
            "name": "runner", "description": "Test runner", "visibility": "public",
            "tags": {"kind": "build"}, "template": "version: 1\ntrail:\n  artifacts: []\u{1b}\n",
            "latest_activity_at": 1_661_161_157.0,
        }))
        .unwrap();
        assert_eq!(
            render(&flow, &berlin()),
            "\
Name:            runner
Description:     Test runner
Visibility:      public
Repository:      N/A
Tags:            kind=build
Last activity:   Mon, 22 Aug 2022 11:39:17 CEST • 11 days ago
Last deployment: N/A
Latest state:    N/A
Template:
    version: 1
    trail:
      artifacts: []\u{fffd}
"
        );
    }
}
