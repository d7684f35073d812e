//! Which webhooks there are.

use std::collections::BTreeSet;
use std::str::FromStr;

use envsnap_model::wire::is_environment_name;
use reqwest::Url;
use sha2::{Digest as _, Sha256};

use super::message::Topic;

/// The URL to which messages are sent, and the organization, environment and events that select them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    pub(super) url: Url,
    /// Every organization if it is `None`.
    pub(super) org: Option<String>,
    /// Every environment if it is `None`.
    pub(super) environment: Option<String>,
    pub(super) topics: BTreeSet<Topic>,
}

/// The text does not configure a webhook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseWebhookError {
    #[error(
        "unexpected \"{0}\" in a webhook. It is written as \"URL [org=NAME] [environment=NAME] [events=EVENT,…]\""
    )]
    Word(String),
    #[error("\"{0}\" is not an address of http or https")]
    Url(String),
    #[error(
        "\"{0}\" cannot be the name of an organization or an environment. A name begins with a letter or a \
         digit, and consists of letters, digits, ., _ and -"
    )]
    Name(String),
    #[error("unknown event \"{0}\". The events are {known}", known = Topic::names())]
    Topic(String),
}

impl Webhook {
    /// Identifies the webhook in the database, which has the position of its deliveries. With another URL or
    /// filter it is another webhook.
    pub(super) fn id(&self) -> String {
        let topics: Vec<_> = self.topics.iter().map(|topic| topic.name()).collect();
        let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "*".to_owned());
        let text = format!(
            "{} {} {} {}",
            self.url,
            name(&self.org),
            name(&self.environment),
            topics.join(",")
        );
        hex::encode(&Sha256::digest(text)[..16])
    }

    /// Scheme, host and port, for logs: the path and the query may hold a secret.
    pub(super) fn redacted_url(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port() {
            Some(port) => format!("{}://{host}:{port}/…", self.url.scheme()),
            None => format!("{}://{host}/…", self.url.scheme()),
        }
    }

    pub(super) fn is_for_org(&self, org: &str) -> bool {
        self.org.as_deref().is_none_or(|wanted| wanted == org)
    }

    pub(super) fn is_for_environment(&self, environment: &str) -> bool {
        self.environment.as_deref().is_none_or(|wanted| wanted == environment)
    }
}

/// `URL [org=NAME] [environment=NAME] [events=EVENT,…]`; all events if none are named.
impl FromStr for Webhook {
    type Err = ParseWebhookError;

    fn from_str(text: &str) -> Result<Self, ParseWebhookError> {
        let mut words = text.split_whitespace();
        let address = words.next().unwrap_or_default();
        let url = address
            .parse::<Url>()
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        // The address may hold a secret, and is not repeated whole.
        let shown = || address.split(['/', '?', '@']).next().unwrap_or_default().to_owned();
        let url = url.ok_or_else(|| ParseWebhookError::Url(shown()))?;
        let mut webhook = Self { url, org: None, environment: None, topics: BTreeSet::new() };
        for word in words {
            let name = |value: &str| {
                let is_name = is_environment_name(value);
                let name = is_name.then(|| Some(value.to_owned()));
                name.ok_or_else(|| ParseWebhookError::Name(value.to_owned()))
            };
            match word.split_once('=') {
                Some(("org", value)) => webhook.org = name(value)?,
                Some(("environment", value)) => webhook.environment = name(value)?,
                Some(("events", value)) => {
                    for topic in value.split(',') {
                        webhook.topics.insert(topic.parse()?);
                    }
                }
                _ => return Err(ParseWebhookError::Word(word.to_owned())),
            }
        }
        if webhook.topics.is_empty() {
            webhook.topics.extend(Topic::ALL);
        }
        Ok(webhook)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhook_is_parsed_from_http_url_and_filters_and_other_text_is_rejected() {
        let all: Webhook = "https://hooks.example.com/T0/s3cret".parse().unwrap();
        assert_eq!((all.org.clone(), all.topics.len()), (None, Topic::ALL.len()));
        assert_eq!(all.redacted_url(), "https://hooks.example.com/…");
        let some: Webhook =
            "http://127.0.0.1:99/a org=acme environment=aws-prod events=rogue,no-report"
                .parse()
                .unwrap();
        assert_eq!(some.topics, BTreeSet::from([Topic::Rogue, Topic::NoReport]));
        assert!(some.is_for_org("acme") && !some.is_for_org("other"));
        assert!(some.is_for_environment("aws-prod") && !some.is_for_environment("aws-beta"));
        assert_ne!(all.id(), some.id());
        for (text, error) in [
            ("", ParseWebhookError::Url(String::new())),
            ("ftp://a/s3cret", ParseWebhookError::Url("ftp:".to_owned())),
            ("https://a rogue", ParseWebhookError::Word("rogue".to_owned())),
            ("https://a org=", ParseWebhookError::Name(String::new())),
            ("https://a events=rouge", ParseWebhookError::Topic("rouge".to_owned())),
        ] {
            assert_eq!(text.parse::<Webhook>(), Err(error), "{text}");
        }
    }
}
