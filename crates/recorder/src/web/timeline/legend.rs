//! The legend of the timeline.

use maud::{Markup, html};

use super::picture::{bar_height, first_time_flag};
use crate::domain::FirstTime;

/// Explains bars, rollovers, first times, snapshots and gaps.
pub(crate) fn legend() -> Markup {
    html! {
        ul.legend aria-label="Legend" {
            li {
                (swatch(&html! { rect class="bar" x="0" y="6" width="28" height="8" {} }))
                "runs at the end of the picture"
            }
            li {
                (swatch(&html! { rect class="bar ended" x="0" y="6" width="28" height="8" {} }))
                "ran, and exited"
            }
            li {
                svg.swatch.broad width="64" height="20" aria-hidden="true" {
                    @for (at, replicas) in [1, 2, 4, 8].into_iter().enumerate() {
                        @let thick = bar_height(replicas);
                        @let top = 10.0 - thick / 2.0;
                        rect class="bar" x=(at * 16) y=(top) width="16" height=(thick) {}
                    }
                }
                "1, 2, 4, 8 replicas"
            }
            li {
                (swatch(&html! {
                    rect class="rollover" x="10" y="0" width="8" height="20" {}
                    rect class="bar ended" x="0" y="2" width="18" height="4" {}
                    rect class="bar" x="10" y="14" width="18" height="4" {}
                }))
                "rollover"
            }
            li {
                (swatch(&html! {
                    rect class="bar" x="4" y="13" width="24" height="6" {}
                    g transform="translate(4 3)" { (first_time_flag(FirstTime::Registry, false)) }
                }))
                "first time here: a new registry or repository"
            }
            li {
                (swatch(&html! {
                    rect class="bar" x="4" y="13" width="24" height="6" {}
                    g transform="translate(4 3)" { (first_time_flag(FirstTime::Image, false)) }
                }))
                "first time here: a new image only"
            }
            li {
                (swatch(&html! { rect class="tick" x="13" y="2" width="2" height="16" {} }))
                "snapshot"
            }
            li {
                (swatch(&html! {
                    rect class="confirmed" x="0" y="8" width="10" height="4" {}
                    rect class="confirmed" x="20" y="8" width="8" height="4" {}
                }))
                "confirmed by reports"
            }
            li {
                (swatch(&html! {
                    rect class="uncovered" fill="url(#uncovered)" x="0" y="0" width="28" height="20" {}
                }))
                "not covered: no report came in time, so that what ran is not known"
            }
        }
    }
}

fn swatch(shapes: &Markup) -> Markup {
    html! { svg.swatch width="28" height="20" aria-hidden="true" { (shapes) } }
}
