//! Times of the ledger.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const MICROS_PER_SECOND: i64 = 1_000_000;

/// Microseconds since the Unix epoch.
///
/// An integer, so that nothing that is hashed is a float.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// The time that is `seconds` after the Unix epoch, to the microsecond; saturating if that is
    /// out of range.
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and NaN becomes 0")]
    pub fn from_seconds(seconds: f64) -> Self {
        Self((seconds * 1e6).round() as i64)
    }

    /// Seconds since the Unix epoch, as the API writes times.
    #[expect(clippy::cast_precision_loss, reason = "exact to the microsecond until the year 2039")]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// `2026-11-26T15:00:00Z`, with a fraction if it has one.
    pub fn rfc3339(self) -> String {
        Timestamp::from_microsecond(self.0)
            .map_or_else(|_| format!("{} microseconds after 1970", self.0), |time| time.to_string())
    }

    /// Whole seconds from `earlier` to this; negative if `earlier` is the later one.
    pub fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0) / MICROS_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn microseconds_are_unchanged_by_conversion_to_float_seconds_and_back(
            micros in 0..2_200_000_000_000_000_i64,
        ) {
            prop_assert_eq!(Micros::from_seconds(Micros(micros).seconds()), Micros(micros));
        }

        #[test]
        fn conversion_of_any_float_to_micros_never_panics(seconds: f64, other: i64) {
            let _ = Micros::from_seconds(seconds).seconds_since(Micros(other));
        }
    }
}
