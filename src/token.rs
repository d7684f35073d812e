//! The snapshot server's API token, and where it comes from.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_config::{Region, SdkConfig};
use aws_sdk_ssm::config::timeout::TimeoutConfig;
use aws_sdk_ssm::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_ssm::operation::get_parameter::GetParameterError;
use secrecy::{ExposeSecret as _, SecretString};

use crate::clock_skew::ClockSkew;
use crate::endpoint::Endpoint;
use crate::redact;

/// Prefix under which SSM returns a Secrets Manager secret.
const SECRETS_MANAGER_PREFIX: &str = "/aws/reference/secretsmanager/";

/// Of one attempt at reading the SSM parameter.
const SSM_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// The name or ARN of an SSM parameter, as it was given.
///
/// It is shown only where it looks like one. A single word may be the token itself, in the wrong
/// place.
#[derive(Clone)]
pub struct ParameterName(String);

/// The configured token, or the name of the SSM parameter that holds it.
#[derive(Debug, Clone)]
pub enum TokenSetting {
    Given(SecretString),
    /// An SSM parameter that holds it.
    Parameter(ParameterName),
}

/// Fetches the token.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// The token itself, which cannot change while the process lives.
    Given(SecretString),
    /// An SSM parameter, read again when the server refuses its value.
    Parameter(SsmParameter),
}

/// The SSM parameter that holds the token, and the client that reads it.
#[derive(Debug, Clone)]
pub struct SsmParameter {
    client: aws_sdk_ssm::Client,
    endpoint: Endpoint,
    name: ParameterName,
}

/// Why the token could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// SSM did not return the parameter.
    #[error("SSM did not return {parameter}, which holds the API token: {reason}")]
    Unavailable { parameter: ParameterName, reason: String },
    /// SSM refused the time in the request's signature, and in a new one as well.
    #[error("SSM did not return {parameter}, which holds the API token: {skew}")]
    ClockSkew { parameter: ParameterName, skew: ClockSkew },
    /// The parameter's value cannot be a token.
    #[error("{parameter} in SSM should hold the API token and nothing else, but it {problem}")]
    Invalid {
        parameter: ParameterName,
        /// Never contains the value.
        problem: &'static str,
    },
}

impl TokenSource {
    /// A parameter given by its ARN is read in the ARN's region, any other one in the region of
    /// `aws`.
    pub fn new(setting: &TokenSetting, aws: &SdkConfig) -> Self {
        match setting {
            TokenSetting::Given(token) => Self::Given(token.clone()),
            TokenSetting::Parameter(parameter) => {
                let (region, _) = region_and_request_name(&parameter.0);
                let timeouts =
                    TimeoutConfig::builder().operation_attempt_timeout(SSM_ATTEMPT_TIMEOUT).build();
                let endpoint = Endpoint::default();
                let mut config = aws_sdk_ssm::config::Builder::from(aws)
                    .timeout_config(timeouts)
                    .interceptor(endpoint.clone());
                if let Some(region) = region {
                    config = config.region(Region::new(region.to_owned()));
                }
                let client = aws_sdk_ssm::Client::from_conf(config.build());
                Self::Parameter(SsmParameter { client, endpoint, name: parameter.clone() })
            }
        }
    }

    /// Whether a new request may return another token: the SSM parameter may have changed.
    pub fn can_refresh(&self) -> bool {
        matches!(self, Self::Parameter(_))
    }

    /// The current token.
    ///
    /// # Errors
    /// SSM does not give it, or what it gives cannot be a token.
    pub async fn fetch(&self) -> Result<SecretString, TokenError> {
        let token = match self {
            Self::Given(token) => token.clone(),
            Self::Parameter(parameter) => parameter.read_token().await?,
        };
        // Before any response could repeat it.
        redact::register_api_token(&token);
        Ok(token)
    }
}

