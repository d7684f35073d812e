//! Pagination links of a list.

use maud::{Markup, html};

use crate::domain::Page;

/// Links to the previous and the next page, if there are several pages. `parameter` is the query parameter
/// of the page number; `kept` are the other ones, each with a leading `&`.
pub(super) fn pager(parameter: &str, page: Page, total: u64, kept: &str) -> Markup {
    let pages = page.count(total);
    let number = u64::from(page.number);
    let address = |number: u64| format!("?{parameter}={number}{kept}");
    html! {
        @if pages > 1 {
            nav.pager aria-label="Pages" {
                @if number > 1 { a rel="prev" href=(address(number - 1)) { "Previous" } }
                span { "Page " (number) " of " (pages) }
                @if number < pages { a rel="next" href=(address(number + 1)) { "Next" } }
            }
        }
    }
}
