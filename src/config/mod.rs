//! Configuration from environment variables.
//!
//! An empty variable counts as one that is not set, as templates set variables that are not filled
//! in.
//!
//! [`VARIABLES`] lists them all. `ENVIRONMENTS` is a JSON array of objects, one for each environment,
//! which replaces `KOSLI_ENVIRONMENT` and the variables that begin with `ECS_`; [`FIELDS`] lists the
//! fields of those objects. Lists of names may also be one string with commas.
//!
//! A variable that begins with `ECS_` or `KOSLI_` and looks like one of these, misspelt, is an error:
//! read as if it were not there, it would widen the scope or change the server without a word.

mod environments;
mod misspelling;
mod parse;
mod reading;
mod server;
mod table;
mod variables;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use reqwest::Url;
use secrecy::SecretString;

use crate::ecs::{Scope, Source};
use crate::redact::redact;
use crate::token::TokenSetting;
pub use environments::CreationPolicy;
use environments::parse_environments;
pub use misspelling::misspelt_variables;
use parse::{duration, quota_share};
pub use reading::{ReadingConfig, is_environment_unset, is_server_unset};
pub use server::ServerConfig;
pub use table::{DefaultValue, FIELDS, Setting, TEMPLATE_PARAMETERS, VARIABLES};
use variables::Variables;

/// The share of the ECS API's quotas that is used if `QUOTA_SHARE` is not set.
const DEFAULT_QUOTA_SHARE: f64 = 0.5;
/// How long the remembered state of the server is trusted if `RECHECK` is not set: not at all. Any
/// other default would be safe only if no two runs overlap, which the function cannot know.
const DEFAULT_RECHECK: Duration = Duration::ZERO;

/// The validated configuration.
#[derive(Debug, Clone)]
pub struct Config {
    pub host: Url,
    /// The proxy to the server, which takes precedence over the usual variables.
    pub proxy: Option<Url>,
    pub org: String,
    pub token: TokenSetting,
    /// In the order of the configuration; at least one, unless they are in SSM.
    pub environments: Vec<EnvironmentConfig>,
    /// Set if the environments are in SSM.
    pub environments_path: Option<EnvironmentsPath>,
    pub policy: Policy,
    /// From 0.05 to 1.
    pub quota_share: f64,
    /// Whether to emit metrics of each environment.
    pub metrics: bool,
}

#[derive(Debug, Clone)]
pub struct EnvironmentConfig {
    pub name: String,
    pub scope: Scope,
    pub source: Source,
    /// Create it if the server does not have it.
    pub auto_create: bool,
    /// Whether it counts replicas if it is created here; `None` leaves that to the server.
    pub include_scaling: Option<bool>,
}

/// A path in SSM below which each parameter is one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentsPath {
    /// Starts with a slash and does not end with one.
    pub path: String,
    /// Defaults for environments whose parameter does not say.
    pub creation: CreationPolicy,
}

/// Which difference counts as a change, and when a snapshot is posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// A change of replicas alone is a difference.
    pub compare_replicas: bool,
    /// Post an unchanged snapshot if the last report is older than this.
    pub heartbeat: Option<Duration>,
    /// How long to trust the memory of the server.
    pub recheck: Duration,
    /// Post and create nothing.
    pub dry_run: bool,
}

/// Every problem of the configuration, one sentence each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.join(" ").trim_end_matches('.'))
    }
}

impl Config {
    /// Reads the environment variables of the process.
    ///
    /// # Errors
    /// Every variable that is missing, wrong or misspelt, at once.
    pub fn from_env() -> Result<Self, ConfigError> {
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        Self::from_variables(
            &std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect(),
        )
    }

    /// Reads the given variables, which must be all that are set.
    ///
    /// # Errors
    /// Every variable that is missing, wrong or misspelt, at once.
    pub fn from_variables(variables: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let set = variables.iter().filter(|(_, value)| !value.trim().is_empty());
        let misspelt = misspelt_variables(set.map(|(name, _)| name.as_str()));
        match Self::from_lookup(|name| variables.get(name).cloned()) {
            Ok(config) if misspelt.is_empty() => Ok(config),
            Ok(_) => Err(ConfigError(misspelt)),
            Err(ConfigError(problems)) => {
                Err(ConfigError(misspelt.into_iter().chain(problems).collect()))
            }
        }
    }

    /// Reads variables through `lookup`.
    ///
    /// # Errors
    /// Every variable that is missing or wrong, at once.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut variables = Variables::new(&lookup);
        let (environments, environments_path) = parse_environments(&mut variables);
        let org = variables.org();
        let host = variables.host();
        let proxy = variables.proxy();
        let token = variables.token();
        let policy = Policy {
            compare_replicas: variables.flag("COMPARE_REPLICAS", true),
            heartbeat: variables.heartbeat(),
            recheck: variables.optional("RECHECK", duration).unwrap_or(DEFAULT_RECHECK),
            dry_run: variables.flag("DRY_RUN", false),
        };
        let quota_share =
            variables.optional("QUOTA_SHARE", quota_share).unwrap_or(DEFAULT_QUOTA_SHARE);
        let metrics = variables.flag("METRICS", true);
        if let (Some(TokenSetting::Parameter(parameter)), Some(of)) = (&token, &environments_path)
            && parameter.is_under(&of.path)
        {
            variables.problems.push(format!(
                "ENVIRONMENTS_SSM_PATH is {:?}, and the parameter of the API token is under it: every \
                 parameter there should be an environment.",
                of.path
            ));
        }
        // Another variable may be set to the same token by mistake.
        if let Some(token) = variables.get("KOSLI_API_TOKEN").map(SecretString::from) {
            for problem in &mut variables.problems {
                *problem = redact(problem, &token).into_owned();
            }
        }
        match (org, host, token, variables.problems) {
            (Some(org), Some(host), Some(token), problems) if problems.is_empty() => {
                let policy = Self {
                    host,
                    proxy,
                    org,
                    token,
                    environments,
                    environments_path,
                    policy,
                    quota_share,
                    metrics,
                };
                Ok(policy)
            }
            (.., problems) => Err(ConfigError(problems)),
        }
    }
}

#[cfg(test)]
mod tests;
