//! What `envsnap report` and `kosli snapshot ecs` report of the same account, case by case.
//!
//! What `kosli` does was observed with version 2.43.1.

mod account;
mod calls;
mod clusters;
mod containers;
mod emptied;
mod faults;
mod report;
mod sizes;
mod tasks;

use envsnap::standin::{StandIn, World};
use futures_util::StreamExt as _;
use serde_json::Value;

use crate::programs::ProgramOutput;
use crate::reporters::{envsnap_report, kosli_snapshot};
use report::lines;

/// An account, and what each reporter is expected to do with it.
struct Case {
    /// What is special about the account, for messages.
    description: &'static str,
    world: World,
    /// Is called with the stand-in before a reporter runs.
    inject_fault: Box<dyn Fn(&StandIn)>,
    /// The filter and its value.
    filter: Option<(Filter, &'static str)>,
    envsnap: Expected,
    kosli: Expected,
}

/// A filter of clusters or services: `kosli`'s option and envsnap's variable.
type Filter = (&'static str, &'static str);
const CLUSTERS: Filter = ("--clusters", "ECS_CLUSTERS");
const EXCLUDE_CLUSTERS: Filter = ("--exclude", "ECS_EXCLUDE");
const SERVICES: Filter = ("--services", "ECS_SERVICES");
const EXCLUDE_SERVICES: Filter = ("--exclude-services", "ECS_EXCLUDE_SERVICES");

/// What a reporter is expected to do.
#[derive(Clone)]
enum Expected {
    /// Sends one report, which has these [lines], and exits with 0.
    Reports(Vec<String>),
    /// Sends nothing, and exits with 0.
    NoReport,
    /// Sends nothing, and exits with this code and an error that contains this text.
    Fails(i32, &'static str),
    /// Panics on a nil pointer in one of its goroutines. Whether another one has sent a report by then,
    /// and of which clusters, differs from run to run.
    Crashes,
}
use Expected::{Crashes, Fails, NoReport, Reports};

/// [`Reports`] of literals.
fn reports<const N: usize>(lines: [&str; N]) -> Expected {
    Reports(lines.map(str::to_owned).to_vec())
}

impl Case {
    /// A case without filter and fault.
    fn new(description: &'static str, world: World, envsnap: Expected, kosli: Expected) -> Self {
        Self { description, world, inject_fault: Box::new(|_| {}), filter: None, envsnap, kosli }
    }

    /// A case in which both reporters are expected to do the same.
    fn same_result(description: &'static str, world: World, expected: Expected) -> Self {
        Self::new(description, world, expected.clone(), expected)
    }

    /// This case with a filter in both reporters.
    fn filtered(mut self, filter: Filter, value: &'static str) -> Self {
        self.filter = Some((filter, value));
        self
    }

    /// This case with a change of the stand-in before each reporter runs.
    fn with_fault(mut self, inject: impl Fn(&StandIn) + 'static) -> Self {
        self.inject_fault = Box::new(inject);
        self
    }

    /// Starts an ECS stand-in of the account, with the fault.
    async fn start_stand_in(&self) -> StandIn {
        let ecs = StandIn::start(self.world.clone()).await.unwrap();
        (self.inject_fault)(&ecs);
        ecs
    }

    /// Runs both reporters, each with a stand-in of its own, and describes what they did otherwise than
    /// expected. Empty if all is as expected.
    async fn mismatches(self) -> Vec<String> {
        let filter = self.filter;
        let arguments: Vec<_> =
            filter.iter().flat_map(|((option, _), value)| [*option, *value]).collect();
        // The account is not shared: no part of the quotas is left to others.
        let mut variables = vec![("QUOTA_SHARE", "1")];
        variables.extend(filter.iter().map(|((_, variable), value)| (*variable, *value)));
        let ecs = self.start_stand_in().await;
        let envsnap = self.envsnap.mismatch(&envsnap_report(&ecs.endpoint(), &variables).await);
        let ecs = self.start_stand_in().await;
        let kosli = self.kosli.mismatch(&kosli_snapshot(&ecs.endpoint(), &arguments).await);
        let describe = |reporter, actual| format!("{}: {reporter}: {actual}", self.description);
        let envsnap = envsnap.map(|actual| describe("ours", actual));
        envsnap.into_iter().chain(kosli.map(|actual| describe("theirs", actual))).collect()
    }
}

impl Expected {
    /// What a reporter did (its output and the reports that it sent) if that is not as expected.
    fn mismatch(&self, (output, reports): &(ProgramOutput, Vec<Value>)) -> Option<String> {
        let reports: Vec<_> = reports.iter().map(lines).collect();
        let as_expected = match self {
            Reports(expected) => output.code == Some(0) && reports == [expected.clone()],
            NoReport => output.code == Some(0) && reports.is_empty(),
            Fails(code, text) => {
                output.code == Some(*code) && output.stderr.contains(text) && reports.is_empty()
            }
            Crashes => {
                let panic = "panic: runtime error: invalid memory address or nil pointer";
                output.code == Some(2) && output.stderr.contains(panic)
            }
        };
        (!as_expected).then(|| format!("{:?} {reports:?} {}", output.code, output.stderr))
    }
}

/// Runs the cases, four at a time, each with stand-ins and a server of its own.
async fn assert_cases(cases: impl IntoIterator<Item = Case>) {
    let mismatches: Vec<_> =
        futures_util::stream::iter(cases).map(Case::mismatches).buffer_unordered(4).collect().await;
    let mismatches = mismatches.concat();
    assert!(mismatches.is_empty(), "{}", mismatches.join("\n"));
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn both_reporters_report_tasks_of_each_kind_as_expected() {
    assert_cases(tasks::cases()).await;
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn both_reporters_report_containers_of_each_kind_as_expected() {
    assert_cases(containers::cases()).await;
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn both_reporters_report_accounts_of_each_size_as_expected() {
    assert_cases(sizes::cases()).await;
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn both_reporters_report_filtered_and_deleted_clusters_as_expected() {
    assert_cases(clusters::cases()).await;
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn both_reporters_handle_faults_of_ecs_as_expected() {
    assert_cases(faults::cases()).await;
}
