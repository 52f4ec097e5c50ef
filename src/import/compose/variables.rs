//! Compose's variables for lcm. Both have `${NAME:-default}`; but Compose also reads `.env`, and treats an unset
//! variable as empty, where lcm refuses. So each variable gets the default that Compose would use.

use std::collections::{BTreeMap, BTreeSet};

use crate::import::secrets::is_secret;
use crate::syntax::interpolate::{closing_brace, fill, name_at};

/// Deepest nesting of defaults; no reader follows more.
const DEPTH_MAX: usize = 8;

/// Values of variables, and names of those that the user must set.
#[derive(Debug)]
pub(super) struct ComposeVariables<'a> {
    dotenv: &'a BTreeMap<String, String>,
    /// Names of variables without a default.
    pub(super) unset: BTreeSet<String>,
    /// Names of variables whose values were taken from `.env`.
    pub(super) taken: BTreeSet<String>,
}

impl<'a> ComposeVariables<'a> {
    pub(super) fn new(dotenv: &'a BTreeMap<String, String>) -> Self {
        Self { dotenv, unset: BTreeSet::new(), taken: BTreeSet::new() }
    }

    /// Returns a text in which each variable has a default: an unset one is empty, as in Compose.
    pub(super) fn adapt(&mut self, text: &str) -> String {
        self.adapt_or(text, &|_| String::new())
    }

    /// Returns the same with another default than the empty text.
    pub(super) fn adapt_or(&mut self, text: &str, otherwise: &dyn Fn(&str) -> String) -> String {
        self.walk(text, otherwise, 0)
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

    fn braced(&mut self, inner: &str, otherwise: &dyn Fn(&str) -> String, depth: usize) -> String {
        let name = name_at(inner);
        let operator = inner[name.len()..].trim_start_matches(':');
        match operator.chars().next() {
            _ if name.is_empty() => format!("$${{{inner}}}"),
            Some('+') => format!("${{{inner}}}"),
            Some('-') => {
                let known = self.known(name);
                let default = known.unwrap_or_else(|| self.walk(&operator[1..], otherwise, depth + 1));
                format!("${{{name}:-{default}}}")
            }
            Some(_) | None => self.plain(name, otherwise),
        }
    }

    fn plain(&mut self, name: &str, otherwise: &dyn Fn(&str) -> String) -> String {
        let value = self.known(name).unwrap_or_else(|| {
            self.unset.insert(name.to_owned());
            otherwise(name)
        });
        format!("${{{name}:-{value}}}")
    }

    /// Returns the variable's value in `.env`, if it may be written down and can stand between braces.
    fn known(&mut self, name: &str) -> Option<String> {
        let value = self.dotenv.get(name).filter(|value| !value.is_empty() && !is_secret(name, value))?;
        let fits = !value.contains(['$', '{', '}', '\n']);
        fits.then(|| {
            self.taken.insert(name.to_owned());
            value.clone()
        })
    }
}

/// Returns the text with all variables unset.
pub(super) fn filled(adapted: &str) -> String {
    fill(adapted, &|_| None).map(|filled| filled.text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{ComposeVariables, filled};

    #[test]
    fn each_variable_gets_the_default_that_compose_would_put_in() {
        let dotenv = [("PORT", "3000"), ("DB_PASSWORD", "secret"), ("ODD", "a}b")];
        let dotenv: BTreeMap<String, String> = dotenv.map(|(name, value)| (name.into(), value.into())).into();
        let mut variables = ComposeVariables::new(&dotenv);
        for (text, wanted, empty) in [
            ("${PORT}:8080", "${PORT:-3000}:8080", "3000:8080"),
            ("${PORT:-1}", "${PORT:-3000}", "3000"),
            ("$NONE-x", "${NONE:-}-x", "-x"),
            ("${NONE:?say}", "${NONE:-}", ""),
            ("${NONE-${PORT}}", "${NONE:-${PORT:-3000}}", "3000"),
            ("${DB_PASSWORD}", "${DB_PASSWORD:-}", ""),
            ("${ODD}", "${ODD:-}", ""),
            ("${NONE:+x}", "${NONE:+x}", ""),
            ("a $$HOME b$", "a $$HOME b$$", "a $HOME b$"),
        ] {
            let adapted = variables.adapt(text);
            assert_eq!((adapted.as_str(), filled(&adapted).as_str()), (wanted, empty), "{text}");
        }
        assert_eq!(variables.adapt_or("${UP}:/x", &|name| format!("./{name}")), "${UP:-./UP}:/x");
        let unset: Vec<&String> = variables.unset.iter().collect();
        assert_eq!(unset, ["DB_PASSWORD", "NONE", "ODD", "UP"]);
    }
}
