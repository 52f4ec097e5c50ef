//! Colour of text: one rule, applied to each stream separately, for lcm's output and for clap's.
//!
//! The flag takes precedence, then `NO_COLOR` (no-color.org), then `CLICOLOR_FORCE` and `CLICOLOR`
//! (bixense.com/clicolors), then whether the stream is a terminal that can show colours.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::ValueEnum;

/// Value of `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

/// Returns true if a stream is painted.
pub(crate) fn is_colored(color: Color, environment: &BTreeMap<String, String>, terminal: bool) -> bool {
    // An empty variable counts as unset.
    let value = |name: &str| environment.get(name).map(String::as_str).filter(|value| !value.is_empty());
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto if value("NO_COLOR").is_some() => false,
        Color::Auto if value("CLICOLOR_FORCE").is_some_and(|force| force != "0") => true,
        Color::Auto if value("CLICOLOR") == Some("0") => false,
        Color::Auto => terminal && !is_dumb(environment),
    }
}

/// Returns true if the terminal can neither paint nor move its cursor.
pub(crate) fn is_dumb(environment: &BTreeMap<String, String>) -> bool {
    environment.get("TERM").is_some_and(|term| term == "dumb")
}

/// Returns the value of `--color` on a command line that clap rejects or answers with help, which is painted too.
pub(crate) fn requested(words: impl Iterator<Item = OsString>) -> Color {
    let words: Vec<String> = words.filter_map(|word| word.into_string().ok()).take_while(|word| word != "--").collect();
    let values = words.iter().enumerate().filter_map(|(place, word)| match word.strip_prefix("--color") {
        Some("") => words.get(place + 1).map(String::as_str),
        Some(value) => value.strip_prefix('='),
        None => None,
    });
    let mut colors = values.filter_map(|value| Color::from_str(value, false).ok());
    colors.next_back().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Color, is_colored, requested};

    /// Settings, and whether a pipe and a terminal are painted with them.
    type ColorCase<'a> = (Color, &'a [(&'a str, &'a str)], [bool; 2]);

    #[test]
    fn the_flag_precedes_the_environment_which_precedes_the_terminal() {
        use Color::{Always, Auto, Never};
        let cases: &[ColorCase<'_>] = &[
            (Auto, &[], [false, true]),
            (Auto, &[("TERM", "dumb")], [false, false]),
            (Auto, &[("NO_COLOR", "1")], [false, false]),
            (Auto, &[("NO_COLOR", "")], [false, true]),
            (Auto, &[("CLICOLOR_FORCE", "1")], [true, true]),
            (Auto, &[("CLICOLOR_FORCE", "0")], [false, true]),
            (Auto, &[("CLICOLOR_FORCE", "")], [false, true]),
            (Auto, &[("CLICOLOR_FORCE", "1"), ("TERM", "dumb")], [true, true]),
            (Auto, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], [false, false]),
            (Auto, &[("CLICOLOR", "0")], [false, false]),
            (Auto, &[("CLICOLOR", "1")], [false, true]),
            (Auto, &[("CLICOLOR", "0"), ("CLICOLOR_FORCE", "1")], [true, true]),
            (Always, &[("NO_COLOR", "1")], [true, true]),
            (Always, &[("TERM", "dumb")], [true, true]),
            (Never, &[("CLICOLOR_FORCE", "1")], [false, false]),
        ];
        for (color, pairs, expected) in cases {
            let environment: BTreeMap<String, String> =
                pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let painted = [false, true].map(|terminal| is_colored(*color, &environment, terminal));
            assert_eq!(painted, *expected, "{color:?} {pairs:?}");
        }
    }

    #[test]
    fn the_flag_is_found_on_any_command_line() {
        let requested = |line: &str| requested(line.split(' ').map(Into::into));
        assert_eq!(requested("lcm fly --color always"), Color::Always);
        assert_eq!(requested("lcm --color=never fly"), Color::Never);
        assert_eq!(requested("lcm --color=never plan --color always"), Color::Always);
        assert_eq!(requested("lcm --color"), Color::Auto);
        assert_eq!(requested("lcm --color blue"), Color::Auto);
        assert_eq!(requested("lcm --colors=always -- --color=always"), Color::Auto);
    }
}
