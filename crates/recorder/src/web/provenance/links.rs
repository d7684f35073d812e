//! Links to commits, builds and pipelines.

use maud::{Markup, html};

use crate::http::views::flow_url;
use crate::text::is_invisible;
use crate::web::artifact_name::{escape_invisible, truncate};

/// Digits of a short commit: as many as of a fingerprint.
const SHORT_COMMIT: usize = 7;
/// For a URL that is shown as text, and for a whole commit.
const MAX_ADDRESS_CHARS: usize = 120;

/// Whether a reported URL may become a link: a browser would run `javascript:`.
fn is_web_address(address: &str) -> bool {
    let scheme = address.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|it| it.eq_ignore_ascii_case("http") || it.eq_ignore_ascii_case("https"))
        && !address.chars().any(|c| c.is_whitespace() || is_invisible(c))
}

/// `text` as a link to a reported URL, if that is safe.
pub(super) fn link(address: &str, text: &Markup) -> Markup {
    html! {
        @if is_web_address(address) {
            a href=(address) rel="noreferrer" { (text) }
        } @else {
            (text)
        }
    }
}

/// A reported URL, as text and as a link.
pub(super) fn address(address: &str) -> Markup {
    link(address, &html! { bdi.address { (truncate(address, MAX_ADDRESS_CHARS)) } })
}

/// The first digits of a commit.
pub(super) fn short_commit(commit: &str) -> Markup {
    let short: String = escape_invisible(commit).chars().take(SHORT_COMMIT).collect();
    html! {
        @if short.is_empty() { span.quiet { "no commit" } } @else { code.commit { (short) } }
    }
}

/// The first digits of a commit, as a link to its page.
pub(super) fn commit(commit: &str, url: &str) -> Markup {
    let short: String = escape_invisible(commit).chars().take(SHORT_COMMIT).collect();
    html! {
        @if short.is_empty() {
            span.quiet { "no commit" }
        } @else {
            (link(url, &html! { code.commit title=(truncate(commit, MAX_ADDRESS_CHARS)) { (short) } }))
        }
    }
}

/// A pipeline's name, as a link to its page.
pub(in crate::web) fn pipeline(org: &str, flow: &str) -> Markup {
    html! { a href=(flow_url(org, flow)) { (flow) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_and_https_urls_become_links() {
        for (address, expected) in [
            ("https://github.com/cyber-dojo/runner/commit/16d9990", true),
            ("http://git.internal:8080/x", true),
            ("HTTPS://github.com", true),
            ("", false),
            ("github.com/x", false),
            ("//github.com/x", false),
            ("javascript:alert(1)", false),
            ("javascript://%0aalert(1)", false),
            ("JavaScript:alert(1)//https://", false),
            (" javascript:alert(1)", false),
            ("data:text/html,<script>", false),
            ("ftp://x", false),
            ("https://a b", false),
            ("https://a\u{202e}b", false),
            ("java\nscript:alert(1)", false),
        ] {
            assert_eq!(is_web_address(address), expected, "{address}");
            let text = link(address, &html! { "x" }).into_string();
            assert_eq!(text.contains("<a "), expected, "{text}");
        }
        let text = link("https://x/\"><script>", &html! { "x" }).into_string();
        assert_eq!(text, "<a href=\"https://x/&quot;&gt;&lt;script&gt;\" rel=\"noreferrer\">x</a>");
    }
}
