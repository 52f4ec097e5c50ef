//! Finds import cycles: the files that each file uses, with re-exports followed to the definition, and the groups of
//! files that reach each other. A `mod.rs` counts as a file like any other, also where it only re-exports an item.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Source;

/// Bound on chains of re-exports, above any in the tree.
const HOPS_MAX: u32 = 8;

type Path = Vec<String>;

struct Module<'a> {
    source: &'a Source,
    path: Path,
    /// Full paths by the names in this file.
    names: BTreeMap<String, Path>,
    /// Leaves of this file's `use`.
    imports: Vec<Path>,
}

/// Returns the imports within each group of files that import each other, as pairs (from, to), without test code.
pub(crate) fn circles(sources: &[Source]) -> Vec<Vec<(String, String)>> {
    let modules: Vec<Module<'_>> = sources.iter().map(Module::new).collect();
    let index: BTreeMap<&[String], usize> =
        modules.iter().enumerate().map(|(at, module)| (&module.path[..], at)).collect();
    let edges: Vec<BTreeSet<usize>> = modules
        .iter()
        .enumerate()
        .map(|(at, module)| {
            let used = module.used();
            let found = used.into_iter().flat_map(|path| passed(&path, &modules, &index));
            found.filter(|other| *other != at).collect()
        })
        .collect();
    let reached: Vec<BTreeSet<usize>> = (0..modules.len()).map(|from| reach(from, &edges)).collect();
    let mut groups: BTreeSet<BTreeSet<usize>> = BTreeSet::new();
    for (at, from) in reached.iter().enumerate().filter(|(at, from)| from.contains(at)) {
        groups.insert(from.iter().copied().filter(|other| reached[*other].contains(&at)).collect());
    }
    let path = |at: usize| modules[at].source.path.clone();
    let within = |group: &BTreeSet<usize>| {
        let pairs = group.iter().flat_map(|from| edges[*from].intersection(group).map(|to| (path(*from), path(*to))));
        pairs.collect()
    };
    groups.iter().map(within).collect()
}

fn reach(from: usize, edges: &[BTreeSet<usize>]) -> BTreeSet<usize> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(at) = open.pop() {
        open.extend(edges[at].iter().filter(|next| seen.insert(**next)));
    }
    seen
}

/// Returns the file that defines `path`, preceded by those that re-export it; none for a module itself, and for other
/// crates.
fn passed(path: &[String], modules: &[Module<'_>], index: &BTreeMap<&[String], usize>) -> Vec<usize> {
    let (mut path, mut found) = (path.to_vec(), Vec::new());
    for _ in 0..HOPS_MAX {
        if index.contains_key(&path[..]) {
            break;
        }
        let Some(length) = (1..path.len()).rev().find(|length| index.contains_key(&path[..*length])) else { break };
        let at = index[&path[..length]];
        found.push(at);
        match modules[at].names.get(&path[length]) {
            Some(target) if target[..] != path[..=length] => {
                path = target.iter().chain(&path[length + 1..]).cloned().collect();
            }
            _ => break,
        }
    }
    found
}

impl<'a> Module<'a> {
    fn new(source: &'a Source) -> Self {
        let inner = source.path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        let own = inner.split('/').filter(|segment| *segment != "lib").map(str::to_owned);
        let path: Path = std::iter::once("crate".to_owned()).chain(own).collect();
        let mut module = Self { source, path, names: BTreeMap::new(), imports: Vec::new() };
        for at in source.words("mod").filter(|at| !source.is_test_code(*at)) {
            let name = source.code[at + 3..].trim_start();
            let name = &name[..name.find(|letter: char| !is_name(letter)).unwrap_or(name.len())];
            module.names.insert(name.to_owned(), module.child(name));
        }
        for at in source.words("use").filter(|at| !source.is_test_code(*at)) {
            let Some((text, _)) = source.code[at + 3..].split_once(';') else { continue };
            let mut leaves = Vec::new();
            open_up(text.trim(), &[], &mut leaves);
            for (path, name) in leaves {
                let path = module.absolute(path);
                module.names.insert(name, path.clone());
                module.imports.push(path);
            }
        }
        module
    }

    fn child(&self, name: &str) -> Path {
        self.path.iter().cloned().chain([name.to_owned()]).collect()
    }

    /// Resolves a path from the root of the crate; unchanged if it names another crate.
    fn absolute(&self, path: Path) -> Path {
        let ups = path.iter().take_while(|segment| *segment == "super").count();
        match path.first().map(String::as_str) {
            Some("super") => {
                let base = &self.path[..self.path.len().saturating_sub(ups)];
                base.iter().cloned().chain(path.into_iter().skip(ups)).collect()
            }
            Some("self") => self.path.iter().cloned().chain(path.into_iter().skip(1)).collect(),
            Some(first) => match self.names.get(first) {
                Some(known) => known.iter().cloned().chain(path.into_iter().skip(1)).collect(),
                None => path,
            },
            None => path,
        }
    }

    /// Returns each path that this file names: its imports, and the paths in code.
    fn used(&self) -> Vec<Path> {
        let mut used = self.imports.clone();
        let code = &self.source.code;
        for (at, _) in code.match_indices("::").filter(|(at, _)| !self.source.is_test_code(*at)) {
            let first = code[..at].chars().rev().take_while(|letter| is_name(*letter)).collect::<Vec<_>>();
            let begin = at - first.iter().map(|letter| letter.len_utf8()).sum::<usize>();
            if first.is_empty() || code[..begin].ends_with("::") {
                continue;
            }
            let rest = &code[begin..];
            let end = rest.find(|letter: char| !is_name(letter) && letter != ':').unwrap_or(rest.len());
            let path: Path = rest[..end].split("::").filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
            used.push(self.absolute(path));
        }
        used
    }
}

/// Collects the leaves of a `use` tree: full path and local name.
fn open_up(text: &str, before: &[String], leaves: &mut Vec<(Path, String)>) {
    let text = text.trim();
    if let Some(group) = text.strip_prefix('{') {
        for item in split_outside(group.trim_end().trim_end_matches('}')) {
            open_up(item, before, leaves);
        }
        return;
    }
    if let Some((first, rest)) = text.split_once("::") {
        return open_up(rest, &[before, &[first.trim().to_owned()]].concat(), leaves);
    }
    let (item, name) = text.split_once(" as ").unwrap_or((text, text));
    let path = if item == "self" { before.to_vec() } else { [before, &[item.trim().to_owned()]].concat() };
    let name = if name == "self" { before.last().cloned().unwrap_or_default() } else { name.trim().to_owned() };
    leaves.push((path, name));
}

/// Splits the items of a group at its outer commas.
fn split_outside(group: &str) -> Vec<&str> {
    let (mut depth, mut from, mut items) = (0_i32, 0, Vec::new());
    for (at, letter) in group.char_indices() {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        if letter == ',' && depth == 0 {
            items.push(&group[from..at]);
            from = at + 1;
        }
    }
    items.push(&group[from..]);
    items.retain(|item| !item.trim().is_empty());
    items
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}
