//! Pagination headers.

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::domain::Page;

/// The URL of a request, from which the URLs of other pages are made.
pub(crate) struct RequestUrl {
    path: String,
    /// The parameters other than those of the page.
    parameters: String,
}

impl<S: Send + Sync> FromRequestParts<S> for RequestUrl {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let OriginalUri(uri) = OriginalUri::from_request_parts(parts, state).await?;
        let parameters = uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|it| !it.is_empty() && !it.starts_with("page=") && !it.starts_with("per_page="))
            .flat_map(|it| [it, "&"])
            .collect();
        Ok(Self { path: uri.path().to_owned(), parameters })
    }
}

impl RequestUrl {
    /// The URL of the page with this number.
    pub(crate) fn page_url(&self, number: u64, size: u32) -> String {
        format!("{}?{}page={number}&per_page={size}", self.path, self.parameters)
    }

    /// The headers of a page out of `total` items; with links if there are several pages.
    pub(crate) fn headers(&self, page: Page, total: u64) -> HeaderMap {
        let (number, last) = (u64::from(page.number), page.count(total));
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-total-count", total),
            ("x-per-page", page.size.into()),
            ("x-current-page", number),
            ("x-total-pages", last),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
        let links: Vec<_> = [
            ("first", Some(1)),
            ("prev", (number > 1).then(|| number - 1)),
            ("next", (number < last).then(|| number + 1)),
            ("last", Some(last)),
        ]
        .into_iter()
        .filter_map(|(relation, number)| {
            Some(format!("<{}>; rel=\"{relation}\"", self.page_url(number?, page.size)))
        })
        .collect();
        if last > 1
            && let Ok(links) = HeaderValue::try_from(links.join(", "))
        {
            headers.insert(header::LINK, links);
        }
        headers
    }
}
