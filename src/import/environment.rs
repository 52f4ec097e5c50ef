//! Environment variables of a draft, without any secret's value. Values are in lcm's notation: `${NAME}` is a variable
//! of lcm's own environment, and `$$` a dollar sign.

use std::collections::BTreeSet;

use crate::import::secrets::is_secret;
use crate::import::writer::{YamlBlock, YamlValue};
use crate::syntax::interpolate::name_at;

/// Adds one variable; without a value it comes from lcm's environment. Names of variables that must be set there are
/// added to `required`.
pub(super) fn put_variable(
    block: &mut YamlBlock,
    required: &mut BTreeSet<String>,
    (name, value): (&str, Option<&str>),
) {
    match value {
        None => {
            required.insert(name.to_owned());
            block.put_with(name, YamlValue::secret(name), "from lcm's own environment");
        }
        Some(value) => {
            if let Some(of) = whole_variable(value) {
                required.insert(of.to_owned());
                block.put(name, YamlValue::secret(of));
            } else if is_secret(name, value) {
                required.insert(name.to_owned());
                block.put_with(name, YamlValue::secret(name), "its value was not copied");
            } else {
                block.put(name, YamlValue::text(value));
            }
        }
    }
}

/// Returns true for a name that an environment can hold.
pub(super) fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !name.contains(char::is_whitespace)
}

/// Returns the name of the variable that is the whole value.
fn whole_variable(value: &str) -> Option<&str> {
    let inner = value.strip_prefix("${")?.strip_suffix('}')?;
    (!inner.is_empty() && name_at(inner).len() == inner.len()).then_some(inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::put_variable;
    use crate::import::writer::YamlBlock;

    #[test]
    fn a_value_is_copied_unless_it_is_a_variable_or_a_secret() {
        let (mut block, mut required) = (YamlBlock::default(), BTreeSet::new());
        for (name, value) in [
            ("MODE", Some("fast")),
            ("CACHE", Some("${HOME}/cache")),
            ("COST", Some("5$$")),
            ("HOME_OF", Some("${HOME}")),
            ("HF_TOKEN", Some("hf_abcdefghijkl")),
            ("LANG", None),
        ] {
            put_variable(&mut block, &mut required, (name, value));
        }
        let wanted = "MODE: fast\nCACHE: \"${HOME}/cache\"\nCOST: \"5$$\"\nHOME_OF: { env: HOME }\n\
                      HF_TOKEN: { env: HF_TOKEN }  # its value was not copied\n\
                      LANG: { env: LANG }  # from lcm's own environment\n";
        assert_eq!(block.document(), wanted);
        assert_eq!(required.into_iter().collect::<Vec<_>>(), ["HF_TOKEN", "HOME", "LANG"]);
    }
}
