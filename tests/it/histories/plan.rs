//! Accounts at random: the software that is kept running, and the life of each of its tasks.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::account::{Account, Cluster, Container, SOFTWARE, Task, arn};
use super::timeline::{MINUTE, Millis, SECOND};

/// How long after the beginning of the last step the account may still change.
const CHANGES_AFTER_LAST_STEP: Millis = 20 * SECOND;

const HOUR: Millis = 60 * MINUTE;

/// A random account, before it is known when the steps of its history begin.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    works: Vec<TaskSequence>,
    batch: Option<ClusterPlan>,
    edge: Option<ClusterPlan>,
}

/// When a cluster without tasks is made, how long after its last task it is deleted, and how long
/// after that it vanishes.
type ClusterPlan = (Millis, Option<(Millis, Option<Millis>)>);

/// Tasks of a service, family or none, that run one after the other.
#[derive(Debug, Clone)]
struct TaskSequence {
    cluster: &'static str,
    group: Option<&'static str>,
    begins: Millis,
    tasks: Vec<TaskPlan>,
}

/// The life of a task, in milliseconds from its creation.
#[derive(Debug, Clone)]
struct TaskPlan {
    containers: Vec<(usize, Millis, Option<Millis>, Millis)>,
    stop: StopTime,
    deprovisions: Millis,
    /// From then until the next one is made, or before that.
    handover: Millis,
}

/// When a task is stopped.
#[derive(Debug, Clone, Copy)]
enum StopTime {
    Always,
    For(Millis),
    /// So long after this step began.
    UntilStep(usize, Millis),
}

pub(super) fn plans() -> impl Strategy<Value = Plan> {
    let cluster = || (0..2 * MINUTE, option::of((SECOND..2 * MINUTE, option::of(1..2 * MINUTE))));
    let works = prop_oneof![
        1 => vec(task_sequence(task_plan().boxed()), 0..5),
        1 => vec(task_sequence(short_task_plan().boxed()), 0..3),
    ];
    (works, option::of(cluster()), option::of(cluster())).prop_map(|(works, batch, edge)| Plan {
        works,
        batch,
        edge,
    })
}

impl Plan {
    /// The account in a history whose steps begin at these times.
    pub(super) fn account(&self, steps: &[Millis]) -> Account {
        let tasks = tasks(&self.works, steps);
        let app = Cluster {
            made: -24 * HOUR,
            deleted: None,
            vanished: None,
            services: self.services("app"),
        };
        let mut clusters = BTreeMap::from([("app".to_owned(), app)]);
        for (name, plan) in [("batch", self.batch), ("edge", self.edge)] {
            let of_it = || tasks.values().filter(|task| task.cluster == name);
            let made = match (plan, of_it().map(|task| task.created).min()) {
                (None, None) => continue,
                (_, Some(created)) => created,
                (Some((made, _)), None) => made,
            };
            let mut stopped = of_it().map(|task| task.stopped);
            let empty = stopped.try_fold(made, |last, stopped| Some(last.max(stopped?)));
            let deletion = plan.and_then(|(_, deletion)| deletion);
            let deleted = deletion.zip(empty).map(|((after, _), empty)| empty + after);
            let vanished = deletion.and_then(|(_, after)| Some(deleted? + after?));
            let services = self.services(name);
            clusters.insert(name.to_owned(), Cluster { made, deleted, vanished, services });
        }
        let last = steps.last().copied().unwrap_or_default() + CHANGES_AFTER_LAST_STEP;
        Account { clusters, tasks }.without_changes_after(last)
    }

    /// The services of a cluster. There is always `web` in `app`.
    fn services(&self, cluster: &str) -> BTreeSet<String> {
        let of_it = self.works.iter().filter(|work| work.cluster == cluster);
        let services = of_it.filter_map(|work| work.group?.strip_prefix("service:"));
        services.chain((cluster == "app").then_some("web")).map(ToOwned::to_owned).collect()
    }
}

fn task_sequence(task_plan: BoxedStrategy<TaskPlan>) -> impl Strategy<Value = TaskSequence> {
    (
        prop_oneof![4 => Just("app"), 2 => Just("batch"), 1 => Just("edge")],
        prop_oneof![
            4 => Just(Some("service:web")),
            2 => Just(Some("service:db")),
            1 => Just(Some("family:job")),
            1 => Just(None),
        ],
        prop_oneof![4 => -10 * MINUTE..0, 4 => 0..6 * MINUTE, 1 => -HOUR - 10 * MINUTE..-HOUR],
        vec(task_plan, 1..4),
    )
        .prop_map(|(cluster, group, begins, tasks)| TaskSequence {
            cluster,
            group,
            begins,
            tasks,
        })
}

