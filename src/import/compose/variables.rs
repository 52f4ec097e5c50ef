//! Compose's variables for lcm. Both have `${NAME:-default}`; but Compose also reads `.env`, and treats an unset
//! variable as empty, where lcm refuses. So each optional variable gets the default that Compose would use, and one
//! that has a value which may not be copied becomes required.

use std::collections::{BTreeMap, BTreeSet};

use crate::import::secrets::{is_secret, masked_text};
use crate::syntax::Environment;
use crate::syntax::interpolate::{VariableFault, closing_brace, fill, name_at};

/// Deepest nesting of defaults; no reader follows more.
const DEPTH_MAX: usize = 8;
/// Values of no file.
static NONE: BTreeMap<String, String> = BTreeMap::new();
/// Message of a variable whose value in `.env` was not copied.
const HIDDEN_VALUE: &str = "set it as in .env, whose value is not copied";

/// Values of variables, and names of those that the user must set.
#[derive(Debug)]
pub(super) struct ComposeVariables<'a> {
    dotenv: &'a BTreeMap<String, String>,
    environment: &'a Environment,
    /// True if variables without a value in `dotenv` stay as written.
    keeps_unknown: bool,
    /// True if secrets are not copied, and a variable that Compose requires stays required.
    hides: bool,
    /// Names of variables without a default.
    pub(super) unset: BTreeSet<String>,
    /// Names of variables without which Compose refuses to start.
    pub(super) required: BTreeSet<String>,
    /// Names of variables whose values were taken from `.env`.
    pub(super) taken: BTreeSet<String>,
}

/// Value of a variable in `.env`.
enum Known {
    Value(String),
    Empty,
    /// A secret, or a text that can't stand between braces.
    Hidden,
    Unset,
}

impl<'a> ComposeVariables<'a> {
    pub(super) fn new(dotenv: &'a BTreeMap<String, String>, environment: &'a Environment) -> Self {
        let (unset, required, taken) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self { dotenv, environment, keeps_unknown: false, hides: true, unset, required, taken }
    }

    /// Returns variables that replace only the names in `dotenv`.
    pub(super) fn of_file(dotenv: &'a BTreeMap<String, String>, environment: &'a Environment) -> Self {
        Self { keeps_unknown: true, ..Self::new(dotenv, environment) }
    }

    /// Returns a text in which each optional variable has a default: an unset one is empty, as in Compose.
    pub(super) fn adapt(&mut self, text: &str) -> String {
        self.adapt_or(text, &|_| String::new())
    }

    /// Returns the same with another default than the empty text.
    pub(super) fn adapt_or(&mut self, text: &str, otherwise: &dyn Fn(&str) -> String) -> String {
        self.walk(text, otherwise, 0)
    }

    /// Returns a text as Compose interpolates it now, for names and keys that decide on the structure.
    pub(super) fn resolve(&self, text: &str) -> String {
        if !text.contains('$') {
            return text.to_owned();
        }
        let optional = ComposeVariables { hides: false, ..ComposeVariables::new(&NONE, self.environment) }.adapt(text);
        let value = |name: &str| self.environment.get(name).or_else(|| self.dotenv.get(name)).cloned();
        fill(&optional, &value).map(|filled| filled.text).unwrap_or_default()
    }

