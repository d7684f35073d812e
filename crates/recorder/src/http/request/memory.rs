//! Limits of the memory for request bodies.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::Error;

/// The largest small body: a report of 200 tasks is 70 kB, and must not wait for one of 10 MB.
pub(super) const SMALL_BODY_BYTES: usize = 256 << 10;

/// The budget of all small bodies in bytes. A parsed body takes about five times its bytes.
const MAX_SMALL_BODIES_BYTES: usize = 16 << 20;

/// The budget of all larger bodies in bytes, by what has arrived of them: a client that sends slowly
/// holds what it has sent.
const MAX_LARGE_BODIES_BYTES: usize = 48 << 20;

/// How many larger bodies may go on arriving when the budget is used up. Without them bodies that wait for
/// each other's bytes would all end by their timeouts.
const MAX_FINISHING_BODIES: usize = 2;

/// A larger body takes its part of the budget in steps of so many bytes as it arrives.
const LARGE_BODY_STEP_BYTES: usize = 256 << 10;

/// How many larger bodies are parsed and recorded at a time, from their last byte to the response.
const MAX_LARGE_REQUESTS: usize = 2;

/// How long a body may wait for memory, and then a larger one for its turn to be parsed.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The limits of the memory that all request bodies take together. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct BodyMemory {
    /// A permit is a byte.
    small: Arc<Semaphore>,
    /// A permit is a byte.
    large: Arc<Semaphore>,
    /// A permit is a body, however many bytes it still has.
    finishing: Arc<Semaphore>,
    /// A permit is a body that has arrived.
    requests: Arc<Semaphore>,
}

impl Default for BodyMemory {
    fn default() -> Self {
        let new = |permits| Arc::new(Semaphore::new(permits));
        Self {
            small: new(MAX_SMALL_BODIES_BYTES),
            large: new(MAX_LARGE_BODIES_BYTES),
            finishing: new(MAX_FINISHING_BODIES),
            requests: new(MAX_LARGE_REQUESTS),
        }
    }
}

/// One body's part of [`BodyMemory`], released when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    /// The bytes that the body may have.
    bytes: usize,
    is_large: bool,
    memory: Option<OwnedSemaphorePermit>,
    finishing: Option<OwnedSemaphorePermit>,
    _request: Option<OwnedSemaphorePermit>,
}

impl Reservation {
    /// For a body that is empty so far.
    pub(crate) const EMPTY: Self =
        Self { bytes: 0, is_large: false, memory: None, finishing: None, _request: None };

    /// Whether it is for a larger body.
    pub(super) fn is_large(&self) -> bool {
        self.is_large
    }
}

impl BodyMemory {
    /// Grows `reserved` to `bytes`, the bytes that have arrived. `expected` is the
    /// `Content-Length`, if there is one.
    ///
    /// # Errors
    /// No memory became free within [`RESERVE_TIMEOUT`].
    pub(crate) async fn reserve(
        &self,
        reserved: &mut Reservation,
        bytes: usize,
        expected: Option<usize>,
    ) -> Result<(), Error> {
        if bytes <= reserved.bytes {
            return Ok(());
        }
        let expected = expected.unwrap_or(SMALL_BODY_BYTES).max(bytes);
        if expected <= SMALL_BODY_BYTES {
            let memory = acquire_within_timeout(&self.small, expected).await?;
            *reserved = Reservation { bytes: expected, memory: Some(memory), ..Reservation::EMPTY };
            return Ok(());
        }
        if !reserved.is_large {
            // What it has of the small ones is released.
            *reserved = Reservation { is_large: true, ..Reservation::EMPTY };
        }
        let wanted = bytes.next_multiple_of(LARGE_BODY_STEP_BYTES);
        tokio::select! {
            biased;
            more = acquire_within_timeout(&self.large, wanted - reserved.bytes) => {
                let more = more?;
                match &mut reserved.memory {
                    Some(memory) => memory.merge(more),
                    None => reserved.memory = Some(more),
                }
                reserved.bytes = wanted;
            }
            finishing = acquire_within_timeout(&self.finishing, 1) => {
                reserved.finishing = Some(finishing?);
                reserved.bytes = usize::MAX;
            }
        }
        Ok(())
    }

