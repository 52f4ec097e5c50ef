//! Interpolation of variables with Compose's syntax: `$VAR`, `${VAR}`, `${VAR:-default}`, `${VAR-default}`,
//! `${VAR:?message}`, `${VAR?message}`, `${VAR:+other}`, `${VAR+other}`, and `$$` for a dollar sign. It happens after
//! parsing, so that no value of a variable can change the structure of the file. Keys are not interpolated.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::syntax::Environment;
use crate::syntax::problem::Problem;
use crate::syntax::source::{Sources, Span};
use crate::syntax::tree::{Node, Scalar, ScalarKind, Value};

/// Bytes that variables may add to one value: the kernel passes no longer string to a process (`MAX_ARG_STRLEN`).
const VALUE_BYTES_MAX: usize = 128 << 10;
/// Bytes that variables may add to a manifest: two environments of the largest size that a kernel takes.
const EXPANSION_BYTES_MAX: usize = 4 << 20;

/// Nesting of variables in defaults: more is unreadable.
const DEPTH_MAX: usize = 8;

/// Interpolated variables by the span of their value.
pub(crate) type Variables = BTreeMap<Span, Used>;

/// Variables of one value.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// Names of the variables whose own values are in the text.
    pub names: BTreeSet<String>,
    /// Unset variables, as reasons why there is no value. Only in the environment of a service, which can't start then.
    pub missing: Vec<String>,
}

/// Bytes that variables may still add to all files of a manifest; `None`: the limit is exceeded and was reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expansion(Option<usize>);

impl Default for Expansion {
    fn default() -> Self {
        Self(Some(EXPANSION_BYTES_MAX))
    }
}

impl Expansion {
    fn take(&mut self, written: &str, filled: Filled) -> Result<Filled, Vec<VariableFault>> {
        let added = filled.text.len().saturating_sub(written.len());
        let Some(left) = self.0 else { return Err(Vec::new()) };
        self.0 = left.checked_sub(added);
        if self.0.is_none() {
            let name = name_at(written.split_once('$').map_or("", |(_, after)| after.trim_start_matches('{')));
            return Err(vec![VariableFault::TooLarge { name: name.to_owned(), bytes_max: EXPANSION_BYTES_MAX }]);
        }
        Ok(filled)
    }
}

/// Interpolates every value of a file. A value with a fault is removed and becomes a problem; in a service's
/// environment an unset variable is recorded as missing, for that service alone.
pub(crate) fn interpolate(
    root: &mut Node,
    environment: &Environment,
    expansion: &mut Expansion,
    sources: &Sources,
    problems: &mut Vec<Problem>,
) -> Variables {
    let (used, keys) = (Variables::new(), Vec::new());
    let mut interpolation = Interpolation { environment, expansion, sources, problems, used, keys };
    interpolation.below(root);
    interpolation.used
}

struct Interpolation<'a> {
    environment: &'a Environment,
    expansion: &'a mut Expansion,
    sources: &'a Sources,
    problems: &'a mut Vec<Problem>,
    used: Variables,
    /// Keys that lead to the current value.
    keys: Vec<String>,
}

