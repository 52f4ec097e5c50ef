//! Groups of llama-swap as modes. A group with `swap` runs one member at a time: one mode each. A group without runs
//! all its members: one mode. Members of a persistent group are in every mode, and a group that is not exclusive stops
//! no other services.

use std::collections::{BTreeMap, BTreeSet};

use crate::import::draft::{ModeDraft, Notes};
use crate::import::names::UniqueNames;
use crate::syntax::tree::{Node, Value as Read};

/// Names of services by their models' names in llama-swap.
pub(super) type ServiceNames<'a> = BTreeMap<&'a str, String>;

/// Returns the modes of the groups, and one for each service without a group.
pub(super) fn drafts(root: &Node, given: &ServiceNames<'_>, notes: &mut Notes) -> Vec<ModeDraft> {
    let groups = root.get("groups").map(Node::entries).unwrap_or_default();
    let is = |node: &Node, key: &str, default: bool| {
        node.get(key).and_then(Node::scalar).map_or(default, |text| text == "true")
    };
    let members = |node: &Node| -> Vec<String> {
        let Some(Read::List(items)) = node.get("members").map(|members| &members.value) else { return Vec::new() };
        items.iter().filter_map(Node::scalar).filter_map(|model| given.get(model).cloned()).collect()
    };
    let persistent: BTreeSet<String> = groups
        .iter()
        .filter(|group| is(&group.value, "persistent", false))
        .flat_map(|group| members(&group.value))
        .collect();
    let with = |services: &[String]| -> Vec<String> {
        let more = persistent.iter().filter(|name| !services.contains(name));
        services.iter().chain(more).cloned().collect()
    };
    let (mut names, mut drafts, mut grouped) = (UniqueNames::of_modes(), Vec::new(), BTreeSet::new());
    for group in groups {
        let services = members(&group.value);
        grouped.extend(services.iter().cloned());
        let keeps_others = !is(&group.value, "exclusive", true);
        let draft = |name: String, description: String, services: Vec<String>| ModeDraft {
            name,
            description,
            services,
            keeps_others,
        };
        if services.is_empty() {
            notes.add(&group.key, "no member of the group could be translated");
        } else if is(&group.value, "swap", true) {
            for service in &services {
                let description = format!("{service}, from the group {}", group.key);
                drafts.push(draft(names.give(service), description, with(std::slice::from_ref(service))));
            }
        } else {
            drafts.push(draft(
                names.give(&group.key),
                format!("The group {}, all at once", group.key),
                with(&services),
            ));
        }
    }
    for service in given.values().filter(|service| !grouped.contains(*service)) {
        drafts.push(ModeDraft {
            name: names.give(service),
            description: format!("{service} alone"),
            services: with(std::slice::from_ref(service)),
            keeps_others: false,
        });
    }
    drafts
}

/// Returns the mode of the models that llama-swap preloads, else the first mode.
pub(super) fn first(root: &Node, given: &ServiceNames<'_>, drafts: &[ModeDraft]) -> Option<String> {
    let preload = root.get("hooks").and_then(|hooks| hooks.get("on_startup")?.get("preload"));
    let loaded = match preload.map(|preload| &preload.value) {
        Some(Read::List(items)) => items.iter().filter_map(Node::scalar).find_map(|model| given.get(model)),
        Some(Read::Null | Read::Scalar(_) | Read::Map(_)) | None => None,
    };
    let wanted = loaded.and_then(|service| drafts.iter().find(|draft| draft.services.first() == Some(service)));
    wanted.or(drafts.first()).map(|draft| draft.name.clone())
}
