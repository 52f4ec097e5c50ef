//! Groups and matrix of llama-swap as modes with the same meaning. To load a model there stops its group's other
//! members if the group swaps, and all other groups' if it is exclusive, except persistent ones.
//!
//! | in llama-swap | mode |
//! |---|---|
//! | no group, or a group that swaps | one for each model |
//! | a group that does not swap | one with all members |
//! | exclusive | stops all others |
//! | not exclusive | `others: keep`; `stop:` names the siblings in a group that swaps |
//! | persistent, and all run at once | its services are in every mode |
//! | persistent, and it swaps | modes of other groups name in `stop:` what they stop, and keep the rest |
//! | a set of the matrix | one for each combination |

use std::collections::{BTreeMap, BTreeSet};

use crate::import::draft::Notes;
use crate::import::llama_swap::matrix::MatrixSets;
use crate::import::llama_swap::routing::{Router, SwapGroup, router};
use crate::import::llama_swap::text::scalars;
use crate::import::names::UniqueNames;
use crate::import::writer::{YamlBlock, YamlValue};
use crate::syntax::tree::Node;

/// Modes of a draft: a reader can't choose among more.
const MODES_MAX: usize = 1_000;
/// Names in all modes, so that the manifest stays below the limit of its reader (100 000 values).
const NAMES_MAX: usize = 30_000;
/// Names that a manifest reserves for other meanings.
const RESERVED: [&str; 2] = ["auto", "off"];

/// Keys of a matrix that modes express.
const MATRIX_KEYS: [&str; 2] = ["vars", "sets"];

/// Names of services by their models' names in llama-swap.
pub(super) type ServiceNames<'a> = BTreeMap<&'a str, String>;

/// One mode.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SwapMode {
    pub(super) name: String,
    description: String,
    pub(super) services: Vec<String>,
    /// Services that it stops though it keeps others.
    stop: Vec<String>,
    keeps_others: bool,
}

/// Modes, and comments above them; each comment is a note too.
#[derive(Debug, Default)]
pub(super) struct SwapModes {
    pub(super) modes: Vec<SwapMode>,
    pub(super) comments: Vec<String>,
}

/// Modes in progress.
struct ModeBuilder<'a> {
    given: &'a ServiceNames<'a>,
    names: UniqueNames,
    made: SwapModes,
    listed: usize,
    left_out: usize,
}

/// Returns the modes of the groups or of the matrix, and one for each service that is in none.
pub(super) fn modes(root: &Node, given: &ServiceNames<'_>, notes: &mut Notes) -> SwapModes {
    let mut builder =
        ModeBuilder { given, names: UniqueNames::default(), made: SwapModes::default(), listed: 0, left_out: 0 };
    for name in RESERVED {
        builder.names.give(name);
    }
    let (router, odd) = router(root);
    for note in odd {
        builder.made.comments.push(notes.about("modes", note));
    }
    match router {
        Router::Groups(groups) => builder.groups(&groups, notes),
        Router::Matrix(matrix) => builder.matrix(matrix, notes),
    }
    if builder.left_out > 0 {
        let note = format!("{} more modes were left out: a manifest is limited in size", builder.left_out);
        builder.made.comments.push(notes.about("modes", note));
    }
    builder.made
}

