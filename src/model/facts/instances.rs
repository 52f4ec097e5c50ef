//! Readings of the runtimes, by name: each of its runtime's own type, and all behind one trait.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::model::endpoint::Endpoint;
use crate::model::facts::owner::ProcessOwner;
use crate::model::instance::Instance;
use crate::model::names::{ProjectName, RuntimeName, ServiceName};
use crate::model::secret::Masker;

/// Reading of one runtime. It holds no judgement: its meaning for a manifest is derived by the runtime's observer.
pub trait RuntimeFacts: Comparable + fmt::Debug + Send + Sync {
    fn runtime(&self) -> RuntimeName;

    /// Version of the reading, as `NAME/NUMBER`.
    fn format(&self) -> &'static str;

    fn to_json(&self) -> Value;

    /// Returns the reason why the resources of instances are unknown.
    fn unread(&self) -> Option<String>;

    /// Returns the endpoint that was queried, with its version.
    fn endpoint(&self) -> Option<String> {
        None
    }

    /// Returns the reason for which the endpoint is not proven to be this host's: its GPUs, ports and folders are
    /// another's.
    fn elsewhere(&self) -> Option<&str> {
        None
    }

    /// Drops everything that holds nothing of this host, where the endpoint is another's.
    fn keep_local(&mut self) {}

    /// Returns the number of instances that were inspected; `None`: none was queried, or they are unknown.
    fn count(&self) -> Option<InstanceCount>;

    /// Returns processes and ports by the instance that they belong to.
    fn owned(&self) -> Vec<Attribution>;

    /// Masks all free text.
    fn mask(&mut self, masker: &Masker);
}

/// Copying and comparing behind `dyn`; implemented for every type that can do both.
pub trait Comparable: Any {
    fn copy(&self) -> Box<dyn RuntimeFacts>;
    fn is_equal(&self, other: &dyn RuntimeFacts) -> bool;
}

impl<T: RuntimeFacts + Clone + PartialEq> Comparable for T {
    fn copy(&self) -> Box<dyn RuntimeFacts> {
        Box::new(self.clone())
    }

    fn is_equal(&self, other: &dyn RuntimeFacts) -> bool {
        let other: &dyn Any = other;
        other.downcast_ref::<T>() == Some(self)
    }
}

/// Number of instances, with the nouns for one and for several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceCount {
    pub count: usize,
    pub one: &'static str,
    pub several: &'static str,
}

/// Processes and ports that belong to one owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    pub owner: ProcessOwner,
    /// Instance that has them, where one owner may have several.
    pub instance: Option<Instance>,
    pub pids: Vec<i32>,
    pub ports: Vec<Endpoint>,
}

impl Attribution {
    /// Creates the attribution of processes to a service.
    #[must_use]
    pub fn of_service(project: &str, service: &str, pids: Vec<i32>) -> Self {
        let owner = ProcessOwner::Service { project: ProjectName::new(project), service: ServiceName::new(service) };
        Self { owner, instance: None, pids, ports: Vec::new() }
    }

    /// Creates the attribution of ports to an object at a runtime.
    #[must_use]
    pub fn of_object(id: impl Into<String>, ports: Vec<Endpoint>) -> Self {
        Self { owner: ProcessOwner::Container(id.into()), instance: None, pids: Vec::new(), ports }
    }
}

/// Readings by runtime. Readings from a file are unread until their runtimes have parsed them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Instances {
    read: BTreeMap<RuntimeName, Box<dyn RuntimeFacts>>,
    unread: BTreeMap<RuntimeName, RecordedReading>,
}

/// Reading of one runtime, in the form that is stored in a snapshot file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Written")]
pub struct RecordedReading {
    /// Version of the reading, as `NAME/NUMBER`.
    pub format: String,
    /// The reading in the runtime's own format.
    pub reading: Value,
}

impl Instances {
    /// Returns the reading of this type.
    #[must_use]
    pub fn get<T: RuntimeFacts>(&self) -> Option<&T> {
        self.read.values().find_map(|facts| (&**facts as &dyn Any).downcast_ref())
    }

    /// Returns the reading of this type, to be changed; a default one is inserted where there is none.
    #[expect(clippy::missing_panics_doc, reason = "what was inserted under a name has the type of that name")]
    pub fn get_mut<T: RuntimeFacts + Default>(&mut self) -> &mut T {
        let none = T::default();
        let facts = self.read.entry(none.runtime()).or_insert_with(|| Box::new(none));
        (&mut **facts as &mut dyn Any).downcast_mut().expect("one type per runtime")
    }

    /// Inserts a reading in place of an earlier one of the same runtime.
    pub fn insert(&mut self, facts: Box<dyn RuntimeFacts>) {
        self.read.insert(facts.runtime(), facts);
    }

    /// Returns the reading of the runtime of this name.
    #[must_use]
    pub fn of(&self, runtime: &RuntimeName) -> Option<&dyn RuntimeFacts> {
        self.read.get(runtime).map(|facts| &**facts)
    }

    /// Returns all readings, by runtime.
    pub fn all(&self) -> impl Iterator<Item = &dyn RuntimeFacts> {
        self.read.values().map(|facts| &**facts)
    }

    /// Returns all readings, to be changed.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Box<dyn RuntimeFacts>> {
        self.read.values_mut()
    }

    /// Takes out the readings that no runtime has parsed yet.
    pub fn take_unread(&mut self) -> BTreeMap<RuntimeName, RecordedReading> {
        std::mem::take(&mut self.unread)
    }
}

impl Clone for Box<dyn RuntimeFacts> {
    fn clone(&self) -> Self {
        (**self).copy()
    }
}

impl PartialEq for dyn RuntimeFacts {
    fn eq(&self, other: &Self) -> bool {
        self.is_equal(other)
    }
}

impl Serialize for Instances {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written =
            |facts: &dyn RuntimeFacts| RecordedReading { format: facts.format().to_owned(), reading: facts.to_json() };
        let read = self.read.iter().map(|(name, facts)| (name.clone(), written(&**facts)));
        let all: BTreeMap<RuntimeName, RecordedReading> = self.unread.clone().into_iter().chain(read).collect();
        all.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Instances {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { read: BTreeMap::new(), unread: BTreeMap::deserialize(deserializer)? })
    }
}

impl JsonSchema for Instances {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Instances".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        BTreeMap::<String, RecordedReading>::json_schema(generator)
    }
}