    /// Returns true if `.env` has a value for the variable.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.dotenv.get(name).is_some_and(|value| !value.is_empty())
    }

    fn walk(&mut self, text: &str, otherwise: &dyn Fn(&str) -> String, depth: usize) -> String {
        let (mut adapted, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(dollar) = rest.find('$') {
            adapted.push_str(&rest[..dollar]);
            rest = &rest[dollar + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                adapted.push_str("$$");
                rest = after;
            } else if let Some(inner) = rest.strip_prefix('{') {
                let Some(end) = closing_brace(inner).filter(|_| depth < DEPTH_MAX) else {
                    // Compose would refuse this dollar sign; here it is text.
                    adapted.push_str("$$");
                    continue;
                };
                adapted.push_str(&self.braced(&inner[..end], otherwise, depth));
                rest = &inner[end + 1..];
            } else {
                let name = name_at(rest);
                rest = &rest[name.len()..];
                adapted.push_str(&if name.is_empty() { "$$".to_owned() } else { self.plain(name, otherwise) });
            }
        }
        adapted.push_str(rest);
        adapted
    }

    /// Adapts the text between braces.
    fn braced(&mut self, inner: &str, otherwise: &dyn Fn(&str) -> String, depth: usize) -> String {
        let name = name_at(inner);
        let operator = &inner[name.len()..];
        let (colon, bare) = operator.strip_prefix(':').map_or(("", operator), |bare| (":", bare));
        let Some(sign) = bare.chars().next().filter(|_| !name.is_empty()) else {
            return if name.is_empty() { format!("$${{{inner}}}") } else { self.plain(name, otherwise) };
        };
        let argument = &bare[sign.len_utf8()..];
        let known = self.known(name);
        match (sign, known) {
            // A variable of `.env` is always set, so the other text always stands here.
            ('+', Known::Value(_) | Known::Hidden) => self.walk(argument, otherwise, depth + 1),
            ('+', Known::Empty) if colon.is_empty() => self.walk(argument, otherwise, depth + 1),
            ('+', Known::Empty | Known::Unset) => {
                let argument = if self.hides { masked_text(argument) } else { argument.to_owned() };
                let other = self.walk(&argument, otherwise, depth + 1);
                format!("${{{name}{colon}+{other}}}")
            }
            ('-' | '?', Known::Value(value)) => format!("${{{name}{colon}-{value}}}"),
            ('-' | '?', Known::Hidden) => hidden_value(name),
            ('-' | '?', Known::Empty) if colon.is_empty() => format!("${{{name}-}}"),
            ('-', Known::Empty | Known::Unset) if self.hides && is_secret(name, argument) => {
                if self.keeps_unknown {
                    format!("${{{inner}}}")
                } else {
                    hidden_default(name)
                }
            }
            ('-', Known::Empty | Known::Unset) => {
                format!("${{{name}{colon}-{}}}", self.walk(argument, otherwise, depth + 1))
            }
            ('?', Known::Empty | Known::Unset) if !self.hides => format!("${{{name}:-}}"),
            ('?', Known::Empty | Known::Unset) => {
                self.required.insert(name.to_owned());
                format!("${{{inner}}}")
            }
            (_, Known::Value(_) | Known::Empty | Known::Hidden | Known::Unset) => self.plain(name, otherwise),
        }
    }

    fn plain(&mut self, name: &str, otherwise: &dyn Fn(&str) -> String) -> String {
        match self.known(name) {
            Known::Value(value) => format!("${{{name}-{value}}}"),
            Known::Empty => format!("${{{name}-}}"),
            Known::Hidden => hidden_value(name),
            Known::Unset if self.keeps_unknown => format!("${{{name}}}"),
            Known::Unset => {
                self.unset.insert(name.to_owned());
                format!("${{{name}:-{}}}", otherwise(name))
            }
        }
    }

    fn known(&mut self, name: &str) -> Known {
        let Some(value) = self.dotenv.get(name) else { return Known::Unset };
        if value.is_empty() {
            return Known::Empty;
        }
        if is_secret(name, value) || value.contains(['$', '{', '}', '\n']) {
            return Known::Hidden;
        }
        self.taken.insert(name.to_owned());
        Known::Value(value.clone())
    }
}

/// Returns a variable that must be set, since its value in `.env` is not copied.
fn hidden_value(name: &str) -> String {
    format!("${{{name}:?{HIDDEN_VALUE}}}")
}

/// Returns a variable that must be set, since its default is not copied.
fn hidden_default(name: &str) -> String {
    crate::import::secrets::required(name)
}

/// Returns the names of variables in a text that must be set, because their values were not copied.
pub(super) fn hidden_names(text: &str) -> BTreeSet<String> {
    text.match_indices("${")
        .filter_map(|(position, _)| {
            let inner = &text[position + 2..];
            let name = name_at(inner);
            inner[name.len()..].starts_with(":?set it").then(|| name.to_owned())
        })
        .collect()
}

