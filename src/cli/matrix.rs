//! `envsnap matrix`: which version of each repository runs in which environment.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::anyhow;
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use super::artifact::MAX_CONCURRENT_REQUESTS;
use super::csv::{self, Column};
use super::escape::{escape_json, replace_invisible};
use super::expression::environment_name;
use super::server_args::ServerArgs;
use super::tables::table;
use super::terminal::Terminal;
use super::{OutputFormat, eprint, print};
use crate::api::wire::{Environment, LOGICAL, RecordedArtifact, RecordedSnapshot};
use crate::api::{ApiError, ServerApi as _};
use crate::recorder::domain::ArtifactPattern;
use crate::snapshot::ImageName;

/// Spaces between two columns of the table.
const COLUMN_GAP: usize = 2;

/// Show which version of each repository runs in which environment
///
/// A version is the beginning of the commit if a pipeline reported it, otherwise the tag, otherwise the
/// beginning of the fingerprint; during a rollover there are several, the newest first. Below them are the
/// environments that have no snapshot yet (`without_snapshot` in JSON).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  envsnap matrix
  envsnap matrix aws-beta aws-prod
  envsnap matrix --name saver              which version of saver runs where")]
pub(super) struct Arguments {
    /// Only these environments
    #[arg(value_name = "ENVIRONMENT", value_parser = environment_name)]
    environments: Vec<String>,
    /// Only what is called so: a repository, or a name with * for anything, as in *run*
    #[arg(long, value_name = "NAME")]
    name: Option<ArtifactPattern>,
    #[command(flatten)]
    args: ServerArgs,
}

