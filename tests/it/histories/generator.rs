//! Histories at random.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;

use super::account::SOFTWARE;
use super::faults::{EcsFault, InjectedFault};
use super::history::{History, Invocation, Part, Policy, Step, StepKind, Triggered};
use super::plan::{brief_task, plans};
use super::record::{ServerKind, UnknownFingerprints};
use super::server::ServerFault;
use super::timeline::{MINUTE, Millis, SECOND};

/// How many environments and processes a history has, and whether other clients report too.
#[derive(Debug, Clone, Copy)]
pub(super) struct Participants {
    pub(super) environments: usize,
    pub(super) processes: usize,
    pub(super) other_writers: bool,
}

pub(super) fn histories(participants: Participants) -> impl Strategy<Value = History> {
    let unknown = prop_oneof![
        Just(UnknownFingerprints::Shown),
        Just(UnknownFingerprints::Hidden),
        Just(UnknownFingerprints::Dropped)
    ];
    let server =
        (any::<bool>(), unknown, any::<bool>()).prop_map(|(include_scaling, unknown, p)| {
            // The recorder takes preconditions, and shows all that it recorded.
            ServerKind {
                include_scaling,
                unknown,
                preconditions: p && unknown == UnknownFingerprints::Shown,
            }
        });
    let environments = vec(part(), participants.environments);
    let server = (server, prop::bool::weighted(0.9), environments, policy());
    let latency = prop_oneof![3 => 1..30_u16, 1 => 1..800_u16];
    let ecs = (plans(), 1..5_usize, vec(latency, 1..6));
    (server, ecs, vec(step(participants), 1..8)).prop_map(|(server, ecs, steps)| {
        let (server, made, environments, policy) = server;
        let (plan, page_size, latencies) = ecs;
        let account = plan.account(&step_times(&steps));
        History { environments, policy, server, made, account, page_size, latencies, steps }
    })
}

/// Histories in which a task runs during one invocation only, whose report meets a fault: the next
/// invocation finds what was there before, which the process may believe to be on the server still.
pub(super) fn histories_that_return_to_an_earlier_state(
    participants: Participants,
) -> impl Strategy<Value = History> {
    const INVOCATION_INTERVAL: Millis = 50 * SECOND;
    (histories(participants), 0..SOFTWARE.len(), server_fault(participants)).prop_map(
        move |(mut history, software, fault)| {
            let step = |server| Step {
                after: INVOCATION_INTERVAL,
                what: StepKind::Invocation(Invocation { server, ..Invocation::without_faults(0) }),
            };
            let faulty = step(vec![(0, 1, fault)]);
            history.steps = vec![step(Vec::new()), faulty, step(Vec::new())];
            let account = history.account.without_changes_after(INVOCATION_INTERVAL / 2);
            history.account = account.with_task(brief_task(software, 2 * INVOCATION_INTERVAL));
            history
        },
    )
}

/// When each step begins.
fn step_times(steps: &[Step]) -> Vec<Millis> {
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

fn step(participants: Participants) -> impl Strategy<Value = Step> {
    let after = prop_oneof![
        6 => 55 * SECOND..65 * SECOND,
        3 => SECOND..20 * SECOND,
        1 => 2 * MINUTE..40 * MINUTE,
    ];
    (after, step_kind(participants)).prop_map(|(after, what)| Step { after, what })
}

fn step_kind(participants: Participants) -> BoxedStrategy<StepKind> {
    let invocation = invocation(participants).prop_map(StepKind::Invocation);
    let restart = (0..participants.processes).prop_map(StepKind::Restart);
    let others = prop_oneof![8 => invocation, 1 => restart, 1 => Just(StepKind::Archive), 1 => Just(StepKind::Restore)];
    if participants.other_writers {
        prop_oneof![10 => others, 1 => some_software().prop_map(StepKind::Write)].boxed()
    } else {
        others.boxed()
    }
}

/// Up to two indexes into [`SOFTWARE`].
fn some_software() -> impl Strategy<Value = Vec<usize>> {
    vec(0..SOFTWARE.len(), 0..3)
}

fn invocation(participants: Participants) -> impl Strategy<Value = Invocation> {
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
        1 => vec((0..participants.environments, server_call, server_fault(participants)), 1..3),
    ];
    let deadline = prop_oneof![8 => Just(50 * SECOND), 1 => SECOND..10 * SECOND];
    (0..participants.processes, kind, deadline, ecs, server).prop_map(
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

fn server_fault(participants: Participants) -> BoxedStrategy<ServerFault> {
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
    if participants.other_writers {
        let late = (1..3 * MINUTE).prop_map(Late);
        let overtaken = some_software().prop_map(Overtaken);
        let overwritten = some_software().prop_map(Overwritten);
        prop_oneof![6 => own, 1 => late, 1 => overtaken, 1 => overwritten].boxed()
    } else {
        own.boxed()
    }
}
