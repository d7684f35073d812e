//! Histories at random.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;

use super::account::SOFTWARE;
use super::faults::{EcsFault, InjectedFault};
use super::history::{History, Invocation, Part, Policy, Step, Triggered, What};
use super::plan::{plans, visitor};
use super::record::{Kind, Unknown};
use super::server::ServerFault;
use super::timeline::{MINUTE, Millis, SECOND};

/// What a generator draws on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cast {
    pub(super) environments: usize,
    pub(super) processes: usize,
    pub(super) other_writers: bool,
}

pub(super) fn histories(cast: Cast) -> impl Strategy<Value = History> {
    let unknown = prop_oneof![Just(Unknown::Shown), Just(Unknown::Hidden), Just(Unknown::Dropped)];
    let server =
        (any::<bool>(), unknown, any::<bool>()).prop_map(|(include_scaling, unknown, p)| {
            // The recorder takes preconditions, and shows all that it recorded.
            Kind { include_scaling, unknown, preconditions: p && unknown == Unknown::Shown }
        });
    let environments = vec(part(), cast.environments);
    let server = (server, prop::bool::weighted(0.9), environments, policy());
    let latency = prop_oneof![3 => 1..30_u16, 1 => 1..800_u16];
    let ecs = (plans(), 1..5_usize, vec(latency, 1..6));
    (server, ecs, vec(step(cast), 1..8)).prop_map(|(server, ecs, steps)| {
        let (server, made, environments, policy) = server;
        let (plan, page_size, latencies) = ecs;
        let account = plan.account(&beginnings(&steps));
        History { environments, policy, server, made, account, page_size, latencies, steps }
    })
}

/// Histories in which something runs during one invocation only, whose report meets a fault: the
/// next one finds what was there before, which the process may believe that the server still has.
pub(super) fn relapses(cast: Cast) -> impl Strategy<Value = History> {
    const INTERVAL: Millis = 50 * SECOND;
    (histories(cast), 0..SOFTWARE.len(), server_fault(cast)).prop_map(
        move |(mut history, software, fault)| {
            let step = |server| Step {
                after: INTERVAL,
                what: What::Invocation(Invocation { server, ..Invocation::without_faults(0) }),
            };
            let faulty = step(vec![(0, 1, fault)]);
            history.steps = vec![step(Vec::new()), faulty, step(Vec::new())];
            let account = history.account.still_after(INTERVAL / 2);
            history.account = account.with(visitor(software, 2 * INTERVAL));
            history
        },
    )
}

fn beginnings(steps: &[Step]) -> Vec<Millis> {
    let begins = steps.iter().scan(0, |at, step| {
        *at += step.after;
        Some(*at)
    });
    begins.collect()
}

pub(super) fn part() -> impl Strategy<Value = Part> {
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
        1 => vec(injected_fault(), 1..3),
    ];
    // The first one asks for the latest snapshot, and the second one reports.
    let server_call = prop_oneof![2 => Just(0_usize), 4 => Just(1), 1 => 2..4_usize];
    let server = prop_oneof![
        2 => Just(Vec::new()),
        1 => vec((0..cast.environments, server_call, server_fault(cast)), 1..3),
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

fn injected_fault() -> impl Strategy<Value = InjectedFault> {
    let calls = prop_oneof![4 => Just(1_usize), 1 => 2..5_usize, 1 => Just(usize::MAX / 2)];
    (0..12_usize, calls, ecs_fault()).prop_map(|(from, calls, fault)| InjectedFault {
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
        1 => Just(DeniesTheCluster),
        2 => Just(LeavesATaskOut),
        2 => Just(NotKnown),
        2 => Just(ListsNone),
        1 => Just(ListsNoCluster),
        1 => Just(Miscounts),
        1 => Just(SilentContainer),
        1 => Just(ClockSkew),
        1 => Just(Empty),
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