impl Interpolation<'_> {
    fn below(&mut self, node: &mut Node) {
        let mut damaged = false;
        match &mut node.value {
            Value::List(items) => items.retain_mut(|item| {
                let keep = self.value(item);
                damaged |= !keep || item.damaged;
                keep
            }),
            Value::Map(entries) => entries.retain_mut(|entry| {
                self.keys.push(entry.key.clone());
                let keep = self.value(&mut entry.value);
                self.keys.pop();
                damaged |= !keep || entry.value.damaged;
                keep
            }),
            Value::Null | Value::Scalar(_) => {}
        }
        node.damaged |= damaged;
    }

    /// Interpolates a node; returns false if it has no value.
    fn value(&mut self, node: &mut Node) -> bool {
        match &mut node.value {
            Value::Scalar(scalar) if scalar.kind == ScalarKind::String && scalar.text.contains('$') => {
                self.scalar(scalar, node.span)
            }
            Value::Null | Value::Scalar(_) => true,
            Value::List(_) | Value::Map(_) => {
                self.below(node);
                true
            }
        }
    }

    fn scalar(&mut self, scalar: &mut Scalar, span: Span) -> bool {
        let filled = fill(&scalar.text, &|name| self.environment.get(name).cloned());
        match filled.and_then(|filled| self.expansion.take(&scalar.text, filled)) {
            Ok(Filled { text, variables, names }) => {
                scalar.interpolated = variables;
                scalar.text = text;
                self.used.insert(span, Used { names, missing: Vec::new() });
                true
            }
            Err(faults) if self.is_in_environment() && faults.iter().all(VariableFault::is_absence) => {
                let names = faults.iter().map(ToString::to_string);
                // In a list, the text before the `=` names the variable.
                let kept = scalar.text.find('=').filter(|_| self.keys.len() == ENVIRONMENT_DEPTH);
                scalar.text.truncate(kept.map_or(0, |equals| equals + 1));
                scalar.interpolated = true;
                self.used.insert(span, Used { names: BTreeSet::new(), missing: names.collect() });
                true
            }
            Err(faults) => {
                self.problems.extend(faults.into_iter().map(|fault| {
                    Problem::error("lcm::manifest::variable", fault.to_string())
                        .at(self.sources.place(span), "in this value")
                        .help(fault.help())
                }));
                false
            }
        }
    }

    /// Returns true within `services: { SERVICE: { RUNTIME: { environment: .. } } }`, a map or a list.
    fn is_in_environment(&self) -> bool {
        let [section, _, _, key, rest @ ..] = &self.keys[..] else { return false };
        ["services", "templates"].contains(&section.as_str()) && key == "environment" && rest.len() <= 1
    }
}

/// Keys down to `environment`.
const ENVIRONMENT_DEPTH: usize = 4;

/// Text after interpolation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Filled {
    pub text: String,
    /// True if the text contained a variable; `$$` is none.
    pub variables: bool,
    /// Names of the variables whose own values were used, not those replaced by a default.
    pub names: BTreeSet<String>,
}

/// Reason why a variable could not be interpolated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum VariableFault {
    Unset(String),
    /// `${VAR:?message}`: the message explains the variable.
    Required {
        name: String,
        message: String,
    },
    Malformed(String),
    /// Variable with which the text exceeds a limit in bytes.
    TooLarge {
        name: String,
        bytes_max: usize,
    },
}

impl VariableFault {
    /// Returns true if a variable is not set, rather than malformed.
    fn is_absence(&self) -> bool {
        match self {
            Self::Unset(_) | Self::Required { .. } => true,
            Self::Malformed(_) | Self::TooLarge { .. } => false,
        }
    }

    fn help(&self) -> String {
        match self {
            Self::Unset(name) => format!(
                "set it in lcm's environment, give a default: `${{{name}:-default}}`, or write `$$` for a dollar sign"
            ),
            Self::Required { name, .. } => format!("set `{name}` in lcm's environment"),
            Self::TooLarge { .. } => "pass large contents as a file".to_owned(),
            Self::Malformed(_) => "write `${NAME}`, `${NAME:-default}`, or `$$` for a dollar sign".to_owned(),
        }
    }
}

impl fmt::Display for VariableFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset(name) => write!(formatter, "the variable `{name}` is not set"),
            Self::Required { name, message } if message.is_empty() => {
                write!(formatter, "the variable `{name}` is required")
            }
            Self::Required { name, message } => write!(formatter, "the variable `{name}` is required: {message}"),
            Self::Malformed(text) => write!(formatter, "`{text}` is not a variable"),
            Self::TooLarge { name, bytes_max } => {
                let limit = bytes_max >> 10;
                write!(formatter, "the variable `{name}` expands the text past the limit of {limit} KiB")
            }
        }
    }
}

