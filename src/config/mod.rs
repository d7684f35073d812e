//! What to report and where to, from environment variables.
//!
//! An empty variable counts as one that is not set, as templates set variables that nobody filled
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
use environments::environments;
pub use misspelling::misspelt_variables;
use parse::{duration, quota_share};
pub use reading::{ReadingConfig, is_server_unset};
pub use server::ServerConfig;
pub use table::{DefaultValue, FIELDS, Setting, VARIABLES};
use variables::Variables;

const DEFAULT_QUOTA_SHARE: f64 = 0.5;
/// Anything else is safe only if no two runs overlap, which the function cannot know.
const DEFAULT_RECHECK: Duration = Duration::ZERO;

/// Everything that is configured, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The snapshot server.
    pub host: Url,
    /// The proxy between here and the server, in the place of those that any program uses.
    pub proxy: Option<Url>,
    /// The organization that owns the environments.
    pub org: String,
    /// Where the API token comes from.
    pub token: TokenSetting,
    /// What to report, in the order in which it was configured; at least one, unless they are in SSM.
    pub environments: Vec<EnvironmentConfig>,
    /// Where in SSM the environments are, if they are there.
    pub environments_path: Option<EnvironmentsPath>,
    /// How to compare and when to post.
    pub policy: Policy,
    /// The part of ECS's documented quotas that may be used, from 0.05 to 1.
    pub quota_share: f64,
    /// Whether CloudWatch counts the outcomes of each environment.
    pub metrics: bool,
}

/// One environment on the server.
#[derive(Debug, Clone)]
pub struct EnvironmentConfig {
    /// Its name.
    pub name: String,
    /// The part of ECS that it is.
    pub scope: Scope,
    /// The account and region that it is in, and the role that reads them.
    pub source: Source,
    /// Make it when the server does not have it.
    pub auto_create: bool,
    /// Whether it counts replicas if it is created here; `None` leaves that to the server.
    pub include_scaling: Option<bool>,
}

/// A path in SSM under which each parameter is one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentsPath {
    /// It begins with a slash, and ends without one.
    pub path: String,
    /// Whether and how an environment is created that the server does not have, unless its parameter
    /// says it.
    pub creation: CreationPolicy,
}

/// How to compare and when to post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// A change of replicas alone is a difference.
    pub compare_replicas: bool,
    /// Post an unchanged snapshot when the last report is older than this.
    pub heartbeat: Option<Duration>,
    /// How long to trust what is remembered of the server.
    pub recheck: Duration,
    /// Post and make nothing.
    pub dry_run: bool,
}

/// What is wrong with the configuration: a sentence a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl Config {
    /// The configuration in the process's environment variables.
    ///
    /// # Errors
    /// Every variable that is missing, wrong or misspelt, at once.
    pub fn from_env() -> Result<Self, ConfigError> {
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        Self::from_variables(
            &std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect(),
        )
    }

    /// The configuration in these variables, all that there are.
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

    /// The configuration in what `lookup` knows of each variable.
    ///
    /// # Errors
    /// Every variable that is missing or wrong, at once.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut variables = Variables::new(&lookup);
        let (environments, environments_path) = environments(&mut variables);
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
        // Somebody may have set two variables to it.
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
