//! The snapshot server's API token, and where it comes from.

use std::time::Duration;

use aws_config::{Region, SdkConfig};
use aws_sdk_ssm::config::timeout::TimeoutConfig;
use aws_sdk_ssm::error::ProvideErrorMetadata as _;
use secrecy::{ExposeSecret as _, SecretString};

use crate::error_chain::error_chain;

/// SSM reads a Secrets Manager secret under this name, followed by the secret's.
const SECRETS_MANAGER: &str = "/aws/reference/secretsmanager/";

/// How long SSM may take for one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the token is configured to come from.
#[derive(Debug, Clone)]
pub enum TokenSetting {
    /// The token itself.
    Given(SecretString),
    /// The name or ARN of an SSM parameter that holds it.
    Parameter(String),
}

/// Gives the token.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// The token itself, which cannot change while the process lives.
    Given(SecretString),
    /// An SSM parameter, asked again when the server refuses what it held.
    Parameter {
        /// SSM in the parameter's region.
        client: aws_sdk_ssm::Client,
        /// Its name or ARN.
        name: String,
    },
}

/// The token could not be had.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// SSM did not give the parameter. Holds what it said.
    #[error(
        "SSM did not give parameter {name}, which holds the API token: {reason}. Check the name, \
         and that ssm:GetParameter on it is allowed, and kms:Decrypt where it has a key of its own"
    )]
    NotGiven {
        /// Name or ARN.
        name: String,
        /// What came back.
        reason: String,
    },
    /// What the parameter holds cannot be a token.
    #[error("SSM parameter {name} should hold the API token and nothing else, but it {problem}")]
    NotAToken {
        /// Name or ARN.
        name: String,
        /// Never the value.
        problem: &'static str,
    },
}

impl TokenSource {
    /// A source for what is configured. A parameter that is given by its ARN is read in the ARN's
    /// region, any other in the region of `aws`.
    pub fn new(setting: &TokenSetting, aws: &SdkConfig) -> Self {
        match setting {
            TokenSetting::Given(token) => Self::Given(token.clone()),
            TokenSetting::Parameter(parameter) => {
                let (region, name) = locate(parameter);
                let timeouts =
                    TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
                let mut config = aws_sdk_ssm::config::Builder::from(aws).timeout_config(timeouts);
                if let Some(region) = region {
                    config = config.region(Region::new(region.to_owned()));
                }
                let client = aws_sdk_ssm::Client::from_conf(config.build());
                Self::Parameter { client, name: name.to_owned() }
            }
        }
    }

    /// Asking again may give another token.
    pub fn can_change(&self) -> bool {
        matches!(self, Self::Parameter { .. })
    }

    /// The token, as it is now.
    ///
    /// # Errors
    /// SSM does not give it, or what it gives cannot be a token.
    pub async fn fetch(&self) -> Result<SecretString, TokenError> {
        let (client, name) = match self {
            Self::Given(token) => return Ok(token.clone()),
            Self::Parameter { client, name } => (client, name),
        };
        let answer = client.get_parameter().name(name).with_decryption(true).send().await.map_err(
            |error| TokenError::NotGiven {
                name: name.clone(),
                reason: match (error.code(), error.message()) {
                    (Some(code), Some(message)) => format!("{code}: {message}"),
                    (Some(code), None) => code.to_owned(),
                    (None, _) => error_chain(&error),
                },
            },
        )?;
        let value = answer.parameter.and_then(|parameter| parameter.value).unwrap_or_default();
        checked(value).map_err(|problem| TokenError::NotAToken { name: name.clone(), problem })
    }
}

/// The text as a token.
///
/// # Errors
/// What is wrong with it, without a word of it.
pub fn checked(text: String) -> Result<SecretString, &'static str> {
    let token = SecretString::from(text);
    let trimmed = token.expose_secret().trim();
    if trimmed.is_empty() {
        Err("is empty")
    } else if trimmed.starts_with('{') {
        Err("holds a JSON object: store the token as a plain string")
    } else if !trimmed.bytes().all(|byte| byte.is_ascii_graphic()) {
        Err("holds white space or characters that no token has")
    } else {
        Ok(SecretString::from(trimmed))
    }
}

/// The region to read a parameter in, if its ARN says so, and what to ask for. SSM reads secrets of
/// Secrets Manager by name only, so that the name is taken out of the ARN of such a reference.
fn locate(parameter: &str) -> (Option<&str>, &str) {
    let parts: Vec<_> = parameter.splitn(6, ':').collect();
    match parts[..] {
        ["arn", _, "ssm", region, _, resource] => {
            let name = resource.strip_prefix("parameter").unwrap_or(resource);
            let name = if name.starts_with(SECRETS_MANAGER) { name } else { parameter };
            (Some(region), name)
        }
        _ => (None, parameter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_read_where_its_arn_says() {
        let arn = "arn:aws:ssm:eu-west-1:274425519734:parameter/kosli/token";
        let secret = "arn:aws:ssm:eu-west-1:274425519734:parameter/aws/reference/secretsmanager/k";
        for (parameter, expected) in [
            ("token", (None, "token")),
            ("/kosli/token", (None, "/kosli/token")),
            (arn, (Some("eu-west-1"), arn)),
            (secret, (Some("eu-west-1"), "/aws/reference/secretsmanager/k")),
            ("/aws/reference/secretsmanager/k", (None, "/aws/reference/secretsmanager/k")),
        ] {
            assert_eq!(locate(parameter), expected);
        }
    }

    #[test]
    fn a_value_that_no_header_can_carry_is_no_token() {
        assert_eq!(checked(" abc.DEF-1 \n".to_owned()).unwrap().expose_secret(), "abc.DEF-1");
        for bad in ["", " \n", "{\"token\": \"x\"}", "two words", "tok\u{e9}n", "a\r\nb: c"] {
            assert!(checked(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
