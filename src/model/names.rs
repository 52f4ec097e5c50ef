//! Names as types, so that a mode can't be passed where a service is meant. Short names are stored inline, since
//! planning is mostly looking up names in maps.
//!
//! Not here: what a valid name is, which `manifest` checks.

use std::borrow::Borrow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::model::safe_text;

/// Longest name that is shown: longer than names of manifests, engines and drivers ever are, with lcm's prefixes and
/// suffixes.
const SHOWN_MAX: usize = 300;

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $type(#[schemars(with = "String")] SmolStr);

        impl $type {
            /// Takes any text unchanged.
            pub fn new(text: impl Into<SmolStr>) -> Self {
                Self(text.into())
            }

            /// Takes a static text without a copy.
            #[must_use]
            pub const fn known(text: &'static str) -> Self {
                Self(SmolStr::new_static(text))
            }

            /// Returns the name as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        /// The text alone: a message may show the type that has the name.
        impl fmt::Debug for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }

        /// A valid name unchanged. Marks, engines and files may hold any text: that is shown as one harmless line.
        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                if self.0.len() <= SHOWN_MAX && safe_text::is_plain(&self.0) {
                    return formatter.pad(&self.0);
                }
                formatter.pad(&safe_text::short(&self.0, SHOWN_MAX))
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
    /// Name of a project: the manifest's `name:`. All services of the manifest belong to the project on this host.
    ProjectName
);
name!(
    /// Name of a service: a process tree or a container that the manifest describes.
    ServiceName
);
name!(
    /// Name of the runtime that runs a service, as in the manifest: `docker` or `process`.
    RuntimeName
);
name!(
    /// Name of a mode: a set of services that run together.
    ModeName
);
name!(
    /// Name of a goal: a purpose that needs services.
    GoalName
);
name!(
    /// Name of a container in its engine, without the leading slash.
    ObjectName
);
name!(
    /// Id of a GPU: its UUID, or `gpu-N` for a GPU of index N that only the manifest declares.
    GpuId
);
/// Marks carry ids as text: maps are queried by it, without allocating an id. Both compare as text.
impl Borrow<str> for GpuId {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

name!(
    /// Id of a step of a plan: its action and service, such as `start:comfyui`.
    StepId
);

impl GpuId {
    /// Returns true for an instance of a partitioned GPU (MIG). A process can use only one.
    #[must_use]
    pub fn is_instance(&self) -> bool {
        self.as_str().starts_with("MIG-")
    }
}

/// Returns a GPU's id as its driver has it: `gpu-N`, for a GPU that is only declared, is `N`.
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
