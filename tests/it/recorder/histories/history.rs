//! One organization's history: what is done to it, what was answered, and what should be there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::check;
use super::life::{Answer, RecorderProcess, unix_time};
use super::model::{Organization, Window};
use super::operation::{HOME, Operation};

/// How long a recorder may refuse writes after a fault.
const RECOVERY_TIMEOUT: Duration = Duration::from_mins(1);

/// How often what happened.
pub(super) type EventCounts = BTreeMap<&'static str, u32>;

/// How a request may end because of a fault, besides the answer that the model expects.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AllowedOutcomes {
    /// It is not answered: the recorder ends.
    pub(super) no_answer: bool,
    /// It is answered 500. Whether it was recorded is not known.
    pub(super) failure: Option<&'static str>,
    /// It is refused with one of these statuses, and nothing is recorded.
    pub(super) refusals: &'static [u16],
    pub(super) refusal: &'static str,
}

/// Random writes to one organization, the answers to them, and the model of what should be recorded.
pub(super) struct History {
    pub(super) model: Organization,
    random: Rng,
    /// What was sent and not answered, when, and what the recorder's clock was ahead then.
    unsettled: Option<(Operation, f64, f64)>,
    /// The hashes of the heads that were answered, by their sequence numbers.
    pub(super) heads: BTreeMap<usize, String>,
    /// What was done, for a failure's message.
    trace: Vec<String>,
    pub(super) happened: EventCounts,
}

impl History {
    pub(super) fn new(seed: u64, number: usize) -> Self {
        Self {
            model: Organization::new(format!("org-{number}")),
            random: Rng::with_seed(seed << 16 | number as u64),
            unsettled: None,
            heads: BTreeMap::new(),
            trace: vec![format!("seed {seed}, organization {number}")],
            happened: EventCounts::new(),
        }
    }

    fn count_outcome(&mut self, what: &'static str) {
        *self.happened.entry(what).or_insert(0) += 1;
    }

    /// For the message of a failure: the seed, the last 15 steps and the model.
    pub(super) fn trace(&self) -> String {
        let last = &self.trace[self.trace.len().saturating_sub(15)..];
        format!("{}\n{}\nmodel: {:#?}", self.trace[0], last.join("\n"), self.model)
    }

    /// Creates the environment [`HOME`], which every organization has.
    pub(super) async fn create_home_environment(&mut self, life: &RecorderProcess) {
        self.execute(life, Operation::save_home_environment(), AllowedOutcomes::default()).await;
    }

    /// Executes `most` random operations, or fewer if one of them is not answered.
    pub(super) async fn run_random_operations(
        &mut self,
        life: &RecorderProcess,
        most: usize,
        allowed: AllowedOutcomes,
    ) {
        for _ in 0..most {
            let operation = Operation::random(&mut self.random, &self.model);
            self.execute(life, operation, allowed).await;
            if self.unsettled.is_some() {
                return;
            }
        }
    }

    /// Sends a write, checks its answer against the model, and counts how it ended.
    async fn execute(
        &mut self,
        life: &RecorderProcess,
        operation: Operation,
        allowed: AllowedOutcomes,
    ) {
        let sent = life.now();
        let answer = life.send(operation.request(&self.model.name)).await;
        let window = Window { from: sent, until: life.now() };
        let said = answer.as_ref().map(|it| (it.status, it.head.as_deref(), &it.body["message"]));
        self.trace.push(format!("{operation:?}\n    at {sent}: {said:?}"));
        match answer {
            None => {
                assert!(allowed.no_answer, "no answer: {}", self.trace());
                self.count_outcome("not answered");
                self.unsettled = Some((operation, sent, life.ahead()));
            }
            Some(Answer { status: 500, .. }) if allowed.failure.is_some() => {
                self.count_outcome(allowed.failure.unwrap());
                self.unsettled = Some((operation, sent, life.ahead()));
            }
            Some(answer) if allowed.refusals.contains(&answer.status) => {
                self.count_outcome(allowed.refusal);
                life.refused.add_permits(1);
                assert_eq!(answer.head, None, "{}", self.trace());
            }
            Some(answer) => {
                self.count_outcome("answered");
                let expected = self.model.apply(&operation, window);
                if answer.status != expected {
                    let log = life.process.log();
                    panic!("{answer:?}, and not {expected}: {}\n{log}", self.trace());
                }
                if answer.status < 300 {
                    self.check_head(&answer);
                } else {
                    assert_eq!(answer.head, None, "{}", self.trace());
                }
                life.answered.add_permits(1);
            }
        }
    }

    /// Asserts that the answer's head is that of the last entry of the model's ledger.
    fn check_head(&mut self, answer: &Answer) {
        let head = answer.head.as_deref().unwrap_or_default();
        let position = head.strip_prefix(&format!("org={}; seq=", self.model.name));
        let Some((seq, hash)) = position.and_then(|position| position.split_once("; hash=")) else {
            panic!("no head: {answer:?}: {}", self.trace());
        };
        let seq: usize = seq.parse().unwrap();
        assert_eq!(seq, self.model.entries.len(), "{answer:?}: {}", self.trace());
        let known = self.heads.entry(seq).or_insert_with(|| hash.to_owned()).clone();
        assert_eq!(known, hash, "another entry {seq}: {}", self.trace());
    }

    /// Finds out whether the write that was not answered was recorded, once the recorder accepts writes again,
    /// and applies it to the model if it was.
    pub(super) async fn resolve_unanswered_write(&mut self, life: &RecorderProcess) {
        let deadline = Instant::now() + RECOVERY_TIMEOUT;
        let answer = loop {
            match life.send(Operation::save_home_environment().request(&self.model.name)).await {
                Some(answer) if answer.status == 201 => break answer,
                // What filled the queue is still in it.
                Some(Answer { status: 409 | 503, .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                answer => {
                    let log = life.process.log();
                    panic!("the recorder is not well: {answer:?}: {}\n{log}", self.trace());
                }
            }
        };
        self.trace.push(format!("settled: {:?}", answer.head));
        if let Some((operation, sent, ahead)) = self.unsettled.take() {
            let window = Window { from: sent, until: unix_time() + ahead };
            let mut after = self.model.clone();
            after.apply(&operation, window);
            let seq = format!("; seq={};", after.entries.len());
            let is_recorded = if after.entries.len() == self.model.entries.len() {
                // A report that makes no entry is known by its time only.
                match &operation {
                    Operation::Report { name, .. } if after.find(name) != self.model.find(name) => {
                        let (_, shown) =
                            life.get(&format!("/environments/{}/{name}", self.model.name)).await;
                        shown["last_reported_at"].as_f64().is_some_and(|at| window.contains(at))
                    }
                    _ => false,
                }
            } else {
                answer.head.as_deref().is_some_and(|head| head.contains(&seq))
            };
            if is_recorded {
                self.model = after;
                self.count_outcome("not answered, and recorded");
            } else {
                self.count_outcome("not answered, and not recorded");
            }
        }
        self.check_head(&answer);
    }

    /// Asserts that the recorder's API returns what the model has: of all environments, or of [`HOME`] only.
    pub(super) async fn check(&mut self, life: &RecorderProcess, all: bool) {
        let problems = async {
            check::check_environment_list(life, &self.model).await?;
            for environment in &self.model.environments {
                if all || environment.name == HOME {
                    check::check_environment(life, &self.model, environment, &mut self.random)
                        .await?;
                }
            }
            check::check_artifact_runs(life, &self.model, &mut self.random).await
        };
        if let Err(problem) = problems.await {
            panic!("{problem}: {}", self.trace());
        }
    }
}
