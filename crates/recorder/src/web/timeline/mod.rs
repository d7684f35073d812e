//! The timeline: one lane per artifact, with a bar while it ran.

mod axis;
mod lane;
mod legend;
mod picture;
mod scale;
mod titles;

pub(crate) use lane::{Lane, lanes};
pub(crate) use legend::legend;
pub(crate) use picture::Picture;
pub(crate) use scale::{Scale, TimeScale};
