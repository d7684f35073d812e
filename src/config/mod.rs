//! What to report and where to, from environment variables.
//!
//! An empty variable counts as one that is not set, as templates set variables that nobody filled
//! in.
//!
//! | variable | default | meaning |
//! |---|---|---|
//! | `KOSLI_ENVIRONMENT` | required, or | the environment on the server |
//! | `ENVIRONMENTS` | one of the two | several environments, with the filters of each: see below |
//! | `KOSLI_ORG` | required | the organization that owns it; `KOSLI_OWNER` is an older name |
//! | `KOSLI_HOST` | `https://app.kosli.com` | the snapshot server |
//! | `ALLOW_HTTP` | `false` | whether the server may be asked without TLS where it is not on loopback |
//! | `KOSLI_API_TOKEN_SSM_PARAMETER_ARN` | one of | the SSM parameter that holds the token, by ARN or name |
//! | `KOSLI_API_TOKEN` | the two | the token itself |
//! | `ECS_CLUSTERS`, `ECS_CLUSTERS_REGEX` | all | clusters to include: names or ARNs, an expression |
//! | `ECS_EXCLUDE`, `ECS_EXCLUDE_REGEX` | none | clusters to leave out |
//! | `ECS_SERVICES`, `ECS_SERVICES_REGEX` | all, and standalone tasks | services to include |
//! | `ECS_EXCLUDE_SERVICES`, `ECS_EXCLUDE_SERVICES_REGEX` | none | services to leave out |
//! | `AUTO_CREATE_ENVIRONMENT` | `false` | make the environment when the server does not have it |
//! | `COMPARE_REPLICAS` | `true` | whether a change of replicas alone is a difference |
//! | `HEARTBEAT` | off | post an unchanged snapshot when the last report is older than this |
//! | `RECHECK` | `15m` | how long the process trusts its memory of the server |
//! | `DRY_RUN` | `false` | read and compare, but post and make nothing |
//! | `QUOTA_SHARE` | `0.5` | the part of ECS's documented quotas that may be used |
//!
//! `ENVIRONMENTS` is a JSON array of objects, each an environment. It takes the place of
//! `KOSLI_ENVIRONMENT` and of the variables that begin with `ECS_`. Names are a list, or a text in
//! which commas part them.
//!
//! | field | default | meaning |
//! |---|---|---|
//! | `name` | required | the environment on the server |
//! | `clusters`, `clusters_regex` | all | clusters to include |
//! | `exclude`, `exclude_regex` | none | clusters to leave out |
//! | `services`, `services_regex` | all, and standalone tasks | services to include |
//! | `exclude_services`, `exclude_services_regex` | none | services to leave out |
//! | `region` | the function's | the region to read |
//! | `role_arn` | the function's | the role to assume for reading, in whichever account |
//! | `external_id` | none | what the role's trust policy asks for |
//! | `auto_create` | `AUTO_CREATE_ENVIRONMENT` | make the environment when the server does not have it |

mod environments;
mod form;
mod server;
mod variables;

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use secrecy::SecretString;

use crate::ecs::{Scope, Source};
use crate::token::{TokenSetting, without_token};
use environments::environments;
use form::{duration, share};
pub use server::ServerConfig;
use variables::Variables;

const DEFAULT_QUOTA_SHARE: f64 = 0.5;
const DEFAULT_RECHECK: Duration = Duration::from_mins(15);

/// Everything that is configured, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The snapshot server.
    pub host: Url,
    /// The organization that owns the environments.
    pub org: String,
    /// Where the API token comes from.
    pub token: TokenSetting,
    /// What to report, in the order in which it was configured; at least one.
    pub environments: Vec<EnvironmentConfig>,
    /// How to compare and when to post.
    pub policy: Policy,
    /// The part of ECS's documented quotas that may be used, from 0.05 to 1.
    pub quota_share: f64,
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
    /// Every variable that is missing or wrong, at once.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_lookup(|name| {
            std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
        })
    }

    /// The configuration in what `lookup` knows of each variable.
    ///
    /// # Errors
    /// Every variable that is missing or wrong, at once.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut variables = Variables::new(&lookup);
        let environments = environments(&mut variables);
        let org = variables.org();
        let host = variables.host();
        let token = variables.token();
        let policy = Policy {
            compare_replicas: variables.flag("COMPARE_REPLICAS", true),
            heartbeat: variables.heartbeat(),
            recheck: variables.optional("RECHECK", duration).unwrap_or(DEFAULT_RECHECK),
            dry_run: variables.flag("DRY_RUN", false),
        };
        let quota_share = variables.optional("QUOTA_SHARE", share).unwrap_or(DEFAULT_QUOTA_SHARE);
        // Somebody may have set two variables to it.
        if let Some(token) = variables.get("KOSLI_API_TOKEN").map(SecretString::from) {
            for problem in &mut variables.problems {
                *problem = without_token(problem, &token).into_owned();
            }
        }
        match (org, host, token, variables.problems) {
            (Some(org), Some(host), Some(token), problems) if problems.is_empty() => {
                Ok(Self { host, org, token, environments, policy, quota_share })
            }
            (.., problems) => Err(ConfigError(problems)),
        }
    }
}

#[cfg(test)]
mod tests;
