//! A user's credentials for a registry, as Docker keeps them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::Reference;
use crate::excerpt::excerpt;
use crate::redact;

/// The user name in a credential helper's answer if its secret is an identity token, which a token
/// server exchanges for access tokens, and not a password.
const IDENTITY_TOKEN_USER: &str = "<token>";

/// Part of the error message of a credential helper that has no credentials for the registry.
const HELPER_NOT_FOUND_MESSAGE: &str = "credentials not found";

/// Where credentials are looked for.
#[derive(Debug, Clone)]
pub enum CredentialSource {
    /// These, for any registry.
    Given(Credentials),
    /// The configuration of Docker in this directory, if there is one.
    DockerConfig(PathBuf),
    /// Without credentials.
    Anonymous,
}

/// Credentials, and where they are from.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub(super) secret: Secret,
    pub(super) origin: String,
}

/// What authenticates the user at a registry.
#[derive(Debug, Clone)]
pub(super) enum Secret {
    Password {
        username: String,
        password: SecretString,
    },
    /// Exchanged for a token at the registry's token server.
    IdentityToken(SecretString),
}

impl Credentials {
    /// `password` may be an access token. `origin` says in messages where the credentials are from.
    pub fn from_password(username: String, password: SecretString, origin: &str) -> Self {
        redact::register_registry_credential(&password);
        let secret = Secret::Password { username, password };
        Self { secret, origin: origin.to_owned() }
    }

    fn from_identity_token(token: SecretString, origin: &str) -> Self {
        redact::register_registry_credential(&token);
        Self { secret: Secret::IdentityToken(token), origin: origin.to_owned() }
    }
}

/// Credentials that are configured cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("cannot read Docker's configuration {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file says something else than Docker writes. Its text is never shown.
    #[error(
        "Docker's configuration {} {problem}. Repair it, or sign in again with docker login",
        path.display()
    )]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The program that keeps the credentials failed.
    #[error(
        "{helper}, which Docker's configuration names for {registry}, {problem}. Install or repair it, \
         remove it from the configuration, or give --registry-username and KOSLI_REGISTRY_PASSWORD"
    )]
    Helper {
        /// The program.
        helper: String,
        /// The registry whose credentials were requested.
        registry: String,
        /// How it failed.
        problem: String,
    },
}

/// The part of Docker's `config.json` that is about credentials.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DockerConfig {
    #[serde(default)]
    auths: Option<BTreeMap<String, DockerAuthEntry>>,
    #[serde(default)]
    cred_helpers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    creds_store: Option<String>,
}

/// The credentials of one registry in `auths` of Docker's `config.json`; all `None` if a credential
/// helper keeps them.
#[derive(Deserialize)]
struct DockerAuthEntry {
    /// base64 of `USER:PASSWORD`
    #[serde(default, rename = "auth", deserialize_with = "non_empty_secret")]
    encoded: Option<SecretString>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default, deserialize_with = "non_empty_secret")]
    password: Option<SecretString>,
    #[serde(default, rename = "identitytoken", deserialize_with = "non_empty_secret")]
    identity_token: Option<SecretString>,
}

/// Reads an empty string as `None`.
fn non_empty_secret<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SecretString>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()).map(SecretString::from))
}

impl CredentialSource {
    /// The credentials for the registry of `reference`, if there are any.
    pub(super) async fn find(
        &self,
        reference: &Reference,
    ) -> Result<Option<Credentials>, CredentialsError> {
        match self {
            Self::Anonymous => Ok(None),
            Self::Given(credentials) => Ok(Some(credentials.clone())),
            Self::DockerConfig(directory) => {
                from_docker_config(&directory.join("config.json"), reference).await
            }
        }
    }
}

