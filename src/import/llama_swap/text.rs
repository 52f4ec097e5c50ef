//! Texts of llama-swap's configuration: macros, comments in commands, and variables of the environment.

use std::collections::BTreeSet;

use crate::syntax::interpolate::name_at;
use crate::syntax::tree::{Node, Value as Read};

/// Rounds of expansion: llama-swap makes one, in which a macro can use those defined before it; older versions took
/// any order.
const ROUNDS_MAX: usize = 8;
/// Length of an expanded text in bytes: the kernel passes no longer string to a process (`MAX_ARG_STRLEN`).
const TEXT_BYTES_MAX: usize = 128 << 10;
/// Macros of a file; each is searched in each text.
const MACROS_MAX: usize = 500;
/// Names that llama-swap gives a value itself.
const RESERVED: [&str; 3] = ["PORT", "PID", "MODEL_ID"];

/// One macro.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Macro {
    name: String,
    /// The macro as it stands in texts: `${name}`.
    slug: String,
    value: String,
}

/// Macros in the order of their definition.
#[derive(Clone, Debug, Default)]
pub(super) struct MacroList(Vec<Macro>);

impl MacroList {
    /// Reads macros; the second part has the names of those that llama-swap refuses.
    pub(super) fn read(node: Option<&Node>) -> (Self, Vec<String>) {
        let (mut list, mut refused) = (Self::default(), Vec::new());
        for entry in node.map(Node::entries).unwrap_or_default() {
            match entry.value.scalar() {
                Some(value) if !RESERVED.contains(&entry.key.as_str()) && list.0.len() < MACROS_MAX => {
                    list.set(&entry.key, value);
                }
                Some(_) | None => refused.push(entry.key.clone()),
            }
        }
        (list, refused)
    }

    /// Returns the macros of a model: its own take the place of those of the same name, and its id comes first.
    pub(super) fn merged(&self, own: &Self, model: &str) -> Self {
        let mut merged = Self::default();
        merged.set("MODEL_ID", model);
        for one in self.0.iter().chain(&own.0) {
            merged.set(&one.name, &one.value);
        }
        merged
    }

    /// Returns the scalar under a key, with macros expanded; `None`: there is none.
    pub(super) fn scalar(&self, node: &Node, key: &str, used: &mut BTreeSet<String>) -> Option<String> {
        self.expand(node.get(key)?.scalar()?, used)
    }

    /// Returns the names of all macros.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|one| one.name.as_str())
    }

    fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|one| one.name == name) {
            Some(one) => value.clone_into(&mut one.value),
            None => self.0.push(Macro { name: name.to_owned(), slug: format!("${{{name}}}"), value: value.to_owned() }),
        }
    }

    /// Returns the text with its macros expanded, from the last to the first as llama-swap does; `None`: it is too
    /// long then. Names of the expanded ones are added to `used`.
    fn expand(&self, text: &str, used: &mut BTreeSet<String>) -> Option<String> {
        let mut filled = text.to_owned();
        for _ in 0..ROUNDS_MAX {
            let mut is_changed = false;
            for one in self.0.iter().rev() {
                if !filled.contains("${") {
                    return Some(filled);
                }
                let count = filled.matches(&one.slug).count();
                if count == 0 {
                    continue;
                }
                used.insert(one.name.clone());
                let grown = filled.len() - count * one.slug.len() + count.saturating_mul(one.value.len());
                if grown > TEXT_BYTES_MAX {
                    return None;
                }
                filled = filled.replace(&one.slug, &one.value);
                is_changed = true;
            }
            if !is_changed {
                break;
            }
        }
        Some(filled)
    }
}

/// Texts of one model: its macros and its port are filled in.
#[derive(Debug)]
pub(super) struct ModelTexts {
    macros: MacroList,
    /// Port of the model, once it is known.
    pub(super) port: Option<u16>,
    /// Names of the expanded macros.
    pub(super) used: BTreeSet<String>,
    /// Names of macros that the file does not define, or that refer to themselves.
    pub(super) undefined: BTreeSet<String>,
    /// Variables of llama-swap's environment.
    pub(super) variables: BTreeSet<String>,
    /// True if a text was too long with its macros, and is empty now.
    pub(super) is_too_long: bool,
}

impl ModelTexts {
    pub(super) fn new(macros: MacroList) -> Self {
        Self {
            macros,
            port: None,
            used: BTreeSet::new(),
            undefined: BTreeSet::new(),
            variables: BTreeSet::new(),
            is_too_long: false,
        }
    }

    /// Returns true if the text has the port in it.
    pub(super) fn has_port(&mut self, text: &str) -> bool {
        self.macros.expand(text, &mut BTreeSet::new()).is_some_and(|text| text.contains("${PORT}"))
    }

    /// Returns a text in lcm's notation: `${env.NAME}` is `${NAME}`, and any other dollar sign is doubled.
    pub(super) fn fill(&mut self, text: &str) -> String {
        let Some(mut filled) = self.macros.expand(text, &mut self.used) else {
            self.is_too_long = true;
            return String::new();
        };
        if let Some(port) = self.port {
            filled = filled.replace("${PORT}", &port.to_string());
        }
        self.notation(&filled)
    }

    /// Returns a command in lcm's notation, without comments and as one line.
    pub(super) fn command(&mut self, text: &str) -> String {
        // Comments go before a macro in them can become text, and once more with those of macros.
        let filled = self.fill(&without_comments(text));
        joined(&filled)
    }

