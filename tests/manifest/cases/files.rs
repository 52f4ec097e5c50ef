//! Files that are hostile, odd or missing: each ends quickly, with one clear message.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use lcm::manifest::{ModeSelection, load};
use lcm::syntax::Environment;
use lcm::syntax::problem::Problems;
use tempfile::TempDir;

/// Returns the problems of a manifest of these bytes.
fn problems_of(bytes: &[u8]) -> Problems {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("lcm.yaml");
    fs::write(&path, bytes).unwrap();
    load(&path, &Environment::new(), &ModeSelection::default()).unwrap_err()
}

fn one(bytes: &[u8]) -> (String, String) {
    let problems = problems_of(bytes);
    assert_eq!(problems.0.len(), 1, "{problems}");
    // Any problem can be rendered.
    assert!(!problems.render(true, 80).is_empty());
    (problems.0[0].code.to_owned(), problems.0[0].message.clone())
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(",");
        let _ = writeln!(bomb, "a{level}: &a{level} [{aliases}]");
    }
    let (code, message) = one(bomb.as_bytes());
    assert_eq!(code, "lcm::manifest::too_large");
    assert!(message.contains("aliases"), "{message}");
}

#[test]
fn nesting_without_end_is_refused() {
    for opener in ["[", "{a: ", "- "] {
        let (code, message) = one(opener.repeat(900_000 / opener.len()).as_bytes());
        assert_eq!(
            (code.as_str(), message.contains("nested too deep")),
            ("lcm::manifest::too_large", true),
            "{message}"
        );
    }
    let (code, message) = one("[".repeat(10_000_000).as_bytes());
    assert_eq!((code.as_str(), message.contains("larger than 1 MiB")), ("lcm::manifest::file", true), "{message}");
}

#[test]
fn a_file_that_is_no_text_is_refused() {
    assert!(one(b"\x7fELF\xff\xfe\x00").1.contains("not text in UTF-8"));
    assert_eq!(one(b"name: a\x00b").0, "lcm::manifest::syntax");
    assert_eq!(one("PK\u{3}\u{4}".as_bytes()).0, "lcm::manifest::syntax");
}

#[test]
fn an_empty_file_is_reported_as_empty() {
    for text in ["", "\n\n", "# nothing\n", "---\n"] {
        let (code, message) = one(text.as_bytes());
        assert_eq!((code.as_str(), message.ends_with("is empty")), ("lcm::manifest::empty", true), "{message}");
    }
}

#[test]
fn a_missing_file_is_reported_with_a_way_to_begin() {
    let problems = load(Path::new("lcm.yaml"), &Environment::new(), &ModeSelection::default()).unwrap_err();
    assert_eq!(problems.0[0].message, "can't read lcm.yaml: there is no such file");
    assert!(problems.0[0].help.as_deref().unwrap_or_default().contains("lcm init"));
    let folder = load(Path::new("tests"), &Environment::new(), &ModeSelection::default()).unwrap_err();
    assert_eq!(folder.0[0].message, "can't read tests: it is a folder, not a file");
}

#[test]
fn too_many_files_are_refused_once() {
    let folder = TempDir::new().unwrap();
    let names: Vec<String> = (0..200).map(|number| format!("part{number}.yaml")).collect();
    for name in &names {
        fs::write(folder.path().join(name), "services: {}\n").unwrap();
    }
    let entry = folder.path().join("lcm.yaml");
    fs::write(&entry, format!("version: 1\nname: x\ninclude: [{}]\n", names.join(", "))).unwrap();
    let problems = load(&entry, &Environment::new(), &ModeSelection::default()).unwrap_err();
    assert_eq!(problems.0.len(), 1, "{problems}");
    assert_eq!(problems.0[0].code, "lcm::manifest::too_large");
}

#[test]
fn a_thousand_mistakes_are_reported_within_bounds() {
    let services: Vec<String> =
        (0..1000).map(|number| format!("  s{number}: {{ vrma: 1, depends_on: [x{number}] }}\n")).collect();
    let problems = problems_of(format!("version: 1\nname: x\nservices:\n{}", services.concat()).as_bytes());
    assert!((100..=500).contains(&problems.0.len()), "{}", problems.0.len());
}

#[test]
fn templates_that_multiply_are_refused() {
    let items: Vec<String> = (0..2000).map(|number| format!("K{number}: v")).collect();
    let services: Vec<String> = (0..500).map(|number| format!("  s{number}: {{ extends: big }}\n")).collect();
    let text = format!(
        "version: 1\nname: x\ntemplates:\n  big: {{ process: {{ command: ./a, environment: {{ {} }} }} }}\nservices:\n{}",
        items.join(", "),
        services.concat()
    );
    let problems = problems_of(text.as_bytes());
    assert!(problems.0.iter().all(|problem| problem.code == "lcm::manifest::too_large"), "{problems}");
}

#[test]
fn places_count_lines_and_columns_from_one() {
    let problems = problems_of("version: 1\nname: x\nservices:\n  ä: 5\n".as_bytes());
    let place = problems
        .0
        .iter()
        .find(|problem| problem.code == "lcm::manifest::type")
        .and_then(|problem| problem.place.clone());
    let place = place.unwrap();
    assert_eq!((place.line, place.column, place.length), (4, 6, 1));
    assert!(problems.to_string().contains(":4:6: expected a map, found the number `5`"), "{problems}");
}

/// A manifest that planning promises to be fast with must be readable.
#[test]
fn a_thousand_services_are_no_bomb() {
    let mut text = "version: 1\nname: fleet\nservices:\n".to_owned();
    let names: Vec<String> = (0..1_000).map(|number| format!("s{number}")).collect();
    for name in &names {
        let _ =
            writeln!(text, "  {name}: {{ process: {{ command: [sleep, inf], environment: {{ A: b }} }}, vram: 1GB }}");
    }
    let _ = writeln!(text, "modes:\n  all: {{ services: [{0}] }}\n  most: {{ services: [{0}] }}", names.join(", "));
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("lcm.yaml");
    fs::write(&path, text).unwrap();
    let choice = ModeSelection { mode_optional: true, ..ModeSelection::default() };
    let desired = load(&path, &Environment::new(), &choice).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((desired.services.len(), desired.modes.len()), (1_000, 2));
}
