//! Names as types, so that a mode can't be passed where a service is meant.
//! What a valid name looks like is the manifest's business; here a name is only carried and compared: short ones lie
//! within themselves, since planning is mostly looking up names in maps.

use std::borrow::Borrow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

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

            /// The name as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        /// As text: a message may show the thing that bears the name.
        impl fmt::Debug for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&self.0)
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
    /// A named set of services that run together.
    ModeName
);
name!(
    /// Something wanted, which needs services.
    GoalName
);
name!(
    /// What an engine calls a container, without the leading slash.
    ContainerName
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
