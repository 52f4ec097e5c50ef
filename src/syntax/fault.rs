//! Faults in single values, and "did you mean". serde carries errors as text alone, so a visitor packs a [`Fault`] into
//! text, and `read` unpacks it once it knows the place.

use std::fmt;

use strsim::osa_distance;

/// Separator of the parts of a packed fault; no YAML scalar can contain it.
const SEPARATOR: char = '\u{1f}';

/// Longest text that is compared: no typo is longer, and the comparison is quadratic.
const COMPARED_LENGTH_MAX: usize = 64;

/// Codes that a fault can carry through serde.
const CODES: [&str; 12] = [
    "lcm::manifest::type",
    "lcm::manifest::size",
    "lcm::manifest::duration",
    "lcm::manifest::unknown_key",
    "lcm::manifest::restart",
    "lcm::manifest::unknown_word",
    "lcm::manifest::missing",
    "lcm::manifest::empty",
    "lcm::manifest::gpu",
    "lcm::manifest::conflict",
    "lcm::manifest::environment",
    "lcm::manifest::hours",
];

/// Fault in one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub code: &'static str,
    pub message: String,
    pub label: String,
    pub help: Option<String>,
}

impl Fault {
    pub(crate) fn new(code: &'static str, message: impl Into<String>, label: impl Into<String>) -> Self {
        debug_assert!(CODES.contains(&code), "{code} would not come through serde");
        Self { code, message: message.into(), label: label.into(), help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Unpacks the fault of a visitor; any other text is a type fault.
    pub(crate) fn unpack(text: &str) -> Self {
        let parts: Vec<&str> = text.split(SEPARATOR).collect();
        if let [code, message, label, help] = parts[..]
            && let Some(code) = CODES.into_iter().find(|known| *known == code)
        {
            let help = (!help.is_empty()).then(|| help.to_owned());
            return Self { code, message: message.to_owned(), label: label.to_owned(), help };
        }
        Self::new("lcm::manifest::type", text, "this")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let help = self.help.as_deref().unwrap_or_default();
        let Self { code, message, label, .. } = self;
        write!(formatter, "{code}{SEPARATOR}{message}{SEPARATOR}{label}{SEPARATOR}{help}")
    }
}

/// Suggests the nearest known word (`did you mean `health`?`), or lists all of them if none is near.
pub(crate) fn suggest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let near = known
        .iter()
        .filter(|word| wrong.len().max(word.len()) <= COMPARED_LENGTH_MAX)
        .map(|word| (osa_distance(&wrong.to_lowercase(), &word.to_lowercase()), *word))
        // At most a third of the length, so that short words don't all match each other.
        .filter(|(distance, word)| *distance <= (wrong.len().max(word.len()) / 3).max(1))
        .min();
    match near {
        Some((_, word)) => format!("did you mean `{word}`?"),
        None if known.is_empty() => "none are defined".to_owned(),
        None => format!("available: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, suggest};

    #[test]
    fn a_fault_survives_its_text_form() {
        let fault = Fault::new("lcm::manifest::size", "`20` has no unit", "a size").help("write `20GB`");
        assert_eq!(Fault::unpack(&fault.to_string()), fault);
        assert_eq!(Fault::unpack("odd").code, "lcm::manifest::type");
    }

    #[test]
    fn the_nearest_word_is_offered() {
        let known = ["health", "vram", "gpu", "depends_on"];
        assert_eq!(suggest("helath", known), "did you mean `health`?");
        assert_eq!(suggest("VRAM", known), "did you mean `vram`?");
        assert_eq!(suggest("depend_on", known), "did you mean `depends_on`?");
        assert_eq!(suggest("zzz", known), "available: health, vram, gpu, depends_on");
        assert_eq!(suggest("x", []), "none are defined");
    }
}
