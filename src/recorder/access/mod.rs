//! Who may read and report what.

mod guard;
mod host;
mod readable;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

pub(super) use guard::guard;
pub(super) use host::by_own_name;
pub(super) use readable::{Readable, guard_any};

/// The tokens that open the API.
#[derive(Clone)]
pub struct Access {
    /// `None` lets everyone in.
    grants: Option<Arc<[Grant]>>,
}

/// What one line of the token file allows.
#[derive(PartialEq, Eq)]
struct Grant {
    /// The token itself is not kept. Comparing digests tells an attacker who measures time
    /// nothing of it either.
    token_sha256: [u8; 32],
    /// `None` is every organization.
    org: Option<String>,
    may_write: bool,
}

/// Why there is no access.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The token file cannot be read.
    #[error("cannot read the token file {}", path.display())]
    Unreadable {
        /// The token file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line is not of the file's form. The line may hold a token and is not repeated.
    #[error(
        "line {line} of the token file {} is not of the form \"TOKEN org=ORG read\" or \
         \"TOKEN org=ORG write\", with org=* for every organization",
        path.display()
    )]
    Malformed {
        /// The token file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// The token file would let nobody in.
    #[error("the token file {} holds no token", path.display())]
    NoToken {
        /// The token file.
        path: PathBuf,
    },
    /// Without tokens, only this host may connect.
    #[error(
        "without a token file the recorder serves this host only, and {address} is open to \
         others: listen on 127.0.0.1 or [::1], or give it a token file"
    )]
    OpenToOthers {
        /// Where it was to listen.
        address: SocketAddr,
    },
}

impl Access {
    /// Everyone may do everything, with any token or none: for this host only
    /// (see [`Access::may_listen_on`]).
    pub fn open() -> Self {
        Self { grants: None }
    }

    /// Who has `token` may read everything, and nobody may do anything else.
    pub fn to_read_with(token: &SecretString) -> Self {
        let token_sha256 = Sha256::digest(token.expose_secret()).into();
        let grant = Grant { token_sha256, org: None, may_write: false };
        Self { grants: Some([grant].into()) }
    }

    /// The access that a token file gives: a line `TOKEN org=ORG read` or `TOKEN org=ORG write` a
    /// grant, where `org=*` is every organization and writing includes reading; a token may stand
    /// on several lines. Blank lines, and lines that start with `#`, say nothing.
    ///
    /// # Errors
    /// The file cannot be read, a line is malformed, or there is no token in it.
    pub fn from_token_file(path: &Path) -> Result<Self, AccessError> {
        let content = std::fs::read_to_string(path)
            .map(SecretString::from)
            .map_err(|source| AccessError::Unreadable { path: path.to_owned(), source })?;
        let grants = grants(content.expose_secret())
            .map_err(|line| AccessError::Malformed { path: path.to_owned(), line })?;
        if grants.is_empty() {
            return Err(AccessError::NoToken { path: path.to_owned() });
        }
        Ok(Self { grants: Some(grants.into()) })
    }

    /// What `token` opens; `None` where no token is needed.
    fn grants_of(&self, token: Option<&str>) -> Option<impl Iterator<Item = &Grant>> {
        let token_sha256: [u8; 32] = Sha256::digest(token.unwrap_or_default()).into();
        let grants = self.grants.as_ref()?.iter();
        Some(grants.filter(move |grant| grant.token_sha256 == token_sha256))
    }

    fn is_open(&self) -> bool {
        self.grants.is_none()
    }

    /// Whether a recorder with this access may listen on `address`.
    ///
    /// # Errors
    /// Access is open, and so is the address to other hosts.
    pub fn may_listen_on(&self, address: SocketAddr) -> Result<(), AccessError> {
        if self.is_open() && !address.ip().to_canonical().is_loopback() {
            return Err(AccessError::OpenToOthers { address });
        }
        Ok(())
    }

    /// Whether who has `token` may do this in `org`; otherwise the status to refuse with.
    fn check(&self, token: Option<&str>, org: &str, writes: bool) -> Result<(), StatusCode> {
        let Some(grants) = self.grants_of(token) else { return Ok(()) };
        let mut status = StatusCode::UNAUTHORIZED;
        for grant in grants {
            let in_org = grant.org.as_deref().is_none_or(|granted| granted == org);
            if in_org && (grant.may_write || !writes) {
                return Ok(());
            }
            status = StatusCode::FORBIDDEN;
        }
        Err(status)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.grants {
            None => f.write_str("Access(open)"),
            Some(grants) => write!(f, "Access({} grants)", grants.len()),
        }
    }
}

