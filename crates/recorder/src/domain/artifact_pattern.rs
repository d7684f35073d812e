//! Patterns that select artifacts by fingerprint or name.

use std::fmt::Write as _;
use std::str::FromStr;

use regex_lite::Regex;

/// The minimum length of a fingerprint prefix in hex digits: shorter ones would match too much.
pub const MIN_DIGITS: usize = 5;

const FINGERPRINT_DIGITS: usize = 64;

/// The most characters of a pattern, and the most `*` in it, where several in a row count as one: the time
/// that a name takes grows with both, and every name of an organization is compared.
const MAX_PATTERN_CHARACTERS: usize = 256;
const MAX_WILDCARDS: usize = 16;

/// Selects artifacts by a fingerprint prefix, or by whole path components of an image name, in which `*` is
/// any text.
#[derive(Debug, Clone)]
pub struct ArtifactPattern {
    text: String,
    /// In lower case.
    fingerprint: Option<String>,
    /// Part of each name that matches. Names without it need no regular expression, which would take ten
    /// microseconds for each.
    literal: String,
    name: Regex,
}

impl ArtifactPattern {
    /// Whether this looks like a fingerprint prefix that is shorter than [`MIN_DIGITS`].
    pub fn is_too_short(&self) -> bool {
        self.text.len() < MIN_DIGITS && self.text.bytes().all(|byte| byte.is_ascii_hexdigit())
    }

    /// The pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The pattern in lower case, if it has all digits of a fingerprint.
    pub fn full_fingerprint(&self) -> Option<&str> {
        self.fingerprint_prefix().filter(|digits| digits.len() == FINGERPRINT_DIGITS)
    }

    /// The first digits of a fingerprint, in lower case, if the pattern may be that.
    pub fn fingerprint_prefix(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// A text that each name has in it that matches.
    pub fn literal(&self) -> &str {
        &self.literal
    }

    /// Whether the artifact with this fingerprint (`""` if unknown) and this name matches.
    pub fn matches(&self, fingerprint: &str, name: &str) -> bool {
        self.fingerprint.as_ref().is_some_and(|wanted| fingerprint.starts_with(wanted))
            || self.matches_name(name)
    }

    /// Whether an artifact with this name matches by it.
    pub fn matches_name(&self, name: &str) -> bool {
        name.contains(&self.literal) && self.name.is_match(name)
    }
}

/// The text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseArtifactPatternError(String);

impl FromStr for ArtifactPattern {
    type Err = ParseArtifactPatternError;

    fn from_str(text: &str) -> Result<Self, ParseArtifactPatternError> {
        let text = text.trim();
        if text.is_empty() {
            let wanted = "it should be a fingerprint or a name".to_owned();
            return Err(ParseArtifactPatternError(wanted));
        }
        if text.chars().nth(MAX_PATTERN_CHARACTERS).is_some() {
            return Err(ParseArtifactPatternError(format!(
                "it should have at most {MAX_PATTERN_CHARACTERS} characters"
            )));
        }
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let is_fingerprint = (MIN_DIGITS..=FINGERPRINT_DIGITS).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        // A component ends at the next `/`, the tag or the digest.
        let mut parts: Vec<_> = text.split('*').collect();
        let last = parts.len() - 1;
        let mut position = 0..;
        // Empty between two `*` of a run.
        parts.retain(|part| {
            let is_end = position.next().is_some_and(|at| at == 0 || at == last);
            is_end || !part.is_empty()
        });
        if parts.len() - 1 > MAX_WILDCARDS {
            return Err(ParseArtifactPatternError(format!(
                "it should have at most {MAX_WILDCARDS} *"
            )));
        }
        let escaped: Vec<_> = parts.iter().copied().map(regex_lite::escape).collect();
        let mut name = format!("(?s)(?:^|[/:@]){}(?:$|[/:@])", escaped.join(".*"));
        let longest = parts.into_iter().max_by_key(|part| part.len()).unwrap_or_default();
        // Both alternatives contain the digits.
        let literal = if is_fingerprint { digits } else { longest };
        if is_fingerprint {
            // A tag is often a full commit hash, and people know only its prefix.
            let _infallible = write!(name, "|:{digits}[0-9a-f]*(?:$|@)");
        }
        let name = Regex::new(&name).map_err(|error| {
            ParseArtifactPatternError(format!("it cannot be looked for: {error}"))
        })?;
        Ok(Self {
            text: text.to_owned(),
            fingerprint: is_fingerprint.then(|| digits.to_ascii_lowercase()),
            literal: literal.to_owned(),
            name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINGERPRINT: &str = "9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625";
    const IMAGE_NAME: &str =
        "274425519734.dkr.ecr.eu-central-1.amazonaws.com/cyberdojo/runner:16d9990";

    #[test]
    fn an_artifact_matches_by_fingerprint_or_by_name_components() {
        for (text, expected) in [
            ("9af40", true),
            ("9AF401C", true),
            (FINGERPRINT, true),
            ("sha256:9af401c", true),
            ("9af4", false),
            ("9af41", false),
            ("f401c4", false),
            ("runner", true),
            ("runner:16d9990", true),
            ("cyberdojo/runner", true),
            (IMAGE_NAME, true),
            ("16d9990", true),
            ("run", false),
            ("unner", false),
            ("cyberdojo", true),
            ("run*", true),
            ("run*:16d*", true),
            ("*", true),
            ("*.amazonaws.com/*", true),
            ("dkr.ecr", false),
            ("runner.16d9990", false),
            ("r*:*9990", true),
            ("r*:*9991", false),
            ("runner-proxy", false),
        ] {
            let pattern: ArtifactPattern = text.parse().unwrap();
            assert_eq!(pattern.matches(FINGERPRINT, IMAGE_NAME), expected, "{text}");
        }
        let commit = "runner:16d9990ad23a40eecaf087abac2a58a2d2a4b3f4";
        for (text, expected) in [
            ("16d9990", true),
            ("16d99", true),
            ("16d9", false),
            ("d9990", false),
            ("16d9991", false),
        ] {
            let pattern: ArtifactPattern = text.parse().unwrap();
            assert_eq!(pattern.matches("", commit), expected, "{text}");
        }
        assert!(" ".parse::<ArtifactPattern>().is_err());
    }

    #[test]
    fn pattern_that_would_take_long_to_match_is_refused_with_its_limit() {
        let problem =
            |text: &str| text.parse::<ArtifactPattern>().err().map(|error| error.to_string());
        let (too_long, too_many) =
            (Some("it should have at most 256 characters"), Some("it should have at most 16 *"));
        for (text, expected) in [
            ("é".repeat(256), None),
            ("é".repeat(257), too_long),
            ("*".repeat(256), None),
            ("*".repeat(2_000), too_long),
            ("a*".repeat(16), None),
            (format!("*{}", "a*".repeat(15)), None),
            ("a**".repeat(16), None),
            ("a*".repeat(17), too_many),
            (format!("*{}", "a*".repeat(16)), too_many),
        ] {
            assert_eq!(problem(&text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn several_wildcards_in_a_row_are_any_text_as_one_is() {
        for text in ["run***r:16*", "**", "***cyberdojo**/**9990", "run**:16d**"] {
            let pattern: ArtifactPattern = text.parse().unwrap();
            assert!(pattern.matches_name(IMAGE_NAME), "{text}");
            assert_eq!(pattern.as_str(), text);
        }
        let pattern: ArtifactPattern = "run***x".parse().unwrap();
        assert!(!pattern.matches_name(IMAGE_NAME));
    }
}
