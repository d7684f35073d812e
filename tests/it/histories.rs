//! Random histories of an account, a server and the reporter between them.
//!
//! A reference model says what runs at every moment; ECS and the server fail as the history
//! says; and whatever happened, what is reported was true.

mod account;
mod ecs;
mod faults;
mod generator;
mod history;
mod http_invocation;
mod invariants;
mod large;
mod over_http;
mod plan;
mod proxy;
mod record;
mod run;
mod server;
mod shown;
mod timeline;

use generator::{Cast, histories, relapses};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseError};

fn holds(history: &history::History) -> Result<(), TestCaseError> {
    run::check(history).map_err(TestCaseError::fail)
}

/// The same histories at each run, or with `ENVSNAP_LONG` a hundred times as many that are new each
/// time: one in some thousands holds what no reader could know.
fn config() -> ProptestConfig {
    let (cases, rng_seed) = match std::env::var_os("ENVSNAP_LONG") {
        Some(_) => (60_000, RngSeed::Random),
        None => (600, RngSeed::Fixed(0)),
    };
    ProptestConfig { cases, rng_seed, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn one_process_reports_the_truth_under_every_fault(
        history in histories(Cast { environments: 1, processes: 1, other_writers: false })
    ) {
        holds(&history)?;
    }

    #[test]
    fn processes_and_other_writers_in_turn_end_in_the_truth(
        history in histories(Cast { environments: 1, processes: 2, other_writers: true })
    ) {
        holds(&history)?;
    }

    #[test]
    fn environments_of_one_account_fail_each_for_itself(
        history in histories(Cast { environments: 3, processes: 2, other_writers: true })
    ) {
        holds(&history)?;
    }

    #[test]
    fn software_that_is_back_after_a_fault_is_reported_again(
        history in relapses(Cast { environments: 1, processes: 1, other_writers: false })
    ) {
        holds(&history)?;
    }
}
