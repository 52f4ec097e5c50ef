//! A value that must not be shown: it has no `Display`, its `Debug` is stars, and it can't be serialized.

use std::fmt;

/// What stands where a secret would.
pub const MASK: &str = "***";

/// Shorter values would blot out half of a log for nothing.
const MASKED_LENGTH_MIN: usize = 4;

/// The same of a line of a secret that has several: braces and names of fields are not what is to be hidden.
const MASKED_LINE_LENGTH_MIN: usize = 8;

/// A secret's text. [`Secret::reveal`] is the only way out, and easy to search for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The value itself, for the environment of the service that asked for it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

/// `text` with every secret in it replaced by stars.
#[must_use]
pub fn mask<'a>(text: &str, secrets: impl Iterator<Item = &'a Secret>) -> String {
    Masker::of(secrets).mask(text)
}

/// Secrets as they may stand in what services wrote. Its `Debug` is stars, too.
#[derive(Clone, Default)]
pub struct Masker {
    /// The longest first, so that none shows in part.
    values: Vec<String>,
}

impl Masker {
    pub fn of<'a>(secrets: impl Iterator<Item = &'a Secret>) -> Self {
        let mut values: Vec<String> = secrets.flat_map(|secret| shapes(secret.reveal())).map(str::to_owned).collect();
        values.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        values.dedup();
        Self { values }
    }

    /// `text` with every secret in it replaced by stars.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, value| text.replace(value, MASK))
    }

    /// The longest one: whoever cuts a text has to see so much beyond the cut.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.values.first().map_or(0, String::len)
    }

    /// Where to cut a text that is to be cut at `at`: behind a secret that lies across, if one does. As far as
    /// `bytes` tells, which has to reach further than [`Masker::bytes_max`] beyond.
    #[must_use]
    pub fn cut(&self, bytes: &[u8], at: usize) -> usize {
        let across = |at: usize| {
            let ends = self.values.iter().filter_map(|value| {
                let from = (at + 1).saturating_sub(value.len());
                let around = &bytes[from..bytes.len().min(at + value.len() - 1)];
                let found = around.windows(value.len()).rposition(|window| window == value.as_bytes())?;
                Some(from + found + value.len())
            });
            ends.max()
        };
        let mut cut = at;
        // Each turn goes on by a byte at least, and ends with the text.
        while let Some(end) = across(cut) {
            cut = end;
        }
        cut
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

/// The whole value, without the end of a line that a file gave it; and of several lines each, since that is how a log
/// has them. A line that is as short as a brace is no secret, and would blot out all others.
fn shapes(value: &str) -> impl Iterator<Item = &str> {
    let whole = value.trim_end_matches(['\r', '\n']);
    let lines = whole.lines().map(str::trim).filter(|line| line.chars().count() >= MASKED_LINE_LENGTH_MIN);
    let lines = lines.filter(move |_| whole.contains('\n'));
    std::iter::once(whole).filter(|value| value.len() >= MASKED_LENGTH_MIN).chain(lines)
}

#[cfg(test)]
mod tests {
    use super::{Masker, Secret, mask};

    #[test]
    fn a_secret_shows_nowhere() {
        let secrets = [Secret::new("hf_abc"), Secret::new("hf_abcdef"), Secret::new("1")];
        assert_eq!(format!("{:?}", secrets[0]), "***");
        assert_eq!(mask("1 token hf_abcdef and hf_abc", secrets.iter()), "1 token *** and ***");
    }

    #[test]
    fn of_a_secret_of_several_lines_each_is_masked() {
        let key = "-----BEGIN KEY-----\n  MIIEvQIBADANBg\r\n}\nshort\n-----END KEY-----\n";
        let secrets = [Secret::new(key), Secret::new("hf_abc\n")];
        let log = "{ MIIEvQIBADANBg }\nshort\nhf_abc\n-----END KEY-----";
        assert_eq!(mask(log, secrets.iter()), "{ *** }\nshort\n***\n***");
        assert_eq!(mask(&format!("<{}>", key.trim_end()), secrets.iter()), "<***>", "and all of it at once");
        assert_eq!(format!("{:?}", Masker::of(secrets.iter())), "***");
    }

    #[test]
    fn no_cut_goes_through_a_secret() {
        let secrets = [Secret::new("hf_abcdef"), Secret::new("defghi")];
        let masker = Masker::of(secrets.iter());
        let text = b"0123hf_abcdefghi4567890123456789";
        for at in 0..20 {
            // The two overlap, and are one for a cut.
            let expected = if (5..16).contains(&at) { 16 } else { at };
            assert_eq!(masker.cut(text, at), expected, "at {at}");
        }
        assert_eq!(Masker::default().cut(text, 7), 7);
    }
}