    fn notation(&mut self, text: &str) -> String {
        let (mut written, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(dollar) = rest.find('$') {
            written.push_str(&rest[..dollar]);
            rest = &rest[dollar + 1..];
            let inner = rest.strip_prefix('{').and_then(|inner| Some(&inner[..inner.find('}')?]));
            let variable = inner.and_then(|inner| inner.strip_prefix("env."));
            if let Some(name) = variable.filter(|name| !name.is_empty() && name_at(name) == *name) {
                self.variables.insert(name.to_owned());
                written.extend(["${", name, "}"]);
                rest = &rest[inner.map_or(0, str::len) + 2..];
                continue;
            }
            if let Some(name) = inner.filter(|name| is_macro_name(name)) {
                self.undefined.insert(name.to_owned());
            }
            written.push_str("$$");
        }
        written.push_str(rest);
        written
    }
}

/// Returns true for the form of a macro's name.
fn is_macro_name(name: &str) -> bool {
    let is_part = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    (1..64).contains(&name.len()) && name.chars().all(is_part)
}

/// Removes comment lines.
fn without_comments(text: &str) -> String {
    let kept: Vec<&str> = text.split('\n').filter(|line| !line.trim_start().starts_with('#')).collect();
    kept.join("\n")
}

/// Returns true if a command has nothing but comments.
pub(super) fn is_empty_command(text: &str) -> bool {
    without_comments(text).trim().is_empty()
}

/// Removes comment lines, and joins a line that ends in a backslash with the next.
fn joined(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.split('\n').filter(|line| !line.trim_start().starts_with('#')) {
        match line.trim().strip_suffix('\\') {
            Some(continued) => lines.push(format!("{continued} ")),
            None => lines.push(line.to_owned()),
        }
    }
    lines.join("\n")
}

/// Returns the scalars of a list.
pub(super) fn scalars(node: Option<&Node>) -> Vec<&str> {
    match node.map(|node| &node.value) {
        Some(Read::List(items)) => items.iter().filter_map(Node::scalar).collect(),
        Some(Read::Null | Read::Scalar(_) | Read::Map(_)) | None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{MacroList, ModelTexts, TEXT_BYTES_MAX};

    fn list(pairs: &[(&str, &str)]) -> MacroList {
        let mut list = MacroList::default();
        for (name, value) in pairs {
            list.set(name, value);
        }
        list
    }

    fn texts(all: &[(&str, &str)], own: &[(&str, &str)]) -> ModelTexts {
        ModelTexts::new(list(all).merged(&list(own), "m1"))
    }

    #[test]
    fn macros_are_expanded_and_a_models_own_take_precedence() {
        let all = [("more", "-fa"), ("server", "llama-server --port ${PORT} ${more}"), ("spare", "x")];
        let mut texts = texts(&all, &[("more", "--id ${MODEL_ID}")]);
        assert!(texts.has_port("${server}") && !texts.has_port("${more}"));
        texts.port = Some(5800);
        assert_eq!(texts.fill("${server} -m x"), "llama-server --port 5800 --id m1 -m x");
        assert_eq!(texts.used.iter().collect::<Vec<_>>(), ["MODEL_ID", "more", "server"]);
    }

    #[test]
    fn a_macro_that_refers_to_itself_ends_as_undefined() {
        let mut texts = texts(&[("loop", "${loop}x"), ("a", "${b}"), ("b", "${a}")], &[]);
        assert_eq!(texts.fill("${loop}"), format!("$${{loop}}{}", "x".repeat(8)));
        texts.fill("${b} ${none} ${PID}");
        assert!(["b", "loop", "none", "PID"].iter().all(|name| texts.undefined.contains(*name)), "{texts:?}");
    }

    #[test]
    fn a_text_that_grows_without_bound_is_given_up() {
        let doubled: Vec<(String, String)> =
            (1..64).map(|at| (format!("m{at}"), format!("${{m{0}}}${{m{0}}}", at - 1))).collect();
        let mut pairs = vec![("m0", "0123456789")];
        pairs.extend(doubled.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let mut texts = texts(&pairs, &[]);
        assert_eq!(texts.fill("${m63}"), "");
        assert!(texts.is_too_long);
        let (mut texts, longest) = (self::texts(&[], &[]), "x".repeat(TEXT_BYTES_MAX));
        assert_eq!(texts.fill(&longest).len(), TEXT_BYTES_MAX);
    }

    #[test]
    fn variables_of_the_environment_stay_variables_and_other_dollars_are_literal() {
        let mut texts = texts(&[("models", "${env.HOME}/models")], &[]);
        let filled = texts.fill("${models}/x $HOME ${env.} ${env.A-B} 5$ ${env.TOKEN}");
        assert_eq!(filled, "${HOME}/models/x $$HOME $${env.} $${env.A-B} 5$$ ${TOKEN}");
        assert_eq!(texts.variables.iter().collect::<Vec<_>>(), ["HOME", "TOKEN"]);
        assert!(texts.undefined.is_empty());
    }

    #[test]
    fn comments_go_and_lines_are_joined() {
        let mut texts = texts(&[("server", ">\n# not this either\nllama-server")], &[]);
        let line = texts.command("${server} \\\n  -a\n  # ${none}\n -b \\  \n'c # d'");
        assert_eq!(line, ">\nllama-server  \n  -a\n-b  \n'c # d'");
        assert!(texts.undefined.is_empty());
    }
}
