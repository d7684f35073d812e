//! What happens in a history, before it happens.

use std::fmt;

use envsnap::ecs::{Filter, Scope, Selection};
use regex_lite::Regex;

use super::account::{Account, Task, arn};
use super::faults::InjectedFault;
use super::record::ServerKind;
use super::server::ServerFault;
use super::timeline::{MINUTE, Millis, Seconds};

/// A history: configuration, servers, account and steps, from which everything in a run of it
/// follows.
#[derive(Clone)]
pub(super) struct History {
    /// What each environment is of the account.
    pub(super) environments: Vec<Part>,
    pub(super) policy: Policy,
    pub(super) server: ServerKind,
    /// The environments exist from the beginning.
    pub(super) made: bool,
    pub(super) account: Account,
    /// Entries on a page of any listing.
    pub(super) page_size: usize,
    /// Milliseconds of a call's request and of its response, used in turn.
    pub(super) latencies: Vec<u16>,
    pub(super) steps: Vec<Step>,
}

/// Configuration of the reporter apart from the scope.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub(super) compare_replicas: bool,
    pub(super) recheck: Millis,
    pub(super) heartbeat: Option<Millis>,
    pub(super) auto_create: bool,
}

/// A part of the account, as an environment covers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Everything,
    App,
    AppByArn,
    AppAndBatch,
    WithoutBatch,
    AppOrEdge,
    ServiceWeb,
    WithoutServiceDb,
}

/// Something that happens `after` milliseconds after the beginning of the previous step.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) after: Millis,
    pub(super) what: StepKind,
}

#[derive(Debug, Clone)]
pub(super) enum StepKind {
    Invocation(Invocation),
    /// The process ends, and another one takes its place.
    Restart(usize),
    /// Another writer reports this software.
    Write(Vec<usize>),
    Archive,
    Restore,
}

/// One invocation of the function, and the faults that it meets.
#[derive(Debug, Clone)]
pub(super) struct Invocation {
    pub(super) process: usize,
    pub(super) kind: Triggered,
    /// Milliseconds until it has to be over.
    pub(super) deadline: Millis,
    pub(super) ecs: Vec<InjectedFault>,
    /// By the number of the environment, and of the call in the invocation.
    pub(super) server: Vec<(usize, usize, ServerFault)>,
}

/// What an invocation is triggered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Triggered {
    BySchedule,
    /// Of this cluster.
    ByTasks(&'static str),
    Forced,
    Dry,
}

impl Invocation {
    pub(super) fn without_faults(process: usize) -> Self {
        let (ecs, server) = (Vec::new(), Vec::new());
        Self { process, kind: Triggered::BySchedule, deadline: 10 * MINUTE, ecs, server }
    }
}

impl Part {
    /// The configured scope that selects this part.
    pub(super) fn scope(self) -> Scope {
        let pattern = |text: &str| Some(Regex::new(text).unwrap());
        let clusters = |include: &[&str], pattern| Filter {
            names: include.iter().map(|name| name.parse().unwrap()).collect(),
            pattern,
        };
        let services = |name: &str| Filter { names: vec![name.to_owned()], pattern: None };
        let mut scope = Scope::default();
        match self {
            Self::Everything => {}
            Self::App => scope.clusters.include = clusters(&["app"], None),
            Self::AppByArn => scope.clusters.include = clusters(&[&arn("cluster", "app")], None),
            Self::AppAndBatch => scope.clusters.include = clusters(&["app"], pattern("^bat")),
            Self::WithoutBatch => scope.clusters.exclude = clusters(&["batch"], None),
            Self::AppOrEdge => scope.clusters.include = clusters(&[], pattern("^(app|edge)$")),
            Self::ServiceWeb => {
                scope.services = Selection { include: services("web"), ..Selection::default() };
            }
            Self::WithoutServiceDb => {
                scope.services = Selection { exclude: services("db"), ..Selection::default() };
            }
        }
        scope
    }

    pub(super) fn has_cluster(self, cluster: &str) -> bool {
        match self {
            Self::Everything | Self::ServiceWeb | Self::WithoutServiceDb => true,
            Self::App | Self::AppByArn => cluster == "app",
            Self::AppAndBatch => cluster == "app" || cluster == "batch",
            Self::WithoutBatch => cluster != "batch",
            Self::AppOrEdge => cluster == "app" || cluster == "edge",
        }
    }

    pub(super) fn has_task(self, task: &Task) -> bool {
        self.has_cluster(&task.cluster)
            && match self {
                Self::ServiceWeb => task.service() == Some("web"),
                Self::WithoutServiceDb => task.service() != Some("db"),
                _ => true,
            }
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { environments, policy, server, made, account, page_size, latencies, steps } =
            self;
        writeln!(f, "a history of {environments:?}, which exist from the beginning: {made}")?;
        writeln!(f, "  {policy:?}, {server:?}")?;
        writeln!(f, "  {page_size} entries a page, calls take {latencies:?} ms before and after")?;
        write!(f, "{account:?}")?;
        let mut at = 0;
        for Step { after, what } in steps {
            at += after;
            writeln!(f, "  at {}: {what:?}", Seconds(at))?;
        }
        Ok(())
    }
}