impl ModeBuilder<'_> {
    fn add(
        &mut self,
        wanted: &str,
        description: String,
        services: Vec<String>,
        (stop, keeps_others): (Vec<String>, bool),
    ) {
        let listed = services.len() + stop.len();
        if self.made.modes.len() >= MODES_MAX || self.listed + listed > NAMES_MAX {
            self.left_out += 1;
            return;
        }
        self.listed += listed;
        let name = self.names.give(wanted);
        self.made.modes.push(SwapMode { name, description, services, stop, keeps_others });
    }

    fn groups(&mut self, groups: &[SwapGroup<'_>], notes: &mut Notes) {
        let mut taken = BTreeSet::new();
        let members: Vec<Vec<String>> = groups.iter().map(|group| self.members(group, &mut taken, notes)).collect();
        let groups: Vec<(&SwapGroup<'_>, &[String])> = groups.iter().zip(members.iter().map(Vec::as_slice)).collect();
        let all_at_once = |group: &SwapGroup<'_>, members: &[String]| !group.swaps || members.len() < 2;
        let always: Vec<&String> = groups
            .iter()
            .filter(|(group, members)| group.is_persistent && all_at_once(group, members))
            .flat_map(|(_, members)| *members)
            .collect();
        let sticky: BTreeSet<&String> = groups
            .iter()
            .filter(|(group, members)| group.is_persistent && !all_at_once(group, members))
            .flat_map(|(_, members)| *members)
            .collect();
        self.on_persistence(&groups, &always, notes);
        let with_always = |services: &[String]| -> Vec<String> {
            let more = always.iter().copied().filter(|name| !services.contains(*name));
            services.iter().chain(more).cloned().collect()
        };
        let given = self.given;
        // Others of an exclusive group: all are stopped, except persistent ones of other groups.
        let others = |services: &[String], own: &[String]| -> (Vec<String>, bool) {
            let kept = |name: &String| sticky.contains(name) && !own.contains(name);
            if !given.values().any(kept) {
                return (Vec::new(), false);
            }
            (given.values().filter(|name| !kept(name) && !services.contains(name)).cloned().collect(), true)
        };
        for (group, members) in &groups {
            if all_at_once(group, members) {
                if members.is_empty() {
                    continue;
                }
                let services = with_always(members);
                let others = if group.is_exclusive { others(&services, members) } else { (Vec::new(), true) };
                // A group that swaps and has one member is that member.
                let (name, description) = match &members[..] {
                    [one] if group.swaps => (one.as_str(), format!("{one}, from the group {}", group.name)),
                    [_] => (group.name, format!("The group {}", group.name)),
                    _ => (group.name, format!("The group {}, all at once", group.name)),
                };
                self.add(name, description, services, others);
                continue;
            }
            for service in *members {
                let services = with_always(std::slice::from_ref(service));
                let siblings = members.iter().filter(|sibling| *sibling != service).cloned().collect();
                let others = if group.is_exclusive { others(&services, members) } else { (siblings, true) };
                self.add(service, format!("{service}, from the group {}", group.name), services, others);
            }
        }
        let grouped: BTreeSet<&String> = groups.iter().flat_map(|(_, members)| *members).collect();
        for service in given.values().filter(|service| !grouped.contains(service)) {
            let services = with_always(std::slice::from_ref(service));
            let others = others(&services, &[]);
            self.add(service, format!("{service} alone"), services, others);
        }
    }

    /// Returns the services of a group, and notes its faults.
    fn members<'g>(&mut self, group: &SwapGroup<'g>, taken: &mut BTreeSet<&'g str>, notes: &mut Notes) -> Vec<String> {
        let about = format!("group {}", group.name);
        let mut services = Vec::new();
        for member in &group.members {
            if !taken.insert(member) {
                let note = format!("`{member}` is in another group, or in this one twice, which llama-swap refuses");
                self.made.comments.push(notes.about(&about, note));
            } else if let Some(service) = self.given.get(member) {
                services.push(service.clone());
            } else {
                let note = format!("`{member}` is not a model of this file, or was left out");
                self.made.comments.push(notes.about(&about, note));
            }
        }
        if services.is_empty() {
            self.made.comments.push(notes.about(&about, "no member of the group could be translated"));
        }
        if !group.odd.is_empty() {
            let note = format!("no equivalent in a manifest, so not translated: {}", group.odd.join(", "));
            self.made.comments.push(notes.about(&about, note));
        }
        services
    }

    fn on_persistence(&mut self, groups: &[(&SwapGroup<'_>, &[String])], always: &[&String], notes: &mut Notes) {
        if !always.is_empty() {
            let names: Vec<&str> = always.iter().map(|name| name.as_str()).collect();
            let note = format!(
                "{} run in every mode, since no other group stops them; llama-swap starts them at their first request",
                names.join(", ")
            );
            self.made.comments.push(notes.about("persistent", note));
        }
        let whole: Vec<&str> = groups
            .iter()
            .filter(|(group, members)| !group.swaps && members.len() > 1)
            .map(|(group, _)| group.name)
            .collect();
        if !whole.is_empty() {
            let note = format!(
                "a mode starts all of its services at once; llama-swap starts each at its first request (groups: {})",
                whole.join(", ")
            );
            self.made.comments.push(notes.about("modes", note));
        }
    }

    fn matrix(&mut self, matrix: &Node, notes: &mut Notes) {
        let mut vars: BTreeMap<&str, &str> = BTreeMap::new();
        for entry in matrix.get("vars").map(Node::entries).unwrap_or_default() {
            vars.insert(&entry.key, entry.value.scalar().unwrap_or_default());
        }
        let given = self.given;
        let service = |name: &str| given.get(vars.get(name).copied().unwrap_or(name)).cloned();
        let entries = matrix.get("sets").map(Node::entries).unwrap_or_default();
        let texts: Vec<(&str, &str)> =
            entries.iter().map(|entry| (entry.key.as_str(), entry.value.scalar().unwrap_or_default())).collect();
        let mut sets = MatrixSets::new(texts.iter().copied(), &service);
        let mut combined = BTreeSet::new();
        for (name, _) in &texts {
            let about = format!("set {name}");
            match sets.expand(name) {
                Ok(expanded) => {
                    if expanded.is_cut {
                        let note =
                            format!("it has more combinations than the {} that became modes", expanded.all.len());
                        self.made.comments.push(notes.about(&about, note));
                    }
                    combined.extend(expanded.all.iter().flatten().cloned());
                    self.set(name, &expanded.all);
                }
                Err(reason) => {
                    self.made.comments.push(notes.about(&about, format!("it can't be expanded: {reason}")));
                }
            }
        }
        let note = "a mode starts all models of a set; llama-swap starts only the requested one, and keeps the others of \
                    its set that run";
        self.made.comments.push(notes.about("matrix", note));
        let left: Vec<&str> =
            matrix.entries().iter().map(|entry| entry.key.as_str()).filter(|key| !MATRIX_KEYS.contains(key)).collect();
        if !left.is_empty() {
            let note = format!("a mode names what runs, so these are not translated: {}", left.join(", "));
            self.made.comments.push(notes.about("matrix", note));
        }
        for service in given.values().filter(|service| !combined.contains(*service)) {
            self.add(service, format!("{service} alone"), vec![service.clone()], (Vec::new(), false));
        }
    }

    /// Adds a mode for each combination of a set, named by the services that set it apart from the others.
    fn set(&mut self, name: &str, all: &[BTreeSet<String>]) {
        /// Longest name of a mode, so that tables stay readable.
        const NAME_CHARS_MAX: usize = 48;
        for (number, one) in (1..).zip(all) {
            let apart = one.iter().filter(|service| !all.iter().all(|other| other.contains(*service)));
            let suffix = apart.map(String::as_str).collect::<Vec<_>>().join("-");
            let long = format!("{name}-{suffix}");
            let wanted = match (all.len(), suffix.is_empty() || long.chars().count() > NAME_CHARS_MAX) {
                (1, _) => name.to_owned(),
                (_, true) => format!("{name}-{number}"),
                (_, false) => long,
            };
            let services: Vec<String> = one.iter().cloned().collect();
            let description = format!("The set {name}: {}", services.join(", "));
            self.add(&wanted, description, services, (Vec::new(), false));
        }
    }
}

impl SwapModes {
    /// Returns the value of `modes:`.
    pub(super) fn value(&self) -> YamlValue {
        let mut modes = YamlBlock::default();
        for comment in &self.comments {
            modes.comment(comment);
        }
        for SwapMode { name, description, services, stop, keeps_others } in &self.modes {
            let mut mode = YamlBlock::default();
            mode.put("description", YamlValue::literal(description));
            mode.put("services", YamlValue::texts(services));
            if !stop.is_empty() {
                mode.put("stop", YamlValue::texts(stop));
            }
            if *keeps_others {
                mode.put_with("others", YamlValue::word("keep"), "other running services keep running");
            }
            modes.put(name, YamlValue::Map(mode));
        }
        YamlValue::Map(modes)
    }

    /// Returns the mode of the models that llama-swap preloads, with a note where it is not exactly that; without any,
    /// the first mode.
    pub(super) fn first(&self, root: &Node, given: &ServiceNames<'_>) -> Option<(String, Option<String>)> {
        let hooks = root.get("hooks").and_then(|hooks| hooks.get("on_startup")?.get("preload"));
        let preload = scalars(hooks);
        let aliases = aliases(root);
        let named = preload.iter().map(|model| model.trim()).map(|model| aliases.get(model).copied().unwrap_or(model));
        let services: Vec<&String> = named.filter_map(|model| given.get(model)).collect();
        let lacking = |mode: &SwapMode| services.iter().filter(|service| !mode.services.contains(**service)).count();
        // Of the modes with the first model, the one with most of the rest; of these, the smallest.
        let has_first = |mode: &&SwapMode| services.first().is_some_and(|first| mode.services.contains(*first));
        let best = self.modes.iter().filter(has_first).min_by_key(|mode| (lacking(mode), mode.services.len()));
        match best {
            Some(mode) if lacking(mode) == 0 && services.len() == preload.len() => Some((mode.name.clone(), None)),
            Some(mode) => {
                let note = format!("llama-swap preloads {}; no mode has all of them", preload.join(", "));
                Some((mode.name.clone(), Some(note)))
            }
            None if preload.is_empty() => {
                let note = "llama-swap preloads no model; this is the first mode".to_owned();
                self.modes.first().map(|mode| (mode.name.clone(), Some(note)))
            }
            None => {
                let note = format!("llama-swap preloads {}, which no mode has; this is the first", preload.join(", "));
                self.modes.first().map(|mode| (mode.name.clone(), Some(note)))
            }
        }
    }
}

/// Returns the models by their aliases.
fn aliases(root: &Node) -> BTreeMap<&str, &str> {
    let mut aliases = BTreeMap::new();
    for entry in root.get("models").map(Node::entries).unwrap_or_default() {
        aliases.extend(scalars(entry.value.get("aliases")).into_iter().map(|alias| (alias, entry.key.as_str())));
    }
    aliases
}
