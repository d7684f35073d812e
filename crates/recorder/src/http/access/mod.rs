//! Access control.

mod cross_site;
mod guard;
mod host;
mod readable;
mod token_file;

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::StatusCode;
use sha2::{Digest as _, Sha256};

pub(crate) use cross_site::refuse_cross_site_writes;
pub(crate) use guard::{Guard, guard};
pub(crate) use host::require_local_host;
pub(crate) use readable::authorize_any_org;
pub use token_file::{AccessError, TokenLineError as TokenLineProblem};

/// The actor of entries if no token is required. No token may have this label.
const ANONYMOUS: &str = "anonymous";

/// Which token may do what in which organization. Clones share this, also after a [reload](Access::reload).
#[derive(Clone)]
pub struct Access(Arc<RwLock<Grants>>);

/// `None` if no token is required.
type Grants = Option<Arc<[Grant]>>;

/// What one line of the token file allows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Grant {
    /// The token itself is not kept, and comparing digests leaks nothing through timing.
    token_sha256: [u8; 32],
    /// Identifies the token in the log and in the ledger.
    label: Arc<str>,
    /// `None` is every organization.
    org: Option<String>,
    right: Right,
}

/// What a token may do in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    /// What the reporter does: report, read an environment and its latest snapshot, and create an
    /// ECS environment that does not exist.
    Report,
    /// What a CI job does: create flows, begin trails, report artifacts, attestations and deployments.
    Attest,
    Write,
    Read,
}

/// What a request does, as far as the rights of tokens distinguish it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Read,
    /// Reads an environment itself, or its latest snapshot.
    ReadForReport,
    Report,
    /// Reports provenance.
    Attest,
    /// Reads what a CI job needs to know before it reports.
    ReadForJob,
    /// Creates an environment, or changes it if it exists.
    SaveEnvironment,
    Write,
}

impl Right {
    fn allows(self, action: Action) -> bool {
        match self {
            Self::Write => true,
            Self::Read => {
                matches!(action, Action::Read | Action::ReadForReport | Action::ReadForJob)
            }
            Self::Attest => matches!(action, Action::Attest | Action::ReadForJob),
            Self::Report => {
                matches!(action, Action::Report | Action::ReadForReport | Action::SaveEnvironment)
            }
        }
    }
}

/// The authenticated caller of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The label of its token; `None` if no token is required.
    pub(crate) label: Option<Arc<str>>,
    /// Whether it may change existing environments, and not only create them and report.
    pub(crate) may_change: bool,
}

impl Caller {
    /// The actor of ledger entries.
    pub(crate) fn actor(&self) -> &str {
        self.label.as_deref().unwrap_or(ANONYMOUS)
    }
}

/// A request that is not authorized.
#[derive(Debug, PartialEq, Eq)]
struct Denied {
    status: StatusCode,
    /// The label of its token, if the token is known.
    label: Option<Arc<str>>,
}

impl Access {
    fn new(grants: Grants) -> Self {
        Self(Arc::new(RwLock::new(grants)))
    }

    /// No token is required: for this host only (see [`Access::may_listen_on`]).
    pub fn open() -> Self {
        Self::new(None)
    }

    /// Reads the token file: a line `TOKEN label=LABEL org=ORG RIGHT` is a grant, where `org=*` is
    /// every organization and the right is `report`, `attest`, `write` or `read`. A token may have
    /// several lines with the same label. Blank lines and lines that start with `#` are ignored.
    ///
    /// # Errors
    /// The file cannot be read or is open to others, a line is malformed, or there is no token in it.
    pub fn from_token_file(path: &Path) -> Result<Self, AccessError> {
        Ok(Self::new(Some(token_file::read(path)?.into())))
    }

    /// Replaces the grants with those in the token file, and returns their number. Requests that
    /// were authorized before continue.
    ///
    /// # Errors
    /// As [`Access::from_token_file`], or it is a pipe; the grants then stay as they were.
    pub fn reload(&self, path: &Path) -> Result<usize, AccessError> {
        let grants = token_file::reread(path)?;
        let count = grants.len();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(grants.into());
        Ok(count)
    }

    fn grants(&self) -> Grants {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The grants of `token`; `None` if no token is required.
    fn matching_grants(&self, token: Option<&str>) -> Option<Vec<Grant>> {
        let token_sha256: [u8; 32] = Sha256::digest(token.unwrap_or_default()).into();
        let grants = self.grants()?;
        let of_token = grants.iter().filter(|grant| grant.token_sha256 == token_sha256);
        Some(of_token.cloned().collect())
    }

    /// Whether no token is required.
    fn is_open(&self) -> bool {
        self.grants().is_none()
    }

    /// Whether a recorder with this access may listen on `address`.
    ///
    /// # Errors
    /// No token is required, and other hosts can reach the address.
    pub fn may_listen_on(&self, address: SocketAddr) -> Result<(), AccessError> {
        if self.is_open() && !address.ip().to_canonical().is_loopback() {
            return Err(AccessError::OpenToOthers { address });
        }
        Ok(())
    }

    /// The caller with `token`, if it may do this in `org`; otherwise 401 for an unknown token, or 403.
    fn check(&self, token: Option<&str>, org: &str, action: Action) -> Result<Caller, Denied> {
        let Some(grants) = self.matching_grants(token) else {
            return Ok(Caller { label: None, may_change: true });
        };
        let Some(first) = grants.first() else {
            return Err(Denied { status: StatusCode::UNAUTHORIZED, label: None });
        };
        let label = Some(Arc::clone(&first.label));
        let in_org = || grants.iter().filter(|grant| grant.is_for(org));
        if in_org().any(|grant| grant.right.allows(action)) {
            let may_change = in_org().any(|grant| grant.right == Right::Write);
            return Ok(Caller { label, may_change });
        }
        Err(Denied { status: StatusCode::FORBIDDEN, label })
    }
}

impl Grant {
    fn new(token: &str, label: &str, org: Option<String>, right: Right) -> Self {
        Self { token_sha256: Sha256::digest(token).into(), label: label.into(), org, right }
    }

