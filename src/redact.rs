//! Hides API tokens and registry credentials in text that is printed.
//!
//! Only text on its way to a person or a log is changed, never what is read, compared or posted.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::{PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
#[cfg(any(feature = "lambda", test))]
use serde_json::Value;

/// In bytes. A shorter token, like `any` for a recorder on this machine, is not a secret, and may
/// be part of any word by chance.
const MIN_SECRET_LENGTH: usize = 8;

/// Printed in place of a token.
const MASK: &str = "[token]";

/// What this process has used. Global, since the output of a process is a whole, whichever client a
/// text came from.
static KNOWN: RwLock<KnownSecrets> =
    RwLock::new(KnownSecrets { api_tokens: Vec::new(), registry_credentials: Vec::new() });

/// The latest last. They are apart, so that many registries never push the API token out.
struct KnownSecrets {
    api_tokens: Vec<SecretString>,
    registry_credentials: Vec<SecretString>,
}

/// A replaced token is no longer valid, but may still be repeated by a late response.
const MAX_API_TOKENS: usize = 4;

/// A registry issues a token for each repository, and each request uses the latest one.
#[cfg(any(feature = "cli", test))]
const MAX_REGISTRY_CREDENTIALS: usize = 32;

/// [`redact_known`] hides this token of the snapshot server from now on.
pub(crate) fn register_api_token(token: &SecretString) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    push_latest(&mut known.api_tokens, token, MAX_API_TOKENS);
}

/// [`redact_known`] hides this password or token of an image registry from now on.
#[cfg(any(feature = "cli", test))]
pub(crate) fn register_registry_credential(secret: &SecretString) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    push_latest(&mut known.registry_credentials, secret, MAX_REGISTRY_CREDENTIALS);
}

fn push_latest(secrets: &mut Vec<SecretString>, secret: &SecretString, max: usize) {
    secrets.retain(|other| other.expose_secret() != secret.expose_secret());
    let surplus = (secrets.len() + 1).saturating_sub(max);
    secrets.drain(..surplus);
    secrets.push(secret.clone());
}

/// `text` without any token that this process has used.
pub(crate) fn redact_known(text: &str) -> Cow<'_, str> {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    let secrets = known.api_tokens.iter().chain(&known.registry_credentials);
    secrets.fold(Cow::Borrowed(text), |text, secret| match redact(&text, secret) {
        Cow::Borrowed(_) => text,
        Cow::Owned(hidden) => Cow::Owned(hidden),
    })
}

/// Hides known tokens in every string of `document`. It stays JSON, whatever the token is made of.
#[cfg(feature = "lambda")]
pub(crate) fn redact_json(document: &mut Value) {
    match document {
        Value::String(text) => {
            if let Cow::Owned(hidden) = redact_known(text) {
                *text = hidden;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact_json),
        // Field names are constants.
        Value::Object(fields) => fields.values_mut().for_each(redact_json),
        _ => {}
    }
}

/// Hides known tokens in each text that is written, but not one that is split over two writes.
#[derive(Debug)]
pub(crate) struct RedactingWriter<W>(pub(crate) W);

impl<W: Write> Write for RedactingWriter<W> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.write_all(redact_known(&String::from_utf8_lossy(text)).as_bytes())?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// `text` without the token: literally or in another case, escaped as in JSON (however often) or in
/// a URL, and in base64, alone or as a part of something longer.
pub(crate) fn redact<'a>(text: &'a str, token: &SecretString) -> Cow<'a, str> {
    let token = token.expose_secret();
    if token.len() < MIN_SECRET_LENGTH {
        return Cow::Borrowed(text);
    }
    let mut encodings = vec![Encoding { characters: token.into(), any_case: true }];
    for before in 0..3 {
        let bytes = [&vec![0; before], token.as_bytes()].concat();
        // The characters that encode nothing but bits of the token.
        let own = (before * 8).div_ceil(6)..bytes.len() * 8 / 6;
        for encoded in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            encodings.push(Encoding { characters: encoded[own.clone()].into(), any_case: false });
        }
    }
    encodings.iter().fold(Cow::Borrowed(text), |text, encoding| match encoding.hide(&text) {
        Some(hidden) => Cow::Owned(hidden),
        None => text,
    })
}

/// One encoding of the token.
struct Encoding {
    characters: Box<str>,
    any_case: bool,
}

impl Encoding {
    /// `text` without the token; `None` if it does not contain it.
    fn hide(&self, text: &str) -> Option<String> {
        // Escapes are decoded, so that a backslash never means itself.
        let wanted: Vec<u8> = self.characters.bytes().filter(|byte| *byte != b'\\').collect();
        let first = wanted.first()?;
        let bytes = text.as_bytes();
        let mut hidden = String::new();
        let (mut at, mut copied) = (0, 0);
        while at < bytes.len() {
            let may_begin =
                self.bytes_match(bytes[at], *first) || matches!(bytes[at], b'\\' | b'%');
            match may_begin.then(|| self.token_end(bytes, at, &wanted)).flatten() {
                Some(end) => {
                    hidden.push_str(&text[copied..at]);
                    hidden.push_str(MASK);
                    (at, copied) = (end, end);
                }
                None => at += 1,
            }
        }
        (copied > 0).then(|| hidden + &text[copied..])
    }

