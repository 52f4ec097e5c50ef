//! Laws of language: the field's terms in comments, texts and names, and heads that say where data comes from and goes.

use std::path::Path;
use std::path::PathBuf;

use crate::banned;
use crate::source::{Prose, Source};

/// Words with which no documentation begins: a noun or a verb does.
const OPENINGS: &[&str] = &["What", "Whether", "Who", "Whose", "Whom", "Of"];

/// Parts of names that the glossary has another term for.
const COINED: &[&str] = &[
    "astray",
    "beating",
    "brain",
    "crippled",
    "deaf",
    "errand",
    "glance",
    "heed",
    "hindrance",
    "hollow",
    "keeper",
    "ladder",
    "meddle",
    "modest",
    "nap",
    "occasion",
    "room",
    "rooms",
    "rung",
    "rungs",
    "scene",
    "spoken",
    "stranger",
    "strangers",
    "think",
    "thought",
    "twins",
    "verdict",
];

/// Types that the glossary has another name for.
const COINED_TYPES: &[&str] = &["Cut", "Firm", "Hope", "Life", "Look", "Promise", "Said", "Trouble", "VoiceArgs"];

/// Files that name a term of a format's earlier version, which is read for ever.
const FORMER: &[&str] = &["src/model/facts/owner.rs", "src/report/json.rs"];

/// Folders under the ban list, and whether their text literals are too: those of tests are mostly data.
const COVERED: &[(&str, bool)] = &[("src", true), ("examples", true), ("tests", false)];

#[test]
fn comments_and_texts_speak_the_language_of_the_field() {
    let banned = banned::pattern();
    let mut broken = Vec::new();
    for (folder, has_texts) in COVERED {
        for file in Source::all(folder) {
            for prose in file.prose().into_iter().filter(|prose| *has_texts || prose.is_comment(&file)) {
                let is_former = |word: &str| word == "stranger" && FORMER.contains(&file.path.as_str());
                for found in banned.find_iter(prose.text(&file)).filter(|found| !is_former(found.as_str())) {
                    broken.push(format!("{}: `{}`", file.place(prose.range.start + found.start()), found.as_str()));
                }
            }
        }
    }
    let topics = std::fs::read_dir("src/cli/topics").expect("the topics").map(|entry| entry.expect("a topic").path());
    let topics = topics.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    for path in topics.chain([PathBuf::from("README.md")]) {
        let text = std::fs::read_to_string(&path).expect("a text");
        for (number, line) in outside_of_code(&text) {
            broken.extend(
                banned.find_iter(line).map(|found| format!("{}:{number}: `{}`", path.display(), found.as_str())),
            );
        }
    }
    crate::hold("comments and texts have no word of `BANNED`", &broken);
}

/// Returns number and text of each line of a Markdown file that is outside of code blocks.
fn outside_of_code(markdown: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    (1..).zip(markdown.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

#[test]
fn code_blocks_are_no_prose() {
    let lines: Vec<_> = outside_of_code("a\n```sh\nb\n```\nc `d`").collect();
    assert_eq!(lines, [(1, "a"), (5, "c `d`")]);
}

#[test]
fn documentation_opens_with_a_noun_or_a_verb() {
    let mut broken = Vec::new();
    for file in Source::all("src") {
        let mut documented = None;
        for comment in file.prose().into_iter().filter(|prose| prose.is_documentation(&file)) {
            let line = file.line(comment.range.start);
            let continues = documented == Some(line - 1);
            documented = Some(line);
            let text = comment.text(&file).trim_start_matches(['/', '!']).trim_start();
            let first = text.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
            if !continues && OPENINGS.contains(&first) {
                broken.push(format!("{}: opens with `{first}`", file.place(comment.range.start)));
            }
        }
    }
    crate::hold("documentation opens with a noun or a verb of the field", &broken);
}

#[test]
fn names_are_the_fields_terms() {
    let mut broken = Vec::new();
    for file in Source::all("src") {
        let mut start = None;
        for (at, letter) in file.code.char_indices().chain([(file.code.len(), ' ')]) {
            match (start, letter.is_alphanumeric() || letter == '_') {
                (None, true) => start = Some(at),
                (Some(from), false) => {
                    let name = &file.code[from..at];
                    if COINED_TYPES.contains(&name) || parts(name).iter().any(|part| COINED.contains(&part.as_str())) {
                        broken.push(format!("{}: `{name}`", file.place(from)));
                    }
                    start = None;
                }
                (None, false) | (Some(_), true) => {}
            }
        }
    }
    crate::hold("no name is one that the glossary replaces", &broken);
}

#[test]
fn a_folders_head_names_what_comes_in_and_goes_out() {
    let mut broken = Vec::new();
    for file in Source::all("src").iter().filter(|file| Path::new(&file.path).ends_with("mod.rs")) {
        let head: Vec<&str> = file.text.lines().take_while(|line| line.starts_with("//!")).collect();
        let head = head.join(" ");
        let missing = ["In:", "Out:", "Not here:"].into_iter().filter(|part| !head.contains(part));
        broken.extend(missing.map(|part| format!("{}: its head has no `{part}`", file.path)));
    }
    crate::hold("a folder's head has what comes in, what goes out, and what is not there", &broken);
}

/// Words of a name in small letters: the same two for `NoCapacity`, `no_capacity` and `NO_CAPACITY`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before = '_';
    for letter in name.chars() {
        if letter == '_' || (letter.is_uppercase() && !before.is_uppercase()) {
            parts.push(String::new());
        }
        if letter != '_' {
            parts.last_mut().expect("one at least").extend(letter.to_lowercase());
        }
        before = letter;
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[test]
fn a_name_is_read_word_by_word() {
    for name in ["NoCapacity", "no_capacity", "NO_CAPACITY"] {
        assert_eq!(parts(name), ["no", "capacity"], "{name}");
    }
    let text = "//! Head.\nfn f() { g(\"some text\"); } // why\n".to_owned();
    let file = Source::new("src/x.rs".to_owned(), text);
    let prose: Vec<Prose> = file.prose();
    let texts: Vec<&str> = prose.iter().map(|prose| prose.text(&file)).collect();
    assert_eq!(texts, ["//! Head.", "\"some text\"", "// why"]);
    assert!(prose[0].is_documentation(&file) && !prose[2].is_documentation(&file));
}
