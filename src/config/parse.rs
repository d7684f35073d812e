//! Parsers of the variables' values. Each error says what the value should be.

use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;

use crate::api::is_loopback;
use crate::api::wire::is_environment_name;
use crate::ecs::ClusterRef;
use envsnap_model::duration::parse_duration;

/// The name of an ECS service, of the same characters as a cluster's name; never an ARN.
pub(super) struct ServiceName(pub(super) String);

impl FromStr for ServiceName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<ClusterRef>() {
            Ok(name) if name.name() == text => Ok(Self(text.to_owned())),
            _ => Err("a service is a name of up to 255 letters, digits, hyphens and underscores"),
        }
    }
}

pub(super) fn environment_name(text: &str) -> Result<String, String> {
    if is_environment_name(text) {
        return Ok(text.to_owned());
    }
    Err("a name of letters, digits, dots, hyphens and underscores that starts with a letter or digit"
        .to_owned())
}

pub(super) fn region(text: &str) -> Result<String, String> {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    if text.split('-').count() >= 3 && text.split('-').all(is_part) {
        return Ok(text.to_owned());
    }
    Err("an AWS region like eu-central-1".to_owned())
}

pub(super) fn role_arn(text: &str) -> Result<String, String> {
    let parts: Vec<_> = text.splitn(6, ':').collect();
    let good = match parts[..] {
        ["arn", _, "iam", "", account, role] => {
            account.len() == 12
                && account.bytes().all(|b| b.is_ascii_digit())
                && role.strip_prefix("role/").is_some_and(|name| !name.is_empty())
                && role.bytes().all(|b| b.is_ascii_graphic())
        }
        _ => false,
    };
    if good {
        return Ok(text.to_owned());
    }
    Err("a role's ARN like arn:aws:iam::123456789012:role/NAME".to_owned())
}

pub(super) fn external_id(text: &str) -> Result<String, String> {
    let is_good = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&b);
    if (2..=1224).contains(&text.len()) && text.bytes().all(is_good) {
        return Ok(text.to_owned());
    }
    Err("2 to 1224 letters, digits and characters of _+=,.@:/-".to_owned())
}

pub(super) fn organization(text: &str) -> Result<String, String> {
    // In a URL's path, dots alone would lead to another path.
    let is_dots = text.bytes().all(|byte| byte == b'.');
    if is_dots || text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '/') {
        return Err("the organization's name, without white space or slashes".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "a duration like 15m, 1h or 0s".to_owned())
}

/// With less, the few calls of even a small cluster would wait for minutes.
const MIN_QUOTA_SHARE: f64 = 0.05;

pub(super) fn quota_share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|share| (MIN_QUOTA_SHARE..=1.0).contains(share))
        .ok_or_else(|| "a number from 0.05 to 1, like 0.5".to_owned())
}

pub(super) fn ssm_parameter(text: &str) -> Result<String, String> {
    const EXPECTED_PARAMETER: &str = "the name or the ARN of an SSM parameter";
    if text.starts_with("arn:") && text.split(':').nth(2) == Some("secretsmanager") {
        return Err(format!(
            "{EXPECTED_PARAMETER}: for a secret of Secrets Manager, \
             /aws/reference/secretsmanager/NAME"
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
    if good { Ok(text.to_owned()) } else { Err(EXPECTED_PARAMETER.to_owned()) }
}

pub(super) fn ssm_parameter_path(text: &str) -> Result<String, String> {
    let is_level = |level: &str| {
        !level.is_empty() && level.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    };
    let path = text.strip_suffix('/').unwrap_or(text);
    match path.strip_prefix('/') {
        Some(levels) if levels.split('/').all(is_level) => Ok(path.to_owned()),
        _ => Err("a path of SSM parameters like /envsnap/environments".to_owned()),
    }
}

/// A proxy as the HTTP clients accept it: the scheme is optional, and HTTP by default.
pub(super) fn proxy_url(text: &str) -> Result<Url, String> {
    const EXPECTED_PROXY: &str = "a proxy's URL like http://proxy.example.com:3128";
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url: Url = with_scheme.parse().map_err(|error| format!("{EXPECTED_PROXY} ({error})"))?;
    let is_plain = matches!(url.path(), "" | "/") && url.query().is_none();
    match url.scheme() {
        "http" | "https" if is_plain && url.fragment().is_none() => Ok(url),
        "http" | "https" => Err(format!("{EXPECTED_PROXY}, without a path")),
        scheme => Err(format!("{EXPECTED_PROXY}: a proxy of the kind {scheme} is not supported")),
    }
}

/// The snapshot server's URL: `https`, or `http` to loopback or if `allow_http`.
pub(super) fn server_url(text: &str, allow_http: bool) -> Result<Url, String> {
    const EXPECTED_URL: &str = "a URL like https://app.kosli.com";
    let url: Url = text.parse().map_err(|error| format!("{EXPECTED_URL} ({error})"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{EXPECTED_URL}, without a user or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{EXPECTED_URL}, without a query or fragment"));
    }
    match (url.scheme(), url.host_str()) {
        ("https", Some(_)) => Ok(url),
        ("http", Some(_)) if allow_http || is_loopback(&url) => Ok(url),
        ("http", Some(_)) => {
            Err("https, or the API token goes over the network for all to read (ALLOW_HTTP=true \
             permits that)"
                .to_owned())
        }
        _ => Err(EXPECTED_URL.to_owned()),
    }
}
