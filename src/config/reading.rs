//! The configuration of commands that read ECS without a server.

use super::environments::{
    ENVIRONMENT_NAME_VARIABLE, ENVIRONMENTS, ENVIRONMENTS_SSM_PATH, parse_environments,
    scope_from_options,
};
use super::parse::quota_share;
use super::variables::Variables;
use super::{ConfigError, DEFAULT_QUOTA_SHARE, EnvironmentConfig, EnvironmentsPath};

/// The name of the environment if none is configured.
const DEFAULT_ENVIRONMENT_NAME: &str = "unnamed";

/// The variables that configure the server.
const SERVER_VARIABLES: [&str; 5] = [
    "KOSLI_HOST",
    "KOSLI_ORG",
    "KOSLI_OWNER",
    "KOSLI_API_TOKEN",
    "KOSLI_API_TOKEN_SSM_PARAMETER_ARN",
];

/// The configuration of commands that read ECS without a server.
#[derive(Debug, Clone)]
pub struct ReadingConfig {
    /// At least one, unless they are in SSM.
    pub environments: Vec<EnvironmentConfig>,
    /// Set if the environments are in SSM.
    pub environments_path: Option<EnvironmentsPath>,
    /// From 0.05 to 1.
    pub quota_share: f64,
}

impl ReadingConfig {
    /// Reads the variables about ECS that [`Config`](super::Config) reads. The environment's name
    /// is optional, since it is only used on the server; the default is `unnamed`.
    ///
    /// # Errors
    /// Every variable that is wrong, at once.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let is_unnamed = is_environment_unset(&lookup);
        let lookup = |variable: &str| {
            let replaced = is_unnamed && variable == ENVIRONMENT_NAME_VARIABLE;
            if replaced { Some(DEFAULT_ENVIRONMENT_NAME.to_owned()) } else { lookup(variable) }
        };
        let mut variables = Variables::new(&lookup);
        let (environments, environments_path) = parse_environments(&mut variables);
        let quota_share =
            variables.optional("QUOTA_SHARE", quota_share).unwrap_or(DEFAULT_QUOTA_SHARE);
        // Validated because AWS is called through these proxies.
        drop(variables.proxy());
        let config = Self { environments, environments_path, quota_share };
        if variables.problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(variables.problems))
        }
    }

    /// Reads command-line options (`--cluster`, `--region` and so on) through `lookup`. Several
    /// names are separated by commas.
    ///
    /// # Errors
    /// Every option that is wrong, at once.
    pub fn from_options(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut variables = Variables::new(&lookup);
        let (scope, source) = scope_from_options(&mut variables);
        if !variables.problems.is_empty() {
            return Err(ConfigError(variables.problems));
        }
        let environment = EnvironmentConfig {
            name: DEFAULT_ENVIRONMENT_NAME.to_owned(),
            scope,
            source,
            auto_create: false,
            include_scaling: None,
        };
        let environments = vec![environment];
        Ok(Self { environments, environments_path: None, quota_share: DEFAULT_QUOTA_SHARE })
    }
}

/// Whether no variable configures a server, an organization or a token.
pub fn is_server_unset(lookup: impl Fn(&str) -> Option<String>) -> bool {
    !SERVER_VARIABLES.into_iter().any(|variable| is_set(&lookup, variable))
}

/// Whether no variable names an environment.
pub fn is_environment_unset(lookup: impl Fn(&str) -> Option<String>) -> bool {
    ![ENVIRONMENT_NAME_VARIABLE, ENVIRONMENTS, ENVIRONMENTS_SSM_PATH]
        .into_iter()
        .any(|it| is_set(&lookup, it))
}

fn is_set(lookup: &impl Fn(&str) -> Option<String>, variable: &str) -> bool {
    lookup(variable).is_some_and(|value| !value.trim().is_empty())
}
