//! Tests of the pages against the codes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;

use super::search::find;
use super::{Page, PageKind, list, pages, shown};
use crate::cli::exit::CODES;
use crate::model::lifecycle::State;
use crate::model::plan::ReasonCode;
use crate::report::style::Style;

/// Returns every literal of the source that is a code.
fn codes() -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    let mut open: Vec<PathBuf> = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
            continue;
        }
        let is_code = path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let begins = text.match_indices("\"lcm::").filter(|_| is_code).map(|(at, _)| at + 1);
        codes.extend(begins.filter_map(|at| text[at..].split('"').next()).map(str::to_owned));
    }
    codes
}

/// Returns all reason codes, as their schema lists them.
fn reasons() -> BTreeSet<String> {
    let schema = serde_json::to_value(schemars::SchemaGenerator::default().root_schema_for::<ReasonCode>());
    let mut found = BTreeSet::new();
    gather(&schema.expect("JSON"), &mut found);
    found
}

/// Collects the words of `enum` and `const` at any depth.
fn gather(schema: &serde_json::Value, found: &mut BTreeSet<String>) {
    match schema {
        serde_json::Value::Object(map) => {
            let words =
                map.get("enum").and_then(|words| words.as_array()).into_iter().flatten().chain(map.get("const"));
            found.extend(words.filter_map(|word| word.as_str()).map(|word| format!("lcm::plan::{word}")));
            map.values().for_each(|inner| gather(inner, found));
        }
        serde_json::Value::Array(all) => all.iter().for_each(|inner| gather(inner, found)),
        _ => {}
    }
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    assert_eq!(ReasonCode::schema_name(), "ReasonCode");
    let known: BTreeSet<String> = codes().into_iter().chain(reasons()).collect();
    let coded = || pages().filter(|page| page.kind == PageKind::Code);
    let written: BTreeSet<String> = coded().map(|page| page.title.to_owned()).collect();
    assert!(reasons().len() > 30, "{:?}", reasons());
    let without: Vec<_> = known.difference(&written).collect();
    assert!(without.is_empty(), "without a page: {without:?}");
    let stale: Vec<_> = written.difference(&known).collect();
    assert!(stale.is_empty(), "pages without a code: {stale:?}");
    assert_eq!(coded().count(), written.len(), "no code has two pages");
}

#[test]
fn every_state_and_exit_code_has_a_page() {
    let of_kind = |kind: PageKind| pages().filter(move |page| page.kind == kind);
    let states: Vec<&str> = of_kind(PageKind::State).map(|page| page.title).collect();
    assert_eq!(states, State::ALL.map(State::as_str));
    for (page, state) in of_kind(PageKind::State).zip(State::ALL) {
        assert!(page.text.starts_with(state.meaning()), "{state}: begins with its meaning");
    }
    let exits: Vec<&str> = of_kind(PageKind::Exit).map(Page::name).collect();
    let codes: Vec<&str> = CODES.iter().flat_map(|(codes, _)| codes.split(", ")).collect();
    assert_eq!(exits, codes);
}

/// A warning is found by a part of its text, which the source must still have.
#[test]
fn every_warning_of_a_page_is_in_the_source() {
    let mut source = String::new();
    let mut open: Vec<PathBuf> = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            source.push_str(&fs::read_to_string(&path).expect("text"));
        }
    }
    // A text goes on after a backslash at the end of a line.
    let source = source.split("\\\n").map(str::trim_start).collect::<String>();
    for page in pages().filter(|page| page.kind == PageKind::Warning) {
        assert!(source.contains(page.name()), "no message has the words of the page {:?}", page.title);
    }
}

#[test]
fn a_page_is_found_by_its_name_or_its_words() {
    for page in pages() {
        assert!(find(page.title).expect(page.title).contains(&page), "{}", page.title);
        assert!(find(page.name()).expect(page.title).contains(&page), "{}", page.title);
        assert!(page.text.ends_with(['.', '`']), "{}: a page is made of sentences", page.title);
    }
    let titles = |sought: &str| find(sought).expect(sought).iter().map(|page| page.title).collect::<Vec<_>>();
    for (sought, expected) in [
        ("4", vec!["exit 4"]),
        ("exit 4", vec!["exit 4"]),
        ("exit code 130", vec!["exit 130"]),
        ("Busy", vec!["busy"]),
        ("mode", vec!["modes"]),
        ("vram", vec!["memory"]),
        ("not measured", vec!["warning: GPU memory is not measured"]),
        (
            "warning: comfyui holds 9 000 MiB on GPU 0, but declares 4 000 MiB: write vram",
            vec!["warning: but declares"],
        ),
        ("no_room", vec!["lcm::plan::no_capacity"]),
    ] {
        assert_eq!(titles(sought), expected, "{sought}");
    }
    assert!(titles("suspended").contains(&"suspended"), "{:?}", titles("suspended"));
    let message = |sought: &str| find(sought).expect_err(sought).message();
    assert!(message("no_capacty").contains("did you mean no_capacity?"), "{}", message("no_capacty"));
    assert!(message("zzz").contains("`lcm explain` lists all"), "{}", message("zzz"));
    assert!(message("the service").contains("several pages"), "{}", message("the service"));
    assert!(find("").is_err() && find("?").is_err());
}

#[test]
fn pages_fit_a_terminal() {
    let style = Style { width: Some(80), ..Style::PLAIN };
    for text in pages().map(|page| shown(page, style)).chain([list(style)]) {
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
