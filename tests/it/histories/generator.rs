//! Histories at random.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;

use super::account::{Account, Cluster, Container, SOFTWARE, Task, arn};
use super::ecs::{EcsFault, Trouble};
use super::history::{History, Invocation, Part, Policy, Step, Triggered, What};
use super::record::{Kind, Unknown};
use super::server::ServerFault;
use super::timeline::{MINUTE, Millis, SECOND};

const HOUR: Millis = 60 * MINUTE;

/// What a generator draws on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cast {
    pub(super) environments: usize,
    pub(super) processes: usize,
    pub(super) other_writers: bool,
}

pub(super) fn histories(cast: Cast) -> impl Strategy<Value = History> {
    let unknown = prop_oneof![Just(Unknown::Shown), Just(Unknown::Hidden), Just(Unknown::Dropped)];
    let kind = (any::<bool>(), unknown)
        .prop_map(|(include_scaling, unknown)| Kind { include_scaling, unknown });
    (
        vec(part(), cast.environments),
        policy(),
        kind,
        prop::bool::weighted(0.9),
        account(),
        1..5_usize,
        vec(prop_oneof![3 => 1..30_u16, 1 => 1..800_u16], 1..6),
        vec(step(cast), 1..8),
    )
        .prop_map(
            |(environments, policy, server, made, account, page_size, latencies, steps)| History {
                environments,
                policy,
                server,
                made,
                account,
                page_size,
                latencies,
                steps,
            },
        )
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        4 => Just(Part::Everything),
        2 => Just(Part::App),
        1 => Just(Part::AppByArn),
        1 => Just(Part::AppAndBatch),
        1 => Just(Part::WithoutBatch),
        1 => Just(Part::AppOrEdge),
        1 => Just(Part::ServiceWeb),
        1 => Just(Part::WithoutServiceDb),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    (
        prop::bool::weighted(0.8),
        prop_oneof![3 => Just(15 * MINUTE), 1 => Just(3 * MINUTE), 1 => Just(0)],
        option::weighted(0.1, Just(4 * MINUTE)),
        prop::bool::weighted(0.3),
    )
        .prop_map(|(compare_replicas, recheck, heartbeat, auto_create)| Policy {
            compare_replicas,
            recheck,
            heartbeat,
            auto_create,
        })
}

/// Something that is kept running: one task after the other.
#[derive(Debug, Clone)]
struct Work {
    cluster: &'static str,
    group: Option<&'static str>,
    begins: Millis,
    lives: Vec<Life>,
}

/// A task's life, relative to its beginning.
#[derive(Debug, Clone)]
struct Life {
    containers: Vec<(usize, Millis, Option<Millis>, Millis)>,
    /// Until it is told to stop.
    wanted_for: Option<Millis>,
    deprovisions: Millis,
    /// From then until the next one is made, or before that.
    handover: Millis,
}

fn account() -> impl Strategy<Value = Account> {
    let cluster = || (0..2 * MINUTE, option::of((SECOND..2 * MINUTE, option::of(1..2 * MINUTE))));
    (vec(work(), 0..5), option::of(cluster()), option::of(cluster())).prop_map(
        |(works, batch, edge)| {
            let tasks = tasks(&works);
            let services = |cluster: &str| -> BTreeSet<String> {
                let of_it = works.iter().filter(|work| work.cluster == cluster);
                let groups = of_it.filter_map(|work| work.group?.strip_prefix("service:"));
                groups.map(ToOwned::to_owned).collect()
            };
            let mut app = services("app");
            app.insert("web".to_owned());
            let always = Cluster { made: -24 * HOUR, deleted: None, vanished: None, services: app };
            let mut clusters = BTreeMap::from([("app".to_owned(), always)]);
            for (name, plan) in [("batch", batch), ("edge", edge)] {
                let mut created = tasks.values().filter(|t| t.cluster == name).map(|t| t.created);
                let first = created.next().map(|first| created.fold(first, Millis::min));
                let (made, deletion) = match (plan, first) {
                    (None, None) => continue,
                    (Some((made, deletion)), None) => (made, deletion),
                    (plan, Some(first)) => (first, plan.and_then(|(_, deletion)| deletion)),
                };
                let of_it = || tasks.values().filter(|task| task.cluster == name);
                let empty = of_it()
                    .map(|task| task.stopped)
                    .try_fold(made, |last, stopped| Some(last.max(stopped?)));
                let deleted = deletion.zip(empty).map(|((after, _), empty)| empty + after);
                let vanished = deletion.and_then(|(_, after)| Some(deleted? + after?));
                let services = services(name);
                clusters.insert(name.to_owned(), Cluster { made, deleted, vanished, services });
            }
            Account { clusters, tasks }
        },
    )
}

