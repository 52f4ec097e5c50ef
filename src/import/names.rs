//! Valid names for a manifest, made from other tools' names.

use std::collections::BTreeSet;

use crate::syntax::scalar::{RESERVED_MODES, is_name};

/// Length at which a name is cut, so that a number fits behind it.
const CHARS_MAX: usize = 90;

/// Names of one kind, each used once.
#[derive(Debug, Default)]
pub(super) struct UniqueNames(BTreeSet<String>);

impl UniqueNames {
    /// Creates the names of modes: those that are reserved are in use.
    pub(super) fn of_modes() -> Self {
        Self(RESERVED_MODES.map(str::to_owned).into())
    }

    /// Returns an unused name as close as possible to the wanted one.
    pub(super) fn give(&mut self, wanted: &str) -> String {
        let name = valid_name(wanted);
        let mut free = name.clone();
        let mut count = 2_u32;
        while !self.0.insert(free.clone()) {
            free = format!("{}-{count}", cut(&name, CHARS_MAX));
            count += 1;
        }
        free
    }
}

/// Returns a valid name: letters, digits, `_`, `.` and `-`, beginning with a letter or digit.
pub(super) fn valid_name(wanted: &str) -> String {
    if is_name(wanted) {
        return wanted.to_owned();
    }
    let mut name = String::new();
    for character in wanted.chars() {
        match character {
            _ if character.is_ascii_alphanumeric() || "_.".contains(character) => name.push(character),
            _ if name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    let name = cut(name.trim_start_matches(['-', '_', '.']), CHARS_MAX).trim_end_matches('-');
    if name.is_empty() { "unnamed".to_owned() } else { name.to_owned() }
}

/// Returns the first characters of an ASCII text.
fn cut(name: &str, chars_max: usize) -> &str {
    &name[..name.len().min(chars_max)]
}

#[cfg(test)]
mod tests {
    use super::UniqueNames;
    use crate::syntax::scalar::is_name;

    #[test]
    fn a_long_name_is_cut_and_stays_unique() {
        let mut names = UniqueNames::default();
        let given = ["é".repeat(300), "x".repeat(300), "x".repeat(301), "x".repeat(100), "x".repeat(100)];
        let given = given.map(|wanted| names.give(&wanted));
        assert!(given.iter().all(|name| is_name(name)), "{given:?}");
        assert_eq!(given.iter().collect::<std::collections::BTreeSet<_>>().len(), given.len());
    }

    #[test]
    fn a_name_is_made_valid_and_used_once() {
        let mut names = UniqueNames::default();
        let given = ["a.b", "unsloth/Qwen3:Q4 K", "_x", "-", "a.b", "a.b"].map(|wanted| names.give(wanted));
        assert_eq!(UniqueNames::of_modes().give("auto"), "auto-2");
        assert_eq!(given, ["a.b", "unsloth-Qwen3-Q4-K", "x", "unnamed", "a.b-2", "a.b-3"]);
    }
}
