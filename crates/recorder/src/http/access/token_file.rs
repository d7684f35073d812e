//! The token file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;

use super::{Grant, Right};
use crate::secret_file::{SecretFile, SecretFileError};
use envsnap_model::wire::is_environment_name;

/// In bytes: shorter tokens can be guessed.
const MIN_TOKEN_BYTES: usize = 8;

/// In bytes: every line of the request log contains the label.
const MAX_LABEL_BYTES: usize = 64;

/// The file of `--token-file`: about ten thousand tokens fit into its mebibyte.
const TOKEN_FILE: SecretFile = SecretFile { what: "token file", max_kib: 1_024 };

/// The token file cannot be used, or there is none and other hosts can connect.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The token file cannot be read, or others can.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// A line cannot be read. The line may hold a token and is not repeated.
    #[error("line {line} of the token file {} {problem}", path.display())]
    Malformed {
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        problem: TokenLineError,
    },
    /// The token file would let no client in.
    #[error("the token file {} contains no token", path.display())]
    NoToken { path: PathBuf },
    /// Without tokens, only this host may connect.
    #[error(
        "without a token file the recorder serves this host only, and {address} is open to \
         others. Listen on 127.0.0.1 or [::1], or give it a token file"
    )]
    OpenToOthers {
        /// The address to listen on.
        address: SocketAddr,
    },
}

/// The problem of a line in the token file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenLineError {
    /// It does not match the format.
    #[error(
        "is not of the form \"TOKEN label=LABEL org=ORG RIGHT\", with org=* for every organization \
         and one of the rights report, attest, write and read"
    )]
    Form,
    /// It has no label.
    #[error(
        "has a token without a label. Add label=NAME, for example label=ci-runner, by which \
         the log identifies the token"
    )]
    NoLabel,
    /// The label has invalid characters or is too long.
    #[error(
        "has an invalid label. Use up to 64 letters, digits, '.', '_' and '-', with a letter or \
         digit first"
    )]
    Label,
    /// The label is reserved for requests without a token.
    #[error(
        "has the label 'anonymous', which is reserved for entries written without a token. Use \
         another"
    )]
    ReservedLabel,
    /// The token has another label on an earlier line.
    #[error("has a token that has another label on an earlier line. Use one label")]
    OtherLabel,
    /// The token is too short.
    #[error(
        "has a token of fewer than 8 characters, which can be guessed. Use a longer one, for \
         example with openssl rand -hex 32"
    )]
    TooShort,
    /// The token has characters that are not allowed in a header.
    #[error("has a token with characters that no HTTP header can carry. Use visible ASCII")]
    Characters,
}

/// The grants of the token file at `path`, which may be a pipe. There is at least one.
pub(crate) fn read(path: &Path) -> Result<Vec<Grant>, AccessError> {
    parse_file(TOKEN_FILE.read(path)?.expose_secret(), path)
}

/// Like [`read`], but refuses anything but a regular file, and so never blocks on a pipe.
pub(crate) fn reread(path: &Path) -> Result<Vec<Grant>, AccessError> {
    parse_file(TOKEN_FILE.read_regular(path)?.expose_secret(), path)
}

/// The grants of a token file with this content, at least one; `path` is for the error.
fn parse_file(content: &str, path: &Path) -> Result<Vec<Grant>, AccessError> {
    let grants = parse_lines(content).map_err(|(line, problem)| AccessError::Malformed {
        path: path.to_owned(),
        line,
        problem,
    })?;
    if grants.is_empty() {
        return Err(AccessError::NoToken { path: path.to_owned() });
    }
    Ok(grants)
}

/// The grants in all lines of a token file, or the number of the first line that cannot be read, and why.
fn parse_lines(content: &str) -> Result<Vec<Grant>, (usize, TokenLineError)> {
    let mut grants = Vec::<Grant>::new();
    let lines = content
        // Some editors write a byte order mark.
        .trim_start_matches('\u{feff}')
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    for (number, line) in lines {
        let grant = parse_line(line).map_err(|problem| (number, problem))?;
        let other = |it: &Grant| it.token_sha256 == grant.token_sha256 && it.label != grant.label;
        if grants.iter().any(other) {
            return Err((number, TokenLineError::OtherLabel));
        }
        grants.push(grant);
    }
    Ok(grants)
}

