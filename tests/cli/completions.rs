//! Candidates at Tab, from the real bash with the script loaded as a user loads it.

use std::path::Path;
use std::process::Command;

use crate::lcm::{Lcm, studio};

/// Returns the candidates of bash for a line, the last word of which is being typed.
fn offered(folder: &Path, line: &str) -> Vec<String> {
    // As bash does at Tab: words and index in variables, the current word as the second argument.
    let script = r#"
        source <("$LCM" completions bash) || exit 1
        IFS=' ' read -r -a COMP_WORDS <<<"$LINE"
        [[ $LINE == *' ' ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        COMP_TYPE=9
        _clap_complete_lcm lcm "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let lcm = Lcm::new(folder).command();
    let environment = lcm.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let output = Command::new("bash")
        .args(["--norc", "--noprofile", "-c", script])
        .env_clear()
        .envs(environment)
        .env("LCM", env!("CARGO_BIN_EXE_lcm"))
        .env("LINE", line)
        .current_dir(folder)
        .output()
        .expect("bash runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "no noise at a prompt");
    assert!(output.status.success(), "{line}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_offers_what_the_manifest_names() {
    let folder = studio();
    let offered = |line: &str| offered(folder.path(), line);
    assert_eq!(offered("lcm sta"), ["status", "start"]);
    assert_eq!(offered("lcm logs -f "), ["encoder", "painter", "writer"]);
    assert_eq!(offered("lcm restart pa"), ["painter"]);
    assert_eq!(offered("lcm logs painter wr"), ["writer"]);
    assert_eq!(offered("lcm plan --mode "), ["both", "paint", "write"]);
    assert_eq!(offered("lcm switch wr"), ["write"]);
    assert_eq!(offered("lcm apply --goal "), ["narrate"]);
    assert_eq!(offered("lcm plan --exclude e"), ["encoder"]);
    assert_eq!(offered("lcm status --state sus"), ["suspended"]);
    assert_eq!(offered("lcm status --format "), ["text", "json", "prometheus"]);
    assert_eq!(offered("lcm explain port_ta"), ["port_taken"]);
    let both = offered("lcm status ");
    assert!(both.contains(&"painter".to_owned()) && both.contains(&"lcm.yaml".to_owned()), "{both:?}");
}

#[test]
fn the_manifest_is_the_one_that_the_line_names() {
    let folder = studio();
    let other = "version: 1\nname: other\nservices: { only: { process: { command: [sleep, inf] } } }\n";
    std::fs::write(folder.path().join("other.yaml"), other).expect("written");
    std::fs::write(folder.path().join("broken.yaml"), "version: 1\nservices: [").expect("written");
    let offered = |line: &str| offered(folder.path(), line);
    assert_eq!(offered("lcm logs -m other.yaml "), ["only"]);
    assert_eq!(offered("lcm plan other.yaml --target "), ["only"]);
    // No names then, but options there are.
    for line in ["lcm logs -m broken.yaml ", "lcm logs -m nowhere.yaml "] {
        assert!(offered(line).iter().all(|word| word.starts_with('-')), "{line}");
    }
    assert_eq!(offered("lcm plan --mode=write --mo"), ["--mode"]);
    // Neither state nor lock: nothing but the manifest was touched.
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).expect("listed").flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name == "state" || name == "lcm.lock"), "{left:?}");
}

/// Only the call of a completion script is answered; its variable alone, left in an environment, must not suppress any
/// output.
#[test]
fn a_variable_that_was_left_over_changes_nothing() {
    let folder = studio();
    for shell in ["bash", "zsh", "fish"] {
        let lcm = |words: &[&str]| Lcm::new(folder.path()).env("LCM_COMPLETE", shell).args(words).run();
        let script = lcm(&["completions", shell]).code(0).stdout;
        let called = format!("{} -- ", env!("CARGO_BIN_EXE_lcm"));
        assert!(script.replace('"', "").contains(&called), "{script}");
        let asked = Lcm::new(folder.path()).env("LCM_COMPLETE", shell).env("_CLAP_COMPLETE_INDEX", "1");
        asked.args(&["--", "lcm", "valida"]).run().code(0).stdout_has("validate");
        lcm(&["validate"]).code(0).stdout_has("lcm.yaml: ok");
        lcm(&["validate", "none.yaml"]).code(1);
        lcm(&["validate", "--", "none.yaml"]).code(1);
    }
}

#[test]
fn every_shell_has_its_script_and_every_command_its_page() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).run().code(0);
    for shell in ["bash", "zsh", "fish"] {
        lcm(&["completions", shell]).stdout_has("LCM_COMPLETE").stdout_has(env!("CARGO_BIN_EXE_lcm"));
    }
    let page = lcm(&["man"]).stdout;
    for heading in ["NAME", "SYNOPSIS", "OPTIONS", "EXIT STATUS", "FILES", "ENVIRONMENT"] {
        let is_heading = |line: &&str| line.trim_start_matches(".SH ").trim_matches('"') == heading;
        assert_eq!(page.lines().filter(is_heading).count(), 1, "{heading} in {page}");
    }
    lcm(&["man", "--out-dir", "pages"]).stderr_has("pages are in pages");
    let pages = folder.path().join("pages/man1");
    for page in ["man5/lcm.yaml.5", "man7/lcm-planning.7", "man7/lcm-recipes.7"] {
        let text = std::fs::read_to_string(folder.path().join("pages").join(page)).expect("a page");
        assert!(text.starts_with(".TH \"LCM") && text.contains(".SH NAME\n"), "{page}");
    }
    assert_eq!(std::fs::read_to_string(pages.join("lcm.1")).expect("a page"), page);
    let names = page.lines().filter_map(|line| line.strip_prefix("lcm\\-")?.split('(').next());
    let names: Vec<&str> = names.collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(pages.join(format!("lcm-{name}.1")).is_file(), "the page names lcm-{name}(1)");
    }
}
