//! A client that is replaced when one of its connections breaks.

use std::sync::{Arc, PoisonError, RwLock};

/// A client with its pooled connections.
///
/// If one of them died while the process was frozen, the others may have too, and each would cost an
/// attempt: a new client has none.
#[derive(Debug)]
pub(crate) struct Renewable<T>(RwLock<Arc<T>>);

impl<T> Renewable<T> {
    pub(crate) fn new(client: T) -> Self {
        Self(RwLock::new(Arc::new(client)))
    }

    pub(crate) fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces `old` by a new client. Of several concurrent requests that fail with `old`, only
    /// the first replaces it.
    pub(crate) fn renew<E>(
        &self,
        old: &Arc<T>,
        new: impl FnOnce(&T) -> Result<T, E>,
    ) -> Result<(), E> {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, old) {
            *current = Arc::new(new(old)?);
        }
        Ok(())
    }
}
