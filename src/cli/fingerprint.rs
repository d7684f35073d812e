//! `envsnap fingerprint`: what identifies a file, a directory or an image.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::ValueEnum;
use secrecy::SecretString;
use serde::Serialize;

use super::server_args::env_var;
use super::{ReportFormat, eprint, print};
use crate::fingerprint::{fingerprint_directory, fingerprint_file, split_patterns};
use crate::redact::redact_known;
use crate::registry::{self, CredentialSource, Credentials, Reference};
use crate::snapshot::Fingerprint;
use envsnap_model::duration::parse_duration;

const REGISTRY_USERNAME_VARIABLE: &str = "KOSLI_REGISTRY_USERNAME";
const REGISTRY_PASSWORD_VARIABLE: &str = "KOSLI_REGISTRY_PASSWORD";

/// Print the fingerprint of a file, a directory or an image
///
/// It is the one that kosli fingerprint prints. A path that exists is a file or a directory, anything
/// else an image, whose digest is fetched from its registry: that of the index if the image has one for
/// several platforms. An image that is given with its digest is not looked up.
///
/// A directory's fingerprint covers names and contents, hidden files too, but no modes, owners or times.
/// Of a link to a file the content counts, of a link to a directory its text.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each line of a file .kosli_ignore in a directory is a pattern, as with --exclude.

A registry that requires a user gets --registry-username and the password \
in KOSLI_REGISTRY_PASSWORD, or else what docker login keeps in Docker's config.json (DOCKER_CONFIG, \
~/.docker), its credential helpers included.

Examples:
  envsnap fingerprint target/release/server
  envsnap fingerprint site --exclude logs --exclude '**/*.map'
  envsnap fingerprint nginx:1.29
  envsnap fingerprint 274425519734.dkr.ecr.eu-central-1.amazonaws.com/runner:16d9990 -o json"
)]
pub(super) struct Arguments {
    /// A file, a directory, or an image as docker pull takes it
    #[arg(value_name = "FILE|DIR|IMAGE")]
    artifact: OsString,
    /// What it is [default: a path if it exists, otherwise an image]
    #[arg(short = 't', long = "type", value_enum, value_name = "TYPE")]
    kind: Option<ArtifactKind>,
    #[arg(
        short = 'x',
        long,
        value_name = "GLOB",
        help = "Leave out what matches, relative to the directory: *, ?, [a-z], [^a-z] within a name, \
                ** across directories; may be repeated, or separated by commas"
    )]
    exclude: Vec<OsString>,
    #[arg(
        long,
        value_name = "NAME",
        help = "The user of the registry [default: KOSLI_REGISTRY_USERNAME]"
    )]
    registry_username: Option<String>,
    #[arg(
        long,
        value_name = "PASSWORD",
        value_parser = |text: &str| Ok::<SecretString, std::convert::Infallible>(text.into()),
        help = "The password, or an access token [default: KOSLI_REGISTRY_PASSWORD, which other users of \
                the machine cannot read]"
    )]
    registry_password: Option<SecretString>,
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "30s",
        value_parser = positive_duration,
        help = "How long to wait for the registry, altogether"
    )]
    timeout: Duration,
    /// How to print: the 64 digits alone, or JSON
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table, hide_possible_values = true)]
    output: ReportFormat,
    /// The same as -o json
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ArtifactKind {
    /// The content of a file
    File,
    /// The names and contents in a directory
    Dir,
    /// A registry's digest of an image
    Image,
}