async fn from_docker_config(
    path: &Path,
    reference: &Reference,
) -> Result<Option<Credentials>, CredentialsError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CredentialsError::Read { path: path.to_owned(), source }),
    };
    let malformed =
        |problem: String| CredentialsError::Malformed { path: path.to_owned(), problem };
    // The parser's own words may hold a value.
    let config: DockerConfig = serde_json::from_slice(&text).map_err(|error| {
        malformed(format!(
            "is not what Docker writes, at line {}, column {}",
            error.line(),
            error.column()
        ))
    })?;

    let helpers = config.cred_helpers.unwrap_or_default();
    let own = helpers.into_iter().find(|(key, _)| reference.has_credentials_key(key));
    let helper = own.map(|(_, helper)| helper).or(config.creds_store);
    if let Some(helper) = helper.filter(|helper| !helper.is_empty()) {
        return from_helper(&helper, reference).await;
    }
    let auths = config.auths.unwrap_or_default();
    let Some((key, auth)) = auths.into_iter().find(|(key, _)| reference.has_credentials_key(key))
    else {
        return Ok(None);
    };
    let origin = path.display().to_string();
    match from_auth_entry(auth, &origin) {
        Ok(credentials) => Ok(credentials),
        Err(problem) => Err(malformed(format!("has an entry for {key} of which {problem}"))),
    }
}

fn from_auth_entry(
    auth: DockerAuthEntry,
    origin: &str,
) -> Result<Option<Credentials>, &'static str> {
    if let Some(token) = auth.identity_token {
        return Ok(Some(Credentials::from_identity_token(token, origin)));
    }
    if let Some(encoded) = auth.encoded {
        let decoded = STANDARD.decode(encoded.expose_secret().trim());
        let decoded = decoded.map_err(|_| "\"auth\" is not base64")?;
        let text = str::from_utf8(&decoded).map_err(|_| "\"auth\" is not text")?;
        let (username, password) = text.split_once(':').ok_or("\"auth\" is not USER:PASSWORD")?;
        // Docker itself once wrote NULs behind it.
        let password = password.trim_end_matches('\0').to_owned().into();
        return Ok(Some(Credentials::from_password(username.to_owned(), password, origin)));
    }
    match (auth.username, auth.password) {
        (Some(username), Some(password)) if !username.is_empty() => {
            Ok(Some(Credentials::from_password(username, password, origin)))
        }
        _ => Ok(None),
    }
}

/// What a credential helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

/// Runs `docker-credential-NAME get` for the registry of `reference`. `None` if it has no
/// credentials for it.
async fn from_helper(
    name: &str,
    reference: &Reference,
) -> Result<Option<Credentials>, CredentialsError> {
    let helper = format!("docker-credential-{name}");
    let registry = reference.credentials_key();
    let failed = |problem: String| CredentialsError::Helper {
        helper: excerpt(&helper),
        registry: registry.to_owned(),
        problem,
    };
    // It is looked for in PATH only.
    if name.contains(['/', '\0']) {
        return Err(failed("is a path, not the name of a program".to_owned()));
    }
    let mut process = Command::new(OsString::from(&helper))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("cannot be run: {error}")))?;
    if let Some(mut stdin) = process.stdin.take() {
        // A program that ends without reading says more by how it ends.
        let _unread = stdin.write_all(registry.as_bytes()).await;
    }
    let output = process.wait_with_output().await;
    let output = output.map_err(|error| failed(format!("cannot be waited for: {error}")))?;
    if !output.status.success() {
        // Those that are built on Docker's own library write errors to standard output.
        let error = [output.stdout, output.stderr].concat();
        let error = String::from_utf8_lossy(&error).trim().to_owned();
        if error.to_ascii_lowercase().contains(HELPER_NOT_FOUND_MESSAGE) {
            return Ok(None);
        }
        return Err(failed(format!("failed ({}): {}", output.status, excerpt(&error))));
    }
    let answer: HelperAnswer = serde_json::from_slice(&output.stdout).map_err(|_| {
        failed("did not answer with a JSON object of Username and Secret".to_owned())
    })?;
    let secret = answer.secret.into();
    Ok(Some(if answer.username == IDENTITY_TOKEN_USER {
        Credentials::from_identity_token(secret, &helper)
    } else {
        Credentials::from_password(answer.username, secret, &helper)
    }))
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.secret {
            Secret::Password { username, .. } => {
                write!(f, "of user \"{}\" from {}", excerpt(username), self.origin)
            }
            Secret::IdentityToken(_) => write!(f, "(an identity token) from {}", self.origin),
        }
    }
}
