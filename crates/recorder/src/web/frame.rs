//! The frame of every page: head, navigation and footer.

use std::sync::LazyLock;

use axum::response::Html;
use maud::{DOCTYPE, Markup, html};
use sha2::{Digest as _, Sha256};

use super::assets;
use super::provenance::MAX_QUERY_CHARS;

/// The first digits of the hash of style sheet and script, which are in their URLs so that browsers do not
/// use an older cached version.
static ASSETS_VERSION: LazyLock<String> = LazyLock::new(|| {
    let digest = Sha256::digest([assets::STYLE, assets::SCRIPT].concat());
    hex::encode(&digest[..6])
});

/// The layout of every page, with what differs between pages beside the content.
#[derive(Default)]
pub(crate) struct Frame<'a> {
    pub(crate) title: &'a str,
    /// Name and URL of each page above this one, the outermost first.
    pub(crate) breadcrumbs: &'a [(&'a str, String)],
    pub(crate) adjacent: AdjacentPages,
    /// The organization of the page, which the search field searches.
    pub(crate) org: Option<&'a str>,
    /// The content of the search field.
    pub(crate) query: &'a str,
    /// The last part of its URL, if the navigation has a link to this page.
    pub(crate) current: &'a str,
}

/// Links to the pages of an organization, of which one may be the current page, and the search field.
pub(crate) fn navigation(org: &str, query: &str, current: &str) -> Markup {
    html! {
        div.navigation {
            nav aria-label={"Pages of " (org)} {
                ul.pages {
                    @for (page, name) in
                        [("environments", "Environments"), ("flows", "Pipelines"), ("matrix", "Versions")]
                    {
                        @let is_current = (page == current).then_some("page");
                        li { a href={"/" (org) "/" (page)} aria-current=[is_current] { (name) } }
                    }
                }
            }
            form.search role="search" aria-label={"Search in " (org)} method="get" action={"/" (org) "/search"} {
                label {
                    span.aside { "Commit, fingerprint or name in " (org) }
                    input type="search" name="q" value=(query) maxlength=(MAX_QUERY_CHARS)
                        placeholder="Commit, fingerprint or name" autocomplete="off"
                        spellcheck="false";
                }
                button { "Search" }
            }
        }
    }
}

/// The URLs of the previous and the next page.
#[derive(Debug, Default)]
pub(crate) struct AdjacentPages {
    pub(crate) previous: Option<String>,
    pub(crate) next: Option<String>,
}

impl Frame<'_> {
    /// The page with `main` as its content.
    pub(crate) fn render(&self, main: &Markup) -> Html<String> {
        let Self { title, breadcrumbs, adjacent, org, query, current } = self;
        let version = ASSETS_VERSION.as_str();
        Html(
            html! {
                (DOCTYPE)
                html lang="en" {
                    head {
                        meta charset="utf-8";
                        meta name="viewport" content="width=device-width, initial-scale=1";
                        meta name="color-scheme" content="light dark";
                        title { (title) " · envsnap" }
                        link rel="stylesheet" href={"/assets/page.css?v=" (version)};
                        link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                        @if let Some(previous) = &adjacent.previous {
                            link rel="prev" href=(previous);
                        }
                        @if let Some(next) = &adjacent.next {
                            link rel="next" href=(next);
                        }
                        script src={"/assets/page.js?v=" (version)} defer="defer" {}
                    }
                    body {
                        a.skip href="#main" { "Skip to the content" }
                        header {
                            nav aria-label="Where this page is" {
                                ol.trail {
                                    li { a.home href="/" { "envsnap" } }
                                    @for (name, address) in *breadcrumbs {
                                        li { a href=(address) { (name) } }
                                    }
                                }
                            }
                            @if let Some(org) = org { (navigation(org, query, current)) }
                        }
                        main id="main" tabindex="-1" { (main) }
                        footer {
                            p { "envsnap " (env!("CARGO_PKG_VERSION")) ". All times are in UTC." }
                        }
                    }
                }
            }
            .into_string(),
        )
    }
}
