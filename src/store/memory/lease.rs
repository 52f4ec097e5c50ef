//! Leases within one process: for simulations, which no other process shares.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::store::lease::{
    FencingToken, Grant, Guard, Lease, LeaseError, LeaseHolder, LeaseRequest, LeaseScope, acquire_in_time,
};

/// Leases of one process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryLease {
    scopes: Arc<Mutex<BTreeMap<LeaseScope, LeaseRecord>>>,
}

#[derive(Clone, Debug, Default)]
struct LeaseRecord {
    last: FencingToken,
    holder: Option<LeaseHolder>,
}

#[async_trait]
impl Lease for MemoryLease {
    async fn acquire(&self, scope: &LeaseScope, request: &LeaseRequest<'_>) -> Result<Grant, LeaseError> {
        acquire_in_time(request, || ready(self.try_acquire(scope, request))).await
    }
}

impl MemoryLease {
    fn try_acquire(&self, scope: &LeaseScope, request: &LeaseRequest<'_>) -> Result<Grant, LeaseError> {
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = scopes.entry(scope.clone()).or_default();
        if let Some(holder) = &taken.holder {
            let holder = Some(Box::new(holder.clone()));
            return Err(LeaseError::Held { lease: format!("the lease of {scope}"), holder, process: None });
        }
        taken.last = FencingToken::above([taken.last, request.newest], Timestamp::UNIX_EPOCH);
        taken.holder = Some(request.holder.clone());
        let guard = MemoryGuard { leases: self.clone(), scope: scope.clone() };
        Ok(Grant::new(taken.last, Box::new(guard)))
    }
}

#[derive(Debug)]
struct MemoryGuard {
    leases: MemoryLease,
    scope: LeaseScope,
}

impl Guard for MemoryGuard {
    /// No other process can take the lease away.
    fn check(&self) -> Result<(), LeaseError> {
        Ok(())
    }
}

impl Drop for MemoryGuard {
    fn drop(&mut self) {
        let mut scopes = self.leases.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = scopes.get_mut(&self.scope) {
            taken.holder = None;
        }
    }
}
