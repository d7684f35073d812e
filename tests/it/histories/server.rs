//! A snapshot server with injected faults, with other writers beside the reporter.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use envsnap::api::wire::{EcsReport, EnvironmentRequest};
use envsnap::api::{
    ApiError, EnvironmentApi, EnvironmentStatus, LatestSnapshot, ReportOptions, ReportResponse,
    ServerApi,
};
use reqwest::StatusCode;
use tokio::time::Instant;

use super::account::Counts;
use super::record::{
    EnvironmentRecord, InvocationCalls, OTHER_WRITER, SentReport, ServerKind, counts, report_of,
};
use super::timeline::{Millis, Timeline};

/// What goes wrong in one call. A fault that only a report can meet is a lost response in other
/// calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ServerFault {
    /// It does nothing, and says so.
    Unavailable,
    Refuses,
    /// It does nothing, and never answers.
    Silent,
    /// The request takes effect, and the response is lost.
    AnswerLost,
    /// The request takes effect, and there is no response.
    SilentAfterwards,
    /// The request takes effect so many milliseconds later, and there is no response.
    Late(Millis),
    /// The request is sent twice and takes effect twice, since the first response was lost.
    AskedTwice,
    /// The request is sent twice, since the first one was lost.
    AskedAgain,
    /// The latest snapshot is one of another type.
    AnotherType,
    /// Before it does anything, another writer reports this software.
    Overtaken(Vec<usize>),
    /// Before it answers, another writer reports this software.
    Overwritten(Vec<usize>),
}

use ServerFault::{
    AnotherType, AnswerLost, AskedAgain, AskedTwice, Late, Overtaken, Overwritten, Refuses, Silent,
    SilentAfterwards, Unavailable,
};

#[derive(Clone)]
pub(super) struct FakeServer(Rc<Shared>);

struct Shared {
    kind: ServerKind,
    time: Timeline,
    /// Milliseconds, used in turn.
    latencies: Vec<u16>,
    waits: Cell<usize>,
    environments: RefCell<BTreeMap<String, EnvironmentRecord>>,
}

impl FakeServer {
    pub(super) fn new(kind: ServerKind, time: Timeline, latencies: Vec<u16>) -> Self {
        let (waits, environments) = (Cell::default(), RefCell::default());
        Self(Rc::new(Shared { kind, time, latencies, waits, environments }))
    }

    /// From now on calls about the environment come from `process`, and those with these numbers
    /// meet these faults.
    pub(super) fn begin_invocation(
        &self,
        name: &str,
        process: usize,
        faults: impl IntoIterator<Item = (usize, ServerFault)>,
    ) {
        let faults = faults.into_iter().collect();
        self.with_record(name, |record| {
            record.visit = InvocationCalls { process, faults, ..InvocationCalls::default() }
        });
    }

    /// Another writer reports one replica of each of this software.
    pub(super) fn report_by_other_writer(&self, name: &str, software: &[usize]) {
        let Shared { kind, time, .. } = &*self.0;
        self.with_record(name, |record| {
            if record.exists && !record.archived {
                time.note(|| format!("  another writer reports {software:?} to {name}"));
                record.record(&report_of(software), *kind, OTHER_WRITER, time.now());
            }
        });
    }

    /// Gives `work` the record of the environment, after reports that were late have arrived.
    pub(super) fn with_record<T>(
        &self,
        name: &str,
        work: impl FnOnce(&mut EnvironmentRecord) -> T,
    ) -> T {
        let Shared { kind, time, environments, .. } = &*self.0;
        let mut environments = environments.borrow_mut();
        let record = environments.entry(name.to_owned()).or_default();
        let now = time.now();
        for (_, report) in record.late.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>() {
            time.note(|| format!("  {name} records what was sent before"));
            record.record(&report, *kind, OTHER_WRITER, now);
        }
        work(record)
    }

