//! YAML text to a tree that knows its places, and what is reported about a place: variables, values with units, problems.
//!
//! In: the text of a file. Out: `Node`s, the values that serde reads from them, and problems. No key
//! of a manifest is known here, and no file is opened.

use std::collections::BTreeMap;

pub(crate) mod command_line;
pub(crate) mod dotenv;
pub(crate) mod duration;
pub(crate) mod fault;
pub(crate) mod interpolate;
pub(crate) mod located;
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

/// lcm's own environment, as `${VAR}` and `{ env: NAME }` see it.
pub type Environment = BTreeMap<String, String>;
