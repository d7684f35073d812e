//! Whether what runs was reported by a flow before it started.

use serde::{Deserialize, Serialize};

/// What is known of the origin of a running artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A flow had reported it when it started.
    Known,
    /// No flow had, and it is allowed all the same.
    Allowed,
    /// A flow reported it after it had started.
    Late,
    /// It has no digest, so its origin cannot be determined.
    Unknown,
    /// No flow has reported it.
    Rogue,
}

impl Origin {
    /// Every origin.
    pub const ALL: [Self; 5] = [Self::Known, Self::Allowed, Self::Late, Self::Unknown, Self::Rogue];

    /// As it is written in documents and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Allowed => "allowed",
            Self::Late => "late",
            Self::Unknown => "unknown",
            Self::Rogue => "rogue",
        }
    }

    /// Whether it is rogue or late: no flow had reported it when it started, and it was not
    /// allowed.
    pub fn is_rogue(self) -> bool {
        matches!(self, Self::Late | Self::Rogue)
    }
}

/// The origin of an artifact that first started at `first_started` and was first reported by a flow
/// at `first_reported`, both in seconds since the Unix epoch.
///
/// `first_started` is the first start ever in its environment: an artifact that is reported after the
/// fact and then restarted stays late.
pub fn origin(
    has_fingerprint: bool,
    is_allowed: bool,
    first_started: f64,
    first_reported: Option<f64>,
) -> Origin {
    match first_reported {
        // ECS gives starts in whole seconds.
        Some(reported) if reported.floor() <= first_started.ceil() => Origin::Known,
        _ if is_allowed => Origin::Allowed,
        Some(_) => Origin::Late,
        None if has_fingerprint => Origin::Rogue,
        None => Origin::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::Origin::{Allowed, Known, Late, Rogue, Unknown};
    use super::*;

    #[test]
    fn all_origins_are_listed_in_their_order() {
        assert!(Origin::ALL.is_sorted_by(|one, next| one < next));
        assert_eq!(Origin::ALL.len(), Rogue as usize + 1);
    }

    #[test]
    fn origin_follows_from_first_start_first_report_allowance_and_digest() {
        let cases = [
            (true, false, 100.0, Some(99.0), Known),
            (true, false, 100.0, Some(100.9), Known),
            (true, true, 100.0, Some(99.0), Known),
            (true, false, 100.0, Some(101.0), Late),
            (true, true, 100.0, Some(101.0), Allowed),
            (true, false, 100.0, None, Rogue),
            (true, true, 100.0, None, Allowed),
            (false, false, 100.0, None, Unknown),
            (false, true, 100.0, None, Allowed),
        ];
        for (digest, allowed, started, reported, expected) in cases {
            let found = origin(digest, allowed, started, reported);
            assert_eq!(found, expected, "{digest} {allowed} {started} {reported:?}");
            assert_eq!(found.is_rogue(), matches!(expected, Late | Rogue));
            assert_eq!(serde_json::to_value(found).unwrap(), found.as_str());
        }
    }
}
