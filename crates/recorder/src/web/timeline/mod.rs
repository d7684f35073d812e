//! The timeline: a lane for each artifact, with a bar while it ran.

mod axis;
mod lane;
mod legend;
mod picture;
mod scale;
mod words;

pub(crate) use lane::{Lane, lanes};
pub(crate) use legend::legend;
pub(crate) use picture::Picture;
pub(crate) use scale::{Measure, Scale};
