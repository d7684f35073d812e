//! The reporter that the server's own client has, and ours, on one account after another: what each
//! of them reports, case by case.
//!
//! What the incumbent does was observed with version 2.43.1.

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
use crate::reporters::{ours, theirs};
use report::lines;

/// An account, and what each reporter makes of it.
struct Case {
    what: &'static str,
    world: World,
    wrong: Box<dyn Fn(&StandIn)>,
    filter: Option<(Filter, &'static str)>,
    ours: Expected,
    theirs: Expected,
}

/// What narrows the scope, as an argument of theirs and a variable of ours.
type Filter = (&'static str, &'static str);
const CLUSTERS: Filter = ("--clusters", "ECS_CLUSTERS");
const EXCLUDE_CLUSTERS: Filter = ("--exclude", "ECS_EXCLUDE");
const SERVICES: Filter = ("--services", "ECS_SERVICES");
const EXCLUDE_SERVICES: Filter = ("--exclude-services", "ECS_EXCLUDE_SERVICES");

/// What a reporter does.
#[derive(Clone)]
enum Expected {
    /// Sends one report of these [lines], and succeeds.
    Reports(Vec<String>),
    /// Sends nothing, and succeeds.
    Nothing,
    /// Sends nothing, and exits with this code and an error that contains this.
    Fails(i32, &'static str),
    /// Follows a pointer to nothing in one of its goroutines. Which clusters' tasks another one has
    /// reported by then, if any, differs from run to run.
    Crashes,
}
use Expected::{Crashes, Fails, Nothing, Reports};

fn reports<const N: usize>(lines: [&str; N]) -> Expected {
    Reports(lines.map(str::to_owned).to_vec())
}

impl Case {
    /// The whole account is in scope, and nothing goes wrong in it.
    fn new(what: &'static str, world: World, ours: Expected, theirs: Expected) -> Self {
        Self { what, world, wrong: Box::new(|_| {}), filter: None, ours, theirs }
    }

    /// Both do the same.
    fn same_for_both(what: &'static str, world: World, both: Expected) -> Self {
        Self::new(what, world, both.clone(), both)
    }

    fn filtered(mut self, filter: Filter, value: &'static str) -> Self {
        self.filter = Some((filter, value));
        self
    }

    fn wrong(mut self, wrong: impl Fn(&StandIn) + 'static) -> Self {
        self.wrong = Box::new(wrong);
        self
    }

    async fn stand_in(&self) -> StandIn {
        let ecs = StandIn::start(self.world.clone()).await.unwrap();
        (self.wrong)(&ecs);
        ecs
    }

    /// What the reporters do otherwise than expected; each has the account to itself.
    async fn differences(self) -> Vec<String> {
        let filter = self.filter;
        let arguments: Vec<_> = filter.iter().flat_map(|(of, value)| [of.0, *value]).collect();
        // The account is not shared: no part of the quotas is left to others.
        let mut variables = vec![("QUOTA_SHARE", "1")];
        variables.extend(filter.iter().map(|(of, value)| (of.1, *value)));
        let ecs = self.stand_in().await;
        let ours = self.ours.differs(&ours(&ecs.endpoint(), &variables).await);
        let ecs = self.stand_in().await;
        let theirs = self.theirs.differs(&theirs(&ecs.endpoint(), &arguments).await);
        let describe = |who, difference| format!("{}: {who}: {difference}", self.what);
        let ours = ours.map(|difference| describe("ours", difference));
        ours.into_iter().chain(theirs.map(|difference| describe("theirs", difference))).collect()
    }
}

impl Expected {
    /// What a reporter did instead.
    fn differs(&self, (ended, reports): &(ProgramOutput, Vec<Value>)) -> Option<String> {
        let reports: Vec<_> = reports.iter().map(lines).collect();
        let so = match self {
            Reports(expected) => ended.code == Some(0) && reports == [expected.clone()],
            Nothing => ended.code == Some(0) && reports.is_empty(),
            Fails(code, words) => {
                ended.code == Some(*code) && ended.stderr.contains(words) && reports.is_empty()
            }
            Crashes => {
                let panic = "panic: runtime error: invalid memory address or nil pointer";
                ended.code == Some(2) && ended.stderr.contains(panic)
            }
        };
        (!so).then(|| format!("{:?} {reports:?} {}", ended.code, ended.stderr))
    }
}

/// A few at a time, each with its own account and server.
async fn hold(cases: impl IntoIterator<Item = Case>) {
    let differences: Vec<_> = futures_util::stream::iter(cases)
        .map(Case::differences)
        .buffer_unordered(4)
        .collect()
        .await;
    let differences = differences.concat();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn each_kind_of_task_is_reported_as_the_table_says() {
    hold(tasks::cases()).await;
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn each_kind_of_container_is_reported_as_the_table_says() {
    hold(containers::cases()).await;
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn accounts_of_each_size_are_reported_as_the_table_says() {
    hold(sizes::cases()).await;
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn clusters_and_filters_are_reported_as_the_table_says() {
    hold(clusters::cases()).await;
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn faults_are_reported_as_the_table_says() {
    hold(faults::cases()).await;
}
