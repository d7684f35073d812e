//! One invocation of a history over HTTP, at random.

use envsnap::standin::{Fault, Operation};
use proptest::collection::vec;
use proptest::prelude::*;

use super::proxy::ProxyFault;
use super::timeline::{MINUTE, Millis, SECOND};

#[derive(Debug, Clone)]
pub(super) struct Chapter {
    pub(super) after: Millis,
    pub(super) restart: bool,
    /// When this call of the invocation was answered, counted by operation and from 1, it is so
    /// many milliseconds after the invocation began.
    pub(super) moves: Vec<(Operation, u64, Millis)>,
    pub(super) trouble: Option<Trouble>,
}

#[derive(Debug, Clone)]
pub(super) enum Trouble {
    Ecs(Operation, Fault),
    /// Every task is missing when it is described for the first time.
    NotYetKnown,
    Server(Vec<ProxyFault>),
}

pub(super) fn chapter() -> impl Strategy<Value = Chapter> {
    let operation = || {
        prop_oneof![
            3 => Just(Operation::ListTasks),
            2 => Just(Operation::DescribeTasks),
            1 => Just(Operation::ListClusters),
        ]
    };
    let fault = prop_oneof![
        Just(Fault::throttling()),
        Just(Fault::server_error()),
        Just(Fault::AccessDenied),
        Just(Fault::html()),
        Just(Fault::empty()),
        Just(Fault::json("{\"taskArns\": 7, \"tasks\": 7}")),
        Just(Fault::HalfAnswer),
        Just(Fault::Reset),
        Just(Fault::Silence),
    ];
    let server = prop_oneof![
        Just(ProxyFault::None),
        Just(ProxyFault::Status(503)),
        Just(ProxyFault::Status(400)),
        Just(ProxyFault::Silent),
        Just(ProxyFault::AnswerLost(502)),
        Just(ProxyFault::SilentAfterwards),
        Just(ProxyFault::Html),
        Just(ProxyFault::HalfAnAnswer),
    ];
    let trouble = prop_oneof![
        4 => (operation(), fault).prop_map(|(operation, fault)| Trouble::Ecs(operation, fault)),
        1 => Just(Trouble::NotYetKnown),
        4 => vec(server, 1..3).prop_map(Trouble::Server),
    ];
    (
        10 * SECOND..2 * MINUTE,
        prop::bool::weighted(0.1),
        vec((operation(), 1..5_u64, 1..5 * SECOND), 0..3),
        prop::option::weighted(0.5, trouble),
    )
        .prop_map(|(after, restart, moves, trouble)| Chapter {
            after,
            restart,
            moves,
            trouble,
        })
}
