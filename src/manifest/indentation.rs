//! Fault of indentation that YAML can't see: the keys of a service stand beside its name instead of below it. As three
//! or more other faults, none of which names the cause, it is the first one that newcomers meet.

use crate::manifest::wire::service::service_keys;
use crate::syntax::problem::Problem;
use crate::syntax::source::Sources;
use crate::syntax::tree::{MapEntry, Node, Value};

/// Reports the keys that belong to a service without any, and removes them together with that service.
pub(super) fn check(root: &mut Node, sources: &Sources, problems: &mut Vec<Problem>) {
    for section in ["services", "templates"] {
        let Some(node) = root.get_mut(section) else { continue };
        let Value::Map(entries) = &mut node.value else { continue };
        let Some((empty, keys)) = misplaced(entries) else { continue };
        let (service, key) = (&entries[empty], &entries[empty + 1]);
        let message = format!("`{}` stands beside the service `{}` instead of below it", key.key, service.key);
        let help = format!("indent `{}:` and the keys of `{}` that follow by two more spaces", key.key, service.key);
        let problem = Problem::error("lcm::manifest::indentation", message)
            .at(sources.place(key.key_span), "a key of a service")
            .also(sources.place(service.key_span), "this service has no keys")
            .help(help);
        problems.push(problem);
        entries.drain(empty..=empty + keys);
        node.damaged = true;
    }
}

/// Returns the position of a service without a value and the number of its keys that follow.
fn misplaced(entries: &[MapEntry]) -> Option<(usize, usize)> {
    if !entries.iter().any(|entry| matches!(entry.value.value, Value::Null)) {
        return None;
    }
    let known = service_keys();
    let is_service_key = |key: &str| known.iter().any(|known| known == key);
    let empty = entries.windows(2).position(|pair| {
        matches!(pair[0].value.value, Value::Null) && !is_service_key(&pair[0].key) && is_service_key(&pair[1].key)
    })?;
    let keys = entries[empty + 1..].iter().take_while(|entry| is_service_key(&entry.key)).count();
    Some((empty, keys))
}
