//! Names as types, so that a mode can't be passed where a service is meant.
//! What a valid name looks like is the manifest's business; here a name is only carried and compared: short ones lie
//! within themselves, since planning is mostly looking up names in maps.

use std::borrow::Borrow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::model::harmless;

/// Longer than a manifest's name, an engine's and a driver's ever are, with what lcm puts before and behind them.
const SHOWN_MAX: usize = 300;

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $type(#[schemars(with = "String")] SmolStr);

        impl $type {
            /// Takes any text as it is.
            pub fn new(text: impl Into<SmolStr>) -> Self {
                Self(text.into())
            }

            /// Takes a text of the program's own, without a copy.
            #[must_use]
            pub const fn known(text: &'static str) -> Self {
                Self(SmolStr::new_static(text))
            }

            /// The name as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        /// As text: a message may show the thing that has the name.
        impl fmt::Debug for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }

        /// A valid name as it is. Marks, engines and files may hold any text: of such a name one harmless line.
        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                if self.0.len() <= SHOWN_MAX && harmless::is_plain(&self.0) {
                    return formatter.pad(&self.0);
                }
                formatter.pad(&harmless::short(&self.0, SHOWN_MAX))
            }
        }

        impl From<&str> for $type {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }
    };
}

name!(
    /// The manifest's `name:`: who owns everything in it on this host.
    ProjectName
);
name!(
    /// Something that runs.
    ServiceName
);
name!(
    /// Runtime that carries services: the folder below `src/runtime` that knows it.
    RuntimeName
);
name!(
    /// A named set of services that run together.
    ModeName
);
name!(
    /// Something wanted, which needs services.
    GoalName
);
name!(
    /// What an engine calls a container, without the leading slash.
    ObjectName
);
name!(
    /// A GPU's UUID, or `gpu-N` where a device is only declared.
    GpuId
);
/// Marks carry ids as text: a map is asked by it, and no id is made for that. Both compare as text.
impl Borrow<str> for GpuId {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

name!(
    /// One step of one plan, `start:comfyui`.
    StepId
);

impl GpuId {
    /// An instance of a partitioned GPU (MIG). A process can use only one.
    #[must_use]
    pub fn is_instance(&self) -> bool {
        self.as_str().starts_with("MIG-")
    }
}

/// As drivers call a GPU: one that is only declared is `gpu-N`, and `N` for its driver.
pub(crate) fn device_id(id: &str) -> &str {
    id.strip_prefix("gpu-").filter(|rest| rest.parse::<u32>().is_ok()).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::ServiceName;

    #[test]
    fn a_name_is_shown_as_one_harmless_line_and_kept_as_it_is() {
        assert_eq!(ServiceName::from("comfyui_2.a").to_string(), "comfyui_2.a");
        let forged = ServiceName::from("x\nwarning: \u{1b}[2Jall is lost");
        assert_eq!(forged.to_string(), "x warning: all is lost");
        assert_eq!(forged.as_str(), "x\nwarning: \u{1b}[2Jall is lost");
        assert_eq!(ServiceName::new("x".repeat(1 << 16)).to_string().chars().count(), super::SHOWN_MAX);
    }
}
