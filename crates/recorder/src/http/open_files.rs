//! How many files and connections the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More are never needed: see [`max_connections`].
const WANTED_LIMIT: u64 = 65_536;

/// As many connections are answered at a time: a thousand reporters that keep theirs open, and
/// people. A connection that waits takes about 20 kB.
const MAX_CONNECTIONS: u64 = 4_096;

/// Files that are kept open for the file, its readers and the log, and to refuse connections; half of
/// a limit that is lower than twice this.
const RESERVED_FILES: u64 = 128;

/// Raises the number of files that this process may have open as far as it is allowed to, and gives
/// what it is then. The usual 1,024 are left from times when more were a burden.
pub fn raise_open_files_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(WANTED_LIMIT, |most| most.min(WANTED_LIMIT));
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), ..limit };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
    }
    current_limit()
}

fn current_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many connections may be open at a time.
pub(crate) fn max_connections() -> usize {
    usize::try_from(max_connections_within(current_limit())).unwrap_or(usize::MAX)
}

fn max_connections_within(limit: u64) -> u64 {
    (limit - RESERVED_FILES.min(limit / 2)).clamp(1, MAX_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_of_open_files_leaves_half_of_it_for_connections() {
        let connections = [0, 64, 160, 256, 1_024, 65_536].map(max_connections_within);
        assert_eq!(connections, [1, 32, 80, 128, 896, 4_096]);
    }
}
