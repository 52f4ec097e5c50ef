//! State of the translation of one configuration of llama-swap: its settings, and the notes about it.

use std::collections::BTreeSet;

use crate::import::draft::Notes;
use crate::import::llama_swap::text::MacroList;
use crate::syntax::tree::Node;

/// Defaults of llama-swap.
const START_PORT: u32 = 5800;
const HEALTH_TIMEOUT_S: u64 = 120;
/// Shortest time that llama-swap waits for a model.
const HEALTH_TIMEOUT_S_MIN: u64 = 15;

/// Translation of one configuration, in progress.
pub(super) struct Swap {
    pub(super) macros: MacroList,
    /// Next port to assign.
    pub(super) port: u32,
    pub(super) timeout_s: u64,
    /// Time that a model has to end; `None`: the default, which is lcm's too.
    pub(super) unload_s: Option<u64>,
    pub(super) notes: Notes,
    /// Names of variables that must be set in lcm's environment.
    pub(super) required: BTreeSet<String>,
    /// Names of containers already in use.
    pub(super) containers: BTreeSet<String>,
    /// Names of macros that a model uses.
    pub(super) used_macros: BTreeSet<String>,
}

impl Swap {
    /// Reads the settings that all models share; the second part has the names of macros that llama-swap refuses.
    pub(super) fn read(root: &Node) -> (Self, Vec<String>) {
        let (macros, refused) = MacroList::read(root.get("macros"));
        let swap = Self {
            macros,
            port: number(root, "startPort").unwrap_or(START_PORT),
            timeout_s: number(root, "healthCheckTimeout").unwrap_or(HEALTH_TIMEOUT_S).max(HEALTH_TIMEOUT_S_MIN),
            unload_s: number(root, "unloadTimeout").filter(|seconds| *seconds > 0),
            notes: Notes::default(),
            required: BTreeSet::new(),
            containers: BTreeSet::new(),
            used_macros: BTreeSet::new(),
        };
        (swap, refused)
    }
}

/// Returns the number under a key.
pub(super) fn number<T: std::str::FromStr>(node: &Node, key: &str) -> Option<T> {
    node.get(key).and_then(Node::scalar)?.parse().ok()
}
