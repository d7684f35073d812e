//! `envsnap artifact`: where an artifact runs and ran.

mod runs;
mod shown;

use anyhow::bail;
use clap::Subcommand;
use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::asking::{Asked, Asking};
use super::screen::Screen;
use super::visible::visible;
use super::{Form, complain, print};
use crate::api::wire::Environment;
use crate::api::{ApiError, ServerApi as _};
use crate::recorder::domain::ArtifactPattern as Pattern;
use crate::recorder::text::counted;
use envsnap_model::duration::parse_span;
use envsnap_model::time::parse_time;
use runs::{Identity, Place, Run, runs};

/// The most changes that are looked at in an environment, unless it is said.
const DEFAULT_LIMIT: u32 = 5_000;

/// Environments that are asked about at once.
const AT_ONCE: usize = 4;

/// An environment of environments, whose own are listed beside it.
const LOGICAL: &str = "logical";

/// Ask where an artifact runs or ran
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    asking: Asking,
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, Subcommand)]
enum Question {
    Where(Where),
}

/// Show every environment where an artifact runs or ran, from and to which snapshot
///
/// Of every environment of the organization that is not archived. A recorder of this project looks at
/// all history; of another server, latest first as far back as --limit and --since allow, and where an
/// earlier part of a history was not looked at, that is said.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
ARTIFACT is
  9af401c             the beginning of a fingerprint, 5 hexadecimal digits or more
  runner              a repository, the last part of an image's name
  cyberdojo/runner    the same with more parts, up to the whole name
  runner:16d9990      with its tag
  16d9990             a tag alone, or the beginning of one that is a commit
  'run*:16d*'         with * for anything, in quotes
What may be a fingerprint and a tag is looked for as both.

Examples:
  envsnap artifact where 9af401c
  envsnap artifact where runner --since 30d
  envsnap artifact where '*-start-points' -o json")]
struct Where {
    /// The artifact, by fingerprint or name
    #[arg(value_name = "ARTIFACT")]
    artifact: Pattern,
    /// Look only at what changed since then: 12h, 30d, 6mo or a date like 2022-08-22
    #[arg(long, value_name = "AGE|DATE", value_parser = since)]
    since: Option<Timestamp>,
    /// The most changes to look at in each environment
    #[arg(long, value_name = "N", default_value_t = DEFAULT_LIMIT, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

fn since(text: &str) -> Result<Timestamp, String> {
    const WANTED: &str = "it should be an age like 12h, 30d or 6mo, or a date like 2022-08-22";
    let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
    let before_now = || {
        let age = parse_span(text).filter(|age| age.is_positive())?;
        Some(Timestamp::now().to_zoned(zone.clone()).checked_sub(age).ok()?.timestamp())
    };
    parse_time(text, &zone).or_else(before_now).ok_or_else(|| WANTED.to_owned())
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { asking, question: Question::Where(wanted) } = arguments;
    let asked = asking.connect().await?;
    let environments = asked.client.environments(None).await?.document;
    let count = environments.len();
    let screen = asking.screen();
    let shown_environments =
        format!("{} of {}", counted(count, "environment"), visible(&asked.org));
    if asked.client.tells_artifact_runs() {
        let runs = asked.client.artifact_runs(wanted.artifact.as_str(), None).await?;
        let since =
            wanted.since.map_or(f64::NEG_INFINITY, |since| since.as_duration().as_secs_f64());
        let found = runs::places(&runs, since);
        return show(&found, &wanted.artifact, &shown_environments, asking.output, &screen);
    }
    let places: Vec<_> = stream::iter(&environments)
        .filter(|environment| std::future::ready(environment.environment_type != LOGICAL))
        .map(|environment| place(&asked, environment, &wanted))
        .buffered(AT_ONCE)
        .collect()
        .await;

    let mut found = Vec::new();
    let mut failures = Vec::new();
    for place in places {
        match place {
            Ok(place) => found.push(place),
            Err((name, error)) => failures.push(format!("{}: {error}", visible(&name))),
        }
    }
    show(&found, &wanted.artifact, &shown_environments, asking.output, &screen)?;
    tell_cuts(&found, &screen);
    if !failures.is_empty() {
        bail!("not every environment could be looked at: {}", failures.join("\n"));
    }
    Ok(())
}

fn show(
    found: &[Place],
    wanted: &Pattern,
    environments: &str,
    form: Form,
    screen: &Screen,
) -> anyhow::Result<()> {
    print(&match form {
        Form::Json => shown::json(found)?,
        _ => shown::text(found, wanted, environments, screen),
    })?;
    Ok(())
}

/// Shows the snapshots of one environment that contain an artifact, as ranges.
pub(super) async fn show_in_environment(
    asking: &Asking,
    environment: &str,
    wanted: &Pattern,
) -> anyhow::Result<()> {
    let asked = asking.connect().await?;
    let described = asked.client.environment(environment, None).described().await?.document;
    let found = if asked.client.tells_artifact_runs() {
        let runs = asked.client.artifact_runs(wanted.as_str(), Some(environment)).await?;
        runs::places(&runs, f64::NEG_INFINITY)
    } else {
        let most = Where { artifact: wanted.clone(), since: None, limit: DEFAULT_LIMIT };
        vec![place(&asked, &described, &most).await.map_err(|(_, error)| error)?]
    };
    let (shown, screen) = (visible(environment), asking.screen());
    show(&found, wanted, &shown, asking.output, &screen)?;
    tell_cuts(&found, &screen);
    Ok(())
}

/// Where it ran in one environment.
async fn place(
    asked: &Asked,
    environment: &Environment,
    wanted: &Where,
) -> Result<Place, (String, ApiError)> {
    let name = &environment.name;
    let failed = |error| (name.clone(), error);
    let client = asked.client.environment(name, None);
    let latest = match client.shown("-1").await {
        Err(ApiError::NoSnapshotYet { .. }) => return Ok(Place::empty(name)),
        answer => answer.map_err(failed)?.document,
    };
    // What is recorded meanwhile moves nothing to another page.
    let interval = format!("1..{}", latest.index);
    let since = wanted.since.map_or(f64::NEG_INFINITY, |since| since.as_duration().as_secs_f64());
    let most = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
    let events = client.latest_events(&interval, since, most).await.map_err(failed)?;
    Ok(runs(name, &latest, &events, &wanted.artifact))
}

fn tell_cuts(places: &[Place], screen: &Screen) {
    for place in places {
        if let Some((index, time)) = place.looked_back_to {
            complain(&format!(
                "{}: not looked at before #{index}, {} (--limit, --since).\n",
                visible(&place.environment),
                screen.moment(time)
            ));
        }
    }
}
