//! Block of a service as it is written.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::syntax::located::Located;

/// Type of this runtime's key, under the name that the list of runtimes knows.
pub(crate) use self::SkeletonBlock as Block;

/// Description of the key in editors.
pub(crate) const DESCRIPTION: &str = "An object of the skeleton.";

/// Hint for a service without a runtime.
pub(crate) const HINT: &str = "`skeleton:` with a name";

/// Key that no other runtime has; it identifies a block of this runtime.
pub(crate) const MARK: &str = "skeleton_name";
/// Key that a plain text in place of the block stands for.
pub(crate) const MAIN_KEY: &str = "skeleton_name";
/// Block that an editor offers, as JSON with places to fill in, and its description.
pub(crate) const SNIPPET: (&str, &str) = (r#"{ "skeleton_name": "${2:name}" }"#, "Service of the skeleton");

/// Keys that only this runtime has.
pub(crate) const KEYS: &[&str] = &["skeleton_name"];

/// Keys that other runtimes have too, and a service does not.
pub(crate) const SHARED_KEYS: &[&str] = &[];

/// True if the keys are Compose's.
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

/// Schema of a complete block.
pub(crate) fn complete() -> Value {
    json!({ "required": ["skeleton_name"] })
}