fn work() -> impl Strategy<Value = Work> {
    (
        prop_oneof![4 => Just("app"), 2 => Just("batch"), 1 => Just("edge")],
        prop_oneof![
            4 => Just(Some("service:web")),
            2 => Just(Some("service:db")),
            1 => Just(Some("family:job")),
            1 => Just(None),
        ],
        prop_oneof![4 => -10 * MINUTE..0, 4 => 0..6 * MINUTE, 1 => -HOUR - 10 * MINUTE..-HOUR],
        vec(life(), 1..4),
    )
        .prop_map(|(cluster, group, begins, lives)| Work { cluster, group, begins, lives })
}

fn life() -> impl Strategy<Value = Life> {
    let container = (
        0..SOFTWARE.len(),
        prop_oneof![3 => 0..5 * SECOND, 1 => 0..MINUTE],
        option::weighted(0.2, 1..2 * MINUTE),
        prop_oneof![1 => Just(0), 2 => 1..10 * SECOND, 2 => 1..2 * MINUTE],
    );
    (
        vec(container, 1..4),
        option::weighted(0.7, prop_oneof![1 => 1..20 * SECOND, 3 => 20 * SECOND..6 * MINUTE]),
        1..10 * SECOND,
        -30 * SECOND..10 * SECOND,
    )
        .prop_map(|(containers, wanted_for, deprovisions, handover)| Life {
            containers,
            wanted_for,
            deprovisions,
            handover,
        })
}

fn tasks(works: &[Work]) -> BTreeMap<String, Task> {
    let mut tasks = BTreeMap::new();
    for (work_number, work) in works.iter().enumerate() {
        let mut created = work.begins;
        for (number, life) in work.lives.iter().enumerate() {
            let task = task(work, life, created);
            let told_to_stop = task.told_to_stop;
            // Neither the order of the works nor that of the lives is the order of the ARNs.
            let id = format!("{}{number}{work_number}", (work_number * 7 + number * 5) % 9);
            tasks.insert(arn("task", &format!("{}/{id}", work.cluster)), task);
            match told_to_stop {
                None => break,
                Some(told) => created = (told + life.handover).max(created + 1),
            }
        }
    }
    tasks
}

fn task(work: &Work, life: &Life, created: Millis) -> Task {
    let exits = life.containers.iter().map(|(_, starts, exits, _)| Some(starts + (*exits)?));
    // When none of its containers runs any longer, a task is told to stop.
    let all_exited = exits.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
    let told = match (life.wanted_for, all_exited) {
        (Some(wanted), Some(exited)) => Some(wanted.min(exited)),
        (wanted, exited) => wanted.or(exited),
    };
    let containers: Vec<_> = life
        .containers
        .iter()
        .map(|(software, starts, exits, drains)| {
            let exits = exits.map(|after| starts + after);
            let ends = told.map(|told| told + drains);
            let stops = match (exits, ends) {
                (Some(exits), Some(ends)) => Some(exits.min(ends)),
                (exits, ends) => exits.or(ends),
            };
            // One that was not started when its task was told to stop never is.
            let stops = if told.is_some_and(|told| told <= *starts) { told } else { stops };
            Container {
                runs: &SOFTWARE[*software],
                starts: created + starts,
                stops: stops.map(|stops| created + stops),
            }
        })
        .collect();
    let told_to_stop = told.map(|told| created + told);
    let last = containers.iter().filter_map(|container| container.stops).max();
    Task {
        cluster: work.cluster.to_owned(),
        group: work.group.map(ToOwned::to_owned),
        created,
        told_to_stop,
        stopped: told_to_stop.map(|told| last.unwrap_or(told).max(told) + life.deprovisions),
        containers,
    }
}

