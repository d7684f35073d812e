//! Whom the questions are put to.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

use super::screen::{Coloured, Screen};
use super::{Form, warn_of_misspelt_variables};
use crate::api::{ApiError, Client, LocalServer, is_loopback};
use crate::aws;
use crate::config::ServerConfig;
use crate::recorder::store::Store as _;
use crate::recorder::{LocalRecorder, SqliteStore};
use crate::report::{ErrorKind, Surroundings};
use crate::token::{self, TokenSetting, TokenSource};

const WHOM: &str = "Whom to ask";

/// What every question takes.
#[derive(Debug, clap::Args)]
pub(super) struct Asking {
    #[arg(
        long,
        global = true,
        value_name = "URL",
        help_heading = WHOM,
        help = "The snapshot server [default: KOSLI_HOST, or https://app.kosli.com]"
    )]
    host: Option<String>,
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        help_heading = WHOM,
        help = "The organization [default: KOSLI_ORG or KOSLI_OWNER]"
    )]
    org: Option<String>,
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = WHOM,
        help = "A file that holds the API token and nothing else [default: KOSLI_API_TOKEN, or the \
                SSM parameter in KOSLI_API_TOKEN_SSM_PARAMETER_ARN; on loopback none is needed]"
    )]
    token_file: Option<PathBuf>,
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = WHOM,
        conflicts_with_all = ["host", "token_file"],
        help = "Ask a recorder's file and no server; a recorder may write to it meanwhile. The \
                organization may be left out where the file has only one"
    )]
    db: Option<PathBuf>,
    /// How to print: a table, one with more columns that never wraps, or the server's JSON
    #[arg(short, long, global = true, value_enum, default_value_t = Form::Table)]
    pub(super) output: Form,
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value_t = Coloured::Auto,
        help = "When to use colours; NO_COLOR turns them off as well"
    )]
    pub(super) color: Coloured,
}

/// A server to ask.
pub(super) struct Asked {
    pub(super) client: Client,
    pub(super) org: String,
}

impl Asking {
    pub(super) fn screen(&self) -> Screen {
        Screen::of_this_process(self.color)
    }

    /// A recorder's file is asked, and no server.
    pub(super) fn reads_a_file(&self) -> bool {
        self.db.is_some()
    }

    /// The server that is meant, which has not been asked anything yet.
    pub(super) async fn connect(&self) -> anyhow::Result<Asked> {
        match &self.db {
            Some(file) => self.open(file).await,
            None => self.reach().await,
        }
    }

    async fn reach(&self) -> anyhow::Result<Asked> {
        warn_of_misspelt_variables();
        let given = self.token_file.as_deref().map(read_token).transpose()?;
        let config = ServerConfig::from_lookup(|variable| self.setting(variable, given.as_ref()))
            .map_err(|error| {
            anyhow!("{error} (--host, --org and --token-file take the place of the variables)")
        })?;
        let tokens = match &config.token {
            TokenSetting::Given(token) => TokenSource::Given(token.clone()),
            // Where no parameter is read, nobody looks for a region.
            setting @ TokenSetting::Parameter(_) => {
                let aws = aws::load_config().await?;
                TokenSource::new(setting, &aws)
            }
        };
        let client = Client::with_proxy(config.host, config.proxy, config.org.clone(), tokens)?;
        Ok(Asked { client, org: config.org })
    }

    /// What an option says, or the environment variable whose place it takes.
    fn setting(&self, variable: &str, token: Option<&SecretString>) -> Option<String> {
        match variable {
            "KOSLI_HOST" => self.host.clone().or_else(|| of_process(variable)),
            "KOSLI_ORG" => self.org.clone().or_else(|| of_process(variable)),
            "KOSLI_OWNER" if self.org.is_some() => None,
            "KOSLI_API_TOKEN" => match token {
                Some(token) => Some(token.expose_secret().to_owned()),
                None => of_process(variable).or_else(|| self.token_of_none()),
            },
            "KOSLI_API_TOKEN_SSM_PARAMETER_ARN" if token.is_some() => None,
            _ => of_process(variable),
        }
    }

