//! A client that is replaced when one of its connections dies.

use std::sync::{Arc, PoisonError, RwLock};

/// A client with the connections that it keeps.
///
/// Where one of them died while the process was frozen, the others may have too, and each would cost
/// an attempt: a new client has none.
#[derive(Debug)]
pub(crate) struct Renewable<T>(RwLock<Arc<T>>);

impl<T> Renewable<T> {
    pub(crate) fn new(client: T) -> Self {
        Self(RwLock::new(Arc::new(client)))
    }

    pub(crate) fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a new client in the place of `old`. Of many requests that fail with it side by side, only
    /// the first does.
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
