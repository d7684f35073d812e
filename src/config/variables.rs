//! Reads variables one by one and collects their problems.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use regex_lite::Regex;
use reqwest::Url;

use super::parse::{ServiceName, duration, organization, proxy_url, server_url, ssm_parameter};
use crate::ecs::Filter;
use crate::token::{self, ParameterName, TokenSetting};

const DEFAULT_HOST: &str = "https://app.kosli.com";

/// The proxy variables, each read by one of the HTTP clients. The clients ignore a malformed one
/// and connect without the proxy.
pub(super) const PROXY_VARIABLES: [&str; 7] = [
    KOSLI_HTTP_PROXY,
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];
const KOSLI_HTTP_PROXY: &str = "KOSLI_HTTP_PROXY";

const MIN_HEARTBEAT: Duration = Duration::from_mins(1);

/// A URL without possible secrets: user and password, and everything from the query on. In a
/// malformed URL a password may contain any character, so that everything before the last `@` is
/// removed.
fn without_secrets(url: &str) -> String {
    let (before, rest) = url.rsplit_once('@').map_or(("", url), |(_, rest)| ("…@", rest));
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    // An `@` may also be in a query, and then what follows it is secret as well.
    let shown = if before.is_empty() || !url.contains(['?', '#']) { &rest[..end] } else { "" };
    format!("{before}{shown}")
}

/// Looks up variables, and collects the problems of their values.
pub(super) struct Variables<'a> {
    /// Prefix of a variable's name in messages: `ENVIRONMENTS[0].`.
    pub(super) place: &'a str,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    pub(super) problems: Vec<String>,
}

