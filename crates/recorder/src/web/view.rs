//! Which part of a history is looked at, as addresses have it.

use super::timeline::Measure;
use crate::http::request::Parameters;

/// How many snapshots a picture may show.
pub(crate) const SIZES: [(&str, u32); 4] = [("25", 25), ("50", 50), ("100", 100), ("200", 200)];
const USUAL_SIZE: u32 = 50;

/// Which part of the history is looked at, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    /// The last snapshot; the latest where none is given.
    pub(crate) upto: Option<u32>,
    pub(crate) size: u32,
    pub(crate) measure: Measure,
    /// Of the lanes, counted from 1.
    pub(crate) page: u32,
}

impl View {
    pub(crate) fn of(parameters: &mut Parameters) -> Self {
        let measures = [("shortened", Measure::Shortened), ("true", Measure::True)];
        Self {
            upto: given(parameters, "upto"),
            size: parameters.choice("show", &SIZES).unwrap_or(USUAL_SIZE),
            measure: parameters.choice("scale", &measures).unwrap_or_default(),
            page: given(parameters, "lanes").unwrap_or(1),
        }
    }

    /// The parameters that lead to this view.
    pub(crate) fn address(&self) -> String {
        let upto = self.upto.map_or_else(String::new, |upto| format!("&upto={upto}"));
        let page = if self.page > 1 { format!("&lanes={}", self.page) } else { String::new() };
        let scale = if self.measure == Measure::True { "&scale=true" } else { "" };
        format!("?show={}{scale}{upto}{page}", self.size)
    }
}

/// A number from a form, whose fields may be left empty.
fn given(parameters: &mut Parameters, name: &str) -> Option<u32> {
    let is_given = parameters.last(name).is_some_and(|given| !given.is_empty());
    is_given.then(|| parameters.number(name, 1, u32::MAX))
}
