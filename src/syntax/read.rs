//! Deserializes a [`Node`] to wire types through serde. A value that can't be read is reported and removed, and the
//! rest is read again until no fault is left: so one run reports every unknown key and every wrong type of a file.

use serde::Deserialize;

use crate::syntax::fault::Fault;
use crate::syntax::problem::Problem;
use crate::syntax::reader::NodeReader;
use crate::syntax::source::Sources;
use crate::syntax::tree::{Node, is_extension};

/// Faults reported per file: the first ones suffice.
const FAULTS_MAX: usize = 100;

/// Extensions that are removed one by one, each by reading the file again: those of a map that may also be a scalar. In
/// all other maps the reader skips them.
const EXTENSIONS_MAX: usize = 100;

/// Returns the fault of a key that is not among the expected ones.
pub(crate) type UnknownKey = fn(field: &str, expected: &[&str]) -> Fault;

/// Reads a tree; values that can't be read are missing in the result and are reported in `problems`.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(
    root: &mut Node,
    sources: &Sources,
    unknown_key: UnknownKey,
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
        // A key that is missing beside a removed value may be the removed one.
        let consequence = error.absence && root.walk(&path).is_some_and(|node| node.damaged);
        if !consequence {
            let fault = error.unknown.map(|(field, expected)| unknown_key(&field, expected));
            let Fault { code, message, label, help } = fault.unwrap_or(*error.fault);
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
