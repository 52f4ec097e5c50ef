//! Leases within one process: for simulated worlds, which no other process shares.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::store::lease::{
    FencingToken, Grant, Guard, Holder, Lease, LeaseError, LeaseRequest, Scope, acquire_in_time,
};

/// Leases of one process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryLease {
    scopes: Arc<Mutex<BTreeMap<Scope, Taken>>>,
}

#[derive(Clone, Debug, Default)]
struct Taken {
    last: FencingToken,
    holder: Option<Holder>,
}

#[async_trait]
impl Lease for MemoryLease {
    async fn acquire(&self, scope: &Scope, request: &LeaseRequest<'_>) -> Result<Grant, LeaseError> {
        acquire_in_time(request, || ready(self.try_acquire(scope, request))).await
    }
}

impl MemoryLease {
    fn try_acquire(&self, scope: &Scope, request: &LeaseRequest<'_>) -> Result<Grant, LeaseError> {
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
    scope: Scope,
}

impl Guard for MemoryGuard {
    /// No other process can take it away.
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
