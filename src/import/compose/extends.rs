//! Services that extend others, of the same file or of another. It happens in each file before the files are merged, as
//! in Compose since version 2; docker-compose 1.29 merged first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::import::compose::loader::{ComposeFile, ProjectLoader};
use crate::import::compose::merge;
use crate::syntax::tree::{MapEntry, Node, Value};

/// Longest chain of services that extend each other: each one's settings are copied to all that extend it.
const CHAIN_MAX: usize = 16;

/// Services of the chain from the one that is extended first, each with its file.
type Chain = Vec<(PathBuf, String)>;

impl ProjectLoader<'_> {
    /// Returns the file's tree, in which no service extends another any more.
    pub(super) fn without_extends(&mut self, file: &ComposeFile) -> Node {
        let mut root = file.root.clone();
        let Some(Node { value: Value::Map(services), .. }) = root.get_mut("services") else { return root };
        for entry in services {
            if let Some(extended) = self.extended(file, &entry.key, &mut Chain::new()) {
                entry.value = extended;
            }
        }
        root
    }

    /// Returns a service of the file with all that it extends; `None`: it is not there, or a problem was reported.
    fn extended(&mut self, file: &ComposeFile, name: &str, chain: &mut Chain) -> Option<Node> {
        let service = file.root.get("services")?.get(name)?;
        let Some(extends) = service.get("extends").filter(|extends| !matches!(extends.value, Value::Null)) else {
            return Some(service.clone());
        };
        let link = (file.path.clone(), name.to_owned());
        if chain.contains(&link) || chain.len() >= CHAIN_MAX {
            let message = if chain.contains(&link) {
                let services: Vec<&str> = chain.iter().map(|(_, name)| name.as_str()).chain([name]).collect();
                format!("services extend each other in a circle: {}", services.join(" → "))
            } else {
                format!("more than {CHAIN_MAX} services extend each other")
            };
            self.refuse(extends, message, "move the common settings to a service that extends none");
            return None;
        }
        chain.push(link);
        let base = self.base(file, name, extends, chain);
        chain.pop();
        let merged = match base {
            Some(base) if !self.has_space(extends, &base) => return None,
            Some(base) => merge::extension(&base, service, &|text| self.resolve(text)),
            None => service.clone(),
        };
        Some(without(merged, "extends"))
    }

    /// Returns the service that `extends` names.
    fn base(&mut self, file: &ComposeFile, name: &str, extends: &Node, chain: &mut Chain) -> Option<Node> {
        let at = |key: &str| extends.get(key).and_then(Node::scalar);
        let Some(wanted) = extends.scalar().or_else(|| at("service")).map(|wanted| self.resolve(wanted)) else {
            self.refuse(extends, format!("`extends` of service `{name}` names no service"), "write `service: NAME`");
            return None;
        };
        let elsewhere = at("file").map(|path| PathBuf::from(self.resolve(path)));
        let opened = match &elsewhere {
            None => None,
            Some(path) => {
                let folder = path.parent().unwrap_or(Path::new("")).to_owned();
                match self.open(path, &folder, &BTreeMap::new()) {
                    Ok(opened) => Some(opened),
                    Err(reason) => {
                        let path = path.display();
                        let note =
                            format!("it extends `{wanted}` of {path}, whose settings are missing here: {reason}");
                        let first = chain.first().map_or(name, |(_, first)| first).to_owned();
                        self.note_service(&first, note);
                        return None;
                    }
                }
            }
        };
        let named = opened.as_deref().unwrap_or(file);
        if named.root.get("services").and_then(|services| services.get(&wanted)).is_none() {
            let message = format!("service `{name}` extends `{wanted}`, which is not in {}", named.path.display());
            self.refuse(extends, message, "name a service of that file; for one of another file add `file: PATH`");
            return None;
        }
        self.extended(named, &wanted, chain)
    }
}

fn without(mut node: Node, key: &str) -> Node {
    if let Value::Map(entries) = &mut node.value {
        entries.retain(|entry: &MapEntry| entry.key != key);
    }
    node
}
