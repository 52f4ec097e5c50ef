//! The attackers' and the owners' side of each trial. `Host` is one trial's corner of this machine, `User` an owner who
//! runs lcm there, `Attacker` another uid, `Canary` what must stay untouched, `Engine` a Docker engine played by the
//! test, hostile on demand.
#![expect(dead_code, reason = "areas use different parts")]

pub(crate) mod attacker;
pub(crate) mod canary;
pub(crate) mod engine;
pub(crate) mod host;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod shell;
pub(crate) mod user;

use std::sync::OnceLock;

pub(crate) use attacker::Attacker;
pub(crate) use canary::Canary;
pub(crate) use host::{Host, clean};
pub(crate) use user::User;

use crate::studio::engine_missing;

/// Users of these tests. Neither exists in any user database, and none of them has groups.
pub(crate) const ROOT: u32 = 0;
pub(crate) const KIM: u32 = 61_001;
pub(crate) const LEE: u32 = 61_002;
/// The one who attacks, where owner and bystander are others.
pub(crate) const EVE: u32 = 61_003;

/// Data memory that lcm may take in any attack, in MiB. A debug build takes some 30 for a plan; attacks that got through
/// took 3 000 and more.
pub(crate) const MEMORY_MIB_MAX: u64 = 256;

/// Name, needs and the attack itself.
pub(crate) type Attack = (&'static str, &'static [Need], fn());

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Root,
    Docker,
}

/// Needs of an attack as another uid.
pub(crate) const AS_ROOT: &[Need] = &[Need::Root];
/// Needs of an attack on a real engine or from a container.
pub(crate) const WITH_ENGINE: &[Need] = &[Need::Root, Need::Docker];

impl Need {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Docker => "docker",
        }
    }

    /// The reason for which this machine does not have it.
    pub(crate) fn missing(self) -> Option<String> {
        static ENGINE: OnceLock<Option<String>> = OnceLock::new();
        match self {
            Self::Root if rustix::process::geteuid().is_root() => None,
            Self::Root => Some("attacks run as several users".to_owned()),
            Self::Docker => ENGINE.get_or_init(engine_missing).clone(),
        }
    }
}

/// Attacks by what they need, each under the name of its function.
macro_rules! attacks {
    ($($needs:expr => $($attack:ident),+ $(,)?;)+) => {
        vec![$($((stringify!($attack), $needs, $attack as fn())),+),+]
    };
}
pub(crate) use attacks;
