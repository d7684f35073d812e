//! The options that select a server, and the connection to it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::builder::NonEmptyStringValueParser;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

use super::terminal::{ColourChoice, Terminal};
use super::{OutputFormat, eprint, no_csv_error, warn_of_misspelt_variables};
use crate::api::{ApiError, Client, LocalServer, is_loopback};
use crate::aws;
use crate::config::ServerConfig;
use crate::recorder::proof::{Summary, is_bundle, open_bundle};
use crate::recorder::store::Store as _;
use crate::recorder::text::{pluralize, replace_invisible};
use crate::recorder::{LocalRecorder, SqliteStore};
use crate::report::{ErrorKind, RemedyContext};
use crate::token::{self, TokenSetting, TokenSource};

/// In the server's message that there is no such snapshot, before the number of snapshots.
const SNAPSHOT_COUNT: &str = "len(snapshots) == ";

/// Above the options that select a server.
const HELP_HEADING: &str = "Server";

/// Options of every command that queries a server and prints the answer.
#[derive(Debug, clap::Args)]
pub(super) struct ServerArgs {
    #[command(flatten)]
    pub(super) server: ConnectionArgs,
    /// How to print: a table, one with more columns that never wraps, the server's JSON, or
    /// a list as CSV
    #[arg(short, long, global = true, value_enum, default_value_t = OutputFormat::Table)]
    pub(super) output: OutputFormat,
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value_t = ColourChoice::Auto,
        help = "When to use colours; NO_COLOR turns them off as well"
    )]
    pub(super) color: ColourChoice,
}

/// Options that select a server.
#[derive(Debug, clap::Args)]
pub(super) struct ConnectionArgs {
    #[arg(
        long,
        global = true,
        value_name = "URL",
        value_parser = NonEmptyStringValueParser::new(),
        help_heading = HELP_HEADING,
        help = "The snapshot server [default: KOSLI_HOST, or https://app.kosli.com]"
    )]
    host: Option<String>,
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        value_parser = NonEmptyStringValueParser::new(),
        help_heading = HELP_HEADING,
        help = "The organization [default: KOSLI_ORG or KOSLI_OWNER]"
    )]
    org: Option<String>,
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = HELP_HEADING,
        help = "A file that holds the API token and nothing else [default: KOSLI_API_TOKEN, or the \
                SSM parameter in KOSLI_API_TOKEN_SSM_PARAMETER_ARN; on loopback none is needed]"
    )]
    token_file: Option<PathBuf>,
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = HELP_HEADING,
        conflicts_with_all = ["host", "token_file"],
        help = "Read a recorder's file or a proof bundle instead of a server; a recorder may write to its \
                file meanwhile. The organization may be left out if the file has only one"
    )]
    db: Option<PathBuf>,
}

/// A client of the selected server, or of a recorder in this process, and the organization.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) org: String,
}

impl ServerArgs {
    /// # Errors
    /// CSV was requested. Called by commands that do not print a list.
    pub(super) fn refuse_csv(&self) -> anyhow::Result<()> {
        if self.output == OutputFormat::Csv { Err(no_csv_error()) } else { Ok(()) }
    }

    pub(super) fn terminal(&self) -> Terminal {
        Terminal::detect(self.color)
    }

    /// See [`ConnectionArgs::connect`].
    pub(super) async fn connect(&self) -> anyhow::Result<Connection> {
        self.server.connect().await
    }

    /// See [`ConnectionArgs::connect_to_write`].
    pub(super) async fn connect_to_write(&self) -> anyhow::Result<Connection> {
        self.server.connect_to_write().await
    }
}

impl ConnectionArgs {
    /// The selected server. No request is sent yet.
    pub(super) async fn connect(&self) -> anyhow::Result<Connection> {
        match &self.db {
            Some(file) => self.open_database(file).await,
            None => self.connect_to_server().await,
        }
    }

    /// The file to read, if it is a proof bundle.
    pub(super) fn bundle(&self) -> Option<&Path> {
        self.db.as_deref().filter(|file| is_bundle(file))
    }

    /// The selected server, for a command that changes something there.
    pub(super) async fn connect_to_write(&self) -> anyhow::Result<Connection> {
        if let Some(bundle) = self.bundle() {
            bail!("{} is a proof bundle: nothing in it can be changed", bundle.display());
        }
        if self.db.is_some() {
            bail!(
                "--db only reads a file. Start 'envsnap serve' with the file, and name the server with --host"
            );
        }
        self.connect().await
    }

