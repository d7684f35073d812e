//! The timeline: a lane for each artifact, with a bar while it ran.

mod axis;
mod lane;
mod legend;
mod picture;
mod scale;
mod words;

pub(super) use lane::{Lane, lanes};
pub(super) use legend::legend;
pub(super) use picture::Picture;
pub(super) use scale::{Measure, Scale};
