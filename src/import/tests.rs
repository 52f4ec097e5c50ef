//! Round trip: the written text, read by the loader of every manifest, has the same values.

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use proptest::sample::select;

use crate::import::writer::{YamlBlock, YamlValue};
use crate::manifest::{ModeSelection, load};
use crate::model::environment::EnvValue;
use crate::model::names::ServiceName;
use crate::runtime::process::intent::{CommandSpec, ProcessSpec};
use crate::syntax::Environment;

/// Texts that some YAML reader takes for another type.
const NASTY: [&str; 60] = [
    "",
    " ",
    "a ",
    " a",
    "~",
    "null",
    "Null",
    "true",
    "yes",
    "NO",
    "on",
    "off",
    "y",
    "12",
    "0x1f",
    "0o17",
    "017",
    "1_000",
    "1e3",
    ".5",
    "-1",
    "+1",
    ".inf",
    "-.Inf",
    ".NaN",
    "1:30",
    "2026-11-20",
    "- a",
    "? a",
    ": a",
    "a: b",
    "a:",
    "#a",
    "a #b",
    "a#b",
    "&a",
    "*a",
    "!a",
    "!!int 1",
    "|",
    ">",
    ">-",
    "%a",
    "@a",
    "`a`",
    "'",
    "\"",
    "'a'",
    "\"a\"",
    "\\",
    "\\n",
    "[a]",
    "{a}",
    "a, b",
    "${A}",
    "$$",
    "--- ",
    "...",
    "<<",
    "=",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        select(&NASTY[..]).prop_map(str::to_owned),
        proptest::collection::vec(any::<char>(), 0..12).prop_map(String::from_iter),
        proptest::collection::vec(
            select(vec![
                'a', ' ', '\n', '\t', '\r', ':', '#', '"', '\'', '\\', '$', '-', '\u{85}', '\u{2028}', '\u{feff}',
                '\u{0}'
            ]),
            0..10
        )
        .prop_map(String::from_iter),
    ]
}

/// Returns valid names of environment variables.
fn variable() -> impl Strategy<Value = String> {
    text().prop_filter("a name", |name| {
        !name.is_empty() && name != "<<" && !name.contains(['=', '\0']) && !name.contains(char::is_whitespace)
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back_as_what_was_meant(
        words in proptest::collection::vec(text(), 1..12),
        environment in proptest::collection::btree_map(variable(), text(), 0..6),
        comments in proptest::collection::vec(text(), 0..4),
    ) {
        let mut variables = YamlBlock::default();
        for (name, value) in &environment {
            variables.put_with(name, YamlValue::literal(value), comments.first().cloned().unwrap_or_default());
        }
        let mut process = YamlBlock::default();
        process.put("command", YamlValue::List(words.iter().map(|word| YamlValue::literal(word)).collect()));
        if variables.holds_any() {
            process.put("environment", YamlValue::Map(variables));
        }
        for comment in &comments {
            process.comment(comment.clone()).propose("log", YamlValue::literal(comment), Some(comment));
        }
        let mut service = YamlBlock::default();
        service.put("process", YamlValue::Map(process));
        let mut services = YamlBlock::default();
        services.put("it", YamlValue::Map(service));
        let mut block = YamlBlock::default();
        block.put("version", YamlValue::word(1)).put("name", YamlValue::text("p")).gap().put("services", YamlValue::Map(services));

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lcm.yaml");
        fs::write(&path, block.document()).expect("written");
        let desired = load(&path, &Environment::new(), &ModeSelection::default());
        let desired = desired.map_err(|problems| TestCaseError::fail(format!("{problems}\n{}", block.document())))?;
        let Some(process) = desired.services[&ServiceName::new("it")].workload.spec::<ProcessSpec>() else { panic!("a process") };
        prop_assert_eq!(&process.command, &CommandSpec::Exec(words), "{}", block.document());
        let read: BTreeMap<String, String> = process
            .environment
            .iter()
            .map(|(name, value)| match value {
                EnvValue::Plain(text) => (name.clone(), text.clone()),
                EnvValue::Secret(_) => (name.clone(), "a secret".to_owned()),
            })
            .collect();
        prop_assert_eq!(read, environment, "{}", block.document());
    }
}