impl<'a> Variables<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self::at("", lookup)
    }

    /// Variables that are fields of an object at `place`.
    pub(super) fn at(place: &'a str, lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { place, lookup, problems: Vec::new() }
    }

    pub(super) fn add_problem(&mut self, variable: &str, problem: &str) {
        self.problems.push(format!("{}{variable} {problem}.", self.place));
    }

    /// The value without white space around it; `None` if it is not set or blank.
    pub(super) fn get(&self, variable: &str) -> Option<String> {
        let value = (self.lookup)(variable)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// The parsed value of a variable, if it is set. An error of `parse` says what the value should
    /// be.
    pub(super) fn optional<T>(
        &mut self,
        variable: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.get(variable)?;
        match parse(&value) {
            Ok(parsed) => Some(parsed),
            Err(wanted) => {
                self.add_problem(variable, &format!("is {value:?}, but should be {wanted}"));
                None
            }
        }
    }

    /// As [`Self::optional`], but it is a problem if the variable is not set. `meaning` is what it
    /// should be.
    pub(super) fn required<T>(
        &mut self,
        variable: &str,
        meaning: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if self.get(variable).is_none() {
            self.add_problem(variable, &format!("is not set: it should be {meaning}"));
        }
        self.optional(variable, parse)
    }

    pub(super) fn flag(&mut self, variable: &str, default: bool) -> bool {
        self.optional_flag(variable).unwrap_or(default)
    }

    pub(super) fn optional_flag(&mut self, variable: &str) -> Option<bool> {
        self.optional(variable, |value| match value.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("true or false".to_owned()),
        })
    }

    /// The organization, of `KOSLI_ORG` or its older name `KOSLI_OWNER`.
    pub(super) fn org(&mut self) -> Option<String> {
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

    /// The URL of the snapshot server.
    pub(super) fn host(&mut self) -> Option<Url> {
        let allow_http = self.flag("ALLOW_HTTP", false);
        let value = self.get("KOSLI_HOST").unwrap_or_else(|| DEFAULT_HOST.to_owned());
        match server_url(&value, allow_http) {
            Ok(url) => Some(url),
            Err(wanted) => {
                let shown = without_secrets(&value);
                self.problems.push(format!("KOSLI_HOST is {shown:?}, but should be {wanted}."));
                None
            }
        }
    }

    /// The proxy to the snapshot server. The other proxies are only validated: the HTTP clients
    /// read them themselves.
    pub(super) fn proxy(&mut self) -> Option<Url> {
        let mut ours = None;
        for variable in PROXY_VARIABLES {
            let Some(value) = self.get(variable) else { continue };
            match proxy_url(&value) {
                Ok(url) if variable == KOSLI_HTTP_PROXY => ours = Some(url),
                Ok(_) => {}
                Err(wanted) => {
                    let shown = without_secrets(&value);
                    self.add_problem(variable, &format!("is {shown:?}, but should be {wanted}"));
                }
            }
        }
        ours
    }

    /// The API token, or the SSM parameter that holds it: exactly one of both has to be set.
    pub(super) fn token(&mut self) -> Option<TokenSetting> {
        const PARAMETER_VARIABLE: &str = "KOSLI_API_TOKEN_SSM_PARAMETER_ARN";
        const TOKEN_VARIABLE: &str = "KOSLI_API_TOKEN";
        match (self.get(PARAMETER_VARIABLE), self.get(TOKEN_VARIABLE)) {
            (Some(_), Some(_)) => {
                self.problems.push(format!(
                    "{PARAMETER_VARIABLE} and {TOKEN_VARIABLE} are both set, but exactly one \
                     of them should be."
                ));
                None
            }
            (None, None) => {
                self.problems.push(format!(
                    "Neither {PARAMETER_VARIABLE} nor {TOKEN_VARIABLE} is set: one of them \
                     should be, for the server's API token."
                ));
                None
            }
            (Some(value), None) => match ssm_parameter(&value) {
                Ok(parameter) => Some(TokenSetting::Parameter(ParameterName::new(parameter))),
                Err(wanted) => {
                    // An invalid name may be the token itself.
                    let shown = if value.starts_with("arn:") {
                        format!("{value:?}")
                    } else {
                        "not shown, since it may be the token itself".to_owned()
                    };
                    self.problems
                        .push(format!("{PARAMETER_VARIABLE} is {shown}, but should be {wanted}."));
                    None
                }
            },
            (None, Some(token)) => match token::validate(token) {
                Ok(token) => Some(TokenSetting::Given(token)),
                Err(problem) => {
                    self.problems.push(format!(
                        "{TOKEN_VARIABLE} should be the server's API token, but {problem}."
                    ));
                    None
                }
            },
        }
    }

    /// `HEARTBEAT`; `None` if it is not set or `off`.
    pub(super) fn heartbeat(&mut self) -> Option<Duration> {
        self.optional("HEARTBEAT", |value| match duration(value) {
            _ if value == "off" => Ok(None),
            Ok(heartbeat) if heartbeat >= MIN_HEARTBEAT => Ok(Some(heartbeat)),
            _ => Err("a duration of a minute or longer, like 1h or 30m, or \"off\"".to_owned()),
        })
        .flatten()
    }

    /// The filter in two variables: one of names and one of a regular expression.
    pub(super) fn filter<N: FromStr<Err: fmt::Display>>(
        &mut self,
        [variable, pattern]: [&str; 2],
    ) -> Filter<N> {
        let names = self
            .optional(variable, |value| {
                let names: Vec<_> =
                    value.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
                if names.is_empty() {
                    return Err("names separated by commas, and holds none".to_owned());
                }
                names
                    .into_iter()
                    .map(|name| {
                        name.parse().map_err(|wanted| {
                            format!(
                                "names separated by commas, but {name:?} is none: {wanted}. \
                                 {pattern} takes an expression"
                            )
                        })
                    })
                    .collect()
            })
            .unwrap_or_default();
        let pattern = self.optional(pattern, |value| {
            Regex::new(value).map_err(|error| format!("one regular expression: {error}"))
        });
        Filter { names, pattern }
    }

    pub(super) fn service_filter(&mut self, variables: [&str; 2]) -> Filter<String> {
        let Filter { names, pattern } = self.filter::<ServiceName>(variables);
        Filter { names: names.into_iter().map(|name| name.0).collect(), pattern }
    }
}