/// Returns the text with all variables unset; a required one has the value `1`, which is valid wherever a text is.
pub(super) fn filled(adapted: &str) -> String {
    let faults = match fill(adapted, &|_| None) {
        Ok(filled) => return filled.text,
        Err(faults) => faults,
    };
    let required = |name: &str| {
        let is_it = |fault: &VariableFault| matches!(fault, VariableFault::Required { name: of, .. } if of == name);
        faults.iter().any(is_it).then(|| "1".to_owned())
    };
    fill(adapted, &required).map(|filled| filled.text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{ComposeVariables, filled, hidden_names};

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn each_variable_gets_the_default_that_compose_would_put_in() {
        let dotenv = map(&[("PORT", "3000"), ("DB_PASSWORD", "s3cret"), ("ODD", "a}b"), ("NOTHING", "")]);
        let environment = BTreeMap::new();
        let mut variables = ComposeVariables::new(&dotenv, &environment);
        let in_env = "set it as in .env, whose value is not copied";
        let default = "set it: its default may be a secret and is not copied";
        for (text, wanted, empty) in [
            ("${PORT}:8080", "${PORT-3000}:8080", "3000:8080"),
            ("${PORT:-1}", "${PORT:-3000}", "3000"),
            ("${PORT-1}", "${PORT-3000}", "3000"),
            ("${PORT:?e}", "${PORT:-3000}", "3000"),
            ("$NONE-x", "${NONE:-}-x", "-x"),
            ("${NONE:?say}", "${NONE:?say}", "1"),
            ("${NONE?say}", "${NONE?say}", "1"),
            ("${NOTHING:?say}", "${NOTHING:?say}", "1"),
            ("${NOTHING?say}", "${NOTHING-}", ""),
            ("${NOTHING-x}", "${NOTHING-}", ""),
            ("${NOTHING:-x}", "${NOTHING:-x}", "x"),
            ("$NOTHING", "${NOTHING-}", ""),
            ("${NONE-${PORT}}", "${NONE-${PORT-3000}}", "3000"),
            ("${NONE:-${OTHER:-x}y}", "${NONE:-${OTHER:-x}y}", "xy"),
            ("${DB_PASSWORD}", &format!("${{DB_PASSWORD:?{in_env}}}"), "1"),
            ("-p$DB_PASSWORD", &format!("-p${{DB_PASSWORD:?{in_env}}}"), "-p1"),
            ("${ODD}", &format!("${{ODD:?{in_env}}}"), "1"),
            ("-p${PW:-s3cret}", &format!("-p${{PW:?{default}}}"), "-p1"),
            ("${PW:-}", "${PW:-}", ""),
            ("${X:-sk-0123456789abcdef}", &format!("${{X:?{default}}}"), "1"),
            ("${NONE:+x}", "${NONE:+x}", ""),
            ("${PORT:+x$PORT}", "x${PORT-3000}", "x3000"),
            ("${NOTHING+x}${NOTHING:+y}", "x${NOTHING:+y}", "x"),
            ("${DB_PASSWORD:+--login}", "--login", "--login"),
            ("a $$HOME b$", "a $$HOME b$$", "a $HOME b$"),
            ("${}", "$${}", "${}"),
        ] {
            let adapted = variables.adapt(text);
            assert_eq!((adapted.as_str(), filled(&adapted).as_str()), (wanted, empty), "{text}");
            let twice = ComposeVariables::new(&dotenv, &environment).adapt(&adapted);
            assert_eq!(twice, adapted, "adapted twice: {text}");
        }
        assert_eq!(variables.adapt_or("${UP}:/x", &|name| format!("./{name}")), "${UP:-./UP}:/x");
        assert_eq!(variables.unset.iter().collect::<Vec<_>>(), ["NONE", "UP"]);
        assert_eq!(variables.required.iter().collect::<Vec<_>>(), ["NONE", "NOTHING"]);
        let hidden = variables.adapt("a ${DB_PASSWORD} ${PW:-x1} ${NONE:?say}");
        assert_eq!(hidden_names(&hidden).into_iter().collect::<Vec<_>>(), ["DB_PASSWORD", "PW"]);
    }

    #[test]
    fn structure_is_decided_by_the_values_that_compose_has_now() {
        let (dotenv, environment) = (map(&[("A", "file"), ("PASSWORD", "s3cret")]), map(&[("A", "shell"), ("B", "")]));
        let variables = ComposeVariables::new(&dotenv, &environment);
        for (text, wanted) in [
            ("$A/${B-x}/${B:-y}/${C}/${C:-z}", "shell//y//z"),
            ("${PASSWORD}", "s3cret"),
            ("$$A ${C?none}", "$A "),
            ("${TOKEN:-s3cret} ${C:+x}${A:+y}", "s3cret y"),
            ("$$A", "$A"),
        ] {
            assert_eq!(variables.resolve(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_file_with_variables_of_its_own_keeps_all_others() {
        let (dotenv, environment) = (map(&[("OWN", "v"), ("OWN_TOKEN", "s3cret")]), BTreeMap::new());
        let mut variables = ComposeVariables::of_file(&dotenv, &environment);
        let text = "${OWN} ${OTHER} ${OTHER:-d} $OTHER ${PW:-s3cret} ${OTHER:?e} $$ ${OWN_TOKEN}";
        let wanted = "${OWN-v} ${OTHER} ${OTHER:-d} ${OTHER} ${PW:-s3cret} ${OTHER:?e} $$ \
                      ${OWN_TOKEN:?set it as in .env, whose value is not copied}";
        assert_eq!(variables.adapt(text), wanted);
    }
}
