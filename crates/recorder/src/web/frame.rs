//! What stands around every page.

use std::sync::LazyLock;

use axum::response::Html;
use maud::{DOCTYPE, Markup, html};
use sha2::{Digest as _, Sha256};

use super::assets;
use super::provenance::LONGEST_QUERY;

/// Of the style and the script: a browser keeps them, and fetches them anew when they are others.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let digest = Sha256::digest([assets::STYLE, assets::SCRIPT].concat());
    hex::encode(&digest[..6])
});

/// A page.
#[derive(Default)]
pub(crate) struct Frame<'a> {
    pub(crate) title: &'a str,
    /// What leads here from the first page, name and address, without this page itself.
    pub(crate) above: &'a [(&'a str, String)],
    /// The pages before and after this one.
    pub(crate) beside: Beside,
    /// The organization that it is about, in which can be searched.
    pub(crate) org: Option<&'a str>,
    /// What was searched for.
    pub(crate) query: &'a str,
}

/// What leads to the other pages of an organization.
pub(crate) fn navigation(org: &str, query: &str) -> Markup {
    html! {
        div.navigation {
            nav aria-label={"Pages of " (org)} {
                ul.pages {
                    li { a href={"/" (org) "/environments"} { "Environments" } }
                    li { a href={"/" (org) "/flows"} { "Pipelines" } }
                    li { a href={"/" (org) "/matrix"} { "Versions" } }
                }
            }
            form.search role="search" method="get" action={"/" (org) "/search"} {
                label {
                    span.aside { "Commit, fingerprint or name in " (org) }
                    input type="search" name="q" value=(query) maxlength=(LONGEST_QUERY)
                        placeholder="Commit, fingerprint or name" autocomplete="off"
                        spellcheck="false";
                }
                button { "Search" }
            }
        }
    }
}

/// The addresses of the pages before and after one.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    pub(crate) previous: Option<String>,
    pub(crate) next: Option<String>,
}

impl Frame<'_> {
    /// The whole page, with `main` in it.
    pub(crate) fn around(&self, main: &Markup) -> Html<String> {
        let Self { title, above, beside, org, query } = self;
        let version = VERSION.as_str();
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
                        @if let Some(previous) = &beside.previous {
                            link rel="prev" href=(previous);
                        }
                        @if let Some(next) = &beside.next {
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
                                    @for (name, address) in *above {
                                        li { a href=(address) { (name) } }
                                    }
                                }
                            }
                            @if let Some(org) = org { (navigation(org, query)) }
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
