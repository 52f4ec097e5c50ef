//! Support for trials: `Host` is the sandbox of one trial, `User` an owner who runs lcm there, `Attacker` another uid,
//! `Canary` objects that must stay untouched, `Engine` a simulated Docker engine, hostile on demand.
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

/// Users of these tests. All but root are in no user database; none has groups.
pub(crate) const ROOT: u32 = 0;
pub(crate) const KIM: u32 = 61_001;
pub(crate) const LEE: u32 = 61_002;
/// Attacker, if owner and bystander are other users.
pub(crate) const EVE: u32 = 61_003;

/// Maximum data memory of lcm in any attack, in MiB. A debug build takes some 30 for a plan; successful attacks took
/// 3 000 and more.
pub(crate) const MEMORY_MIB_MAX: u64 = 256;

/// Name, requirements and function of an attack.
pub(crate) type Attack = (&'static str, &'static [Need], fn());

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Root,
    Docker,
}

/// Requirements of an attack as another uid.
pub(crate) const AS_ROOT: &[Need] = &[Need::Root];
/// Requirements of an attack on a real engine or from a container.
pub(crate) const WITH_ENGINE: &[Need] = &[Need::Root, Need::Docker];

impl Need {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Docker => "docker",
        }
    }

    /// Returns the reason why this machine does not meet the requirement.
    pub(crate) fn missing(self) -> Option<String> {
        static ENGINE: OnceLock<Option<String>> = OnceLock::new();
        match self {
            Self::Root if rustix::process::geteuid().is_root() => None,
            Self::Root => Some("attacks run as several users".to_owned()),
            Self::Docker => ENGINE.get_or_init(engine_missing).clone(),
        }
    }
}

/// Lists attacks by requirement, each under the name of its function.
macro_rules! attacks {
    ($($needs:expr => $($attack:ident),+ $(,)?;)+) => {
        vec![$($((stringify!($attack), $needs, $attack as fn())),+),+]
    };
}
pub(crate) use attacks;
