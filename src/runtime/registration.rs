//! What a runtime brings, in one value of its own.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::host::helper::HelperProgram;
use crate::model::desired::Desired;
use crate::model::facts::RuntimeFacts;
use crate::model::names::RuntimeName;
use crate::observe::contract::Observer;
use crate::runtime::contract::Runtime;
use crate::sim::contract::SimulatedRuntime;

/// What a runtime brings.
#[expect(missing_debug_implementations, reason = "it is made of functions")]
pub struct Registration {
    pub name: RuntimeName,
    pub observer: &'static dyn Observer,
    pub facts: FactsFormat,
    /// Programs that lcm executes itself as for this runtime.
    pub helpers: &'static [HelperProgram],
    /// Makes its driver for one manifest. Nothing is asked yet.
    pub connect: fn(&DriverContext<'_>) -> Box<dyn Runtime>,
    /// Plays it in a simulation.
    pub(crate) sim: &'static dyn SimulatedRuntime,
}

/// What a driver is made from.
#[derive(Clone, Copy, Debug)]
pub struct DriverContext<'a> {
    pub desired: &'a Desired,
    /// lcm's own environment.
    pub environment: &'a BTreeMap<String, String>,
    /// An lcm, for helpers that it executes itself as.
    pub shim_program: &'a Path,
    /// All is read, though the manifest has no use for it.
    pub discovers: bool,
}

/// How a runtime's facts stand in a world file.
#[expect(missing_debug_implementations, reason = "it is made of functions")]
pub struct FactsFormat {
    /// The version that is written, and the only one that is read.
    pub format: &'static str,
    pub read: fn(Value) -> serde_json::Result<Box<dyn RuntimeFacts>>,
    /// Takes the runtime's part out of a world of format 1, in the present shape; `None`: it had none there.
    pub upgrade: fn(&mut Map<String, Value>) -> Option<Value>,
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

impl FactsFormat {
    /// The format of one type.
    #[must_use]
    pub const fn of<T>(format: &'static str, upgrade: fn(&mut Map<String, Value>) -> Option<Value>) -> Self
    where
        T: RuntimeFacts + DeserializeOwned + JsonSchema,
    {
        Self { format, read: read::<T>, upgrade, schema: SchemaGenerator::subschema_for::<T> }
    }
}

fn read<T: RuntimeFacts + DeserializeOwned>(value: Value) -> serde_json::Result<Box<dyn RuntimeFacts>> {
    Ok(Box::new(serde_json::from_value::<T>(value)?))
}

/// Moves keys of a world of format 1 into a runtime's own part, under their present names.
pub(crate) fn moved(world: &mut Map<String, Value>, keys: &[(&str, &str)]) -> Option<Value> {
    let found = keys.iter().filter_map(|(old, new)| Some(((*new).to_owned(), world.remove(*old)?)));
    let part: Map<String, Value> = found.collect();
    (!part.is_empty()).then_some(Value::Object(part))
}
