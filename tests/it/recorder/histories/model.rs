//! Reference model: what a recorder should have of an organization.

use std::collections::BTreeMap;

use super::operation::{Operation, Token};

/// What runs: artifacts, by a number, with their replicas.
pub(super) type Running = BTreeMap<u8, u64>;

/// Seconds that are covered after a report that announces no heartbeat.
const COVERED_WITHOUT_HEARTBEAT: f64 = 7_200.0;

/// Seconds that are covered after the announced heartbeat has passed.
const HEARTBEAT_GRACE: f64 = 600.0;

/// An unchanged report makes a ledger entry at most once in so many seconds.
const CONFIRMATION_INTERVAL: f64 = 6.0 * 3_600.0;

/// Seconds by which the clock may be set back without a `clock-corrected` entry, and without an entry of the
/// next report.
const MAX_UNRECORDED_SET_BACK: f64 = 60.0;

/// The earliest and the latest time at which something was recorded, in seconds since the Unix epoch by the
/// recorder's clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Window {
    pub(super) from: f64,
    pub(super) until: f64,
}

impl Window {
    pub(super) fn contains(self, time: f64) -> bool {
        // The recorder keeps microseconds.
        (self.from - 1e-5..=self.until + 1e-5).contains(&time)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Organization {
    pub(super) name: String,
    /// In the order in which they were created.
    pub(super) environments: Vec<Environment>,
    /// The kinds of all entries of the ledger, and by whom.
    pub(super) entries: Vec<(&'static str, &'static str)>,
    /// When the last entry was recorded.
    recorded: Option<Window>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Environment {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) include_scaling: bool,
    pub(super) is_archived: bool,
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) last_report: Option<LastReport>,
    /// When the last entry was recorded that says something of its reports.
    confirmed: Option<Window>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Snapshot {
    pub(super) running: Running,
    pub(super) recorded: Window,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LastReport {
    pub(super) at: Window,
    heartbeat: Option<u32>,
}

impl LastReport {
    fn covers(self, now: Window) -> bool {
        let covered = self
            .heartbeat
            .map_or(COVERED_WITHOUT_HEARTBEAT, |heartbeat| f64::from(heartbeat) + HEARTBEAT_GRACE);
        now.from - self.at.from <= covered
    }
}

impl Environment {
    /// What the latest snapshot has.
    pub(super) fn running(&self) -> Running {
        self.snapshots.last().map(|latest| latest.running.clone()).unwrap_or_default()
    }
}

/// Artifacts whose replicas differ, with how many they had and have; sorted by artifact.
pub(super) fn changes(before: &Running, after: &Running) -> Vec<(u8, u64, u64)> {
    let ids = before.keys().chain(after.keys()).copied();
    let mut changes: Vec<_> = ids
        .map(|id| {
            let replicas = |of: &Running| of.get(&id).copied().unwrap_or(0);
            (id, replicas(before), replicas(after))
        })
        .filter(|(_, was, now)| was != now)
        .collect();
    changes.sort_unstable();
    changes.dedup();
    changes
}

impl Organization {
    pub(super) fn new(name: String) -> Self {
        Self { name, environments: Vec::new(), entries: Vec::new(), recorded: None }
    }

    /// Environments that are not archived.
    pub(super) fn in_use(&self) -> impl Iterator<Item = &Environment> {
        self.environments.iter().filter(|environment| !environment.is_archived)
    }

    /// An environment that is not archived.
    pub(super) fn find(&self, name: &str) -> Option<&Environment> {
        self.in_use().find(|environment| environment.name == name)
    }

    fn find_mut(&mut self, name: &str) -> Option<&mut Environment> {
        let mut environments = self.environments.iter_mut();
        environments.find(|environment| !environment.is_archived && environment.name == name)
    }

    /// Adds an entry to the ledger, after a `clock-corrected` one if the clock was set back too far.
    fn append(&mut self, kind: &'static str, by: Token, now: Window) {
        if self.recorded.is_some_and(|recorded| recorded.from - now.from > MAX_UNRECORDED_SET_BACK)
        {
            self.entries.push(("clock-corrected", by.label()));
        }
        self.entries.push((kind, by.label()));
        self.recorded = Some(now);
    }

    /// Applies `operation` at this time, and returns the HTTP status that the recorder should answer.
    pub(super) fn apply(&mut self, operation: &Operation, now: Window) -> u16 {
        match operation {
            Operation::Save { name, description, include_scaling, by } => {
                self.save(name, description, *include_scaling, *by, now)
            }
            Operation::Change { name, description, include_scaling } => {
                let Some(environment) = self.find_mut(name) else { return 404 };
                if environment.change(description.as_deref(), *include_scaling) {
                    self.append("environment-changed", Token::Admin, now);
                }
                200
            }
            Operation::Rename { name, new_name } => {
                if self.find(name).is_none() {
                    return 404;
                }
                if name == new_name {
                    return 200;
                }
                if self.environments.iter().any(|other| other.name == *new_name) {
                    return 400;
                }
                if let Some(environment) = self.find_mut(name) {
                    environment.name.clone_from(new_name);
                }
                self.append("environment-renamed", Token::Admin, now);
                200
            }
            Operation::Archive { name } => {
                let Some(environment) = self.find_mut(name) else { return 404 };
                environment.is_archived = true;
                self.append("environment-archived", Token::Admin, now);
                200
            }
            Operation::Report { name, running, heartbeat, expected_index } => {
                self.report(name, running, *heartbeat, *expected_index, now)
            }
        }
    }

    /// Creates, changes or restores an environment; returns the expected HTTP status.
    fn save(
        &mut self,
        name: &str,
        description: &str,
        include_scaling: Option<bool>,
        by: Token,
        now: Window,
    ) -> u16 {
        let existing = self.environments.iter_mut().find(|environment| environment.name == name);
        let Some(environment) = existing else {
            self.environments.push(Environment {
                name: name.to_owned(),
                description: description.to_owned(),
                include_scaling: include_scaling.unwrap_or(true),
                is_archived: false,
                snapshots: Vec::new(),
                last_report: None,
                confirmed: None,
            });
            self.append("environment-created", by, now);
            return 201;
        };
        let mut saved = environment.clone();
        saved.is_archived = false;
        let is_changed =
            saved.change(Some(description).filter(|text| !text.is_empty()), include_scaling);
        if saved == *environment {
            return 201;
        }
        if by == Token::Reporter {
            return 403;
        }
        let was_archived = environment.is_archived;
        *environment = saved;
        if was_archived {
            self.append("environment-restored", by, now);
        }
        if is_changed {
            self.append("environment-changed", by, now);
        }
        201
    }

    /// Records a report; returns the expected HTTP status.
    fn report(
        &mut self,
        name: &str,
        running: &Running,
        heartbeat: Option<u32>,
        expected_index: Option<usize>,
        now: Window,
    ) -> u16 {
        let Some(environment) = self.find_mut(name) else { return 404 };
        if expected_index.is_some_and(|expected| expected != environment.snapshots.len()) {
            return 412;
        }
        let latest = environment.running();
        let is_new = changes(&latest, running)
            .iter()
            .any(|(_, was, now)| environment.include_scaling || *was == 0 || *now == 0);
        let last_report = environment.last_report.replace(LastReport { at: now, heartbeat });
        if is_new {
            environment.snapshots.push(Snapshot { running: running.clone(), recorded: now });
            environment.confirmed = Some(now);
            self.append("snapshot", Token::Reporter, now);
            return 201;
        }
        if let (Some(last_report), Some(confirmed)) = (last_report, environment.confirmed)
            && (!last_report.covers(now)
                || last_report.at.from - now.from > MAX_UNRECORDED_SET_BACK
                || now.from - confirmed.from >= CONFIRMATION_INTERVAL)
        {
            environment.confirmed = Some(now);
            self.append("confirmed", Token::Reporter, now);
        }
        200
    }
}

impl Environment {
    /// Sets what is given, and returns whether anything differs then.
    fn change(&mut self, description: Option<&str>, include_scaling: Option<bool>) -> bool {
        let before = self.clone();
        if let Some(description) = description {
            description.clone_into(&mut self.description);
        }
        self.include_scaling = include_scaling.unwrap_or(self.include_scaling);
        *self != before
    }
}
