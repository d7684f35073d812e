//! Which organizations a token opens.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use secrecy::ExposeSecret;

use super::Access;
use super::guard::{refuse, token};

/// The organizations that may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::recorder) enum Readable {
    Every,
    These(Vec<String>),
}

impl Access {
    /// What who has `token` may read; otherwise the status to refuse with.
    fn readable(&self, token: Option<&str>) -> Result<Readable, StatusCode> {
        let Some(grants) = self.grants_of(token) else { return Ok(Readable::Every) };
        let orgs: Option<Vec<_>> = grants.map(|grant| grant.org.clone()).collect();
        match orgs {
            None => Ok(Readable::Every),
            Some(orgs) if orgs.is_empty() => Err(StatusCode::UNAUTHORIZED),
            Some(orgs) => Ok(Readable::These(orgs)),
        }
    }
}

/// Lets a request that names no organization through, with the [`Readable`] ones.
pub(in crate::recorder) async fn guard_any(
    State(access): State<Access>,
    mut request: Request,
    next: Next,
) -> Response {
    let token = token(request.headers());
    match access.readable(token.as_ref().map(ExposeSecret::expose_secret)) {
        Ok(readable) => {
            request.extensions_mut().insert(readable);
            next.run(request).await
        }
        Err(status) => refuse(request, status).await,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::token_file;
    use super::*;

    #[test]
    fn a_token_opens_the_organizations_of_all_its_lines() {
        let access = token_file("a org=x read\na org=y write\nb org=* read\nb org=x read").unwrap();
        let these = |orgs: &[&str]| Ok(Readable::These(orgs.iter().map(|&o| o.into()).collect()));
        assert_eq!(access.readable(Some("a")), these(&["x", "y"]));
        assert_eq!(access.readable(Some("b")), Ok(Readable::Every));
        for unknown in [None, Some(""), Some("c")] {
            assert_eq!(access.readable(unknown), Err(StatusCode::UNAUTHORIZED));
        }
        assert_eq!(Access::open().readable(None), Ok(Readable::Every));
    }
}
