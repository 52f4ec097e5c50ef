//! The manifest: YAML to [`Desired`](crate::model::desired::Desired), by typed keys, a loader that keeps places, and a
//! pure resolution.
//!
//! In: files, and lcm's environment as a map; only `load` reads files. Out:
//! [`Desired`](crate::model::desired::Desired), or every problem with its place in a file; the JSON schema. Not here:
//! YAML and interpolation (`syntax`), the keys of each runtime (`runtime`).
//!
//! `load` calls the stages in this order. Each file: `syntax::yaml` (text to a tree with places), `syntax::interpolate`
//! (`${VAR}`), `extend` (templates), `syntax::read` (tree to `wire` types, gathering every fault). All files together:
//! `resolve` (wire to [`Desired`](crate::model::desired::Desired)).

mod advice;
mod beside;
mod choice;
mod extend;
mod indentation;
mod load;
mod ours;
pub(crate) mod resolve;
mod schema;
mod search;
mod secrets;
mod values;
pub(crate) mod wire;
mod wrong_value;

pub use choice::ModeSelection;
pub use load::{CheckedManifest, check, files, load, project_name};
pub use schema::schema;
pub use search::nearest_file;
pub use values::dotenv;
