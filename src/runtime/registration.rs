//! Registration of a runtime: everything that it provides, in one value.

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

/// Everything that a runtime provides.
#[expect(missing_debug_implementations, reason = "it is made of functions")]
pub struct Registration {
    pub name: RuntimeName,
    pub observer: &'static dyn Observer,
    pub facts: FactsFormat,
    /// Helper programs of this runtime, as which lcm executes itself.
    pub helpers: &'static [HelperProgram],
    /// Creates the driver for one manifest. Sends no request yet.
    pub connect: fn(&DriverContext<'_>) -> Box<dyn Runtime>,
    /// Simulation of this runtime.
    pub(crate) sim: &'static dyn SimulatedRuntime,
}

/// Parameters of a new driver.
#[derive(Clone, Copy, Debug)]
pub struct DriverContext<'a> {
    pub desired: &'a Desired,
    /// lcm's own environment.
    pub environment: &'a BTreeMap<String, String>,
    /// Path of an lcm executable, for helpers.
    pub shim_program: &'a Path,
    /// True if everything is read, even what the manifest does not use.
    pub discovers: bool,
}

/// Format of a runtime's facts in a snapshot file.
#[expect(missing_debug_implementations, reason = "it is made of functions")]
pub struct FactsFormat {
    /// Version that is written, and the only one that is read.
    pub format: &'static str,
    pub read: fn(Value) -> serde_json::Result<Box<dyn RuntimeFacts>>,
    /// Extracts the runtime's part from a snapshot of format 1, in the present shape; `None`: there was no such part.
    pub upgrade: fn(&mut Map<String, Value>) -> Option<Value>,
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

impl FactsFormat {
    /// Returns the format of one type of facts.
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

/// Moves keys of a snapshot of format 1 into a runtime's own part, under their present names.
pub(crate) fn moved(snapshot: &mut Map<String, Value>, keys: &[(&str, &str)]) -> Option<Value> {
    let found = keys.iter().filter_map(|(old, new)| Some(((*new).to_owned(), snapshot.remove(*old)?)));
    let part: Map<String, Value> = found.collect();
    (!part.is_empty()).then_some(Value::Object(part))
}
