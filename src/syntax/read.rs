//! Deserializes a [`Node`] to wire types through serde. A value that can't be read is reported and removed, and the
//! rest is read again until no fault is left: so one run reports every unknown key and every wrong type of a file.

use serde::Deserialize;

use crate::syntax::fault::Fault;
use crate::syntax::problem::Problem;
use crate::syntax::read_error::WRONG_TYPE;
use crate::syntax::reader::NodeReader;
use crate::syntax::source::Sources;
use crate::syntax::tree::{Node, Value, is_extension};

/// Faults reported per file: the first ones suffice.
const FAULTS_MAX: usize = 100;

/// Extensions that are removed one by one, each by reading the file again: those of a map that may also be a scalar. In
/// all other maps the reader skips them.
const EXTENSIONS_MAX: usize = 100;

/// Advice that depends on the format that is read.
#[derive(Clone, Copy)]
pub(crate) struct Advice {
    /// Returns the fault of a key that is not among the expected ones.
    pub unknown_key: fn(field: &str, expected: &[&str]) -> Fault,
    /// Returns how to write a value of the wrong kind at a path of keys.
    pub wrong_value: fn(path: &[&str], value: &Node) -> Option<String>,
}

/// Reads a tree; values that can't be read are missing in the result and are reported in `problems`.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(
    root: &mut Node,
    sources: &Sources,
    advice: Advice,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let (mut faults, mut extensions) = (0, 0);
    while faults < FAULTS_MAX {
        let error = match T::deserialize(NodeReader { node: root }) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let path: Vec<usize> = error.path.iter().rev().copied().collect();
        let is_skipped = error.unknown.as_ref().is_some_and(|(field, _)| is_extension(field));
        if is_skipped && extensions < EXTENSIONS_MAX {
            extensions += 1;
            root.remove_extension(&path);
            continue;
        }
        faults += 1;
        // A key that is missing beside a removed value may be the removed one, and a list may be empty without it.
        let damaged = root.walk(&path).filter(|node| node.damaged);
        let is_emptied = |node: &Node| matches!(&node.value, Value::List(items) if items.is_empty());
        let consequence = damaged.is_some_and(|node| error.absence || is_emptied(node));
        if !consequence {
            let fault = error.unknown.map(|(field, expected)| (advice.unknown_key)(&field, expected));
            let Fault { code, message, label, help } = fault.unwrap_or(*error.fault);
            let written = (code == WRONG_TYPE).then(|| root.walk(&path)).flatten();
            let written = written.and_then(|node| (advice.wrong_value)(&root.keys(&path), node));
            let help = written.or(help);
            let place = sources.place(error.span.unwrap_or(root.span));
            let problem = Problem::error(code, message).at(place, label);
            problems.push(Problem { help, ..problem });
        }
        if path.is_empty() {
            return None;
        }
        root.remove(&path);
    }
    None
}
