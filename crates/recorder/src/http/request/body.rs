//! Reading a body.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody as _};
use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::memory::{BodyMemory, Reservation, SMALL_BODY_BYTES};
use crate::domain::Error;

/// The longest body that is accepted, in bytes.
const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;
/// How much of a refused body is read and discarded, in bytes.
const MAX_DISCARDED_BYTES: usize = 4 * MAX_BODY_BYTES;

/// How long a whole body may take to arrive: against clients that are gone, and slow-body attacks.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest pause before the next chunk of a body that is not large.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// A larger body has to bring so many bytes in each [`RATE_WINDOW`] of the time that is waited for it: what
/// it has sent holds memory that others need.
const MIN_BYTES_IN_WINDOW: usize = 160 << 10;
/// The time in which [`MIN_BYTES_IN_WINDOW`] of a larger body have to arrive.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// The whole body, of 10 MB at most, and the memory that is reserved for it.
pub(crate) async fn read(body: Body, memory: &BodyMemory) -> Result<(Vec<u8>, Reservation), Error> {
    read_up_to(MAX_BODY_BYTES, body, memory).await
}

/// The whole body, of `max` bytes at most, and the memory that is reserved for it.
pub(crate) async fn read_up_to(
    max: usize,
    body: Body,
    memory: &BodyMemory,
) -> Result<(Vec<u8>, Reservation), Error> {
    let expected = body.size_hint().exact().map(|size| usize::try_from(size).unwrap_or(usize::MAX));
    let mut chunks = body.into_data_stream();
    let read = read_to_end(&mut chunks, expected, max, memory);
    let error = match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(Ok(read)) => return Ok(read),
        Ok(Err(error)) => error,
        Err(_) => Error::RequestTimeout,
    };
    if matches!(error, Error::RequestTimeout) {
        // The rest would not arrive either.
        return Err(error);
    }
    discard(chunks).await;
    Err(error)
}

/// Reads the body to its end, if it has at most `max` bytes and arrives fast enough; `expected` is the size
/// that it announces.
async fn read_to_end(
    chunks: &mut BodyDataStream,
    expected: Option<usize>,
    max: usize,
    memory: &BodyMemory,
) -> Result<(Vec<u8>, Reservation), Error> {
    let too_large =
        || Error::too_large(format!("The request body is larger than {} MB", max >> 20));
    if expected.is_some_and(|expected| expected > max) {
        return Err(too_large());
    }
    // A small one is reserved as a whole.
    let capacity = expected.filter(|expected| *expected <= SMALL_BODY_BYTES).unwrap_or(0);
    let (mut whole, mut reserved) = (Vec::new(), Reservation::EMPTY);
    let (mut waited, mut arrived) = (Duration::ZERO, 0);
    loop {
        let patience =
            if reserved.is_large() { RATE_WINDOW.saturating_sub(waited) } else { IDLE_TIMEOUT };
        let began = Instant::now();
        let next = tokio::time::timeout(patience, chunks.next()).await;
        // Not the time in which it waits for memory.
        waited += began.elapsed();
        let Some(chunk) = next.map_err(|_| Error::RequestTimeout)? else { break };
        let chunk = chunk.map_err(|_| Error::bad_request("The request body ended early"))?;
        let length = whole.len() + chunk.len();
        if length > max {
            return Err(too_large());
        }
        memory.reserve(&mut reserved, length, expected).await?;
        if whole.is_empty() {
            whole.reserve_exact(capacity);
        }
        whole.extend_from_slice(&chunk);
        arrived += chunk.len();
        if arrived >= MIN_BYTES_IN_WINDOW {
            (waited, arrived) = (Duration::ZERO, 0);
        }
    }
    Ok((whole, memory.reserve_parsing(reserved).await?))
}

/// Reads and discards the rest of a refused body: most clients send all of it before they read the
/// response, and would otherwise see a broken connection instead of the error.
pub(crate) async fn discard(mut chunks: BodyDataStream) {
    let discard = async {
        let mut discarded = 0;
        while let Some(Ok(chunk)) = chunks.next().await {
            discarded += chunk.len();
            if discarded > MAX_DISCARDED_BYTES {
                break;
            }
        }
    };
    // Whatever arrives later is not waited for.
    let _late = tokio::time::timeout(BODY_TIMEOUT, discard).await;
}
