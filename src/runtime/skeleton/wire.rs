//! The block of a service as it is written.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::syntax::located::Located;

/// Type of this runtime's key, under the name that the list of runtimes knows.
pub(crate) use self::SkeletonBlock as Block;

/// What editors show of the key.
pub(crate) const DESCRIPTION: &str = "An object of the skeleton.";

/// What to write where a service has no runtime.
pub(crate) const HINT: &str = "`skeleton:` with a name";

/// A key that no other runtime has, by which its map is known among others.
pub(crate) const MARK: &str = "skeleton_name";

/// Keys that only this runtime has.
pub(crate) const KEYS: &[&str] = &["skeleton_name"];

/// Keys that other runtimes have too, and a service has not.
pub(crate) const SHARED_KEYS: &[&str] = &[];

/// Its words are its own.
pub(crate) const HAS_COMPOSE_KEYS: bool = false;

/// An object of the skeleton.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Skeleton")]
pub(crate) struct SkeletonBlock {
    /// The object's name.
    #[schemars(example = &"web")]
    pub skeleton_name: Option<Located<String>>,
}

/// Examples for editors.
pub(crate) fn examples() -> Value {
    json!([{ "skeleton_name": "web" }])
}

/// To the schema: when the block is complete.
pub(crate) fn complete() -> Value {
    json!({ "required": ["skeleton_name"] })
}