    /// Replicas in the latest snapshot, as the server shows it.
    pub(super) fn latest_counts(&self, name: &str) -> Counts {
        let latest = self.with_record(name, |record| record.latest(self.0.kind));
        latest.map(|(_, artifacts)| counts(&artifacts)).unwrap_or_default()
    }
}

impl ServerApi for FakeServer {
    type Environment<'a> = FakeEnvironment<'a>;

    fn environment<'a>(&'a self, name: &'a str, _: Option<Instant>) -> FakeEnvironment<'a> {
        FakeEnvironment { server: self, name, calls: Cell::new(0) }
    }
}

pub(super) struct FakeEnvironment<'a> {
    server: &'a FakeServer,
    name: &'a str,
    calls: Cell<u32>,
}

fn refused(operation: &str) -> ApiError {
    ApiError::Rejected {
        operation: operation.to_owned(),
        url: "http://server".to_owned(),
        status: StatusCode::BAD_REQUEST,
        message: "a fault".to_owned(),
    }
}

fn precondition_failed(operation: &str) -> ApiError {
    ApiError::Rejected {
        operation: operation.to_owned(),
        url: "http://server".to_owned(),
        status: StatusCode::PRECONDITION_FAILED,
        message: "another snapshot was recorded".to_owned(),
    }
}

fn unavailable(operation: &str) -> ApiError {
    ApiError::Unavailable {
        operation: operation.to_owned(),
        url: "http://server".to_owned(),
        reason: "a fault".to_owned(),
        retry_after: None,
        transient: true,
    }
}

impl FakeEnvironment<'_> {
    async fn wait_for_latency(&self) {
        let Shared { latencies, waits, .. } = &*self.server.0;
        let nth = waits.replace(waits.get() + 1);
        tokio::time::sleep(Duration::from_millis(latencies[nth % latencies.len()].into())).await;
    }

    /// Gives `work` the record of this environment.
    fn with_record<T>(&self, work: impl FnOnce(&mut EnvironmentRecord) -> T) -> T {
        self.server.with_record(self.name, work)
    }

    /// An error if the environment does not exist or is archived.
    fn require_environment(&self, record: &EnvironmentRecord) -> Result<(), ApiError> {
        if record.exists && !record.archived {
            return Ok(());
        }
        let message = format!("Environment named '{}' does not exist", self.name);
        Err(ApiError::EnvironmentNotFound {
            url: "http://server".to_owned(),
            message,
            archived: false,
        })
    }

    /// One call: waits for its latencies, applies its fault, and notes how it ended for the
    /// invocation.
    async fn call<T: fmt::Debug>(
        &self,
        operation: &str,
        act: impl FnOnce(&mut EnvironmentRecord, Option<&ServerFault>) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        self.calls.set(self.calls.get() + 1);
        self.wait_for_latency().await;
        let fault = self.with_record(|record| {
            record.visit.calls += 1;
            record.visit.faults.remove(&(record.visit.calls - 1))
        });
        if let Some(Overtaken(software)) = &fault {
            self.server.report_by_other_writer(self.name, software);
        }
        let done = self.with_record(|record| match &fault {
            Some(Unavailable | Silent) => Err(unavailable(operation)),
            Some(Refuses) => Err(refused(operation)),
            fault => act(record, fault.as_ref()),
        });
        if let Some(Overwritten(software)) = &fault {
            self.server.report_by_other_writer(self.name, software);
        }
        let missing = matches!(done, Err(ApiError::EnvironmentNotFound { .. }));
        let answer = match &fault {
            Some(AnswerLost | SilentAfterwards | Late(_)) => Err(unavailable(operation)),
            _ => done,
        };
        let of_another_type = fault == Some(AnotherType) && operation == "latest";
        self.with_record(|EnvironmentRecord { visit, .. }| {
            let useless = answer.is_err() || of_another_type;
            // After a report, only whether it made a snapshot matters. The environment's settings
            // can be done without, or are fetched again.
            let needed = operation != "get" && !visit.puts.last().is_some_and(|put| put.answered);
            visit.unusable |= needed && useless && !missing;
            visit.missing |= missing;
            visit.doubtful |= useless;
        });
        self.server.0.time.note(|| {
            let fault = fault.as_ref().map(|fault| format!(" ({fault:?})")).unwrap_or_default();
            format!("  {} {operation}{fault}: {answer:?}", self.name)
        });
        if matches!(fault, Some(Silent | SilentAfterwards | Late(_))) {
            return std::future::pending().await;
        }
        self.wait_for_latency().await;
        answer
    }
}

