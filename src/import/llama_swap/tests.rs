//! Drafts of hostile and of very large configurations: bounded, and read by the loader of every manifest.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use crate::import::{Given, ImportContext, ManifestDraft, translate};
use crate::manifest::{ModeSelection, load};
use crate::model::desired::Desired;
use crate::model::safe_text::is_unseen;
use crate::syntax::Environment;

fn drafted(text: &str) -> ManifestDraft {
    let given = [Given { path: "config.yaml".into(), text: text.to_owned() }];
    let setting = ImportContext { name: "swap".to_owned(), ..ImportContext::default() };
    translate(&given, &setting, &|_| Ok(None)).expect("a file that can be read")
}

/// Reads a draft as every command does.
fn loaded(draft: &ManifestDraft) -> Desired {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lcm.yaml");
    fs::write(&path, &draft.text).expect("written");
    let choice = ModeSelection { mode_optional: true, ..ModeSelection::default() };
    let environment: Environment = [("HOME".to_owned(), "/home/kim".to_owned())].into();
    match load(&path, &environment, &choice) {
        Ok(desired) => desired,
        Err(problems) => panic!("{problems}\n{}", draft.text.chars().take(4_000).collect::<String>()),
    }
}

#[test]
fn ten_thousand_models_become_a_manifest_that_loads() {
    let mut text = "startPort: 60000\nmodels:\n".to_owned();
    for number in 0..10_000 {
        let _ = writeln!(text, "  m{number:05}: {{ cmd: 'srv ${{PORT}}' }}");
    }
    let draft = drafted(&text);
    assert_eq!(loaded(&draft).services.len(), 1_000);
    assert!(draft.notes.iter().any(|note| note.starts_with("models: 9000 more models were left out")));
}

#[test]
fn ports_end_where_they_end() {
    let draft = drafted("startPort: 65535\nmodels: { a: { cmd: 'srv ${PORT}' }, b: { cmd: 'srv ${PORT}' } }\n");
    assert_eq!(loaded(&draft).services.len(), 1);
    assert!(draft.notes.iter().any(|note| note.contains("b: no port is left for it")), "{:?}", draft.notes);
}

#[test]
fn modes_that_name_each_other_are_bounded() {
    let (mut models, mut members) = (String::new(), Vec::new());
    for number in 0..900 {
        let _ = writeln!(models, "  m{number:03}: {{ cmd: srv }}");
        members.push(format!("m{number:03}"));
    }
    let group = format!("groups: {{ g: {{ exclusive: false, members: [{}] }} }}\n", members.join(", "));
    let draft = drafted(&format!("models:\n{models}{group}"));
    assert_eq!(loaded(&draft).services.len(), 900);
    assert!(draft.notes.iter().any(|note| note.contains("more modes were left out")));
}

#[test]
fn hostile_names_become_names_of_a_manifest() {
    let names = [
        "true",
        "null",
        "~",
        "123",
        "0x1f",
        "- a",
        "a: b",
        "#a",
        "a #b",
        "&a",
        "*a",
        "!!int 1",
        "${env.HOME}",
        "${PORT}",
        "a\\nb: c",
        "\\u001b[31mred",
        "\\u202eevil",
        "\\u2028x",
        "\\0",
        "../../etc/passwd",
        "auto",
        "off",
        "é",
        "'",
        "`id`",
    ];
    let mut text = "models:\n".to_owned();
    for name in names {
        let _ = writeln!(text, "  \"{name}\": {{ cmd: \"srv {name}x\", name: \"{name}\", env: [\"A={name}\"] }}");
    }
    let _ = writeln!(text, "  \"{}\": {{ cmd: srv }}", "long".repeat(100));
    let members: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let all = members.join(", ");
    let _ =
        writeln!(text, "groups: {{ \"a\\nb\": {{ swap: false, members: [{all}] }}, \"\\u001b\": {{ members: [x] }} }}");
    let draft = drafted(&text);
    assert!(!draft.text.replace('\n', "").contains(is_unseen), "{:?}", draft.text);
    let desired = loaded(&draft);
    // Commands with an open quote can't be split.
    assert_eq!(desired.services.len(), names.len(), "{}", draft.text);
    assert!(!desired.modes.keys().any(|mode| ["auto", "off"].contains(&mode.as_str())));
}

#[test]
fn hostile_macros_end() {
    let mut text = "macros:\n  m0: '0123456789'\n".to_owned();
    for number in 1..200 {
        let _ = writeln!(text, "  m{number}: '${{m{0}}}${{m{0}}}'", number - 1);
    }
    text.push_str("  a: '${b}'\n  b: '${a}'\n");
    text.push_str(
        "models: { big: { cmd: '${m199}' }, turns: { cmd: 'srv ${a}' }, side: { cmd: srv, proxy: '${m199}' } }\n",
    );
    let draft = drafted(&text);
    let told = draft.notes.join("\n");
    assert!(told.contains("big: its cmd is longer than 128 KiB"), "{told}");
    assert!(told.contains("turns: macros that the file does not define, or that refer to themselves: "), "{told}");
    assert!(told.contains("side: a text of it is longer than 128 KiB"), "{told}");
    let names: BTreeSet<String> = loaded(&draft).services.keys().map(ToString::to_string).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["side", "turns"]);
}
