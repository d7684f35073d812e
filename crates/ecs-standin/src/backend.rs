//! The state behind the HTTP server: the world, its faults, the calls so far and the changes to
//! come.

use std::time::Duration;

use serde_json::{Value, json};

use super::answer::{answer, iam_resource};
use super::calls::{Calls, StartedCall};
use super::error::ApiError;
use super::faults::{Fault, Faults};
use super::operation::Operation;
use super::request::Request;
use super::world::World;

/// A change of the world that happens with a later call.
type Change = Box<dyn FnOnce(&mut World) + Send>;

/// The world, its faults, the calls so far and the changes to come.
pub(super) struct Backend {
    pub(super) world: World,
    pub(super) faults: Faults,
    pub(super) calls: Calls,
    hooks: Vec<(Operation, u64, Change)>,
}

/// What happens to a call.
pub(super) enum Outcome {
    Reply(Reply),
    Reset,
    NoResponse,
}

/// An HTTP response.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) body: Vec<u8>,
}

impl Backend {
    pub(super) fn new(world: World) -> Self {
        Self { world, faults: Faults::default(), calls: Calls::default(), hooks: Vec::new() }
    }

    /// Changes the world once the response to the `nth` call of an operation is computed. At once
    /// if that many calls were made already.
    pub(super) fn on_call(&mut self, operation: Operation, nth: u64, change: Change) {
        self.hooks.push((operation, nth, change));
        let begun = self.calls.count(operation);
        if nth <= begun {
            self.run_hooks(operation, nth);
        }
    }

    /// Records a call. Returns its fault and minimum latency.
    pub(super) fn begin(
        &mut self,
        operation: Operation,
        request: &Result<Request, ApiError>,
        body: &[u8],
    ) -> (StartedCall, Fault, Duration) {
        let fields = request.as_ref().map(Request::logged_fields).unwrap_or_default();
        let cluster = fields.cluster.clone();
        let call = self.calls.begin(operation, fields);
        let (fault, latency) = self.faults.decide(operation, cluster.as_deref(), body);
        (call, fault, latency)
    }

    /// Computes the response to a call, and applies the changes of the world that are due after it.
    pub(super) fn finish(
        &mut self,
        call: StartedCall,
        fault: Fault,
        request: Result<Request, ApiError>,
    ) -> Outcome {
        let outcome = match fault {
            Fault::Reset => Outcome::Reset,
            Fault::NoResponse => Outcome::NoResponse,
            fault => Outcome::Reply(self.reply(call.operation, fault, request)),
        };
        match &outcome {
            Outcome::Reply(reply) => self.calls.end(call, Some(reply.status)),
            Outcome::Reset => self.calls.end(call, None),
            Outcome::NoResponse => {}
        }
        self.run_hooks(call.operation, call.nth);
        outcome
    }

    fn reply(
        &mut self,
        operation: Operation,
        fault: Fault,
        request: Result<Request, ApiError>,
    ) -> Reply {
        match fault {
            Fault::Error { status, code, message } => {
                Reply::from(ApiError { status, code, message })
            }
            Fault::Body { status, content_type, body } => Reply { status, content_type, body },
            Fault::AccessDenied => {
                let resource = request.map(|request| iam_resource(&self.world, &request));
                let resource = resource.unwrap_or_else(|_| "*".to_owned());
                let account = &self.world.account;
                Reply::from(ApiError::access_denied(account, operation, &resource))
            }
            Fault::HalfAnswer => {
                let mut reply = self.real_reply(request);
                reply.body.truncate(reply.body.len() / 2);
                reply
            }
            Fault::Pass | Fault::Slow(_) | Fault::Reset | Fault::NoResponse => {
                self.real_reply(request)
            }
        }
    }

    /// The response without a fault.
    fn real_reply(&mut self, request: Result<Request, ApiError>) -> Reply {
        let response = request.and_then(|request| answer(&self.world, &mut self.faults, &request));
        match response {
            Ok(answer) => Reply::json(200, &answer),
            Err(error) => Reply::from(error),
        }
    }

    fn run_hooks(&mut self, operation: Operation, nth: u64) {
        let due = self.hooks.extract_if(.., |(of, at, _)| *of == operation && *at == nth);
        for (_, _, change) in due {
            change(&mut self.world);
        }
    }
}

impl Reply {
    fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            content_type: "application/x-amz-json-1.1".to_owned(),
            body: body.to_string().into_bytes(),
        }
    }
}

impl From<ApiError> for Reply {
    fn from(error: ApiError) -> Self {
        let body = json!({"__type": error.code, "message": error.message});
        Self::json(error.status, &body)
    }
}