fn parse_line(line: &str) -> Result<Grant, TokenLineError> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [token, settings @ .., right] = &words[..] else { return Err(TokenLineError::Form) };
    let right = match *right {
        "report" => Right::Report,
        "attest" => Right::Attest,
        "write" => Right::Write,
        "read" => Right::Read,
        _ => return Err(TokenLineError::Form),
    };
    let setting = |name: &str| {
        let value = settings.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        value.filter(|value| !value.is_empty())
    };
    if token.starts_with("org=") || token.starts_with("label=") || settings.len() > 2 {
        return Err(TokenLineError::Form);
    }
    let org = setting("org").ok_or(TokenLineError::Form)?;
    let label = match setting("label") {
        Some(label) if settings.len() == 2 => label,
        None if settings.len() == 1 => return Err(TokenLineError::NoLabel),
        _ => return Err(TokenLineError::Form),
    };
    if label == super::ANONYMOUS {
        return Err(TokenLineError::ReservedLabel);
    }
    // Labels follow the rule for environment names.
    if label.len() > MAX_LABEL_BYTES || !is_environment_name(label) {
        return Err(TokenLineError::Label);
    }
    if token.len() < MIN_TOKEN_BYTES {
        return Err(TokenLineError::TooShort);
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenLineError::Characters);
    }
    Ok(Grant::new(token, label, (org != "*").then(|| org.to_owned()), right))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write as _;

    use super::super::Access;
    use super::*;

    pub(in super::super) fn access_from_token_file(content: &str) -> Result<Access, AccessError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        Access::from_token_file(file.path())
    }

    #[test]
    fn error_of_an_invalid_token_line_has_its_number_and_problem_but_never_its_text() {
        for (line, problem) in [
            ("s3cret-0", TokenLineError::Form),
            ("s3cret-0 org=acme", TokenLineError::Form),
            ("s3cret-0 acme read", TokenLineError::Form),
            ("s3cret-0 label=a read", TokenLineError::Form),
            ("s3cret-0 label=a org= read", TokenLineError::Form),
            ("s3cret-0 label=a org=acme admin", TokenLineError::Form),
            ("s3cret-0 label=a org=acme read write", TokenLineError::Form),
            ("s3cret-0 org=a org=acme read", TokenLineError::Form),
            ("s3cret-0 s3cret-1 label=a org=acme read", TokenLineError::Form),
            ("org=acme label=a read", TokenLineError::Form),
            ("s3cret-0 org=acme read", TokenLineError::NoLabel),
            ("s3cret-0 label=-a org=acme read", TokenLineError::Label),
            ("s3cret-0 label=anonymous org=acme read", TokenLineError::ReservedLabel),
            ("s3cret-0 label=a\u{200b}b org=acme read", TokenLineError::Label),
            ("first-00 label=another org=acme read", TokenLineError::OtherLabel),
            ("s3cret0 label=a org=acme read", TokenLineError::TooShort),
            ("s3cr\u{e9}t-0 label=a org=acme read", TokenLineError::Characters),
        ] {
            let error = access_from_token_file(&format!(
                "# tokens\nfirst-00 label=first org=acme read\n{line}\n"
            ));
            let error = error.unwrap_err();
            let AccessError::Malformed { line: number, problem: found, .. } = &error else {
                panic!("{line}: {error}")
            };
            assert_eq!((*number, *found), (3, problem), "{line}");
            let text = format!("{error} {error:?}");
            assert!(text.contains("line 3 ") && !text.contains("s3cr"), "{text}");
        }
        let long = format!("s3cret-0 label={} org=acme read", "a".repeat(65));
        assert!(access_from_token_file(&long).unwrap_err().to_string().contains("64 letters"));
    }

    #[test]
    fn token_file_that_has_no_tokens_or_does_not_exist_is_refused() {
        assert!(matches!(access_from_token_file("\n# none\n"), Err(AccessError::NoToken { .. })));
        let missing = Access::from_token_file(Path::new("/does/not/exist"));
        assert!(matches!(missing, Err(AccessError::File(SecretFileError::Unreadable { .. }))));
    }
}
