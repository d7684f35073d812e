//! The date of every response, and the memory of unread ones.

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::Error;

/// Smaller responses are not counted: there is at most one per connection.
const SMALL_RESPONSE_BYTES: usize = 64 << 10;

/// The most bytes of unread responses: eight snapshots of a large environment, 8 MB each.
const MAX_UNREAD_BYTES: usize = 64 << 20;

/// The memory of unread responses. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct ResponseMemory(Arc<Semaphore>);

impl Default for ResponseMemory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_UNREAD_BYTES)))
    }
}

/// Bytes of a response and their part of the memory, released when they are written.
struct UnreadBytes {
    bytes: Bytes,
    _memory: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for UnreadBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Refuses a large response if too many are unread. Otherwise clients that request the largest
/// snapshot and do not read it could exhaust the memory.
pub(crate) async fn limit_memory(
    State(memory): State<ResponseMemory>,
    request: Request,
    next: Next,
) -> Response {
    let (head, body) = next.run(request).await.into_parts();
    let size = body.size_hint().exact().and_then(|size| usize::try_from(size).ok());
    let Some(size) = size.filter(|size| *size >= SMALL_RESPONSE_BYTES) else {
        return Response::from_parts(head, body);
    };
    let permits = u32::try_from(size.min(MAX_UNREAD_BYTES)).unwrap_or(u32::MAX);
    let reserved = Arc::clone(&memory.0).try_acquire_many_owned(permits);
    match (reserved, axum::body::to_bytes(body, size).await) {
        (Ok(reserved), Ok(bytes)) => {
            let unread = UnreadBytes { bytes, _memory: reserved };
            Response::from_parts(head, Body::from(Bytes::from_owner(unread)))
        }
        _ => Error::busy("The recorder is sending too many large responses. Try again")
            .into_response(),
    }
}

/// Adds the `Date` header, unless the clock is out of its range.
pub(crate) async fn add_date(mut response: Response) -> Response {
    let now = Timestamp::try_from(SystemTime::now()).ok();
    let date = now.and_then(|now| DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok());
    if let Some(date) = date.and_then(|date| HeaderValue::try_from(date).ok()) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}
