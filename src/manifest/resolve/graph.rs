//! Dependency graph: all services that a mode needs, and dependency cycles.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::names::ServiceName;

/// Services, each with its dependencies.
pub(super) type Graph<'a> = BTreeMap<&'a ServiceName, Vec<&'a ServiceName>>;

/// Returns the requested services and all their dependencies, each with the service that needs it.
pub(super) fn closure<'a>(
    asked: impl Iterator<Item = &'a ServiceName>,
    graph: &Graph<'a>,
) -> BTreeMap<&'a ServiceName, Option<&'a ServiceName>> {
    let mut wanted: BTreeMap<&ServiceName, Option<&ServiceName>> = asked.map(|name| (name, None)).collect();
    let mut open: Vec<&ServiceName> = wanted.keys().copied().collect();
    while let Some(name) = open.pop() {
        for dependency in graph.get(name).into_iter().flatten().copied() {
            if !wanted.contains_key(dependency) {
                wanted.insert(dependency, Some(name));
                open.push(dependency);
            }
        }
    }
    wanted
}

/// Returns the cycles, each starting at its first name; services that merely depend on a cycle are in none.
pub(super) fn cycles<'a>(graph: &Graph<'a>) -> Vec<Vec<&'a ServiceName>> {
    let mut left = graph.clone();
    let mut cycles = Vec::new();
    loop {
        prune(&mut left);
        let Some(mut name) = left.keys().next().copied() else { return cycles };
        // Each remaining service depends on another remaining one, so this walk must return to a service.
        let mut path: Vec<&ServiceName> = Vec::new();
        let mut seen: BTreeSet<&ServiceName> = BTreeSet::new();
        while seen.insert(name) {
            path.push(name);
            match left[name].first() {
                Some(next) => name = next,
                None => return cycles,
            }
        }
        let start = path.iter().position(|other| *other == name).unwrap_or_default();
        let mut cycle = path.split_off(start);
        let first = cycle.iter().enumerate().min_by_key(|(_, name)| **name).map_or(0, |(position, _)| position);
        cycle.rotate_left(first);
        for name in &cycle {
            left.remove(*name);
        }
        cycles.push(cycle);
    }
}

/// Removes, repeatedly, every service that depends on no remaining one.
fn prune(graph: &mut Graph<'_>) {
    let mut dependents: BTreeMap<&ServiceName, Vec<&ServiceName>> = BTreeMap::new();
    let mut counts: BTreeMap<&ServiceName, usize> = BTreeMap::new();
    let names: BTreeSet<&ServiceName> = graph.keys().copied().collect();
    for (name, dependencies) in graph.iter_mut() {
        dependencies.retain(|dependency| names.contains(dependency));
        counts.insert(name, dependencies.len());
        for dependency in dependencies {
            dependents.entry(dependency).or_default().push(name);
        }
    }
    let mut free: Vec<&ServiceName> = counts.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
    while let Some(name) = free.pop() {
        graph.remove(name);
        for dependent in dependents.get(name).into_iter().flatten() {
            if let Some(count) = counts.get_mut(dependent) {
                *count -= 1;
                if *count == 0 {
                    free.push(dependent);
                }
            }
        }
    }
    let left: BTreeSet<&ServiceName> = graph.keys().copied().collect();
    for dependencies in graph.values_mut() {
        dependencies.retain(|dependency| left.contains(dependency));
    }
}

#[cfg(test)]
mod tests {
    use super::{Graph, closure, cycles};
    use crate::model::names::ServiceName;

    fn names(text: &str) -> Vec<ServiceName> {
        text.split_whitespace().map(ServiceName::from).collect()
    }

    #[test]
    fn cycles_are_named_once() {
        let lines = ["a", "b a d", "c b", "d c", "e b", "f f", "g a"].map(names);
        let graph: Graph<'_> = lines.iter().map(|line| (&line[0], line[1..].iter().collect())).collect();
        let found: Vec<String> = cycles(&graph)
            .iter()
            .map(|cycle| cycle.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(found, ["b d c", "f"]);
    }

    #[test]
    fn a_chain_of_any_length_is_walked() {
        let all: Vec<ServiceName> = (0..50_000).map(|number| ServiceName::new(format!("s{number:05}"))).collect();
        let mut graph: Graph<'_> = all.iter().zip(all.iter().skip(1)).map(|(name, next)| (name, vec![next])).collect();
        assert!(cycles(&graph).is_empty());
        assert_eq!(closure([&all[0]].into_iter(), &graph).len(), all.len());
        graph.insert(&all[49_999], vec![&all[0]]);
        assert_eq!(cycles(&graph).len(), 1);
    }
}
