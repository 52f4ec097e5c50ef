//! Carrier of a service: the runtime, the object there that stands for it, and what the runtime makes of it.
//!
//! What a runtime needs to know of its own services is its own type behind [`RuntimeSpec`]; all others ask for
//! [`Capability`]s, never for a runtime by name.

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
    /// lcm creates it, recreates it on change, and removes it on `down`.
    Created,
    /// It is there without lcm: started and stopped, never created or removed.
    Existing,
}

/// What a runtime can do with its services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Freezes an instance, which keeps what it holds.
    Pause,
    /// Runs a command beside or inside an instance.
    Exec,
    /// Keeps what an instance writes.
    Logs,
    /// Puts the previous revision aside while the next one comes up.
    KeepsPrevious,
    /// Runs several copies, and changes their number in place.
    Scales,
    /// Replaces an instance by one of another spec without an outage.
    Rolls,
    /// Its instances use GPUs of this host.
    LocalGpu,
    /// Its instances listen on ports of this host.
    LocalPorts,
    /// It has a health check of its own.
    ChecksItself,
    /// Its instances are objects that outlive their end, and are removed.
    Objects,
}

/// Capabilities of one runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(pub &'static [Capability]);

impl Capabilities {
    /// Returns true if the runtime has this one.
    #[must_use]
    pub fn has(self, capability: Capability) -> bool {
        self.0.contains(&capability)
    }
}

/// Resolved definition of a service, as its runtime takes it.
pub trait RuntimeSpec: CloneSpec + fmt::Debug + Send + Sync {
    /// Folder of this host in which commands beside the service run; `None`: its commands are not this host's.
    fn host_folder(&self) -> Option<&Path> {
        None
    }

    /// Command line of this host that it is started with.
    fn host_command(&self) -> Option<Vec<String>> {
        None
    }

    /// Folders of this host whose identity is compared between looks.
    fn host_paths(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Names of other objects that it shares a namespace with: it is made anew with them.
    fn shares_with(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Environment that the manifest gives it, in clear text.
    fn environment(&self) -> Option<&BTreeMap<String, EnvValue>> {
        None
    }
}

/// Copying behind `dyn`; every type that can be cloned can do this.
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
    /// Returns true if a runtime of this name carries it.
    #[must_use]
    pub fn is_of(&self, runtime: &RuntimeName) -> bool {
        self.runtime == *runtime
    }

    /// Returns the definition as the type of its runtime; `None`: another runtime carries it.
    #[must_use]
    pub fn spec<T: RuntimeSpec>(&self) -> Option<&T> {
        (&*self.spec as &dyn Any).downcast_ref()
    }

    /// The same, to be changed.
    pub fn spec_mut<T: RuntimeSpec>(&mut self) -> Option<&mut T> {
        (&mut *self.spec as &mut dyn Any).downcast_mut()
    }
}
