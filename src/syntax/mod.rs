//! Parser of YAML files: a tree of values with their source spans, variables, values with units, and diagnostics.
//!
//! In: the text of a file.
//! Out: `Node`s, the values that serde deserializes from them, and problems.
//! Not here: the keys of a manifest (`manifest`), and the reading of files (`files`).

use std::collections::BTreeMap;

pub(crate) mod command_line;
pub(crate) mod dotenv;
pub(crate) mod duration;
pub(crate) mod fault;
pub(crate) mod interpolate;
pub(crate) mod located;
pub(crate) mod pattern;
pub mod place;
pub(crate) mod ports;
pub mod problem;
pub(crate) mod read;
pub(crate) mod read_error;
pub(crate) mod reader;
pub(crate) mod render;
pub(crate) mod scalar;
pub(crate) mod source;
pub(crate) mod tree;
pub(crate) mod yaml;

/// Environment of lcm itself, which `${VAR}` and `{ env: NAME }` refer to.
pub type Environment = BTreeMap<String, String>;
