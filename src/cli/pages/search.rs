//! Search for the page that a user means: by its code, state, number or title, else by its words.

use super::{Page, PageKind, pages};
use crate::cli::args::names;
use crate::cli::stop::EarlyExit;

/// Codes of earlier versions, and what they are called now.
const FORMER: [(&str, &str); 1] = [("no_room", "no_capacity")];

/// Words that people use, and the page on what they mean.
const MEANT: [(&str, &str); 16] = [
    ("adopt", "ownership"),
    ("backoff", "budget"),
    ("compose", "import"),
    ("evict", "eviction"),
    ("foreign", "ownership"),
    ("gpu", "memory"),
    ("hook", "hooks"),
    ("job", "jobs"),
    ("oom", "memory"),
    ("paused", "suspended"),
    ("priority", "preemption"),
    ("restart", "budget"),
    ("running", "online"),
    ("stopped", "offline"),
    ("vram", "memory"),
    ("wake", "eviction"),
];

/// Pages shown for words that several of them have; more are listed by name.
const SHOWN_MAX: usize = 3;
/// Longest search: a whole warning may be pasted.
const CHARACTERS_MAX: usize = 500;

/// Returns the pages of a code, a state, an exit code, a topic, or of the words of a warning. Errors: no page has them.
pub(crate) fn find(sought: &str) -> Result<Vec<Page>, EarlyExit> {
    let sought: String = sought.trim().chars().take(CHARACTERS_MAX).collect();
    let sought = present(&sought);
    let found = titled(&sought);
    if !found.is_empty() {
        return Ok(found);
    }
    if let Some((_, meant)) = MEANT.iter().find(|(word, _)| word.eq_ignore_ascii_case(&sought)) {
        return Ok(titled(meant));
    }
    let found = by_words(&sought);
    match found.len() {
        0 => {
            let names = pages().map(|page| if sought.contains(':') { page.title } else { page.name() });
            Err(names::unknown_page(&sought, names))
        }
        1..=SHOWN_MAX => Ok(found),
        _ => {
            let titles: Vec<&str> = found.iter().map(|page| page.title).take(2 * SHOWN_MAX).collect();
            Err(names::ambiguous_page(&sought, &titles))
        }
    }
}

/// Returns the present name of a code of an earlier version.
fn present(code: &str) -> String {
    let last = code.rsplit("::").next().unwrap_or(code);
    let former = FORMER.iter().find(|(former, _)| last == *former);
    former.map_or_else(|| code.to_owned(), |(old, new)| code.replace(old, new))
}

/// Returns the pages with this title or name. A plural is the same as its singular.
fn titled(sought: &str) -> Vec<Page> {
    let lower = sought.to_lowercase();
    let number = lower.trim_start_matches("exit").trim_start().trim_start_matches("code").trim_start();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let singular = |word: &str| word.strip_suffix('s').unwrap_or(word).to_owned();
    let is_it = |page: &Page| match page.kind {
        PageKind::Exit => is_number && page.name() == number,
        PageKind::Topic => singular(page.title) == singular(&lower),
        PageKind::State | PageKind::Code => page.title == lower || page.name() == lower,
        PageKind::Warning => {
            let phrase = page.name().to_lowercase();
            // A pasted warning has the phrase within it.
            page.title.to_lowercase() == lower || lower.contains(&phrase)
        }
    };
    pages().filter(is_it).collect()
}

/// Returns the pages whose title has all words, else those whose title or text has them together, else those that have
/// them anywhere.
fn by_words(sought: &str) -> Vec<Page> {
    let lower = sought.to_lowercase();
    let words: Vec<&str> =
        lower.split(|letter: char| !letter.is_alphanumeric()).filter(|word| word.len() > 2).collect();
    if words.is_empty() {
        return Vec::new();
    }
    let has_all = |text: &str| words.iter().all(|word| text.to_lowercase().contains(word));
    let tests: [&dyn Fn(&Page) -> bool; 3] =
        [&|page| has_all(page.title), &|page| page.text.to_lowercase().contains(&lower), &|page| has_all(page.text)];
    tests
        .iter()
        .map(|test| pages().filter(|page| test(page)).collect::<Vec<Page>>())
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}
