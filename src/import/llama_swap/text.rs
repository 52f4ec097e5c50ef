//! Macros and comments in llama-swap's commands.

use std::collections::BTreeMap;

use crate::syntax::tree::Node;

/// Deepest nesting of macros that is expanded.
const DEPTH_MAX: usize = 8;

/// Macros by name. `${PORT}` is not among them: it is filled in last.
#[derive(Debug, Default)]
pub(super) struct Macros(BTreeMap<String, String>);

impl Macros {
    pub(super) fn of(node: Option<&Node>) -> Self {
        let entries = node.map(Node::entries).unwrap_or_default();
        Self(entries.iter().filter_map(|entry| Some((entry.key.clone(), entry.value.scalar()?.to_owned()))).collect())
    }

    /// Returns the text with these macros expanded; a model's own take precedence.
    pub(super) fn fill(&self, text: &str, own: &Self, model: &str) -> String {
        let mut filled = text.to_owned();
        for _ in 0..DEPTH_MAX {
            let mut next = filled.replace("${MODEL_ID}", model).replace("${model}", model);
            for (name, value) in own.0.iter().chain(self.0.iter().filter(|(name, _)| !own.0.contains_key(*name))) {
                next = next.replace(&format!("${{{name}}}"), &uncommented(value));
            }
            if next == filled {
                break;
            }
            filled = next;
        }
        filled
    }
}

/// Removes comment lines, and joins a line that ends in a backslash with the next.
pub(super) fn uncommented(text: &str) -> String {
    let kept: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    kept.join("\n").replace("\\\n", " ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Macros, uncommented};

    #[test]
    fn macros_are_expanded_and_a_models_own_take_precedence() {
        let macros = |pairs: &[(&str, &str)]| {
            Macros(
                pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>(),
            )
        };
        let all = macros(&[("server", "llama-server --port ${PORT} ${more}"), ("more", "-fa"), ("loop", "${loop}x")]);
        let own = macros(&[("more", "--id ${MODEL_ID}")]);
        assert_eq!(all.fill("${server} -m x", &own, "m1"), "llama-server --port ${PORT} --id m1 -m x");
        assert_eq!(all.fill("${loop}", &own, "m"), "${loop}xxxxxxxx");
    }

    #[test]
    fn comments_go_and_lines_are_joined() {
        assert_eq!(uncommented("a \\\n  b\n# not this\nc"), "a    b\nc");
    }
}
