//! One invocation of a history over HTTP, at random.

use envsnap::standin::{Fault, Operation};
use proptest::collection::vec;
use proptest::prelude::*;

use super::proxy::ProxyFault;
use super::timeline::{MINUTE, Millis, SECOND};

/// An invocation, `after` milliseconds after the previous one.
#[derive(Debug, Clone)]
pub(super) struct HttpInvocation {
    pub(super) after: Millis,
    pub(super) restart: bool,
    /// When this call of the invocation, counted by operation and from 1, had its response, it is so
    /// many milliseconds after the invocation began.
    pub(super) moves: Vec<(Operation, u64, Millis)>,
    pub(super) fault: Option<HttpFault>,
}

/// A fault of ECS or of the server in an invocation.
#[derive(Debug, Clone)]
pub(super) enum HttpFault {
    Ecs(Operation, Fault),
    /// Every task is missing when it is described for the first time.
    NotYetKnown,
    Server(Vec<ProxyFault>),
}

pub(super) fn http_invocation() -> impl Strategy<Value = HttpInvocation> {
    let operation = || {
        prop_oneof![
            3 => Just(Operation::ListTasks),
            2 => Just(Operation::DescribeTasks),
            1 => Just(Operation::ListClusters),
        ]
    };
    let ecs_fault = prop_oneof![
        Just(Fault::throttling()),
        Just(Fault::server_error()),
        Just(Fault::AccessDenied),
        Just(Fault::html()),
        Just(Fault::empty()),
        Just(Fault::json("{\"taskArns\": 7, \"tasks\": 7}")),
        Just(Fault::HalfAnswer),
        Just(Fault::Reset),
        Just(Fault::NoResponse),
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
    let fault = prop_oneof![
        4 => (operation(), ecs_fault).prop_map(|(operation, fault)| HttpFault::Ecs(operation, fault)),
        1 => Just(HttpFault::NotYetKnown),
        4 => vec(server, 1..3).prop_map(HttpFault::Server),
    ];
    (
        10 * SECOND..2 * MINUTE,
        prop::bool::weighted(0.1),
        vec((operation(), 1..5_u64, 1..5 * SECOND), 0..3),
        prop::option::weighted(0.5, fault),
    )
        .prop_map(|(after, restart, moves, fault)| HttpInvocation {
            after,
            restart,
            moves,
            fault,
        })
}
