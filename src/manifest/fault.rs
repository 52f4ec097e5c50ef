//! A fault in one value, and "did you mean". serde carries errors as text alone, so a [`Fault`] packs itself into
//! text where a visitor throws it, and `read` unpacks it where it learns the place.

use std::fmt;

/// Between the parts of a packed fault; no YAML scalar can hold it.
const SEPARATOR: char = '\u{1f}';

/// No key or name is longer by a slip of the finger; the table below grows with the square.
const COMPARED_LENGTH_MAX: usize = 64;

/// All codes that a fault can carry through serde.
const CODES: [&str; 12] = [
    "lcm::type",
    "lcm::size",
    "lcm::duration",
    "lcm::unknown_key",
    "lcm::restart",
    "lcm::unknown_word",
    "lcm::missing",
    "lcm::empty",
    "lcm::gpu",
    "lcm::conflict",
    "lcm::environment",
    "lcm::hours",
];

/// What is wrong with one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub code: &'static str,
    pub message: String,
    pub label: String,
    pub help: Option<String>,
}

impl Fault {
    pub(super) fn new(code: &'static str, message: impl Into<String>, label: impl Into<String>) -> Self {
        debug_assert!(CODES.contains(&code), "{code} would not come through serde");
        Self { code, message: message.into(), label: label.into(), help: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What a visitor threw; any other text is a fault of type.
    pub(super) fn unpack(text: &str) -> Self {
        let parts: Vec<&str> = text.split(SEPARATOR).collect();
        if let [code, message, label, help] = parts[..]
            && let Some(code) = CODES.into_iter().find(|known| *known == code)
        {
            let help = (!help.is_empty()).then(|| help.to_owned());
            return Self { code, message: message.to_owned(), label: label.to_owned(), help };
        }
        Self::new("lcm::type", text, "this")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let help = self.help.as_deref().unwrap_or_default();
        let Self { code, message, label, .. } = self;
        write!(formatter, "{code}{SEPARATOR}{message}{SEPARATOR}{label}{SEPARATOR}{help}")
    }
}

/// `did you mean `health`?`, or all that there are, where nothing is near.
pub(super) fn suggest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let near = known
        .iter()
        .filter(|word| wrong.len().max(word.len()) <= COMPARED_LENGTH_MAX)
        .map(|word| (distance(&wrong.to_lowercase(), &word.to_lowercase()), *word))
        // A third of the word, so that short words don't all resemble each other.
        .filter(|(distance, word)| *distance <= (wrong.len().max(word.len()) / 3).max(1))
        .min();
    match near {
        Some((_, word)) => format!("did you mean `{word}`?"),
        None if known.is_empty() => "there are none".to_owned(),
        None => format!("there are: {}", known.join(", ")),
    }
}

/// Insertions, deletions, replacements and swaps of neighbours between two words.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows = vec![vec![0; right.len() + 1]; left.len() + 1];
    for (row, cells) in rows.iter_mut().enumerate() {
        cells[0] = row;
    }
    for (column, cell) in rows[0].iter_mut().enumerate() {
        *cell = column;
    }
    for row in 1..=left.len() {
        for column in 1..=right.len() {
            let replaced = rows[row - 1][column - 1] + usize::from(left[row - 1] != right[column - 1]);
            let mut best = replaced.min(rows[row - 1][column] + 1).min(rows[row][column - 1] + 1);
            if row > 1 && column > 1 && left[row - 1] == right[column - 2] && left[row - 2] == right[column - 1] {
                best = best.min(rows[row - 2][column - 2] + 1);
            }
            rows[row][column] = best;
        }
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::{Fault, suggest};

    #[test]
    fn a_fault_comes_through_text() {
        let fault = Fault::new("lcm::size", "`20` has no unit", "a size").help("write `20GB`");
        assert_eq!(Fault::unpack(&fault.to_string()), fault);
        assert_eq!(Fault::unpack("odd").code, "lcm::type");
    }

    #[test]
    fn the_nearest_word_is_offered() {
        let known = ["health", "vram", "gpu", "depends_on"];
        assert_eq!(suggest("helath", known), "did you mean `health`?");
        assert_eq!(suggest("VRAM", known), "did you mean `vram`?");
        assert_eq!(suggest("depend_on", known), "did you mean `depends_on`?");
        assert_eq!(suggest("zzz", known), "there are: health, vram, gpu, depends_on");
        assert_eq!(suggest("x", []), "there are none");
    }
}