    /// A server on this machine may ask for no token, and then takes any.
    fn token_of_none(&self) -> Option<String> {
        let host = self.host.clone().or_else(|| of_process("KOSLI_HOST"))?;
        let is_set = of_process("KOSLI_API_TOKEN_SSM_PARAMETER_ARN").is_some();
        let is_here = host.trim().parse::<Url>().is_ok_and(|host| is_loopback(&host));
        (is_here && !is_set).then(|| "no-token-was-given".to_owned())
    }

    /// The recorder's own answers, in this process: so there is one way to every answer.
    async fn open(&self, file: &Path) -> anyhow::Result<Asked> {
        let store = SqliteStore::open_to_read(file)?;
        let asked = self.org.clone().or_else(|| of_process("KOSLI_ORG"));
        let asked = asked.or_else(|| of_process("KOSLI_OWNER"));
        let org = organization(file, &store.organizations().await?, asked)?;
        let recorder = LocalRecorder::new(store)?;
        let local = LocalServer::new(move |request| {
            let recorder = recorder.clone();
            Box::pin(async move { recorder.answer(request).await })
        });
        // Neither of them is looked at.
        let (host, token) = ("http://localhost".parse()?, "none".to_owned().into());
        let client = Client::new(host, org.clone(), TokenSource::Given(token))?.with_local(local);
        Ok(Asked { client, org })
    }
}

/// The organization in a file that is asked about: the one that was named, or the only one.
fn organization(file: &Path, known: &[String], asked: Option<String>) -> anyhow::Result<String> {
    let shown = file.display();
    match (known, asked) {
        ([], _) => bail!("{shown} holds no environment yet"),
        (_, Some(asked)) if known.contains(&asked) => Ok(asked),
        (_, Some(asked)) => bail!(
            "{shown} holds no environment of organization \"{asked}\" (from --org or KOSLI_ORG), \
             but of {}",
            known.join(", ")
        ),
        ([only], None) => Ok(only.clone()),
        (_, None) => bail!(
            "{shown} holds environments of several organizations: say with --org which one is \
             meant: {}",
            known.join(", ")
        ),
    }
}

/// A variable that is set to something.
pub(super) fn of_process(variable: &str) -> Option<String> {
    let value = std::env::var_os(variable)?.to_string_lossy().into_owned();
    (!value.trim().is_empty()).then_some(value)
}

fn read_token(file: &Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the token file {}", file.display()))?;
    token::checked(text).map_err(|problem| {
        anyhow!(
            "{} should hold the API token and nothing else (not a line of the file that envsnap serve \
             reads), but it {problem}",
            file.display()
        )
    })
}

/// What went wrong, for who asked a question and reports nothing.
pub(super) fn explained(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<ApiError>() {
        Some(ApiError::EnvironmentNotFound { message, .. }) => {
            anyhow!("{message} (envsnap env ls lists those that exist)")
        }
        Some(ApiError::Rejected { status, message, .. }) if message.contains("len(snapshots)") => {
            anyhow!("There is no such snapshot: {status}: {message}")
        }
        Some(api) => {
            let remedy = ErrorKind::from(api).remedy(Surroundings::Terminal);
            anyhow!("{error:#}. {remedy}")
        }
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_one_organization_needs_no_name() {
        let known = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let of = |names: &[&str], asked: Option<&str>| {
            let asked = asked.map(str::to_owned);
            organization(Path::new("x.db"), &known(names), asked).map_err(|e| e.to_string())
        };
        assert_eq!(of(&["acme"], None), Ok("acme".to_owned()));
        assert_eq!(of(&["acme", "other"], Some("other")), Ok("other".to_owned()));
        for (names, asked, said) in [
            (&["acme", "other"][..], None, "--org which one is meant: acme, other"),
            (
                &["acme"],
                Some("cyber-dojo"),
                "\"cyber-dojo\" (from --org or KOSLI_ORG), but of acme",
            ),
            (&[], None, "x.db holds no environment yet"),
        ] {
            let error = of(names, asked).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
