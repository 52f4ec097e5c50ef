//! Check that a file is one of the formats that are read, before anything in it is quoted.

use std::path::Path;

use crate::syntax::problem::Problem;
use crate::syntax::tree::{Node, Value as Read};

/// Returns true if a file has a key of one of the tools; for invalid YAML, if a line begins with one.
pub(super) fn is_known(root: Option<&Node>, text: &str) -> bool {
    const TELLING: [&str; 4] = ["services", "models", "include", "extends"];
    // An empty file is reported as such.
    match root {
        Some(root) => matches!(root.value, Read::Null) || TELLING.iter().any(|key| root.get(key).is_some()),
        None => text.lines().any(|line| {
            line.split_once(':').is_some_and(|(key, _)| TELLING.contains(&key.trim_end().trim_matches(['"', '\''])))
        }),
    }
}

/// Returns a problem of a file that neither tool reads, without any quotation: the file may be anything, such as a key
/// or a list of passwords.
pub(super) fn unquoted(problem: Problem, path: &Path) -> Problem {
    if problem.message.contains('`') || problem.message.contains("not valid YAML") {
        let message = format!("{} is neither a Compose file nor a llama-swap configuration", path.display());
        let help = "both are YAML maps with `services` or `models`; the contents of other files are not shown";
        return Problem::error(problem.code, message).help(help);
    }
    Problem { place: None, label: String::new(), related: Vec::new(), ..problem }
}