impl SsmParameter {
    /// Reads the token from SSM; once more if SSM refuses the time in the request's signature.
    async fn read_token(&self) -> Result<SecretString, TokenError> {
        let parameter = || self.name.clone();
        let (_, name) = region_and_request_name(&self.name.0);
        let request = || self.client.get_parameter().name(name).with_decryption(true).send();
        let answer = match request().await {
            // The process may have been frozen after it signed the request.
            Err(error) if clock_skew(&error).is_some() => request().await,
            answer => answer,
        };
        let answer = answer.map_err(|error| match clock_skew(&error) {
            Some(skew) => TokenError::ClockSkew { parameter: parameter(), skew },
            None => TokenError::Unavailable {
                parameter: parameter(),
                reason: self.name.mask_name_in(self.endpoint.describe_error(&error)),
            },
        })?;
        let value = answer.parameter.and_then(|parameter| parameter.value).unwrap_or_default();
        validate(value).map_err(|problem| TokenError::Invalid { parameter: parameter(), problem })
    }
}

fn clock_skew(error: &SdkError<GetParameterError>) -> Option<ClockSkew> {
    let date = error.raw_response().and_then(|response| response.headers().get("date"));
    ClockSkew::from_error(error.code(), error.message(), date, SystemTime::now())
}

impl ParameterName {
    pub(crate) fn new(name: String) -> Self {
        Self(name)
    }

    /// Whether the parameter is below `path`, which begins with a slash.
    pub(crate) fn is_under(&self, path: &str) -> bool {
        let (_, name) = region_and_request_name(&self.0);
        let name = name.splitn(6, ':').last().unwrap_or_default();
        let name = name.strip_prefix("parameter").unwrap_or(name);
        name.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The name or ARN, unless it may be the token itself.
    #[cfg(feature = "cli")]
    pub(crate) fn printable(&self) -> Option<&str> {
        self.is_printable().then_some(self.0.as_str())
    }

    fn is_printable(&self) -> bool {
        self.0.starts_with("arn:") || self.0.starts_with('/')
    }

    /// `text`, a message of AWS, with the name masked if it may be the token itself.
    fn mask_name_in(&self, text: String) -> String {
        if self.is_printable() { text } else { text.replace(&self.0, "[name]") }
    }
}

impl fmt::Display for ParameterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_printable() {
            write!(f, "parameter {}", self.0)
        } else {
            f.write_str("the parameter (its name is not shown: it may be the token itself)")
        }
    }
}

impl fmt::Debug for ParameterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The token in `text`, without surrounding white space, if it can be one.
///
/// # Errors
/// What is wrong with the text, without any part of it.
pub fn validate(text: String) -> Result<SecretString, &'static str> {
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

/// The region and the name to request. SSM returns secrets of Secrets Manager only by name, so that
/// the name is taken from the ARN of such a reference.
fn region_and_request_name(parameter: &str) -> (Option<&str>, &str) {
    let parts: Vec<_> = parameter.splitn(6, ':').collect();
    match parts[..] {
        ["arn", _, "ssm", region, _, resource] => {
            let name = resource.strip_prefix("parameter").unwrap_or(resource);
            let name = if name.starts_with(SECRETS_MANAGER_PREFIX) { name } else { parameter };
            (Some(region), name)
        }
        _ => (None, parameter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssm_parameter_arn_is_read_in_its_region_and_a_secret_by_its_name() {
        let arn = "arn:aws:ssm:eu-west-1:274425519734:parameter/kosli/token";
        let secret = "arn:aws:ssm:eu-west-1:274425519734:parameter/aws/reference/secretsmanager/k";
        for (parameter, expected) in [
            ("token", (None, "token")),
            ("/kosli/token", (None, "/kosli/token")),
            (arn, (Some("eu-west-1"), arn)),
            (secret, (Some("eu-west-1"), "/aws/reference/secretsmanager/k")),
            ("/aws/reference/secretsmanager/k", (None, "/aws/reference/secretsmanager/k")),
        ] {
            assert_eq!(region_and_request_name(parameter), expected);
        }
    }

    #[test]
    fn empty_json_and_non_ascii_values_and_inner_white_space_are_rejected_as_tokens() {
        assert_eq!(validate(" abc.DEF-1 \n".to_owned()).unwrap().expose_secret(), "abc.DEF-1");
        for bad in ["", " \n", "{\"token\": \"x\"}", "two words", "tok\u{e9}n", "a\r\nb: c"] {
            assert!(validate(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
