//! What a registry asks for in `WWW-Authenticate` (RFC 9110, section 11.6.1).

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// The authentication scheme that a registry requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With a token that `realm` issues.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
    /// With a user name and a password.
    Basic,
}

impl Challenge {
    /// The supported challenge in `headers`: a token is preferred to a password.
    pub(super) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let texts =
            headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let all: Vec<_> = texts.flat_map(parse_challenges).collect();
        let bearer = all.iter().find(|challenge| matches!(challenge, Self::Bearer { .. }));
        bearer.or_else(|| all.first()).cloned()
    }
}

/// One header may have several challenges, and each several parameters, all separated by commas.
fn parse_challenges(text: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for part in split_unquoted(text) {
        let part = part.trim();
        // A scheme is a word before the first parameter.
        let word = part.split(['=', ' ', '\t', '"']).next().unwrap_or_default();
        let behind = part[word.len()..].trim_start();
        let parameter = if behind.starts_with('=') {
            part
        } else {
            found.push((word.to_ascii_lowercase(), Vec::new()));
            behind
        };
        if let (Some((name, value)), Some((_, parameters))) =
            (parameter.split_once('='), found.last_mut())
        {
            parameters.push((name.trim().to_ascii_lowercase(), unquote(value.trim())));
        }
    }
    found.into_iter().filter_map(|(scheme, parameters)| from_parts(&scheme, &parameters)).collect()
}

/// `None` if the scheme is not supported, or `Bearer` has no `realm`.
fn from_parts(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let parameter = |wanted: &str| {
        let found = parameters.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.clone())
    };
    match scheme {
        "bearer" => Some(Challenge::Bearer {
            realm: parameter("realm")?,
            service: parameter("service"),
            scope: parameter("scope"),
        }),
        "basic" => Some(Challenge::Basic),
        _ => None,
    }
}

/// The parts between commas that are in no quotes.
fn split_unquoted(text: &str) -> Vec<&str> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    let (mut in_quotes, mut is_escaped) = (false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if in_quotes => is_escaped = true,
            '"' => in_quotes = !in_quotes,
            ',' if !in_quotes => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// The text of a token or a quoted string (RFC 9110, section 5.6.4), without quotes and escapes.
fn unquote(value: &str) -> String {
    let Some(inside) = value.strip_prefix('"') else { return value.to_owned() };
    let mut text = String::new();
    let mut characters = inside.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => text.extend(characters.next()),
            character => text.push(character),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chosen_challenge(headers: &[&str]) -> Option<Challenge> {
        let headers = headers.iter().map(|value| (WWW_AUTHENTICATE, value.parse().unwrap()));
        Challenge::from_headers(&headers.collect())
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let [service, scope] = [service, scope].map(|text| text.map(str::to_owned));
        Challenge::Bearer { realm: realm.to_owned(), service, scope }
    }

    #[test]
    fn www_authenticate_headers_are_parsed_and_bearer_is_preferred_to_basic() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io""#;
        let hub_realm = "https://auth.docker.io/token";
        assert_eq!(
            chosen_challenge(&[hub]),
            Some(bearer(hub_realm, Some("registry.docker.io"), None))
        );
        let scoped = r#"bearer  realm="https://x/t", scope="repository:a/b:pull,push""#;
        assert_eq!(
            chosen_challenge(&[scoped]),
            Some(bearer("https://x/t", None, Some("repository:a/b:pull,push")))
        );
        let ecr = r#"Basic realm="https://1.dkr.ecr.eu-central-1.amazonaws.com/",service="ecr""#;
        assert_eq!(chosen_challenge(&[ecr]), Some(Challenge::Basic));
        let both = r#"Basic realm="a, \"b\" = c", Bearer realm=https://x/t"#;
        assert_eq!(chosen_challenge(&[both]), Some(bearer("https://x/t", None, None)));
        assert_eq!(chosen_challenge(&["Basic", both]), Some(bearer("https://x/t", None, None)));
        for none in
            ["", ",,,", "Negotiate", "Bearer", "Bearer realm", "=", "\"", "Bearer service=x"]
        {
            assert_eq!(chosen_challenge(&[none]), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn parsing_any_www_authenticate_header_does_not_panic(text in "[a-zA-Z=,\"\\\\ ]{0,30}|\\PC{0,20}") {
            parse_challenges(&text);
        }
    }
}