fn task_plan() -> impl Strategy<Value = TaskPlan> {
    let container = (
        0..SOFTWARE.len(),
        prop_oneof![3 => 0..5 * SECOND, 1 => 0..MINUTE],
        option::weighted(0.2, 1..2 * MINUTE),
        prop_oneof![1 => Just(0), 2 => 1..10 * SECOND, 2 => 1..2 * MINUTE],
    );
    let stop = prop_oneof![
        3 => Just(StopTime::Always),
        1 => (1..20 * SECOND).prop_map(StopTime::For),
        3 => (20 * SECOND..6 * MINUTE).prop_map(StopTime::For),
        3 => (0..7_usize, 0..5 * SECOND).prop_map(|(step, after)| StopTime::UntilStep(step, after)),
    ];
    (vec(container, 1..4), stop, 1..10 * SECOND, -30 * SECOND..10 * SECOND).prop_map(
        |(containers, stop, deprovisions, handover)| TaskPlan {
            containers,
            stop,
            deprovisions,
            handover,
        },
    )
}

/// A task of at most 70 seconds, which hardly more than one invocation sees, so that the next one
/// finds what was there before.
fn short_task_plan() -> impl Strategy<Value = TaskPlan> {
    (0..SOFTWARE.len(), SECOND..70 * SECOND, 1..2 * MINUTE).prop_map(
        |(software, stop, handover)| TaskPlan {
            containers: vec![(software, 0, None, 0)],
            stop: StopTime::For(stop),
            deprovisions: SECOND,
            handover,
        },
    )
}

/// A task that runs from 5 seconds before this moment until 25 seconds after it.
pub(super) fn brief_task(software: usize, moment: Millis) -> Task {
    let task_plan = TaskPlan {
        containers: vec![(software, 0, None, 0)],
        stop: StopTime::For(30 * SECOND),
        deprovisions: SECOND,
        handover: 0,
    };
    let work =
        TaskSequence { cluster: "app", group: Some("service:web"), begins: 0, tasks: Vec::new() };
    task(&work, &task_plan, moment - 5 * SECOND, &[])
}

/// The tasks by ARN, if the steps begin at these times.
fn tasks(works: &[TaskSequence], steps: &[Millis]) -> BTreeMap<String, Task> {
    let mut tasks = BTreeMap::new();
    for (work_number, work) in works.iter().enumerate() {
        let mut created = work.begins;
        for (number, task_plan) in work.tasks.iter().enumerate() {
            let task = task(work, task_plan, created, steps);
            let stopping_at = task.stopping_at;
            // Neither the order of the works nor that of the tasks is the order of the ARNs.
            let id = format!("{}{number}{work_number}", (work_number * 7 + number * 5) % 9);
            tasks.insert(arn("task", &format!("{}/{id}", work.cluster)), task);
            match stopping_at {
                None => break,
                Some(stopping) => created = (stopping + task_plan.handover).max(created + 1),
            }
        }
    }
    tasks
}

/// The task of this plan that is created at `created`; `begun` is when the steps begin.
fn task(work: &TaskSequence, task_plan: &TaskPlan, created: Millis, begun: &[Millis]) -> Task {
    let exits = task_plan.containers.iter().map(|(_, starts, exits, _)| Some(starts + (*exits)?));
    // A task is stopped when none of its containers runs any longer.
    let all_exited = exits.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
    let stop = match task_plan.stop {
        StopTime::Always => None,
        StopTime::For(time) => Some(time),
        StopTime::UntilStep(step, after) => {
            let begins = begun.get(step % begun.len().max(1)).copied().unwrap_or_default();
            Some((begins + after - created).max(1))
        }
    };
    let stopping = match (stop, all_exited) {
        (Some(stop), Some(exited)) => Some(stop.min(exited)),
        (stop, exited) => stop.or(exited),
    };
    let containers: Vec<_> = task_plan
        .containers
        .iter()
        .map(|(software, starts, exits, drains)| {
            let exits = exits.map(|after| starts + after);
            let ends = stopping.map(|stopping| stopping + drains);
            let stops = match (exits, ends) {
                (Some(exits), Some(ends)) => Some(exits.min(ends)),
                (exits, ends) => exits.or(ends),
            };
            // A container that was not started when its task was stopped never is.
            let stops =
                if stopping.is_some_and(|stopping| stopping <= *starts) { stopping } else { stops };
            Container {
                runs: &SOFTWARE[*software],
                starts: created + starts,
                stops: stops.map(|stops| created + stops),
            }
        })
        .collect();
    let stopping_at = stopping.map(|stopping| created + stopping);
    let last = containers.iter().filter_map(|container| container.stops).max();
    Task {
        cluster: work.cluster.to_owned(),
        group: work.group.map(ToOwned::to_owned),
        created,
        stopping_at,
        stopped: stopping_at
            .map(|stopping| last.unwrap_or(stopping).max(stopping) + task_plan.deprovisions),
        containers,
    }
}