/// The grants of a token file, or the number of the first malformed line.
fn grants(content: &str) -> Result<Vec<Grant>, usize> {
    content
        // Some editors begin a text with a mark that nobody sees, and that no token has.
        .trim_start_matches('\u{feff}')
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| grant(line).ok_or(number))
        .collect()
}

fn grant(line: &str) -> Option<Grant> {
    let mut words = line.split_whitespace();
    let token = words.next()?;
    let org = words.next()?.strip_prefix("org=").filter(|org| !org.is_empty())?;
    let may_write = match words.next()? {
        "read" => false,
        "write" => true,
        _ => return None,
    };
    let org = (org != "*").then(|| org.to_owned());
    let grant = Grant { token_sha256: Sha256::digest(token).into(), org, may_write };
    words.next().is_none().then_some(grant)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    pub(super) fn token_file(content: &str) -> Result<Access, AccessError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        Access::from_token_file(file.path())
    }

    #[test]
    fn a_token_opens_what_its_lines_grant() {
        let access = token_file(
            "\u{feff}first0 org=acme read\n# the reporter\nrep0 org=acme write\n\n  \nread0\torg=acme  read\r\n\
             read0 org=other write\nroot0 org=* write\nauditor0 org=* read\n",
        )
        .unwrap();
        let (fine, unknown, forbidden) =
            (Ok(()), Err(StatusCode::UNAUTHORIZED), Err(StatusCode::FORBIDDEN));
        let cases = [
            (Some("first0"), "acme", false, fine),
            (Some("rep0"), "acme", true, fine),
            (Some("rep0"), "acme", false, fine),
            (Some("rep0"), "other", false, forbidden),
            (Some("read0"), "acme", false, fine),
            (Some("read0"), "acme", true, forbidden),
            (Some("read0"), "other", true, fine),
            (Some("root0"), "anything", true, fine),
            (Some("auditor0"), "anything", false, fine),
            (Some("auditor0"), "anything", true, forbidden),
            (Some("#"), "acme", false, unknown),
            (Some("rep"), "acme", false, unknown),
            (Some(""), "acme", false, unknown),
            (None, "acme", false, unknown),
        ];
        for (token, org, writes, expected) in cases {
            assert_eq!(access.check(token, org, writes), expected, "{token:?} {org} {writes}");
        }
    }

    #[test]
    fn a_malformed_line_is_named_by_its_number_and_never_repeated() {
        for malformed in [
            "s3cret",
            "s3cret org=acme",
            "s3cret acme read",
            "s3cret org= read",
            "s3cret org=acme admin",
            "s3cret org=acme read write",
            "org=acme read",
        ] {
            let error = token_file(&format!("# tokens\nt org=acme read\n{malformed}\n"));
            let error = error.unwrap_err();
            let said = format!("{error} {error:?}");
            assert!(said.contains("line 3 "), "{said}");
            assert!(!said.contains("s3cret"), "{said}");
        }
    }

    #[test]
    fn a_file_without_tokens_is_refused() {
        assert!(matches!(token_file("\n# none\n"), Err(AccessError::NoToken { .. })));
        let missing = Access::from_token_file(Path::new("/does/not/exist"));
        assert!(matches!(missing, Err(AccessError::Unreadable { .. })));
    }

    #[test]
    fn open_access_listens_to_this_host_only() {
        let cases = [
            ("127.0.0.1:80", true),
            ("127.8.8.8:80", true),
            ("[::1]:80", true),
            ("[::ffff:127.0.0.1]:80", true),
            ("0.0.0.0:80", false),
            ("[::]:80", false),
            ("10.0.0.1:80", false),
        ];
        let guarded = token_file("t org=* read").unwrap();
        for (address, allowed) in cases {
            let address = address.parse().unwrap();
            assert_eq!(Access::open().may_listen_on(address).is_ok(), allowed, "{address}");
            assert!(guarded.may_listen_on(address).is_ok());
        }
    }

    #[test]
    fn nothing_of_a_token_is_in_the_debug_form() {
        let access = token_file("s3cret org=acme write").unwrap();
        assert_eq!(format!("{access:?}"), "Access(1 grants)");
    }
}
