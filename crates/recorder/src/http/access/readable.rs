//! Authorization of requests that name no organization.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use secrecy::ExposeSecret;

use super::guard::{refuse, token};
use super::{Access, Action, Caller, Denied};
use crate::domain::OrgFilter;

impl Access {
    /// The organizations that a client with `token` may read.
    fn readable(&self, token: Option<&str>) -> Result<(OrgFilter, Caller), Denied> {
        let Some(grants) = self.matching_grants(token) else {
            return Ok((OrgFilter::All, Caller { label: None, may_change: true }));
        };
        let Some(first) = grants.first() else {
            return Err(Denied { status: StatusCode::UNAUTHORIZED, label: None });
        };
        let label = Some(Arc::clone(&first.label));
        let reading = grants.into_iter().filter(|grant| grant.right.allows(Action::Read));
        let orgs: Option<Vec<_>> = reading.map(|grant| grant.org).collect();
        let readable = match orgs {
            None => OrgFilter::All,
            Some(orgs) if orgs.is_empty() => {
                return Err(Denied { status: StatusCode::FORBIDDEN, label });
            }
            Some(orgs) => OrgFilter::Only(orgs),
        };
        Ok((readable, Caller { label, may_change: false }))
    }
}

/// Authorizes a request that names no organization, and passes on an [`OrgFilter`] of those that
/// the caller may read.
pub(crate) async fn authorize_any_org(
    State(access): State<Access>,
    mut request: Request,
    next: Next,
) -> Response {
    let token = token(request.headers());
    match access.readable(token.as_ref().map(ExposeSecret::expose_secret)) {
        Ok((readable, caller)) => {
            request.extensions_mut().insert(readable);
            let mut response = next.run(request).await;
            response.extensions_mut().insert(caller);
            response
        }
        Err(denied) => refuse(request, denied).await,
    }
}

#[cfg(test)]
mod tests {
    use super::super::token_file::tests::access_from_token_file;
    use super::*;

    #[test]
    fn token_can_read_the_organizations_of_all_its_lines_that_allow_reading() {
        let access = access_from_token_file(
            "several0 label=a org=x read\nseveral0 label=a org=y write\n\
             several0 label=a org=z report\nall-0000 label=b org=* read\n\
             all-0000 label=b org=x read\nreports0 label=c org=x report",
        )
        .unwrap();
        let readable = |token| {
            let readable = access.readable(token).map(|(readable, _)| readable);
            readable.map_err(|denied| denied.status.as_u16())
        };
        let these = OrgFilter::Only(vec!["x".to_owned(), "y".to_owned()]);
        assert_eq!(readable(Some("several0")), Ok(these));
        assert_eq!(readable(Some("all-0000")), Ok(OrgFilter::All));
        assert_eq!(readable(Some("reports0")), Err(403));
        for unknown in [None, Some(""), Some("c")] {
            assert_eq!(readable(unknown), Err(401));
        }
        let (open, _) = Access::open().readable(None).unwrap();
        assert_eq!(open, OrgFilter::All);
    }
}
