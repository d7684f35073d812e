//! The configuration of commands that only query the server.

use reqwest::Url;

use super::ConfigError;
use super::variables::Variables;
use crate::token::TokenSetting;

/// The configuration of commands that only query the server.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub host: Url,
    /// The proxy to the server, which takes precedence over the usual variables.
    pub proxy: Option<Url>,
    pub org: String,
    pub token: TokenSetting,
}

impl ServerConfig {
    /// Reads the variables about the server through `lookup`, and no others.
    ///
    /// # Errors
    /// Every one of them that is missing or wrong, at once.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut variables = Variables::new(&lookup);
        let (org, host, token) = (variables.org(), variables.host(), variables.token());
        let proxy = variables.proxy();
        match (org, host, token, variables.problems) {
            (Some(org), Some(host), Some(token), problems) if problems.is_empty() => {
                Ok(Self { host, proxy, org, token })
            }
            (.., problems) => Err(ConfigError(problems)),
        }
    }
}