/// Interpolates one text; `Err`: all faults.
pub(crate) fn fill(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Filled, Vec<VariableFault>> {
    let (faults, names) = (Vec::new(), BTreeSet::new());
    let mut filler = Filler { lookup, faults, variables: false, names, bytes_left: Some(VALUE_BYTES_MAX) };
    let text = filler.fill(text, 0);
    let Filler { faults, variables, names, .. } = filler;
    if faults.is_empty() { Ok(Filled { text, variables, names }) } else { Err(faults) }
}

struct Filler<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    faults: Vec<VariableFault>,
    variables: bool,
    names: BTreeSet<String>,
    /// Bytes that variables may still add; `None`: the limit is exceeded.
    bytes_left: Option<usize>,
}

impl Filler<'_> {
    fn fill(&mut self, text: &str, depth: usize) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            filled.push_str(&rest[..dollar]);
            rest = &rest[dollar + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                filled.push('$');
                rest = after;
            } else if let Some(inner) = rest.strip_prefix('{') {
                let Some(end) = closing_brace(inner).filter(|_| depth < DEPTH_MAX) else {
                    self.malformed(&format!("${rest}"));
                    return filled;
                };
                filled.push_str(&self.braced(&inner[..end], depth));
                rest = &inner[end + 1..];
            } else {
                let name = name_at(rest);
                if name.is_empty() {
                    self.malformed(&format!("${}", rest.chars().take(1).collect::<String>()));
                    return filled;
                }
                filled.push_str(&self.value(name));
                rest = &rest[name.len()..];
            }
        }
        filled.push_str(rest);
        filled
    }

    /// Expands the text between braces.
    fn braced(&mut self, inner: &str, depth: usize) -> String {
        let name = name_at(inner);
        let operator = &inner[name.len()..];
        if name.is_empty() {
            self.malformed(&format!("${{{inner}}}"));
            return String::new();
        }
        if operator.is_empty() {
            return self.value(name);
        }
        // With a colon, a variable that is set and empty counts as unset.
        let (bare, found) = match operator.strip_prefix(':') {
            Some(bare) => (bare, (self.lookup)(name).filter(|value| !value.is_empty())),
            None => (operator, (self.lookup)(name)),
        };
        self.variables = true;
        match (bare.chars().next(), found) {
            (Some('-'), None) | (Some('+'), Some(_)) => self.fill(&bare[1..], depth + 1),
            (Some('+'), None) => String::new(),
            (Some('-' | '?'), Some(value)) => {
                self.names.insert(name.to_owned());
                self.bounded(name, value)
            }
            (Some('?'), None) => {
                // As written: a variable in it may hold a secret that no environment masks.
                self.faults.push(VariableFault::Required { name: name.to_owned(), message: bare[1..].to_owned() });
                String::new()
            }
            (Some(_) | None, _) => {
                self.malformed(&format!("${{{inner}}}"));
                String::new()
            }
        }
    }

    fn value(&mut self, name: &str) -> String {
        self.variables = true;
        self.names.insert(name.to_owned());
        if let Some(value) = (self.lookup)(name) {
            return self.bounded(name, value);
        }
        self.faults.push(VariableFault::Unset(name.to_owned()));
        String::new()
    }

    /// Returns the value of a variable, or an empty text beyond the limit.
    fn bounded(&mut self, name: &str, value: String) -> String {
        // Reported once: all further values exceed the limit as well.
        let Some(before) = self.bytes_left else { return String::new() };
        self.bytes_left = before.checked_sub(value.len());
        if self.bytes_left.is_some() {
            return value;
        }
        self.faults.push(VariableFault::TooLarge { name: name.to_owned(), bytes_max: VALUE_BYTES_MAX });
        String::new()
    }

    fn malformed(&mut self, text: &str) {
        // Enough to recognise it; the place is underlined anyway.
        const SHOWN_MAX: usize = 40;
        self.faults.push(VariableFault::Malformed(text.chars().take(SHOWN_MAX).collect()));
    }
}