/// The document of `-o json`.
#[derive(Serialize)]
struct Document<'a> {
    artifact: &'a str,
    r#type: ArtifactKind,
    fingerprint: Fingerprint,
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| "expected a duration such as 30s or 2m".to_owned())
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let kind = match arguments.kind {
        Some(kind) => kind,
        None => detect_kind(Path::new(&arguments.artifact))?,
    };
    // A registry may repeat in its answers what it was sent.
    let fingerprint = fingerprint(&arguments, kind)
        .await
        .map_err(|error| anyhow!("{}", redact_known(&format!("{error:#}"))))?;
    let shown = if arguments.json || arguments.output == ReportFormat::Json {
        let artifact = &*arguments.artifact.to_string_lossy();
        serde_json::to_string_pretty(&Document { artifact, r#type: kind, fingerprint })? + "\n"
    } else {
        format!("{fingerprint}\n")
    };
    print(&shown)?;
    Ok(())
}

/// The fingerprint of a file, a directory or an image, as this command would print it.
pub(super) async fn fingerprint_of(
    artifact: OsString,
    kind: Option<ArtifactKind>,
    exclude: Vec<OsString>,
) -> anyhow::Result<Fingerprint> {
    let kind = match kind {
        Some(kind) => kind,
        None => detect_kind(Path::new(&artifact))?,
    };
    let arguments = Arguments {
        artifact,
        kind: Some(kind),
        exclude,
        registry_username: None,
        registry_password: None,
        timeout: Duration::from_secs(30),
        output: ReportFormat::Table,
        json: false,
    };
    let found = fingerprint(&arguments, kind).await;
    found.map_err(|error| anyhow!("{}", redact_known(&format!("{error:#}"))))
}

/// The kind of an artifact without `--type`: a file or directory if `path` exists, else an image.
fn detect_kind(path: &Path) -> anyhow::Result<ArtifactKind> {
    let looks_like_path = path.as_os_str().as_bytes().starts_with(b".")
        || path.is_absolute()
        || path.as_os_str().as_bytes().ends_with(b"/");
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(if path.is_dir() { ArtifactKind::Dir } else { ArtifactKind::File }),
        Err(error) if looks_like_path => {
            Err(error).with_context(|| format!("cannot read {}", path.display()))
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(ArtifactKind::File),
        Err(_) => Ok(ArtifactKind::Image),
    }
}

async fn fingerprint(arguments: &Arguments, kind: ArtifactKind) -> anyhow::Result<Fingerprint> {
    let path = Path::new(&arguments.artifact);
    if kind != ArtifactKind::Dir && !arguments.exclude.is_empty() {
        bail!("--exclude is for directories, and {} is none", path.display());
    }
    let names_user = arguments.registry_username.is_some() || arguments.registry_password.is_some();
    if kind != ArtifactKind::Image && names_user {
        bail!(
            "--registry-username and --registry-password are for images, and {} is a path: \
             --type image says that an image is meant",
            path.display()
        );
    }
    match kind {
        ArtifactKind::File => Ok(fingerprint_file(path)?),
        ArtifactKind::Dir => {
            let patterns: Result<Vec<_>, _> =
                arguments.exclude.iter().map(|value| split_patterns(value)).collect();
            let directory = fingerprint_directory(path, &patterns?.concat())?;
            for warning in &directory.warnings {
                eprint(&format!(
                    "envsnap: warning: {}\n",
                    super::escape::replace_invisible_lines(warning)
                ));
            }
            Ok(directory.fingerprint)
        }
        ArtifactKind::Image => image_fingerprint(arguments).await,
    }
}

async fn image_fingerprint(arguments: &Arguments) -> anyhow::Result<Fingerprint> {
    let text = arguments.artifact.to_string_lossy();
    // A misspelt path is taken for an image as well.
    let detected = match arguments.kind {
        Some(_) => String::new(),
        None => format!("there is no file or directory \"{text}\", and as an image: "),
    };
    let reference: Reference = text.parse().map_err(|error| anyhow!("{detected}{error}"))?;
    let found =
        registry::digest(&reference, &registry_credentials(arguments)?, arguments.timeout).await;
    found.map_err(|error| anyhow!("{detected}{:#}", anyhow::Error::new(error)))
}

fn registry_credentials(arguments: &Arguments) -> anyhow::Result<CredentialSource> {
    let username =
        arguments.registry_username.clone().or_else(|| env_var(REGISTRY_USERNAME_VARIABLE));
    let password = arguments.registry_password.clone();
    let password = password.or_else(|| env_var(REGISTRY_PASSWORD_VARIABLE).map(SecretString::from));
    match (username, password) {
        (Some(username), Some(password)) => {
            let origin = "the options or variables";
            let credentials = Credentials::from_password(username, password, origin);
            Ok(CredentialSource::Given(credentials))
        }
        (Some(_), None) => bail!(
            "a user of the registry is given without a password. Set {REGISTRY_PASSWORD_VARIABLE} as well"
        ),
        (None, Some(_)) => bail!(
            "a password of the registry is given without its user. Give --registry-username or set \
             {REGISTRY_USERNAME_VARIABLE} as well"
        ),
        (None, None) => Ok(docker_config()),
    }
}

/// The credentials of each registry that `docker login` keeps in `DOCKER_CONFIG` or `~/.docker`.
pub(super) fn docker_config() -> CredentialSource {
    let directory = |variable| std::env::var_os(variable).filter(|value| !value.is_empty());
    let configured = directory("DOCKER_CONFIG").map(PathBuf::from);
    let configured =
        configured.or_else(|| directory("HOME").map(|home| Path::new(&home).join(".docker")));
    configured.map_or(CredentialSource::Anonymous, CredentialSource::DockerConfig)
}