    fn is_for(&self, org: &str) -> bool {
        self.org.as_deref().is_none_or(|granted| granted == org)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.grants() {
            None => f.write_str("Access(open)"),
            Some(grants) => write!(f, "Access({} grants)", grants.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Action::{Attest, Read, ReadForReport, Report, SaveEnvironment, Write};
    use super::token_file::tests::access_from_token_file;
    use super::*;

    #[test]
    fn token_may_do_what_its_lines_in_the_token_file_allow_and_other_requests_are_refused() {
        let access = access_from_token_file(
            "\u{feff}reader-0 label=a org=acme read\n# the reporter\nreporter-0 label=b org=acme report\n\n  \n\
             both-0000\tlabel=c org=acme  read\r\nboth-0000 org=other label=c write\n\
             root-0000 label=d org=* write\nauditor-0 label=e org=* read\nbuilder-0 label=f org=acme attest\n",
        )
        .unwrap();
        let (fine, unknown, forbidden) = (200, 401, 403);
        let cases = [
            (Some("reader-0"), "acme", Read, fine),
            (Some("reader-0"), "acme", ReadForReport, fine),
            (Some("reader-0"), "acme", Report, forbidden),
            (Some("reader-0"), "acme", SaveEnvironment, forbidden),
            (Some("reader-0"), "acme", Write, forbidden),
            (Some("reporter-0"), "acme", Report, fine),
            (Some("reporter-0"), "acme", ReadForReport, fine),
            (Some("reporter-0"), "acme", SaveEnvironment, fine),
            (Some("reporter-0"), "acme", Read, forbidden),
            (Some("reporter-0"), "acme", Write, forbidden),
            (Some("reporter-0"), "other", Report, forbidden),
            (Some("builder-0"), "acme", Attest, fine),
            (Some("builder-0"), "acme", Report, forbidden),
            (Some("builder-0"), "acme", SaveEnvironment, forbidden),
            (Some("builder-0"), "acme", Read, forbidden),
            (Some("builder-0"), "acme", Write, forbidden),
            (Some("reporter-0"), "acme", Attest, forbidden),
            (Some("reader-0"), "acme", Attest, forbidden),
            (Some("root-0000"), "acme", Attest, fine),
            (Some("both-0000"), "acme", Read, fine),
            (Some("both-0000"), "acme", Write, forbidden),
            (Some("both-0000"), "other", Read, fine),
            (Some("both-0000"), "other", Write, fine),
            (Some("root-0000"), "anything", Write, fine),
            (Some("auditor-0"), "anything", Read, fine),
            (Some("auditor-0"), "anything", Report, forbidden),
            (Some("#"), "acme", Read, unknown),
            (Some("reader-"), "acme", Read, unknown),
            (Some(""), "acme", Read, unknown),
            (None, "acme", Read, unknown),
        ];
        for (token, org, action, expected) in cases {
            let status =
                access.check(token, org, action).map_or_else(|it| it.status.as_u16(), |_| 200);
            assert_eq!(status, expected, "{token:?} {org} {action:?}");
        }
        let caller = access.check(Some("both-0000"), "other", Report).unwrap();
        assert_eq!(caller, Caller { label: Some("c".into()), may_change: true });
        let caller = access.check(Some("reporter-0"), "acme", Report).unwrap();
        assert_eq!(caller, Caller { label: Some("b".into()), may_change: false });
        let denied = access.check(Some("reporter-0"), "acme", Write).unwrap_err();
        assert_eq!(denied.label.as_deref(), Some("b"), "the log says whose token it was");
    }

    #[test]
    fn open_access_may_listen_on_loopback_only() {
        let cases = [
            ("127.0.0.1:80", true),
            ("127.8.8.8:80", true),
            ("[::1]:80", true),
            ("[::ffff:127.0.0.1]:80", true),
            ("0.0.0.0:80", false),
            ("[::]:80", false),
            ("10.0.0.1:80", false),
        ];
        let guarded = access_from_token_file("token-00 label=a org=* read").unwrap();
        for (address, allowed) in cases {
            let address = address.parse().unwrap();
            assert_eq!(Access::open().may_listen_on(address).is_ok(), allowed, "{address}");
            assert!(guarded.may_listen_on(address).is_ok());
        }
    }

    #[test]
    fn debug_output_of_access_has_the_number_of_grants_and_no_token() {
        let access = access_from_token_file("s3cret-0 label=a org=acme write").unwrap();
        assert_eq!(format!("{access:?}"), "Access(1 grants)");
    }
}
