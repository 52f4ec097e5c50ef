//! Keys that a manifest shares with Compose, from the runtimes that have Compose's keys: a key that one of them gains
//! is translated from then on.

use std::collections::BTreeSet;

use crate::runtime::list::runtimes;

/// Keys of a runtime that Compose does not have.
const NOT_COMPOSE: [&str; 3] = ["container", "auto_remove", "gpu_access"];

/// Keys of a service that a manifest takes over with Compose's meaning.
#[derive(Clone, Debug)]
pub(super) struct SharedKeys(BTreeSet<&'static str>);

macro_rules! define_shared_keys {
    ($($runtime:ident)+) => {
        impl SharedKeys {
            pub(super) fn of_runtimes() -> Self {
                let mut keys = BTreeSet::new();
                $({
                    use crate::runtime::$runtime::wire::{HAS_COMPOSE_KEYS, KEYS, SHARED_KEYS};
                    if HAS_COMPOSE_KEYS {
                        keys.extend(KEYS.iter().chain(SHARED_KEYS));
                    }
                })+
                Self(keys)
            }
        }
    };
}
runtimes!(define_shared_keys);

impl SharedKeys {
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains(key) && !NOT_COMPOSE.contains(&key)
    }
}
