//! Limits of open files and connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The soft limit of open files that is wanted: enough for [`MAX_CONNECTIONS`] and [`RESERVED_FILES`].
const WANTED_LIMIT: u64 = 65_536;

/// Enough for a thousand reporters that keep their connections open, and browsers. An idle connection takes
/// about 20 kB.
const MAX_CONNECTIONS: u64 = 4_096;

/// Descriptors reserved for the database, its readers, the log and refused connections; at most
/// half of the limit.
const RESERVED_FILES: u64 = 128;

/// Raises the soft limit of open files up to what is needed and allowed, and returns it. The usual
/// default of 1,024 is too low.
pub fn raise_open_files_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(WANTED_LIMIT, |most| most.min(WANTED_LIMIT));
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), ..limit };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "cannot raise the limit of open files");
        }
    }
    current_limit()
}

/// The soft limit of open files.
fn current_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The most connections that may be open at a time.
pub(crate) fn max_connections() -> usize {
    usize::try_from(max_connections_within(current_limit())).unwrap_or(usize::MAX)
}

/// The most connections with this limit of open files.
fn max_connections_within(limit: u64) -> u64 {
    (limit - RESERVED_FILES.min(limit / 2)).clamp(1, MAX_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_connections_leave_128_files_or_half_of_a_low_limit_of_open_files() {
        let connections = [0, 64, 160, 256, 1_024, 65_536].map(max_connections_within);
        assert_eq!(connections, [1, 32, 80, 128, 896, 4_096]);
    }
}
