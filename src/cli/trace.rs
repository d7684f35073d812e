//! `envsnap trace`: from a commit to what runs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::json;

use super::artifact::{card, fetch_reported_artifacts, git, hex_digits, resolve_commit, runs_of};
use super::escape::{escape_json, replace_invisible};
use super::server_args::{Connection, ServerArgs};
use super::terminal::Terminal;
use super::{OutputFormat, print};
use crate::api::wire::{FlowArtifact, FoundArtifact};
use crate::recorder::text::pluralize;

/// Later commits that are searched for an artifact: each costs a request.
const MAX_LATER_COMMITS: usize = 200;

/// Show what became of a commit: artifacts, evidence, deployments, and where it runs or ran
///
/// Not every commit has an artifact of its own. With --git, the next later commit of that repository is
/// shown that contains it and has one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  envsnap trace 16d9990
  envsnap trace HEAD~3 --git .")]
pub(super) struct Arguments {
    /// The commit: 5 digits of it or more; with --git any name that git knows
    #[arg(value_name = "COMMIT")]
    commit: String,
    /// A git repository, to look for the later commit that contains it
    #[arg(long, value_name = "DIR")]
    git: Option<PathBuf>,
    #[command(flatten)]
    args: ServerArgs,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { commit, git, args } = arguments;
    args.refuse_csv()?;
    let commit = match &git {
        Some(directory) => resolve_commit(directory, &commit)?,
        None => match hex_digits(&commit, "commit") {
            Ok(digits) => digits,
            Err(problem) => bail!("{problem}, or by any name that git knows with --git DIR"),
        },
    };
    let connection = args.connect().await?;
    let mut found = artifacts_built_from(&connection, &commit).await?;
    let mut later = None;
    if let (true, Some(directory)) = (found.is_empty(), &git) {
        (found, later) = first_later_commit_with_artifact(&connection, directory, &commit).await?;
    }
    if found.is_empty() {
        let org = replace_invisible(&connection.org);
        match git {
            Some(_) => bail!(
                "no pipeline of {org} has reported an artifact of commit {commit}, nor of a later one \
                 that contains it"
            ),
            None => bail!(
                "no pipeline of {org} has reported an artifact of commit {commit}. If a later commit \
                 contains it, --git DIR finds that in a local repository"
            ),
        }
    }
    let artifacts = fetch_reported_artifacts(&connection, &found).await?;
    let terminal = args.terminal();
    let mut documents = Vec::new();
    let mut cards = Vec::new();
    for artifact in &artifacts {
        let (runs, runs_json) = runs_of(&connection, &artifact.fingerprint, &terminal).await?;
        let mut document = serde_json::to_value(artifact)?;
        document["runs"] = runs_json;
        documents.push(document);
        cards.push(text(artifact, runs.as_deref(), &terminal));
    }
    print(&if args.output == OutputFormat::Json {
        let document = json!({
            "commit": commit, "later_commit": later.as_ref().map(|later| &later.commit),
            "artifacts": documents,
        });
        escape_json(&serde_json::to_string_pretty(&document)?)
    } else {
        let heading = later.map(|later| later.heading(&commit)).unwrap_or_default();
        format!("{heading}{}", cards.join("\n"))
    })?;
    Ok(())
}

/// An artifact's card, and the environments where it ran, if the server says them in `runs`.
fn text(artifact: &FlowArtifact, runs: Option<&str>, terminal: &Terminal) -> String {
    let card = card(artifact, true, terminal);
    match runs {
        Some("") => format!("{card}Environments: none: it never ran\n"),
        Some(runs) => format!("{card}Environments:\n{runs}"),
        // Its history says where it started and exited.
        None => card,
    }
}

/// The artifacts of the commit that begins with these digits.
async fn artifacts_built_from(
    connection: &Connection,
    digits: &str,
) -> anyhow::Result<Vec<FoundArtifact>> {
    let mut found = connection.client.search(digits).await?.document.artifacts;
    found.retain(|artifact| artifact.git_commit.starts_with(digits));
    if let Some(other) = found.windows(2).find(|two| two[0].git_commit != two[1].git_commit) {
        bail!(
            "several commits begin with {digits}: {} and {}, for example. Give more digits",
            replace_invisible(&other[0].git_commit),
            replace_invisible(&other[1].git_commit)
        );
    }
    Ok(found)
}

/// The first commit after the requested one that contains it and has an artifact.
struct LaterCommit {
    commit: String,
    /// How many commits after the requested one.
    distance: usize,
}

impl LaterCommit {
    fn heading(&self, commit: &str) -> String {
        format!(
            "Commit {commit} has no artifact of its own.\nThe first one after it that contains it and has \
             one, {} later:\n\n",
            pluralize(u64::try_from(self.distance).unwrap_or(u64::MAX), "commit")
        )
    }
}

/// Searches the later commits that contain `commit`, the nearest first, for one with an artifact.
async fn first_later_commit_with_artifact(
    connection: &Connection,
    directory: &Path,
    commit: &str,
) -> anyhow::Result<(Vec<FoundArtifact>, Option<LaterCommit>)> {
    let excluded = format!("^{commit}");
    let arguments =
        ["rev-list", "--topo-order", "--reverse", "--ancestry-path", "--all", "HEAD", &excluded];
    let listed = git(directory, &arguments).context("cannot list the later commits")?;
    for (number, later) in listed.lines().enumerate() {
        if number == MAX_LATER_COMMITS {
            bail!(
                "none of the {MAX_LATER_COMMITS} commits after {commit} has an artifact, and no more were \
                 looked at. Give a later commit"
            );
        }
        let found = artifacts_built_from(connection, later).await?;
        if !found.is_empty() {
            let later = LaterCommit { commit: later.to_owned(), distance: number + 1 };
            return Ok((found, Some(later)));
        }
    }
    Ok((Vec::new(), None))
}