/// What runs of a repository in an environment, the newest first.
type Versions<'a> = BTreeMap<&'a str, Vec<&'a RecordedArtifact>>;

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { mut environments, name, args } = arguments;
    let connection = args.connect().await?;
    let listed = connection.client.environments(None).await?.document;
    if environments.is_empty() {
        let reported = listed.iter().filter(|it| it.environment_type != LOGICAL);
        environments = reported.map(|environment| environment.name.clone()).collect();
    }
    let mut names = BTreeSet::new();
    environments.retain(|name| names.insert(name.clone()));
    let find = |name: &str| listed.iter().find(|it| it.name == name);
    for name in &environments {
        if find(name).is_some_and(|it| it.environment_type == LOGICAL) {
            return Err(anyhow!(
                "{name} is a logical environment, which gets no reports: give the environments that \
                 it is made of"
            ));
        }
    }
    let snapshots: Vec<_> = stream::iter(&environments)
        .map(async |environment| {
            match connection.client.environment(environment, None).snapshot("-1").await {
                Ok(snapshot) => Ok(Some(snapshot)),
                Err(ApiError::NoSnapshotYet { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
        .buffered(MAX_CONCURRENT_REQUESTS)
        .collect()
        .await;
    let snapshots = snapshots.into_iter().collect::<Result<Vec<_>, _>>()?;
    let is_wanted = |artifact: &&RecordedArtifact| {
        let fingerprint = artifact.fingerprint.as_deref().unwrap_or_default();
        name.as_ref().is_none_or(|name| name.matches(fingerprint, &artifact.name))
    };
    let mut repositories: BTreeMap<&str, Versions<'_>> = BTreeMap::new();
    for (environment, snapshot) in environments.iter().zip(&snapshots) {
        let running = snapshot.iter().flat_map(RecordedSnapshot::running).filter(is_wanted);
        for artifact in running {
            let versions =
                repositories.entry(ImageName::new(&artifact.name).repository).or_default();
            versions.entry(environment).or_default().push(artifact);
        }
    }
    for versions in repositories.values_mut().flat_map(BTreeMap::values_mut) {
        versions.sort_by_key(|it| std::cmp::Reverse(it.creation_timestamp.last().copied()));
    }
    if environments.is_empty() {
        return Err(anyhow!("{} has no environment yet", replace_invisible(&connection.org)));
    }
    let pairs = environments.iter().zip(&snapshots);
    let without_snapshot: Vec<_> =
        pairs.filter(|(_, snapshot)| snapshot.is_none()).map(|(name, _)| name.as_str()).collect();
    let notes: String =
        without_snapshot.iter().map(|name| without_snapshot_note(name, find(name))).collect();
    print(&match args.output {
        OutputFormat::Json => json(&environments, &without_snapshot, &repositories)?,
        OutputFormat::Csv => {
            eprint(&notes);
            csv::list(&CSV_COLUMNS, &csv_rows(&repositories))?
        }
        format if !repositories.is_empty() => {
            text(&environments, &repositories, format == OutputFormat::Wide, &args.terminal())
                + &notes
        }
        _ if snapshots.iter().all(Option::is_none) => notes,
        _ if name.is_some() => format!("Nothing runs that is called so.\n{notes}"),
        _ => format!("Nothing runs.\n{notes}"),
    })?;
    Ok(())
}

/// Says what is known of an environment without a snapshot.
fn without_snapshot_note(name: &str, environment: Option<&Environment>) -> String {
    let is_reported = environment.is_some_and(|it| it.last_reported_at.is_some());
    let reason = if is_reported {
        "nothing has run there since its first report"
    } else {
        "nothing has run there, or nothing has reported it"
    };
    format!("({} has no snapshot yet: {reason})\n", replace_invisible(name))
}

/// The first 7 digits of the commit, or else the tag, or else the first 7 digits of the fingerprint.
fn version(artifact: &RecordedArtifact) -> String {
    let short = |text: &str| replace_invisible(&text.chars().take(7).collect::<String>());
    let not_empty = |text: &&str| !text.is_empty();
    let commit = artifact.git_commit.as_deref().filter(not_empty);
    let fingerprint = artifact.fingerprint.as_deref().filter(not_empty);
    match (commit, ImageName::new(&artifact.name).tag, fingerprint) {
        (Some(commit), ..) => short(commit),
        (None, Some(tag), _) => replace_invisible(tag),
        (None, None, Some(fingerprint)) => short(fingerprint),
        (None, None, None) => "unknown".to_owned(),
    }
}

/// One table, or several below each other if the terminal is too narrow for all environments.
fn text(
    environments: &[String],
    repositories: &BTreeMap<&str, Versions<'_>>,
    wide: bool,
    terminal: &Terminal,
) -> String {
    let cell = |versions: &Versions<'_>, environment: &str| match versions.get(environment) {
        Some(artifacts) => artifacts.iter().map(|it| version(it)).collect::<Vec<_>>().join("\n"),
        None => "-".to_owned(),
    };
    let first_width =
        repositories.keys().map(|it| replace_invisible(it).width()).max().unwrap_or(0);
    let first_width = first_width.max("REPOSITORY".len());
    let mut chunks: Vec<Vec<&str>> = vec![Vec::new()];
    let mut used = first_width;
    for environment in environments {
        let cells = repositories.values().flat_map(|versions| {
            cell(versions, environment).lines().map(UnicodeWidthStr::width).collect::<Vec<_>>()
        });
        let width =
            COLUMN_GAP + cells.max().unwrap_or(0).max(replace_invisible(environment).width());
        let is_full = !wide && used + width > terminal.width;
        if is_full && chunks.last().is_some_and(|chunk| !chunk.is_empty()) {
            chunks.push(Vec::new());
            used = first_width;
        }
        used += width;
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(environment);
        }
    }
    let tables: Vec<_> = chunks
        .iter()
        .map(|chunk| {
            let names: Vec<_> = chunk.iter().map(|name| replace_invisible(name)).collect();
            let mut header = vec!["REPOSITORY"];
            header.extend(names.iter().map(String::as_str));
            let rows = repositories.iter().map(|(repository, versions)| {
                let mut row = vec![replace_invisible(repository)];
                row.extend(chunk.iter().map(|environment| cell(versions, environment)));
                row
            });
            table(&header, rows)
        })
        .collect();
    tables.join("\n")
}

/// Of `-o csv`.
const CSV_COLUMNS: [Column; 8] = [
    Column::Text("repository", "/repository"),
    Column::Text("environment", "/environment"),
    Column::Text("version", "/artifact/version"),
    Column::Text("artifact", "/artifact/name"),
    Column::Text("fingerprint", "/artifact/fingerprint"),
    Column::Text("commit", "/artifact/git_commit"),
    Column::Time("started", "/artifact/started"),
    Column::Text("replicas", "/artifact/replicas"),
];

/// For CSV: a row for each version of a repository in an environment.
fn csv_rows(repositories: &BTreeMap<&str, Versions<'_>>) -> Vec<Value> {
    let mut rows = Vec::new();
    for (repository, versions) in repositories {
        for (environment, artifacts) in versions {
            rows.extend(artifacts.iter().map(|it| {
                json!({
                    "repository": repository, "environment": environment,
                    "artifact": artifact_json(it),
                })
            }));
        }
    }
    rows
}

fn artifact_json(it: &RecordedArtifact) -> Value {
    json!({
        "version": version(it), "name": it.name, "fingerprint": it.fingerprint,
        "git_commit": it.git_commit, "started": it.creation_timestamp.last(),
        "replicas": it.annotation.now,
    })
}

/// The versions by repository and environment, and the environments without a snapshot. It combines
/// several responses, so that there is no single document of the server's.
fn json(
    environments: &[String],
    without_snapshot: &[&str],
    repositories: &BTreeMap<&str, Versions<'_>>,
) -> serde_json::Result<String> {
    let repositories: Vec<_> = repositories
        .iter()
        .map(|(repository, versions)| {
            let versions: serde_json::Map<_, _> = versions
                .iter()
                .map(|(environment, artifacts)| {
                    let artifacts: Vec<Value> =
                        artifacts.iter().map(|it| artifact_json(it)).collect();
                    ((*environment).to_owned(), Value::from(artifacts))
                })
                .collect();
            json!({"repository": repository, "versions": versions})
        })
        .collect();
    let document = json!({
        "environments": environments, "without_snapshot": without_snapshot, "repositories": repositories,
    });
    Ok(escape_json(&serde_json::to_string_pretty(&document)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::tests::berlin;

    fn artifact(name: &str, commit: Option<&str>) -> RecordedArtifact {
        serde_json::from_value(json!({
            "name": name, "fingerprint": "9af401c4350b", "git_commit": commit,
            "creationTimestamp": [5], "annotation": {"type": "unchanged", "was": 1, "now": 1},
        }))
        .unwrap()
    }

    #[test]
    fn version_is_the_short_commit_or_else_the_tag_or_else_the_short_fingerprint() {
        for (name, commit, expected) in [
            ("ecr:5000/a/runner:1", Some("16d9990ad23a"), ("a/runner", "16d9990")),
            ("ecr:5000/a/runner:1@sha256:ab", None, ("a/runner", "1")),
            ("ecr:5000/a/runner", Some(""), ("a/runner", "9af401c")),
            ("runner@sha256:ab", None, ("runner", "9af401c")),
            ("", None, ("", "9af401c")),
        ] {
            let artifact = artifact(name, commit);
            let repository = ImageName::new(&artifact.name).repository;
            assert_eq!((repository, &*version(&artifact)), expected, "{name}");
        }
    }

    #[test]
    fn matrix_wider_than_the_terminal_is_split_into_several_tables() {
        let names: Vec<_> = (0..7).map(|it| format!("an-environment-{it}")).collect();
        let (one, other) = (artifact("web:1", None), artifact("web:2", None));
        let versions = Versions::from([(&*names[0], vec![&one, &other]), (&*names[6], vec![&one])]);
        let repositories = BTreeMap::from([("web", versions)]);
        let shown = text(&names, &repositories, false, &berlin());
        assert!(shown.lines().all(|line| line.width() <= 100), "{shown}");
        assert_eq!(shown.matches("REPOSITORY").count(), 2, "{shown}");
        assert!(shown.contains("\nweb         1                 -"), "{shown}");
        assert!(shown.contains("\n            2\n"), "{shown}");
        let wide = text(&names, &repositories, true, &berlin());
        assert_eq!(wide.matches("REPOSITORY").count(), 1, "{wide}");
    }
}
