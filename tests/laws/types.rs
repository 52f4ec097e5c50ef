//! Law of type names: one definition a name, so that a reader who searches for it finds one thing.

use std::collections::BTreeMap;

use crate::source::Source;

/// A name that is defined more than once, the start of the paths where it may be, and the reason.
const EXCEPTED: &[(&str, &str, &str)] =
    &[("Args", "src/cli/command/", "each command's file holds its own arguments, and `cli` names them by the file")];

/// Keywords and macros that a type's name follows in its definition.
const DEFINES: &[&str] = &["struct", "enum", "trait", "union", "type", "name!"];

#[test]
fn no_type_name_stands_twice() {
    let files = Source::all("src");
    super::hold("each type has a name of its own", &twice(&files));
    for (name, path, reason) in EXCEPTED {
        let known = files.iter().filter(|file| file.path.starts_with(path)).flat_map(definitions);
        assert!(known.filter(|(_, known)| known == name).count() > 1, "not needed any more: {name}, {reason}");
    }
}

#[test]
fn a_type_name_that_stands_twice_is_found() {
    let file = |path: &str, text: &str| Source::new(path.to_owned(), text.to_owned());
    let files = [
        file("src/a.rs", "pub struct Held;\nimpl Iterator for Held { type Item = u8; }\n// struct Words;\n"),
        file("src/b.rs", "mod tests {\n    enum Held {}\n}\ntrait Words { type Item; }\nfn f() { type Item = u8; }\n"),
        file("src/c.rs", "name!(\n    /// A part.\n    Item\n);\nstruct Args;\n"),
        file("src/cli/command/d.rs", "struct Args;\n"),
        file("src/cli/command/e.rs", "struct Args;\n"),
    ];
    assert_eq!(
        twice(&files),
        [
            "src/c.rs:5: `Args` is defined at src/cli/command/d.rs:1, src/cli/command/e.rs:1 too",
            "src/a.rs:1: `Held` is defined at src/b.rs:2 too",
            "src/b.rs:5: `Item` is defined at src/c.rs:1 too",
        ]
    );
}

/// Returns a line for each name with more than one definition, unless all of them are excepted.
fn twice(files: &[Source]) -> Vec<String> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        for (at, name) in definitions(file) {
            places.entry(name).or_default().push(file.place(at));
        }
    }
    let is_excepted =
        |name: &str, place: &str| EXCEPTED.iter().any(|(of, path, _)| *of == name && place.starts_with(path));
    places
        .iter()
        .filter(|(name, places)| places.len() > 1 && !places.iter().all(|place| is_excepted(name, place)))
        .map(|(name, places)| format!("{}: `{name}` is defined at {} too", places[0], places[1..].join(", ")))
        .collect()
}

/// Returns the types that a file defines, by offset and name. Associated types do not count.
fn definitions(file: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for keyword in DEFINES {
        for at in file.words(keyword).filter(|at| *keyword != "type" || !is_associated(file, *at)) {
            let rest = &file.code[at + keyword.len()..];
            let rest = if keyword.ends_with('!') { rest.trim_start_matches('(') } else { rest };
            let name = rest.trim_start().chars().take_while(|letter| letter.is_alphanumeric());
            let name: String = name.collect();
            if name.starts_with(char::is_uppercase) {
                found.push((at, name));
            }
        }
    }
    found
}

/// Returns true if the innermost braces around a place are those of an `impl` or a `trait`.
fn is_associated(file: &Source, at: usize) -> bool {
    let before = &file.code[..at];
    let mut depth = 0_usize;
    let open = before.char_indices().rev().find(|(_, letter)| {
        match letter {
            '}' => depth += 1,
            '{' if depth == 0 => return true,
            '{' => depth -= 1,
            _ => {}
        }
        false
    });
    let Some((open, _)) = open else { return false };
    let header = before[..open].rsplit([';', '{', '}']).next().unwrap_or_default();
    let has = |word: &str| header.split(|letter: char| !letter.is_alphanumeric()).any(|part| part == word);
    !has("fn") && (has("impl") || has("trait"))
}
