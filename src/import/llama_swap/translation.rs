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
    /// Time after which llama-swap unloads an idle model; `None`: never.
    pub(super) idle_s: Option<u64>,
    /// Names of macros that llama-swap refuses.
    pub(super) refused: Vec<String>,
    /// Keys whose value is no number.
    pub(super) unreadable: Vec<&'static str>,
    pub(super) notes: Notes,
    /// Names of variables that must be set in lcm's environment.
    pub(super) required: BTreeSet<String>,
    /// Names of containers already in use.
    pub(super) containers: BTreeSet<String>,
    /// Names of macros that a model uses.
    pub(super) used_macros: BTreeSet<String>,
}

impl Swap {
    /// Reads the settings that all models share.
    pub(super) fn read(root: &Node) -> Self {
        let (macros, refused) = MacroList::read(root.get("macros"));
        let (mut used_macros, mut unreadable) = (BTreeSet::new(), Vec::new());
        let mut number = |key: &'static str| -> Option<u64> {
            let number = macros.scalar(root, key, &mut used_macros).and_then(|text| text.trim().parse().ok());
            if number.is_none() && root.get(key).is_some() {
                unreadable.push(key);
            }
            number
        };
        let port = number("startPort").and_then(|port| u32::try_from(port).ok());
        let timeout_s = number("healthCheckTimeout").unwrap_or(HEALTH_TIMEOUT_S).max(HEALTH_TIMEOUT_S_MIN);
        let (unload_s, idle_s) = (number("unloadTimeout"), number("globalTTL"));
        Self {
            macros,
            port: port.unwrap_or(START_PORT),
            timeout_s,
            unload_s: unload_s.filter(|seconds| *seconds > 0),
            idle_s: idle_s.filter(|seconds| *seconds > 0),
            refused,
            unreadable,
            notes: Notes::default(),
            required: BTreeSet::new(),
            containers: BTreeSet::new(),
            used_macros,
        }
    }
}
