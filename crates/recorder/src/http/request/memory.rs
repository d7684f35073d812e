//! Limits of the memory for request bodies.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::Error;

/// The largest small body: a report of 200 tasks is 70 kB, and must not wait for one of 10 MB.
pub(super) const SMALL_BODY_BYTES: usize = 256 << 10;

/// The budget of all small bodies in bytes. A parsed body takes about five times its bytes.
const MAX_SMALL_BODIES_BYTES: usize = 16 << 20;

/// How many larger bodies are in memory at a time, from their first byte to the response. Each
/// reserves the maximum at once: bodies that waited for each other's memory would deadlock.
const MAX_LARGE_BODIES: usize = 2;

/// How long a body may wait for memory.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The memory for request bodies. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct BodyMemory {
    /// A permit is a byte.
    small: Arc<Semaphore>,
    /// A permit is a body.
    large: Arc<Semaphore>,
}

impl Default for BodyMemory {
    fn default() -> Self {
        let (small, large) =
            (Semaphore::new(MAX_SMALL_BODIES_BYTES), Semaphore::new(MAX_LARGE_BODIES));
        Self { small: Arc::new(small), large: Arc::new(large) }
    }
}

/// One body's part of the memory, released when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    /// The bytes that the body may have.
    bytes: usize,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Reservation {
    /// For a body that is empty so far.
    pub(crate) const EMPTY: Self = Self { bytes: 0, _permit: None };
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
        let (pool, permits, bytes) = if expected <= SMALL_BODY_BYTES {
            (&self.small, u32::try_from(expected).unwrap_or(u32::MAX), expected)
        } else {
            (&self.large, 1, usize::MAX)
        };
        let permit = Arc::clone(pool).acquire_many_owned(permits);
        let Ok(Ok(permit)) = tokio::time::timeout(RESERVE_TIMEOUT, permit).await else {
            return Err(Error::busy(
                "The recorder is receiving too many large requests: try again",
            ));
        };
        *reserved = Reservation { bytes, _permit: Some(permit) };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn reserve(memory: &BodyMemory, bytes: usize) -> Result<Reservation, Error> {
        let mut reserved = Reservation::EMPTY;
        memory.reserve(&mut reserved, 1, Some(bytes)).await.map(|()| reserved)
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_body_does_not_wait_for_large_ones_and_a_large_one_not_for_long() {
        let memory = BodyMemory::default();
        let large =
            [reserve(&memory, 10 << 20).await, reserve(&memory, SMALL_BODY_BYTES + 1).await];
        assert!(large.iter().all(Result::is_ok));
        let small = reserve(&memory, SMALL_BODY_BYTES).await.unwrap();
        assert!(reserve(&memory, 10 << 20).await.is_err());
        drop(large);
        reserve(&memory, 10 << 20).await.unwrap();
        drop(small);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_of_unknown_length_takes_more_when_it_gets_longer() {
        let memory = BodyMemory::default();
        let mut reserved = Reservation::EMPTY;
        memory.reserve(&mut reserved, 1, None).await.unwrap();
        memory.reserve(&mut reserved, SMALL_BODY_BYTES, None).await.unwrap();
        assert_eq!(memory.small.available_permits(), MAX_SMALL_BODIES_BYTES - SMALL_BODY_BYTES);
        memory.reserve(&mut reserved, SMALL_BODY_BYTES + 1, None).await.unwrap();
        memory.reserve(&mut reserved, 10 << 20, None).await.unwrap();
        let free = (memory.small.available_permits(), memory.large.available_permits());
        assert_eq!(free, (MAX_SMALL_BODIES_BYTES, MAX_LARGE_BODIES - 1));
        drop(reserved);
        assert_eq!(memory.large.available_permits(), MAX_LARGE_BODIES);
    }
}
