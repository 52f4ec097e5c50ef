//! Facts about objects.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::facts::{Attribution, Facts, InstanceCount, Marks, Reading, RuntimeFacts};
use crate::model::instance::Instance;
use crate::model::names::{ObjectName, RuntimeName};
use crate::model::secret::Masker;
use crate::runtime::skeleton::NAME;

/// Version of [`SkeletonFacts`].
pub(super) const FORMAT: &str = "skeleton/1";

/// Facts read from the endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SkeletonFacts {
    /// All objects, ours or not.
    #[serde(default)]
    pub(super) objects: Reading<Vec<SkeletonFact>>,
}

/// Object as the endpoint reports it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SkeletonFact {
    /// Identity, new for each incarnation.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) runs: bool,
    /// Marks that lcm wrote on the object; absent where lcm did not create it.
    #[serde(default)]
    pub(super) marks: Option<Marks>,
}

impl SkeletonFact {
    pub(super) fn instance(&self) -> Instance {
        Instance::new(NAME, self.id.clone(), Some(ObjectName::new(&*self.name)))
    }
}

impl RuntimeFacts for SkeletonFacts {
    fn runtime(&self) -> RuntimeName {
        NAME
    }

    fn format(&self) -> &'static str {
        FORMAT
    }

    fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn unread(&self) -> Option<String> {
        Some(format!("what objects hold is not known: {}", self.objects.unknown()?))
    }

    fn count(&self) -> Option<InstanceCount> {
        Some(InstanceCount { count: self.objects.known()?.len(), one: "object", several: "objects" })
    }

    fn owned(&self) -> Vec<Attribution> {
        let running = self.objects.known().into_iter().flatten().filter(|object| object.runs);
        running.map(|object| Attribution::of_object(&*object.id, Vec::new())).collect()
    }

    fn mask(&mut self, masker: &Masker) {
        self.objects.mask_reason(masker);
        let objects = self.objects.known_mut().into_iter().flatten();
        objects.filter_map(|object| object.marks.as_mut()).for_each(|marks| marks.mask(masker));
    }
}

/// Returns the known objects.
pub(super) fn known_objects(facts: &Facts) -> impl Iterator<Item = &SkeletonFact> {
    let read = facts.instances.get::<SkeletonFacts>();
    read.and_then(|read| read.objects.known()).into_iter().flatten()
}