    async fn connect_to_server(&self) -> anyhow::Result<Connection> {
        warn_of_misspelt_variables();
        let given = self.token_file.as_deref().map(read_token).transpose()?;
        let config = ServerConfig::from_lookup(|variable| self.setting(variable, given.as_ref()))
            .map_err(|error| {
            anyhow!("{error} (--host, --org and --token-file take the place of the variables)")
        })?;
        let tokens = match &config.token {
            TokenSetting::Given(token) => TokenSource::Given(token.clone()),
            // A region is only needed to read the parameter.
            setting @ TokenSetting::Parameter(_) => {
                let aws = aws::load_config().await?;
                TokenSource::new(setting, &aws)
            }
        };
        let client = Client::with_proxy(config.host, config.proxy, config.org.clone(), tokens)?;
        Ok(Connection { client, org: config.org })
    }

    /// The value of an option, or of the environment variable that it replaces.
    fn setting(&self, variable: &str, token: Option<&SecretString>) -> Option<String> {
        match variable {
            "KOSLI_HOST" => self.host.clone().or_else(|| env_var(variable)),
            "KOSLI_ORG" => self.org.clone().or_else(|| env_var(variable)),
            "KOSLI_OWNER" if self.org.is_some() => None,
            "KOSLI_API_TOKEN" => match token {
                Some(token) => Some(token.expose_secret().to_owned()),
                None => env_var(variable).or_else(|| self.loopback_token()),
            },
            "KOSLI_API_TOKEN_SSM_PARAMETER_ARN" if token.is_some() => None,
            _ => env_var(variable),
        }
    }

    /// A placeholder: a server on loopback may need no token, and then accepts any.
    fn loopback_token(&self) -> Option<String> {
        let host = self.host.clone().or_else(|| env_var("KOSLI_HOST"))?;
        let is_set = env_var("KOSLI_API_TOKEN_SSM_PARAMETER_ARN").is_some();
        let is_here = host.trim().parse::<Url>().is_ok_and(|host| is_loopback(&host));
        (is_here && !is_set).then(|| "no-token-was-given".to_owned())
    }

    /// Runs the recorder's own handlers on `file` in this process, so that every command has one code
    /// path.
    async fn open_database(&self, file: &Path) -> anyhow::Result<Connection> {
        let store = if is_bundle(file) {
            let (summary, store) = open_bundle(file).await?;
            eprint(&bundle_note(file, &summary));
            store
        } else {
            SqliteStore::open_to_read(file)?
        };
        let requested = self.org.clone().or_else(|| env_var("KOSLI_ORG"));
        let requested = requested.or_else(|| env_var("KOSLI_OWNER"));
        let org = organization(file, &store.organizations().await?, requested)?;
        let recorder = LocalRecorder::new(store)?;
        let local = LocalServer::new(move |request| {
            let recorder = recorder.clone();
            Box::pin(async move { recorder.answer(request).await })
        });
        // Neither is used.
        let (host, token) = ("http://localhost".parse()?, "none".to_owned().into());
        let client = Client::new(host, org.clone(), TokenSource::Given(token))?.with_local(local);
        Ok(Connection { client, org })
    }
}

/// Says that the answer is from a proof bundle, with which entry that ends, and how to check it.
fn bundle_note(file: &Path, summary: &Summary) -> String {
    format!(
        "{} is a proof bundle, and consistent with itself. Its ledger ends with entry {}, recorded at {}: \
         later reports are not in it. envsnap verify with --head or --public-key shows whether it is the \
         recorder's.\n",
        replace_invisible(&file.display().to_string()),
        summary.head.head.seq,
        summary.head_recorded_at.rfc3339()
    )
}

/// The organization in a database file: the requested one, or the only one.
fn organization(
    file: &Path,
    known: &[String],
    requested: Option<String>,
) -> anyhow::Result<String> {
    let path = file.display();
    match (known, requested) {
        ([], _) => bail!(
            "{path} holds no environment yet. Report to the recorder that writes it first, or give \
             another file"
        ),
        (_, Some(requested)) if known.contains(&requested) => Ok(requested),
        (_, Some(requested)) => bail!(
            "{path} holds no environment of organization \"{requested}\" (from --org or KOSLI_ORG), \
             but of {}",
            known.join(", ")
        ),
        ([only], None) => Ok(only.clone()),
        (_, None) => bail!(
            "{path} holds environments of several organizations: {}. Select one with --org",
            known.join(", ")
        ),
    }
}

/// The value of an environment variable, unless it is blank.
pub(super) fn env_var(variable: &str) -> Option<String> {
    let value = std::env::var_os(variable)?.to_string_lossy().into_owned();
    (!value.trim().is_empty()).then_some(value)
}

fn read_token(file: &Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the token file {}", file.display()))?;
    token::validate(text).map_err(|problem| {
        anyhow!(
            "{} should hold the API token and nothing else (not a line of the file that envsnap serve \
             reads), but it {problem}",
            file.display()
        )
    })
}