    /// Waits until a body that has arrived may be parsed: of larger ones, [`MAX_LARGE_REQUESTS`] at a time,
    /// since parsing takes several times their bytes. Small ones do not wait.
    ///
    /// # Errors
    /// Others did not end within [`RESERVE_TIMEOUT`].
    pub(super) async fn reserve_parsing(
        &self,
        reserved: Reservation,
    ) -> Result<Reservation, Error> {
        if !reserved.is_large {
            return Ok(reserved);
        }
        let request = acquire_within_timeout(&self.requests, 1).await?;
        Ok(Reservation { _request: Some(request), ..reserved })
    }
}

async fn acquire_within_timeout(
    pool: &Arc<Semaphore>,
    permits: usize,
) -> Result<OwnedSemaphorePermit, Error> {
    let permits = u32::try_from(permits).unwrap_or(u32::MAX);
    let permit = Arc::clone(pool).acquire_many_owned(permits);
    match tokio::time::timeout(RESERVE_TIMEOUT, permit).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(Error::busy("The recorder is receiving too many large requests. Try again")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn reserve_whole_body(memory: &BodyMemory, bytes: usize) -> Result<Reservation, Error> {
        let mut reserved = Reservation::EMPTY;
        memory.reserve(&mut reserved, bytes, Some(bytes)).await?;
        memory.reserve_parsing(reserved).await
    }

    #[tokio::test(start_paused = true)]
    async fn small_body_is_admitted_and_large_one_times_out_while_two_large_ones_are_handled() {
        let memory = BodyMemory::default();
        let large = [
            reserve_whole_body(&memory, 10 << 20).await,
            reserve_whole_body(&memory, SMALL_BODY_BYTES + 1).await,
        ];
        assert!(large.iter().all(Result::is_ok));
        let small = reserve_whole_body(&memory, SMALL_BODY_BYTES).await.unwrap();
        assert!(reserve_whole_body(&memory, 10 << 20).await.is_err());
        drop(large);
        reserve_whole_body(&memory, 10 << 20).await.unwrap();
        drop(small);
    }

    #[tokio::test(start_paused = true)]
    async fn large_body_reserves_arrived_bytes_only_and_two_may_finish_over_the_budget() {
        let memory = BodyMemory::default();
        let mut slow = [const { Reservation::EMPTY }; 20];
        for reserved in &mut slow {
            memory.reserve(reserved, 1, Some(10 << 20)).await.unwrap();
        }
        reserve_whole_body(&memory, 10 << 20).await.unwrap();
        let rest = memory.large.available_permits();
        assert_eq!(rest, MAX_LARGE_BODIES_BYTES - slow.len() * LARGE_BODY_STEP_BYTES);
        // When all is used up, two of them go on to their ends, and a third one after these.
        let fast = memory.large.acquire_many(u32::try_from(rest).unwrap()).await;
        for bytes in [LARGE_BODY_STEP_BYTES + 1, 10 << 20] {
            for reserved in &mut slow[..2] {
                memory.reserve(reserved, bytes, Some(10 << 20)).await.unwrap();
            }
            assert!(memory.reserve(&mut slow[2], bytes, Some(10 << 20)).await.is_err());
        }
        slow[0] = Reservation::EMPTY;
        memory.reserve(&mut slow[2], LARGE_BODY_STEP_BYTES + 1, Some(10 << 20)).await.unwrap();
        drop(fast);
    }

    #[tokio::test(start_paused = true)]
    async fn body_without_content_length_moves_to_the_large_budget_when_it_outgrows_the_small_size()
    {
        let memory = BodyMemory::default();
        let mut reserved = Reservation::EMPTY;
        memory.reserve(&mut reserved, 1, None).await.unwrap();
        memory.reserve(&mut reserved, SMALL_BODY_BYTES, None).await.unwrap();
        assert_eq!(memory.small.available_permits(), MAX_SMALL_BODIES_BYTES - SMALL_BODY_BYTES);
        memory.reserve(&mut reserved, SMALL_BODY_BYTES + 1, None).await.unwrap();
        memory.reserve(&mut reserved, 10 << 20, None).await.unwrap();
        let free = (memory.small.available_permits(), memory.large.available_permits());
        assert_eq!(free, (MAX_SMALL_BODIES_BYTES, MAX_LARGE_BODIES_BYTES - (10 << 20)));
        drop(reserved);
        assert_eq!(memory.large.available_permits(), MAX_LARGE_BODIES_BYTES);
    }
}