impl EnvironmentApi for FakeEnvironment<'_> {
    fn calls(&self) -> u32 {
        self.calls.get()
    }

    fn accepts_preconditions(&self) -> bool {
        self.server.0.kind.preconditions
    }

    fn accepts_origin(&self) -> bool {
        false
    }

    async fn latest_snapshot(&self) -> Result<LatestSnapshot, ApiError> {
        self.call("latest", |record, fault| {
            self.require_environment(record)?;
            if fault == Some(&AnotherType) {
                return Ok(LatestSnapshot::OtherType("K8S".to_owned()));
            }
            Ok(record.latest(self.server.0.kind).map_or(
                LatestSnapshot::NoSnapshotYet,
                |(index, artifacts)| LatestSnapshot::Snapshot {
                    index,
                    snapshot: artifacts.into_iter().collect(),
                },
            ))
        })
        .await
    }

    async fn get(&self) -> Result<EnvironmentStatus, ApiError> {
        self.call("get", |record, _| {
            self.require_environment(record)?;
            let time = &self.server.0.time;
            let seconds = |at: Millis| Duration::from_millis(at.unsigned_abs()).as_secs_f64();
            let now = time.wall_clock().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
            let last_reported_at = record.last_reported_at.map(|at| now - seconds(time.now() - at));
            let include_scaling = Some(self.server.0.kind.include_scaling);
            Ok(EnvironmentStatus { last_reported_at, include_scaling })
        })
        .await
    }

    async fn create(&self, _: &EnvironmentRequest) -> Result<(), ApiError> {
        self.call("create", |record, _| {
            if record.archived {
                return Err(refused("create"));
            }
            record.exists = true;
            Ok(())
        })
        .await
    }

    async fn report(
        &self,
        report: &EcsReport,
        options: ReportOptions,
    ) -> Result<ReportResponse, ApiError> {
        let Shared { kind, time, .. } = &*self.server.0;
        self.with_record(|record| {
            let put = SentReport::new(report, record, time.now());
            record.visit.puts.push(put);
        });
        let reported = self
            .call("report", |record, fault| {
                self.require_environment(record)?;
                if let Some(Late(by)) = fault {
                    record.late.push((time.now() + by, report.clone()));
                    return Err(unavailable("report"));
                }
                let process = record.visit.process;
                let repeated = matches!(fault, Some(AskedTwice | AskedAgain));
                self.calls.set(self.calls.get() + u32::from(repeated));
                let is_moved = |record: &EnvironmentRecord| {
                    let latest = record.latest(*kind).map_or(0, |(index, _)| index);
                    kind.preconditions && options.latest_index != Some(latest)
                };
                if is_moved(record) {
                    record.visit.puts.pop();
                    return Ok(None);
                }
                let mut created = record.record(report, *kind, process, time.now());
                if fault == Some(&AskedTwice) {
                    if is_moved(record) {
                        return Ok(None);
                    }
                    created = record.record(report, *kind, process, time.now());
                }
                Ok(Some(ReportResponse { created, repeated, head: None }))
            })
            .await
            .and_then(|reported| reported.ok_or_else(|| precondition_failed("report")));
        let is_answered = reported.as_ref().map_or_else(ApiError::is_precondition_failed, |_| true);
        if is_answered {
            let plainly = reported.as_ref().is_ok_and(|reported| !reported.repeated);
            self.with_record(|record| {
                for put in record.visit.puts.iter_mut().rev().take(1) {
                    (put.answered, put.plainly) = (true, plainly);
                }
            });
        }
        reported
    }
}
