//! YAML to [`Desired`](crate::model::desired::Desired): wire types, loading with places to point at, and a pure resolution.
//!
//! A file passes `yaml` (text to a tree that knows its places), `interpolate` (`${VAR}`), `extend` (templates), `read`
//! (tree to `wire` types, gathering every fault) and, all files together, `resolve` (wire to [`Desired`](crate::model::desired::Desired)). Only `load`
//! reads files; lcm's environment comes in as a map.

mod advice;
mod choice;
mod extend;
mod load;
mod ours;
pub(crate) mod resolve;
mod schema;
mod search;
mod secrets;
mod values;
pub(crate) mod wire;

pub use choice::ModeSelection;
pub use load::{files, load, project_name};
pub use schema::schema;
pub use values::dotenv;
