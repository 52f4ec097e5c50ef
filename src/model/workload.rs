//! Carrier of a service: the runtime, the object there that stands for it, and the runtime's own definition.
//!
//! A runtime's definition of its services is its own type behind [`RuntimeSpec`]; all other code queries
//! [`Capability`]s, never a runtime by name.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::model::environment::EnvValue;
use crate::model::names::{ObjectName, RuntimeName};

/// Carrier of one service, resolved.
#[derive(Clone, Debug)]
pub struct Workload {
    pub runtime: RuntimeName,
    /// Endpoint of the runtime; `None`: this host's own.
    pub target: Option<String>,
    /// Name of the object that carries the service; `None` where the runtime names none.
    pub object: Option<ObjectName>,
    pub origin: Origin,
    pub capabilities: Capabilities,
    pub spec: Box<dyn RuntimeSpec>,
}

/// Maker of the object that carries a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// lcm creates the object, recreates it on change, and removes it on `down`.
    Created,
    /// The object exists without lcm: it is started and stopped, never created or removed.
    Existing,
}

/// Ability of a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Freezes an instance, which keeps what it holds.
    Pause,
    /// Runs a command beside or inside an instance.
    Exec,
    /// Keeps what an instance writes.
    Logs,
    /// Puts the previous revision aside while the next one starts.
    KeepsPrevious,
    /// Runs several copies, and changes their number in place.
    Scales,
    /// Replaces an instance by one of another spec without an outage.
    Rolls,
    /// Its instances use GPUs of this host.
    LocalGpu,
    /// Its instances listen on ports of this host.
    LocalPorts,
    /// It has health checks of its own.
    ChecksItself,
    /// Its instances are objects that exist beyond their end, and are removed.
    Objects,
    /// It runs jobs: an instance ends by itself, and its exit code is known after that.
    RunsToEnd,
}

/// Capabilities of one runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(pub &'static [Capability]);

impl Capabilities {
    /// Returns true if the runtime has this capability.
    #[must_use]
    pub fn has(self, capability: Capability) -> bool {
        self.0.contains(&capability)
    }
}

/// Resolved definition of a service, as its runtime uses it.
pub trait RuntimeSpec: CloneSpec + fmt::Debug + Send + Sync {
    /// Returns the folder of this host in which commands beside the service run; `None`: its commands do not run on
    /// this host.
    fn host_folder(&self) -> Option<&Path> {
        None
    }

    /// Returns the command line on this host that starts the service.
    fn host_command(&self) -> Option<Vec<String>> {
        None
    }

    /// Returns the folders of this host whose identity is compared between observations.
    fn host_paths(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Returns the names of other objects whose namespace the service shares: it is recreated with them.
    fn shares_with(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Returns the environment that the manifest sets, in clear text.
    fn environment(&self) -> Option<&BTreeMap<String, EnvValue>> {
        None
    }
}

/// Copying behind `dyn`; implemented for every type that can be cloned.
pub trait CloneSpec: Any {
    fn clone_spec(&self) -> Box<dyn RuntimeSpec>;
}

impl<T: RuntimeSpec + Clone> CloneSpec for T {
    fn clone_spec(&self) -> Box<dyn RuntimeSpec> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn RuntimeSpec> {
    fn clone(&self) -> Self {
        (**self).clone_spec()
    }
}

impl Workload {
    /// Returns true if a runtime of this name carries the service.
    #[must_use]
    pub fn is_of(&self, runtime: &RuntimeName) -> bool {
        self.runtime == *runtime
    }

    /// Returns the definition as the type of its runtime; `None`: another runtime carries the service.
    #[must_use]
    pub fn spec<T: RuntimeSpec>(&self) -> Option<&T> {
        (&*self.spec as &dyn Any).downcast_ref()
    }

    /// Returns the definition as [`Workload::spec`] does, to be changed.
    pub fn spec_mut<T: RuntimeSpec>(&mut self) -> Option<&mut T> {
        (&mut *self.spec as &mut dyn Any).downcast_mut()
    }
}
