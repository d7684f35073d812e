//! What to report and where to, from environment variables.
//!
//! An empty variable counts as one that is not set, as templates set variables that nobody filled
//! in.
//!
//! | variable | default | meaning |
//! |---|---|---|
//! | `KOSLI_ENVIRONMENT` | required | the environment on the server |
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

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use regex_lite::Regex;
use reqwest::Url;

use crate::ecs::{ClusterRef, Filter, Scope, Selection};
use crate::token::{self, TokenSetting};

const DEFAULT_HOST: &str = "https://app.kosli.com";
const DEFAULT_RECHECK: Duration = Duration::from_mins(15);
const SHORTEST_HEARTBEAT: Duration = Duration::from_mins(1);

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
}

/// One environment on the server.
#[derive(Debug, Clone)]
pub struct EnvironmentConfig {
    /// Its name.
    pub name: String,
    /// The part of ECS that it is.
    pub scope: Scope,
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
        let mut variables = Variables { lookup: &lookup, problems: Vec::new() };
        let name = variables.required("KOSLI_ENVIRONMENT", "the environment's name", |name| {
            is_name(name).then(|| name.to_owned()).ok_or(
                "a name of letters, digits, dots, hyphens and underscores that starts with a \
                 letter or digit"
                    .to_owned(),
            )
        });
        let org = variables.org();
        let host = variables.host();
        let token = variables.token();
        let scope = Scope {
            clusters: Selection {
                include: variables.filter("ECS_CLUSTERS"),
                exclude: variables.filter("ECS_EXCLUDE"),
            },
            services: Selection {
                include: variables.services("ECS_SERVICES"),
                exclude: variables.services("ECS_EXCLUDE_SERVICES"),
            },
        };
        let auto_create = variables.flag("AUTO_CREATE_ENVIRONMENT", false);
        let policy = Policy {
            compare_replicas: variables.flag("COMPARE_REPLICAS", true),
            heartbeat: variables.heartbeat(),
            recheck: variables.optional("RECHECK", duration).unwrap_or(DEFAULT_RECHECK),
            dry_run: variables.flag("DRY_RUN", false),
        };
        match (name, org, host, token, variables.problems) {
            (Some(name), Some(org), Some(host), Some(token), problems) if problems.is_empty() => {
                let environments = vec![EnvironmentConfig { name, scope, auto_create }];
                Ok(Self { host, org, token, environments, policy })
            }
            (.., problems) => Err(ConfigError(problems)),
        }
    }
}

struct Variables<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

