//! Names that a manifest takes, made from names that others gave.

use std::collections::BTreeSet;

use crate::syntax::scalar::is_name;

/// Names of one kind, each given once.
#[derive(Debug, Default)]
pub(super) struct UniqueNames(BTreeSet<String>);

impl UniqueNames {
    /// A name as near to the wanted one as there is.
    pub(super) fn give(&mut self, wanted: &str) -> String {
        let name = tamed(wanted);
        let mut free = name.clone();
        let mut count = 2_u32;
        while !self.0.insert(free.clone()) {
            free = format!("{name}-{count}");
            count += 1;
        }
        free
    }
}

/// Letters, digits, `_`, `.` and `-`, beginning with a letter or digit.
pub(super) fn tamed(wanted: &str) -> String {
    if is_name(wanted) {
        return wanted.to_owned();
    }
    let mut tamed = String::new();
    for character in wanted.chars() {
        match character {
            _ if character.is_ascii_alphanumeric() || "_.".contains(character) => tamed.push(character),
            _ if tamed.ends_with('-') => {}
            _ => tamed.push('-'),
        }
    }
    let tamed = tamed.trim_start_matches(['-', '_', '.']).trim_end_matches('-');
    if tamed.is_empty() { "unnamed".to_owned() } else { tamed.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::UniqueNames;

    #[test]
    fn a_name_is_tamed_and_given_once() {
        let mut names = UniqueNames::default();
        let given = ["a.b", "unsloth/Qwen3:Q4 K", "_x", "-", "a.b", "a.b"].map(|wanted| names.give(wanted));
        assert_eq!(given, ["a.b", "unsloth-Qwen3-Q4-K", "x", "unnamed", "a.b-2", "a.b-3"]);
    }
}