/// Returns the variable's name at the beginning of a text.
pub(crate) fn name_at(text: &str) -> &str {
    let end = text
        .char_indices()
        .find(|(position, character)| {
            let letter = character.is_ascii_alphabetic() || *character == '_';
            !(letter || (*position > 0 && character.is_ascii_digit()))
        })
        .map_or(text.len(), |(position, _)| position);
    &text[..end]
}

/// Returns the position of the brace that closes one opened just before `text`.
pub(crate) fn closing_brace(text: &str) -> Option<usize> {
    let mut open = 1_usize;
    let mut previous = ' ';
    for (position, character) in text.char_indices() {
        match character {
            '{' if previous == '$' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(position);
        }
        previous = character;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{VariableFault, fill};

    fn filled(text: &str) -> Result<String, Vec<VariableFault>> {
        let lookup = |name: &str| match name {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        fill(text, &lookup).map(|filled| filled.text)
    }

    #[test]
    fn the_forms_of_compose() {
        for (text, wanted) in [
            ("$SET-${SET}", "value-value"),
            ("${NONE:-d}${EMPTY:-e}${SET:-f}", "devalue"),
            ("[${EMPTY-d}][${NONE-d}]", "[][d]"),
            ("${NONE:-a${SET:-b}c}", "avaluec"),
            ("${SET:+x}${NONE:+y}${EMPTY+z}${EMPTY:+w}", "xz"),
            ("${SET:?needed}", "value"),
            ("$$SET costs 5$$", "$SET costs 5$"),
            ("http://localhost:${NONE:-80}/{id}", "http://localhost:80/{id}"),
        ] {
            assert_eq!(filled(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn every_fault_is_reported() {
        assert_eq!(
            filled("$NONE ${OTHER}").unwrap_err(),
            [VariableFault::Unset("NONE".into()), VariableFault::Unset("OTHER".into())]
        );
        assert_eq!(
            filled("${EMPTY:?say where}").unwrap_err(),
            [VariableFault::Required { name: "EMPTY".into(), message: "say where".into() }]
        );
        assert_eq!(
            filled("${EMPTY:?say ${SET}}").unwrap_err(),
            [VariableFault::Required { name: "EMPTY".into(), message: "say ${SET}".into() }],
            "no value is shown"
        );
        for text in ["a$", "$1", "${", "${}", "${SET", "${SET!x}", "${SET:x}"] {
            assert!(matches!(filled(text).unwrap_err()[..], [VariableFault::Malformed(_)]), "{text}");
        }
    }

    #[test]
    fn unlimited_nesting_is_refused() {
        assert!(filled(&"${A:-".repeat(100_000)).is_err());
        let closed = format!("{}{}", "${A:-".repeat(1000), "}".repeat(1000));
        assert!(filled(&closed).is_err());
    }

    #[test]
    fn a_value_is_limited_to_the_size_that_a_process_takes() {
        let lookup = |_: &str| Some("x".repeat(1 << 10));
        assert_eq!(fill(&"$A".repeat(128), &lookup).unwrap().text.len(), 128 << 10);
        let faults = fill(&"${A:-b}${C}".repeat(1000), &lookup).map(|filled| filled.text.len()).unwrap_err();
        assert_eq!(faults.first(), Some(&VariableFault::TooLarge { name: "A".into(), bytes_max: 128 << 10 }));
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].to_string(), "the variable `A` expands the text past the limit of 128 KiB");
    }

    #[test]
    fn escaped_dollars_are_no_variables() {
        let lookup = |name: &str| (name != "B").then(|| "v".to_owned());
        let filled = fill("$A ${B:-x} ${C:-y} ${D:+z}", &lookup).unwrap();
        assert_eq!(filled.names.into_iter().collect::<Vec<_>>(), ["A", "C"], "names of the values that were used");
        assert!(!fill("5$$", &|_| None).unwrap().variables);
        assert!(fill("${A:-b}", &|_| None).unwrap().variables);
    }
}
