//! Protects a recorder without tokens against DNS rebinding.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header;
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::Access;
use crate::domain::Error;

/// Without tokens, only requests with a local host name are served. Otherwise a website whose name
/// resolves to this host could read everything and report, from a browser on this host (DNS
/// rebinding).
pub(crate) async fn require_local_host(
    State(access): State<Access>,
    request: Request,
    next: Next,
) -> Response {
    let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    if access.is_open() && !host.is_none_or(is_local_host) {
        return Error::HostNotAllowed.into_response();
    }
    next.run(request).await
}

fn is_local_host(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
    let address = name.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(name);
    !host.contains('@')
        && (name.eq_ignore_ascii_case("localhost")
            || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_header_is_local_only_if_it_is_localhost_or_a_loopback_address() {
        for own in ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080"] {
            assert!(is_local_host(own), "{own}");
        }
        for other in ["", "evil.example", "localhost.evil.example:8080", "192.0.2.1", "a@b:c", "["]
        {
            assert!(!is_local_host(other), "{other}");
        }
    }
}