fn step(cast: Cast) -> impl Strategy<Value = Step> {
    let after = prop_oneof![
        6 => 55 * SECOND..65 * SECOND,
        3 => SECOND..20 * SECOND,
        1 => 2 * MINUTE..40 * MINUTE,
    ];
    (after, what(cast)).prop_map(|(after, what)| Step { after, what })
}

fn what(cast: Cast) -> BoxedStrategy<What> {
    let invocation = invocation(cast).prop_map(What::Invocation);
    let restart = (0..cast.processes).prop_map(What::Restart);
    let others = prop_oneof![8 => invocation, 1 => restart, 1 => Just(What::Archive), 1 => Just(What::Restore)];
    if cast.other_writers {
        prop_oneof![10 => others, 1 => some_software().prop_map(What::Write)].boxed()
    } else {
        others.boxed()
    }
}

fn some_software() -> impl Strategy<Value = Vec<usize>> {
    vec(0..SOFTWARE.len(), 0..3)
}

fn invocation(cast: Cast) -> impl Strategy<Value = Invocation> {
    let kind = prop_oneof![
        8 => Just(Triggered::BySchedule),
        3 => prop_oneof![2 => Just("app"), 1 => Just("batch")].prop_map(Triggered::ByTasks),
        1 => Just(Triggered::Forced),
        1 => Just(Triggered::Dry),
    ];
    let ecs = prop_oneof![
        2 => Just(Vec::new()),
        1 => vec(trouble(), 1..3),
    ];
    let server = prop_oneof![
        2 => Just(Vec::new()),
        1 => vec((0..cast.environments, 0..4_usize, server_fault(cast)), 1..3),
    ];
    let deadline = prop_oneof![8 => Just(50 * SECOND), 1 => SECOND..10 * SECOND];
    (0..cast.processes, kind, deadline, ecs, server).prop_map(
        |(process, kind, deadline, ecs, server)| Invocation {
            process,
            kind,
            deadline,
            ecs,
            server,
        },
    )
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let calls = prop_oneof![4 => Just(1_usize), 1 => 2..5_usize, 1 => Just(usize::MAX / 2)];
    (0..12_usize, calls, ecs_fault()).prop_map(|(from, calls, fault)| Trouble {
        from,
        calls,
        fault,
    })
}

fn ecs_fault() -> impl Strategy<Value = EcsFault> {
    use EcsFault::*;
    prop_oneof![
        4 => Just(NotYetKnown),
        2 => Just(Throttled),
        2 => Just(Unavailable),
        1 => Just(Disconnected),
        1 => Just(AccessDenied),
        1 => Just(Silent),
        1 => Just(FailsATask),
        1 => Just(LeavesATaskOut),
        1 => Just(DescribesAnother),
        1 => Just(DescribesTwice),
        1 => Just(RepeatsTheToken),
        1 => Just(NeverEnds),
        1 => Just(ListsTwice),
        1 => Just(EmptyPage),
        1 => Just(ListsNonsense),
        2 => (1_000..20_000_u16).prop_map(Slow),
    ]
}

fn server_fault(cast: Cast) -> BoxedStrategy<ServerFault> {
    use ServerFault::*;
    let own = prop_oneof![
        Just(Unavailable),
        Just(Refuses),
        Just(Silent),
        Just(AnswerLost),
        Just(SilentAfterwards),
        Just(AskedTwice),
        Just(AskedAgain),
        Just(AnotherType),
    ];
    if cast.other_writers {
        let late = (1..3 * MINUTE).prop_map(Late);
        let overtaken = some_software().prop_map(Overtaken);
        let overwritten = some_software().prop_map(Overwritten);
        prop_oneof![6 => own, 1 => late, 1 => overtaken, 1 => overwritten].boxed()
    } else {
        own.boxed()
    }
}
