//! A stand-in for the ECS API: real HTTP on loopback, the real limits, no account.
//!
//! The AWS SDK talks to it as it talks to ECS (AWS JSON 1.1), so that the demonstration, the tests
//! and the benches go through the same client, decoding and errors as production does. A
//! [`World`] says which clusters and tasks there are, [`Faults`] say what goes wrong, and
//! [`Calls`] record the requests in their order.
//!
//! Nothing in it is random or depends on the time of day: the same world, faults and requests give
//! the same answers.
//!
//! It answers `ListClusters`, `DescribeClusters`, `ListTasks`, `DescribeTasks`, `ListServices` and
//! `DescribeServices`, and refuses what it does not support rather than ignoring it. It asks for no
//! credentials, reads none, and prints and logs nothing.
//!
//! ```no_run
//! use envsnap_ecs_standin::{Cluster, Fault, Operation, StandIn, Task, World};
//!
//! # async fn example() -> std::io::Result<()> {
//! let started = jiff::Timestamp::UNIX_EPOCH;
//! let runner = Task::in_service("runner")
//!     .running_since(started)
//!     .container("runner", "registry.example/runner:16d9990", "sha256:9af4");
//! let world = World::new("eu-central-1", "274425519734")
//!     .cluster(Cluster::new("app").tasks(3, &runner));
//!
//! let ecs = StandIn::start(world).await?;
//! ecs.faults(|faults| {
//!     faults.once(Operation::ListTasks, Fault::throttling());
//! });
//! ecs.on_call(Operation::DescribeTasks, 1, |world| {
//!     for task in world.cluster_mut("app").tasks_of("runner") {
//!         task.drain();
//!     }
//! });
//! println!("export AWS_ENDPOINT_URL_ECS={}", ecs.endpoint());
//! # Ok(())
//! # }
//! ```

mod answer;
mod backend;
mod calls;
mod connection;
mod error;
mod fault_rng;
mod faults;
mod operation;
mod page;
mod quota;
mod request;
mod server;
mod task;
mod wire;
mod world;

#[cfg(test)]
mod tests;

pub use calls::{Call, Calls};
pub use faults::{Fault, Faults};
pub use operation::Operation;
pub use quota::{Quota, Quotas};
pub use server::StandIn;
pub use task::{Container, Task};
pub use world::{Cluster, World};
