//! The server alone, for who only asks it.

use reqwest::Url;

use super::ConfigError;
use super::variables::Variables;
use crate::token::TokenSetting;

/// The snapshot server, and on whose behalf it is asked.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The snapshot server.
    pub host: Url,
    /// The proxy between here and the server, in the place of those that any program uses.
    pub proxy: Option<Url>,
    /// The organization that owns the environments.
    pub org: String,
    /// Where the API token comes from.
    pub token: TokenSetting,
}

impl ServerConfig {
    /// What `lookup` knows of the server's variables; of the others nothing is asked.
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