impl Variables<'_> {
    fn get(&self, variable: &str) -> Option<String> {
        let value = (self.lookup)(variable)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// The value of a variable that is set, read by `parse`, which says what it should be instead.
    fn optional<T>(
        &mut self,
        variable: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.get(variable)?;
        match parse(&value) {
            Ok(parsed) => Some(parsed),
            Err(wanted) => {
                self.problems.push(format!("{variable} is {value:?}, but should be {wanted}."));
                None
            }
        }
    }

    fn required<T>(
        &mut self,
        variable: &str,
        meaning: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if self.get(variable).is_none() {
            self.problems.push(format!("{variable} is not set: it should be {meaning}."));
        }
        self.optional(variable, parse)
    }

    fn flag(&mut self, variable: &str, default: bool) -> bool {
        self.optional(variable, |value| match value.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("true or false".to_owned()),
        })
        .unwrap_or(default)
    }

    fn org(&mut self) -> Option<String> {
        match (self.get("KOSLI_ORG"), self.get("KOSLI_OWNER")) {
            (Some(org), Some(owner)) if org != owner => {
                self.problems.push(format!(
                    "KOSLI_ORG is {org:?} and KOSLI_OWNER, its older name, is {owner:?}, but \
                     should be the same or not set."
                ));
                None
            }
            (None, Some(_)) => self.optional("KOSLI_OWNER", organization),
            _ => self.required(
                "KOSLI_ORG",
                "the organization that owns the environment",
                organization,
            ),
        }
    }

    fn host(&mut self) -> Option<Url> {
        let allow_http = self.flag("ALLOW_HTTP", false);
        let value = self.get("KOSLI_HOST").unwrap_or_else(|| DEFAULT_HOST.to_owned());
        match host(&value, allow_http) {
            Ok(url) => Some(url),
            Err(wanted) => {
                // A URL may hold a password.
                let shown = match value.rsplit_once('@') {
                    Some((_, behind)) => format!("…@{behind}"),
                    None => value,
                };
                self.problems.push(format!("KOSLI_HOST is {shown:?}, but should be {wanted}."));
                None
            }
        }
    }

    fn token(&mut self) -> Option<TokenSetting> {
        const PARAMETER: &str = "KOSLI_API_TOKEN_SSM_PARAMETER_ARN";
        const TOKEN: &str = "KOSLI_API_TOKEN";
        match (self.get(PARAMETER), self.get(TOKEN)) {
            (Some(_), Some(_)) => {
                self.problems.push(format!(
                    "{PARAMETER} and {TOKEN} are both set, but exactly one of them should be."
                ));
                None
            }
            (None, None) => {
                self.problems.push(format!(
                    "Neither {PARAMETER} nor {TOKEN} is set: one of them should be, for the \
                     server's API token."
                ));
                None
            }
            (Some(_), None) => self.optional(PARAMETER, parameter).map(TokenSetting::Parameter),
            (None, Some(token)) => match token::checked(token) {
                Ok(token) => Some(TokenSetting::Given(token)),
                Err(problem) => {
                    self.problems
                        .push(format!("{TOKEN} should be the server's API token, but {problem}."));
                    None
                }
            },
        }
    }

    fn heartbeat(&mut self) -> Option<Duration> {
        self.optional("HEARTBEAT", |value| match value {
            "off" => Ok(None),
            value => match duration(value)? {
                short if short < SHORTEST_HEARTBEAT => {
                    Err("a minute or longer, or \"off\"".to_owned())
                }
                heartbeat => Ok(Some(heartbeat)),
            },
        })
        .flatten()
    }

    fn filter<N: FromStr<Err: fmt::Display>>(&mut self, variable: &str) -> Filter<N> {
        let names = self
            .optional(variable, |value| {
                value
                    .split(',')
                    .map(str::trim)
                    .filter(|name| !name.is_empty())
                    .map(|name| {
                        name.parse().map_err(|wanted| {
                            format!(
                                "names separated by commas, but {name:?} is none: {wanted}. \
                                 {variable}_REGEX takes an expression"
                            )
                        })
                    })
                    .collect()
            })
            .unwrap_or_default();
        let pattern = self.optional(&format!("{variable}_REGEX"), |value| {
            Regex::new(value).map_err(|error| format!("one regular expression: {error}"))
        });
        Filter { names, pattern }
    }

    fn services(&mut self, variable: &str) -> Filter<String> {
        let Filter { names, pattern } = self.filter::<ServiceName>(variable);
        Filter { names: names.into_iter().map(|name| name.0).collect(), pattern }
    }
}

/// A service's name has a cluster's form, without the ARN.
struct ServiceName(String);

impl FromStr for ServiceName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<ClusterRef>() {
            Ok(name) if name.name() == text => Ok(Self(text.to_owned())),
            _ => Err("a service is a name of up to 255 letters, digits, hyphens and underscores"),
        }
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn organization(text: &str) -> Result<String, String> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '/') {
        return Err("the organization's name, without white space or slashes".to_owned());
    }
    Ok(text.to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| "a duration like 15m, 1h or 0s".to_owned())
}

fn parameter(text: &str) -> Result<String, String> {
    const WANTED: &str = "the name or the ARN of an SSM parameter";
    if text.starts_with("arn:") && text.split(':').nth(2) == Some("secretsmanager") {
        return Err(format!(
            "{WANTED}: for a secret of Secrets Manager, /aws/reference/secretsmanager/NAME"
        ));
    }
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-/+=@!".contains(&b))
    };
    let parts: Vec<_> = text.splitn(6, ':').collect();
    let good = match parts[..] {
        ["arn", _, "ssm", region, _, resource] => {
            !region.is_empty() && resource.strip_prefix("parameter/").is_some_and(is_name)
        }
        [name] => is_name(name),
        _ => false,
    };
    if good { Ok(text.to_owned()) } else { Err(WANTED.to_owned()) }
}

fn host(text: &str, allow_http: bool) -> Result<Url, String> {
    const WANTED: &str = "a URL like https://app.kosli.com";
    let url: Url = text.parse().map_err(|error| format!("{WANTED} ({error})"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{WANTED}, without a user or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{WANTED}, without a query or fragment"));
    }
    match (url.scheme(), url.host_str()) {
        ("https", Some(_)) => Ok(url),
        ("http", Some(name)) if allow_http || is_loopback(name) => Ok(url),
        ("http", Some(_)) => {
            Err("https, or the API token goes over the network for all to read (ALLOW_HTTP=true \
             permits that)"
                .to_owned())
        }
        _ => Err(WANTED.to_owned()),
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
