//! Query parameters of the timeline.

use super::timeline::TimeScale;
use crate::http::request::Parameters;

/// The numbers of snapshots that a timeline can show, by the value of the query parameter `show`.
pub(crate) const SIZES: [(&str, u32); 4] = [("25", 25), ("50", 50), ("100", 100), ("200", 200)];
const DEFAULT_SIZE: u32 = 50;

/// The part of the history that a timeline shows, and its scale.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    /// The last snapshot; the latest one if it is `None`.
    pub(crate) upto: Option<u32>,
    pub(crate) size: u32,
    pub(crate) time_scale: TimeScale,
    /// The page of lanes, from 1.
    pub(crate) page: u32,
}

impl View {
    pub(crate) fn from_parameters(parameters: &mut Parameters) -> Self {
        let time_scales = [("shortened", TimeScale::Compressed), ("true", TimeScale::Linear)];
        Self {
            upto: optional_number(parameters, "upto"),
            size: parameters.choice("show", &SIZES).unwrap_or(DEFAULT_SIZE),
            time_scale: parameters.choice("scale", &time_scales).unwrap_or_default(),
            page: optional_number(parameters, "lanes").unwrap_or(1),
        }
    }

    /// `?show=50&upto=65`: the query parameters that give this view.
    pub(crate) fn query_string(&self) -> String {
        let upto = self.upto.map_or_else(String::new, |upto| format!("&upto={upto}"));
        let page = if self.page > 1 { format!("&lanes={}", self.page) } else { String::new() };
        let scale = if self.time_scale == TimeScale::Linear { "&scale=true" } else { "" };
        format!("?show={}{scale}{upto}{page}", self.size)
    }
}

/// A number from a form, in which the field may be empty.
fn optional_number(parameters: &mut Parameters, name: &str) -> Option<u32> {
    let is_given = parameters.last(name).is_some_and(|given| !given.is_empty());
    is_given.then(|| parameters.number(name, 1, u32::MAX))
}
