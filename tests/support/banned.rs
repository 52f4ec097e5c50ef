//! Ban list of words in comments and in texts that people read.

use regex_lite::Regex;

/// Words of a language of our own, in comments and texts: pronouns where a noun exists, verbs of people for what a
/// program does, and coined terms that the field has a word for.
const BANNED: &[&str] = &[
    "somebody",
    "nobody",
    "anybody",
    "whoever",
    "whomever",
    "whatever",
    "somewhat",
    "that it is so",
    "becomes? of",
    "became of",
    "(?:is|are|was|were) to be",
    "so many",
    "for so long",
    "bears?",
    "(?:is|are) about",
    "tells",
    "hears?",
    "says",
    "asks",
    "strangers?",
    "stranger's",
    "ladder",
    "rungs?",
    "unproven",
    "brain",
    "thinks?",
    "meddles?",
    "heeds?",
    "rooms?",
    "matters more",
    "comes up",
    "the word",
    "hollow",
    "deaf",
    "no-one",
];

/// Returns the pattern that finds each of them, in any case.
pub(crate) fn pattern() -> Regex {
    Regex::new(&format!(r"(?i)\b(?:{})\b", BANNED.join("|"))).expect("a pattern")
}
