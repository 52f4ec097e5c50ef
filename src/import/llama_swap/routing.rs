//! Groups and matrix of llama-swap, from the place where the file has them: `routing.router.settings`, or the top level
//! as in older files.

use crate::import::llama_swap::text::scalars;
use crate::syntax::tree::{MapEntry, Node};

/// Keys of a group.
const GROUP_KEYS: [&str; 4] = ["swap", "exclusive", "persistent", "members"];

/// One group.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SwapGroup<'a> {
    pub(super) name: &'a str,
    pub(super) members: Vec<&'a str>,
    /// One member at a time.
    pub(super) swaps: bool,
    /// Starting a member stops the other groups.
    pub(super) is_exclusive: bool,
    /// No other group stops its members.
    pub(super) is_persistent: bool,
    /// Keys that llama-swap does not have.
    pub(super) odd: Vec<&'a str>,
}

/// Router in use.
#[derive(Debug)]
pub(super) enum Router<'a> {
    Groups(Vec<SwapGroup<'a>>),
    Matrix(&'a Node),
}

/// Returns the router in use, and notes on the settings that llama-swap ignores or refuses.
pub(super) fn router(root: &Node) -> (Router<'_>, Vec<String>) {
    let mut notes = Vec::new();
    let routing = root.get("routing").and_then(|routing| routing.get("router"));
    let settings = routing.and_then(|router| router.get("settings"));
    let of_routing = |key: &str| settings.and_then(|settings| settings.get(key));
    let uses = routing.and_then(|router| router.get("use")).and_then(Node::scalar);
    let (groups, matrix) = (root.get("groups"), root.get("matrix"));
    if (groups.is_some() || matrix.is_some()) && (uses.is_some() || settings.is_some()) {
        notes.push("the file has both `routing.router` and a top-level `groups` or `matrix`, which llama-swap refuses: only `routing.router` is translated".to_owned());
    }
    if uses.is_some() || settings.is_some() {
        let (groups, matrix) = (of_routing("groups"), of_routing("matrix"));
        return match (uses, matrix) {
            (Some("matrix"), Some(matrix)) => {
                if groups.is_some() {
                    notes.push("`use: matrix`, so `groups` has no effect and is not translated".to_owned());
                }
                (Router::Matrix(matrix), notes)
            }
            (_, matrix) => {
                if matrix.is_some() {
                    notes.push("`matrix` has no effect without `use: matrix`, and is not translated".to_owned());
                }
                if let Some(other) = uses.filter(|uses| *uses != "group") {
                    let why = if other == "matrix" { "has no `matrix`" } else { "is not a router" };
                    notes.push(format!("`routing.router.use: {other}` {why}: the groups are translated"));
                }
                (Router::Groups(read(groups)), notes)
            }
        };
    }
    match (groups, matrix) {
        (Some(_), Some(_)) => {
            notes.push(
                "the file has both `groups` and `matrix`, which llama-swap refuses: only `groups` is translated"
                    .to_owned(),
            );
            (Router::Groups(read(groups)), notes)
        }
        (None, Some(matrix)) => (Router::Matrix(matrix), notes),
        (groups, None) => (Router::Groups(read(groups)), notes),
    }
}

fn read(groups: Option<&Node>) -> Vec<SwapGroup<'_>> {
    groups.map(Node::entries).unwrap_or_default().iter().map(group).collect()
}

fn group(entry: &MapEntry) -> SwapGroup<'_> {
    let is = |key: &str, default: bool| {
        entry.value.get(key).and_then(Node::scalar).map_or(default, |text| text.eq_ignore_ascii_case("true"))
    };
    let keys = entry.value.entries().iter().map(|entry| entry.key.as_str());
    SwapGroup {
        name: &entry.key,
        members: scalars(entry.value.get("members")),
        swaps: is("swap", true),
        is_exclusive: is("exclusive", true),
        is_persistent: is("persistent", false),
        odd: keys.filter(|key| !GROUP_KEYS.contains(key)).collect(),
    }
}
