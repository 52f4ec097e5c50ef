//! Look at the lock by a command that does not need it: nothing is created, and the lock is not kept.

use std::fs::TryLockError;
use std::io::ErrorKind;

use super::{HostLock, read_holder, socket};
use crate::files::{host_wide, reach};
use crate::model::doctor::readings::LockState;
use crate::store::lease::name_holder;

impl HostLock {
    /// Returns whether the lock is free, held or unusable for this user.
    #[must_use]
    pub fn look(&self) -> LockState {
        let process = socket::holder(&self.path);
        let mut file = match host_wide::open_existing(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound && process.is_some() => {
                return LockState::Held(name_holder(None, process));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return reach::not_creatable(&self.path).map_or(LockState::Absent, LockState::Unusable);
            }
            Err(error) => return LockState::Unusable(error.to_string()),
        };
        // Where a process has the socket, it has the lock: the file is not locked even for a moment, which could refuse
        // a run that begins in that moment.
        let is_held = process.is_some()
            || match file.try_lock_shared() {
                Ok(()) => {
                    let _ = file.unlock();
                    false
                }
                Err(TryLockError::WouldBlock) => true,
                Err(TryLockError::Error(error)) => return LockState::Unusable(error.to_string()),
            };
        if !is_held {
            return LockState::Free;
        }
        let holder = host_wide::has_single_link(&file).then(|| read_holder(&mut file)).flatten();
        LockState::Held(name_holder(holder.as_ref(), process))
    }
}
