//! A plan in each of its formats, by the real binary: the same plan, the same exit codes, and no colour in formats for
//! files.

use std::fs;

use crate::lcm::{Lcm, Ran, studio};

const FORMS: [&str; 5] = ["text", "json", "markdown", "mermaid", "html"];

#[test]
fn every_format_has_the_same_exit_code_and_saves_the_same_plan() {
    let folder = studio();
    let plan = |form: &str, words: &[&str]| -> Ran {
        Lcm::new(folder.path()).args(&["plan", "--format", form]).args(words).simulated().run()
    };
    let json = plan("json", &[]).code(0).stdout;
    for form in FORMS {
        plan(form, &["--detailed-exitcode"]).code(2);
        // One of the two does not fit.
        plan(form, &["--mode", "both"]).code(4);
        let shown = plan(form, &["--out", "saved.json"]).code(0).stdout;
        assert!(shown.ends_with('\n'), "{shown}");
        assert_eq!(fs::read_to_string(folder.path().join("saved.json")).expect("saved"), json, "{form}");
    }
}

#[test]
fn colour_is_for_text_alone() {
    let folder = studio();
    for form in FORMS {
        let plan = |color: &str| {
            let words = ["plan", "--format", form, "--color", color];
            Lcm::new(folder.path()).args(&words).env("COLUMNS", "40").simulated().run().code(0).stdout
        };
        let painted = plan("always");
        assert_eq!(painted.contains('\u{1b}'), form == "text", "{painted}");
        if form != "text" {
            assert_eq!(painted, plan("never"));
        }
    }
}

#[test]
fn markdown_begins_with_the_summary() {
    let folder = studio();
    let plan = || Lcm::new(folder.path()).args(&["plan", "--format", "markdown"]).simulated();
    let text = plan().run().code(0).stdout;
    assert!(text.starts_with("**Plan: 0 to stop, 2 to start, 1 kept, 0 blocked**\n"), "{text}");
    assert!(text.ends_with("\n<!-- lcm plan: studio paint -->\n"), "{text}");
    let other = plan().args(&["--mode", "write"]).run().code(0);
    assert!(other.stdout.ends_with("\n<!-- lcm plan: studio write -->\n"), "another comment: {other}");
    Lcm::new(folder.path()).args(&["apply", "--yes"]).simulated().run().code(0);
    assert!(plan().run().code(0).stdout.starts_with("**Nothing to do: 3 services of studio already match mode paint"));
}