    /// The end of the token (`wanted`) in `text` if it begins at `at`, in whatever escapes. The
    /// token is ASCII, and so is everything up to the end.
    fn token_end(&self, text: &[u8], mut at: usize, wanted: &[u8]) -> Option<usize> {
        let has_backslash = self.characters.contains('\\');
        let escape = |at: usize| match text.get(at..)? {
            [b'\\', ..] => Some(1),
            [b'%', b'5', b'c' | b'C', ..] if has_backslash => Some(3),
            _ => None,
        };
        for (index, wanted_byte) in wanted.iter().enumerate() {
            let escaped = text.get(at) == Some(&b'\\');
            while let Some(length) = escape(at) {
                at += length;
            }
            let next = *text.get(at)?;
            let hex = |from: usize, digits: usize| {
                let digits = std::str::from_utf8(text.get(from..from + digits)?).ok()?;
                u8::from_str_radix(digits, 16).ok()
            };
            // A token may have what looks like an escaped percent sign.
            let is_literal =
                wanted[index..].starts_with(b"%25") && !text[at..].starts_with(b"%2525");
            let (read, length) = match next {
                b'%' if !is_literal => (hex(at + 1, 2), 3),
                b'u' if escaped => (hex(at + 1, 4), 5),
                _ => (None, 0),
            };
            at += match read {
                Some(read) if self.bytes_match(read, *wanted_byte) => length,
                _ if self.bytes_match(next, *wanted_byte) => 1,
                _ => return None,
            };
        }
        Some(at)
    }

    fn bytes_match(&self, one: u8, other: u8) -> bool {
        if self.any_case { one.eq_ignore_ascii_case(&other) } else { one == other }
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Has characters that JSON and URLs escape.
    const TOKEN: &str = "s3cr3t/T0k+en\"of\\acme==";

    fn redacted(text: &str, token: &str) -> String {
        redact(text, &token.into()).into_owned()
    }

    #[test]
    fn token_is_masked_in_plain_text_json_urls_base64_and_any_case() {
        let in_json = json!({"message": format!("Bearer {TOKEN}")}).to_string();
        let in_url = "s3cr3t%2FT0k%2Ben%22of%5Cacme%3D%3D";
        for text in [
            TOKEN.to_owned(),
            TOKEN.to_uppercase(),
            format!("Authorization: Bearer {TOKEN}, again {TOKEN}"),
            in_json.clone(),
            json!({"log": in_json}).to_string(),
            json!({"log": json!({"log": in_json}).to_string()}).to_string(),
            in_json.replace('/', "\\/"),
            in_json.replace('+', "\\u002b").replace('=', "\\u003D"),
            format!("https://x/?t={in_url}&u=1"),
            in_url.to_lowercase(),
            STANDARD.encode(TOKEN),
            STANDARD.encode(format!("x:{TOKEN}")),
            STANDARD.encode(format!("xy:{TOKEN}@")),
            URL_SAFE_NO_PAD.encode(format!("xyz:{TOKEN}")),
        ] {
            let hidden = redacted(&text, TOKEN);
            assert!(hidden.contains(MASK), "{text}: {hidden}");
            assert!(!hidden.to_lowercase().contains("cr3t"), "{text}: {hidden}");
        }
        for (token, text) in
            [("A!a%25a!", "A!a%25a!"), ("A!a%25a!", "A%21a%2525a%21"), ("A\"a%25a!", "A\\\"a%25a!")]
        {
            assert_eq!(redacted(text, token), MASK, "{text}");
        }
        let between = redacted(&format!("a {TOKEN} b {TOKEN} c"), TOKEN);
        assert_eq!(between, "a [token] b [token] c");
    }

    #[test]
    fn token_under_8_bytes_and_text_without_the_token_stay_unchanged() {
        assert_eq!(redacted("the company", "any"), "the company");
        assert_eq!(redacted("1234567", "1234567"), "1234567");
        assert_eq!(redacted("x12345678", "12345678"), "x[token]");
        for text in ["", "%", "\\", "\\u00", "%7", "pre-s3cr3t", "\u{e9}\u{1f600}s3cr3t/T0"] {
            assert!(matches!(redact(text, &TOKEN.into()), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn registered_tokens_are_masked_in_text_and_by_the_writer() {
        let tokens = ["t0k3n-of-this-test-1", "t0k3n-of-this-test-2"];
        for token in tokens.iter().chain(&tokens) {
            register_api_token(&(*token).into());
        }
        // More than are kept.
        for number in 0..100 {
            register_registry_credential(&format!("t0k3n-of-registry-{number}").into());
        }
        let text = format!("{} and {} and any", tokens[0], tokens[1]);
        assert_eq!(redact_known(&text), "[token] and [token] and any");
        assert_eq!(redact_known("Bearer t0k3n-of-registry-99"), "Bearer [token]");
        let mut written = Vec::new();
        write!(RedactingWriter(&mut written), "{}", tokens[0]).unwrap();
        assert_eq!(written, b"[token]");
    }

    proptest! {
        #[test]
        fn random_token_is_masked_in_plain_text_and_in_json(
            before in "\\PC{0,8}", token in "[!-\\[\\]-~]{8,40}", after in "\\PC{0,8}",
        ) {
            prop_assume!(!before.ends_with(['\\', '%']) && !token.starts_with(['\\', '%']));
            let text = format!("{before}{token}{after}");
            prop_assume!(text.matches(&token).count() == 1);
            let plain = redacted(&text, &token);
            prop_assert!(plain.contains(MASK) && !plain.contains(&token));
            let in_json = Value::from(text.as_str()).to_string();
            prop_assert!(redacted(&in_json, &token).contains(MASK));
        }

        #[test]
        fn redaction_of_random_text_and_token_does_not_panic(text in "\\PC{0,60}", token in "[!-~]{1,20}") {
            redacted(&text, &token);
        }
    }
}