/// Adds a hint for users of query commands.
pub(super) fn with_hint(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<ApiError>() {
        Some(ApiError::EnvironmentNotFound { message, archived: true, .. }) => anyhow!(
            "{message}. envsnap env create restores it, and envsnap proof makes a bundle of its history"
        ),
        Some(ApiError::EnvironmentNotFound { message, .. }) => not_found_with_hint(message),
        Some(ApiError::Rejected { status, message, .. }) if message.contains(SNAPSHOT_COUNT) => {
            match snapshot_and_count(message) {
                Some((snapshot, _)) if snapshot.contains('@') => anyhow!(
                    "there is no such snapshot: {snapshot} is before the environment's first one. envsnap \
                     env log lists all"
                ),
                Some((snapshot, count)) => anyhow!(
                    "there is no such snapshot: {snapshot}. The environment has {}, which envsnap env log \
                     lists",
                    pluralize(count, "snapshot")
                ),
                None => anyhow!("there is no such snapshot: {status}: {message}"),
            }
        }
        Some(api @ ApiError::NoSnapshotYet { message }) => {
            let remedy = ErrorKind::from(api).remedy(RemedyContext::Terminal);
            match snapshot_and_count(message) {
                Some((snapshot, _)) => {
                    let environment = snapshot.split(['#', '~', '@']).next().unwrap_or_default();
                    anyhow!("there is no snapshot of {environment} yet. {remedy}")
                }
                None => anyhow!("{error:#}. {remedy}"),
            }
        }
        Some(api) => {
            let remedy = ErrorKind::from(api).remedy(RemedyContext::Terminal);
            anyhow!("{error:#}. {remedy}")
        }
        None => error,
    }
}

/// The snapshot that a request named, and how many the environment has, from the server's message that
/// there is no such snapshot.
fn snapshot_and_count(message: &str) -> Option<(&str, usize)> {
    let (snapshot, _) = message.split_once("Snapshot '")?.1.split_once("' resolves to")?;
    let count = message.split_once(SNAPSHOT_COUNT)?.1;
    let digits = count.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((snapshot, digits.parse().ok()?))
}

/// The server's message that something does not exist, and the command that lists what does.
fn not_found_with_hint(message: &str) -> anyhow::Error {
    let remedy = match message.split_whitespace().next() {
        Some("Flow") => "envsnap pipeline ls lists the pipelines that exist",
        Some("Artifact") => {
            "envsnap artifact ls PIPELINE lists those of a pipeline, and envsnap trace COMMIT looks in all"
        }
        Some("Allowance") => "envsnap allow --list lists those that exist, with their ids",
        Some("Trail") => "the first report to a trail makes it",
        _ => "envsnap env ls lists those that exist",
    };
    anyhow!("{message}. {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_without_such_a_snapshot_names_it_and_the_number_of_snapshots() {
        let message = |text: &str| {
            let (url, operation) = (String::new(), String::new());
            let (status, message) = (reqwest::StatusCode::NOT_FOUND, text.to_owned());
            let error = ApiError::Rejected { operation, url, status, message };
            with_hint(error.into()).to_string()
        };
        for (text, expected) in [
            (
                "Org: 'o'. Snapshot 'e~9' resolves to 'e#-4'. len(snapshots) == 5. Indexes are 1-based",
                "e~9. The environment has 5 snapshots, which",
            ),
            (
                "Org: 'o'. Snapshot 'e@{4.months.ago}' resolves to 'e#0'. len(snapshots) == 1.",
                "e@{4.months.ago} is before the environment's first one. ",
            ),
            ("len(snapshots) == many", "404 Not Found: len(snapshots) == many"),
        ] {
            let message = message(text);
            let expected = format!("there is no such snapshot: {expected}");
            assert!(message.starts_with(&expected), "{message}");
        }
    }

    #[test]
    fn database_file_with_one_organization_needs_no_org_option() {
        let known = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let of = |names: &[&str], requested: Option<&str>| {
            let requested = requested.map(str::to_owned);
            organization(Path::new("x.db"), &known(names), requested).map_err(|e| e.to_string())
        };
        assert_eq!(of(&["acme"], None), Ok("acme".to_owned()));
        assert_eq!(of(&["acme", "other"], Some("other")), Ok("other".to_owned()));
        for (names, requested, expected) in [
            (
                &["acme", "other"][..],
                None,
                "several organizations: acme, other. Select one with --org",
            ),
            (
                &["acme"],
                Some("cyber-dojo"),
                "\"cyber-dojo\" (from --org or KOSLI_ORG), but of acme",
            ),
            (&[], None, "x.db holds no environment yet"),
        ] {
            let error = of(names, requested).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
