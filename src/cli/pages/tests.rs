//! Tests of the pages against the codes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;

use super::{find, last_word, list, pages, shown};
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
    let written: BTreeSet<String> = pages().map(|page| page.code.to_owned()).collect();
    assert!(reasons().len() > 30, "{:?}", reasons());
    let without: Vec<_> = known.difference(&written).collect();
    assert!(without.is_empty(), "without a page: {without:?}");
    let stale: Vec<_> = written.difference(&known).collect();
    assert!(stale.is_empty(), "pages without a code: {stale:?}");
    assert_eq!(pages().count(), written.len(), "no code has two pages");
}

#[test]
fn a_page_is_found_by_its_code_or_its_last_word() {
    for page in pages() {
        assert_eq!(find(page.code).expect("it is there"), [page]);
        assert!(find(last_word(page.code)).expect("it is there").contains(&page));
        assert!(page.text.ends_with(['.', '`']), "{}: a page is made of sentences", page.code);
    }
    let error = find("no_capacty").expect_err("there is none").message();
    assert!(error.contains("did you mean no_capacity?"), "{error}");
}

#[test]
fn pages_fit_a_terminal() {
    let style = Style { width: Some(80), ..Style::PLAIN };
    for text in pages().map(|page| shown(page, style)).chain([list(style)]) {
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
