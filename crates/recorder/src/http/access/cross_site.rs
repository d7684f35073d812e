//! Protects a recorder against writes that other websites make a browser send.

use axum::extract::Request;
use axum::http::uri::{Authority, Scheme};
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::domain::Error;
use crate::http::request::discard;

/// The header with which browsers say how the site of the page that makes a request relates to this one.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Refuses requests to write that a page of another origin makes: a browser adds the credentials of its
/// login to them, and to a recorder without tokens any request is good (cross-site request forgery).
/// Programs send neither header.
pub(crate) async fn refuse_cross_site_writes(request: Request, next: Next) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if is_read || !is_cross_site(request.headers()) {
        return next.run(request).await;
    }
    discard(request.into_body().into_data_stream()).await;
    Error::CrossSiteWrite.into_response()
}

/// Whether the headers are those of a request that a page of another origin makes.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    // No page can set it. Behind a proxy the host may be another one than the browser's.
    if headers.contains_key(SEC_FETCH_SITE) {
        let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
        return sites.any(|site| site != "same-origin" && site != "none");
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    origins.any(|origin| !origin.to_str().is_ok_and(|origin| is_of_host(origin, host)))
}

/// Whether `origin` has the host and the port of `host`. The origin `null` has none.
fn is_of_host(origin: &str, host: &str) -> bool {
    let (Ok(origin), Ok(host)) = (origin.parse::<Uri>(), host.parse::<Authority>()) else {
        return false;
    };
    let (Some(scheme), Some(of_origin)) = (origin.scheme(), origin.authority()) else {
        return false;
    };
    let default_port = if *scheme == Scheme::HTTPS { 443 } else { 80 };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default_port);
    of_origin.host().eq_ignore_ascii_case(host.host()) && port(of_origin) == port(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_is_cross_site_if_a_browser_says_so_or_its_origin_is_not_the_host() {
        let own = "recorder.example:8080";
        for (host, site, origin, expected) in [
            (own, None, None, false),
            (own, Some("same-origin"), None, false),
            (own, Some("none"), None, false),
            (own, Some("same-origin"), Some("http://recorder.example:8080"), false),
            (own, None, Some("https://Recorder.Example:8080"), false),
            ("recorder.example", None, Some("https://recorder.example"), false),
            ("recorder.example:443", None, Some("https://recorder.example"), false),
            ("recorder.example", None, Some("http://recorder.example:80"), false),
            ("[::1]:8080", None, Some("http://[::1]:8080"), false),
            (own, Some("cross-site"), None, true),
            (own, Some("same-site"), Some("http://recorder.example:8080"), true),
            (own, Some(""), None, true),
            (own, None, Some("https://evil.example"), true),
            (own, None, Some("http://recorder.example"), true),
            (own, None, Some("http://recorder.example:8080.evil.example"), true),
            (own, None, Some("http://recorder.example:80800"), true),
            ("127.0.0.1:8080", None, Some("http://127.0.0.1:3000"), true),
            ("127.0.0.1:8080", None, Some("http://localhost:8080"), true),
            ("127.0.0.1:8080", Some("same-origin"), Some("https://recorder.example"), false),
            (own, Some("cross-site"), Some("http://recorder.example:8080"), true),
            (own, None, Some("null"), true),
            (own, None, Some(""), true),
            (own, None, Some("recorder.example:8080"), true),
            ("", None, Some("http://recorder.example:8080"), true),
        ] {
            let mut headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            if let Some(site) = site {
                headers.insert(SEC_FETCH_SITE, site.parse().unwrap());
            }
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            assert_eq!(is_cross_site(&headers), expected, "{host} {site:?} {origin:?}");
        }
    }
}
