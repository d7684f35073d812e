//! The HTTP server, and its handle.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Method, Request as HttpRequest, Response};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::backend::{Backend, Outcome, Reply};
use super::calls::Calls;
use super::connection::{SeverHandle, SeverableListener};
use super::error::ApiError;
use super::faults::Faults;
use super::operation::Operation;
use super::request::Request;
use super::world::World;

/// Far above any request that ECS accepts, in bytes.
const MAX_REQUEST_BYTES: usize = 2 * 1024 * 1024;

/// A running stand-in. It stops when this is dropped, and resets the connections of pending calls.
pub struct StandIn {
    address: SocketAddr,
    shared: Shared,
    /// Dropped with this handle, which stops the server.
    _alive: watch::Sender<()>,
}

/// What the request handler shares with the [`StandIn`].
#[derive(Clone)]
struct Shared {
    backend: Arc<Mutex<Backend>>,
    alive: watch::Receiver<()>,
}

impl StandIn {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no socket can be bound.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    pub async fn start(world: World) -> io::Result<Self> {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), world).await
    }

    /// Starts on this address; port 0 is any free one.
    ///
    /// # Errors
    /// When the address cannot be bound.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    pub async fn start_at(address: SocketAddr, world: World) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (sender, alive) = watch::channel(());
        let shared = Shared { backend: Arc::new(Mutex::new(Backend::new(world))), alive };
        let router = Router::new().fallback(handle_request).with_state(shared.clone());
        let service = router.into_make_service_with_connect_info::<SeverHandle>();
        let server = axum::serve(SeverableListener(listener), service)
            .with_graceful_shutdown(shared.clone().stopped());
        tokio::spawn(server.into_future());
        Ok(Self { address, shared, _alive: sender })
    }

    /// Its URL, as an SDK's `endpoint_url`: `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes or reads the world between two calls.
    pub fn update<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        change(&mut self.shared.backend().world)
    }

    pub fn set_world(&self, world: World) {
        self.shared.backend().world = world;
    }

    /// Changes the faults from now on.
    pub fn faults<T>(&self, change: impl FnOnce(&mut Faults) -> T) -> T {
        change(&mut self.shared.backend().faults)
    }

    /// Changes the world once the response to the `nth` call of `operation` (from 1, since the
    /// start) is computed, before it is sent. At once if that many calls were made already.
    pub fn on_call(
        &self,
        operation: Operation,
        nth: u64,
        change: impl FnOnce(&mut World) + Send + 'static,
    ) {
        let mut backend = self.shared.backend();
        backend.on_call(operation, nth, Box::new(change));
    }

    /// The calls until now.
    pub fn calls(&self) -> Calls {
        self.shared.backend().calls.clone()
    }
}

impl Shared {
    fn backend(&self) -> MutexGuard<'_, Backend> {
        // A panic in a caller's closure cannot leave invalid memory.
        self.backend.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when the stand-in is dropped.
    async fn stopped(mut self) {
        while self.alive.changed().await.is_ok() {}
    }
}

async fn handle_request(
    State(shared): State<Shared>,
    ConnectInfo(line): ConnectInfo<SeverHandle>,
    request: HttpRequest<Body>,
) -> Response<Body> {
    let (operation, body) = match read_operation_and_body(request).await {
        Ok(received) => received,
        Err(error) => return response(Reply::from(error), 0),
    };
    let request = Request::parse(operation, &body);
    let (call, fault, latency) = shared.backend().begin(operation, &request, &body);
    if !latency.is_zero() && !sleep_unless_stopped(&shared, latency).await {
        return reset_connection(&line);
    }
    let (outcome, number) = {
        let mut backend = shared.backend();
        let outcome = backend.finish(call, fault, request);
        (outcome, backend.calls.total())
    };
    match outcome {
        Outcome::Reply(reply) => response(reply, number),
        Outcome::Reset => reset_connection(&line),
        Outcome::NoResponse => {
            shared.stopped().await;
            reset_connection(&line)
        }
    }
}

/// `false` if the stand-in stopped before the time passed.
async fn sleep_unless_stopped(shared: &Shared, time: Duration) -> bool {
    tokio::select! {
        () = tokio::time::sleep(time) => true,
        () = shared.clone().stopped() => false,
    }
}

async fn read_operation_and_body(
    request: HttpRequest<Body>,
) -> Result<(Operation, Vec<u8>), ApiError> {
    let (head, body) = request.into_parts();
    if head.method != Method::POST || head.uri.path() != "/" {
        return Err(ApiError::unknown_operation("The ECS API takes POST requests to / only."));
    }
    let operation = operation_from_headers(&head.headers)?;
    let body = to_bytes(body, MAX_REQUEST_BYTES).await.map_err(|_| {
        ApiError::serialization_error(format!(
            "The request broke off, or is larger than {MAX_REQUEST_BYTES} bytes."
        ))
    })?;
    Ok((operation, body.to_vec()))
}

fn operation_from_headers(headers: &HeaderMap) -> Result<Operation, ApiError> {
    let target = headers
        .get("x-amz-target")
        .ok_or_else(|| ApiError::unknown_operation("The request has no X-Amz-Target header."))?;
    target.to_str().ok().and_then(Operation::from_target).ok_or_else(|| {
        ApiError::unknown_operation(format!("The stand-in does not know {target:?}."))
    })
}

/// The request id is made of `number`.
fn response(reply: Reply, number: u64) -> Response<Body> {
    Response::builder()
        .status(reply.status)
        .header("content-type", reply.content_type)
        .header("x-amzn-requestid", format!("00000000-0000-4000-8000-{number:012x}"))
        .body(Body::from(reply.body))
        // A scripted status or content type may be invalid in HTTP.
        .unwrap_or_else(|_| empty_response(500))
}

/// Cuts the connection. The returned response is never sent.
fn reset_connection(line: &SeverHandle) -> Response<Body> {
    line.cut();
    empty_response(500)
}

fn empty_response(status: u16) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    if let Ok(status) = status.try_into() {
        *response.status_mut() = status;
    }
    response
}
