//! `extends`: merges templates into services, on trees, so that a template's values keep their place in the template's
//! file. Templates may extend templates.

use std::collections::BTreeMap;

use crate::syntax::fault::suggest;
use crate::syntax::problem::Problem;
use crate::syntax::source::{Sources, Span};
use crate::syntax::tree::{Node, Value};

/// Most copies of values made for all services together; more is a mistake or an attack.
const COPIES_MAX: usize = 100_000;
/// Most bytes of text in those copies.
const COPIED_BYTES_MAX: usize = 8 << 20;
/// Deepest chain of templates that extend templates; no reader can follow more.
const DEPTH_MAX: usize = 16;

/// Every template of a set of files, by name.
#[derive(Debug, Default)]
pub(super) struct Templates {
    nodes: BTreeMap<String, Node>,
    /// True if some file could not be read, so that an unknown name may be defined there.
    incomplete: bool,
    copies: usize,
    copied_bytes: usize,
}

impl Templates {
    pub(super) fn of<'a>(roots: impl Iterator<Item = &'a Node>, incomplete: bool) -> Self {
        let entries = roots.filter_map(|root| root.get("templates")).flat_map(Node::entries);
        let nodes = entries.map(|entry| (entry.key.clone(), entry.value.clone())).collect();
        Self { nodes, incomplete, copies: 0, copied_bytes: 0 }
    }

    /// Merges the templates into every service of one file.
    pub(super) fn extend(&mut self, root: &mut Node, sources: &Sources, problems: &mut Vec<Problem>) {
        let Some(Node { value: Value::Map(services), .. }) = root.get_mut("services") else { return };
        for service in services {
            let mut chain = Vec::new();
            self.complete(&mut service.value, &mut chain, sources, problems);
        }
        // Templates are read by themselves too: an unused one is checked all the same.
        let names: Vec<(String, Span)> = root.get("templates").map(names).unwrap_or_default();
        for (name, span) in names {
            let mut node = self.nodes.get(&name).cloned().unwrap_or_else(|| Node::new(span, Value::Null));
            self.complete(&mut node, &mut vec![name], sources, problems);
        }
    }

    fn complete(&mut self, node: &mut Node, chain: &mut Vec<String>, sources: &Sources, problems: &mut Vec<Problem>) {
        let wanted: Vec<(String, Span)> = node
            .get("extends")
            .map(|extends| extends.strings().into_iter().map(|(name, span)| (name.to_owned(), span)).collect())
            .unwrap_or_default();
        let mut base: Option<Node> = None;
        for (name, span) in wanted {
            let place = sources.place(span);
            if let Some(start) = chain.iter().position(|other| *other == name) {
                node.damaged = true;
                // Each template of a cycle is visited; the cycle is reported once, at its first name.
                if chain[start..].iter().all(|other| name <= *other) {
                    let path = format!("{} -> {name}", chain[start..].join(" -> "));
                    problems.push(
                        Problem::error("lcm::manifest::cycle", format!("templates extend each other: {path}"))
                            .at(place, "the cycle closes here"),
                    );
                }
                continue;
            }
            if chain.len() >= DEPTH_MAX {
                node.damaged = true;
                problems.push(
                    Problem::error("lcm::manifest::too_large", "templates extend each other too deeply")
                        .at(place, "the limit is reached here"),
                );
                continue;
            }
            let Some(template) = self.nodes.get(&name) else {
                node.damaged = true;
                if !self.incomplete {
                    problems.push(
                        Problem::error("lcm::manifest::unknown_template", format!("there is no template `{name}`"))
                            .at(place, "this name")
                            .help(suggest(&name, self.nodes.keys().map(String::as_str))),
                    );
                }
                continue;
            };
            let (nodes, bytes) = template.size();
            self.copies = self.copies.saturating_add(nodes);
            self.copied_bytes = self.copied_bytes.saturating_add(bytes);
            if self.copies > COPIES_MAX || self.copied_bytes > COPIED_BYTES_MAX {
                node.damaged = true;
                problems.push(
                    Problem::error("lcm::manifest::too_large", "the templates expand to more than lcm allows")
                        .at(place, "the limit is reached here"),
                );
                return;
            }
            let mut template = template.clone();
            chain.push(name);
            self.complete(&mut template, chain, sources, problems);
            chain.pop();
            base = Some(match base {
                Some(base) => template.over(&base),
                None => template,
            });
        }
        if let Some(base) = base {
            *node = node.clone().over(&base);
        }
    }
}

fn names(templates: &Node) -> Vec<(String, Span)> {
    templates.entries().iter().map(|entry| (entry.key.clone(), entry.key_span)).collect()
}
