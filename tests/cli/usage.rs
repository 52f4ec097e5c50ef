//! Errors of the command line are reported before anything is read, with exit code 64.

use crate::lcm::{Lcm, studio};

#[test]
fn a_wrong_command_line_is_64() {
    let folder = studio();
    for words in [
        &[][..],
        &["fly"],
        &["plan", "--format", "pdf"],
        &["apply", "--parallelism", "0"],
        &["apply", "--timeout", "30"],
        &["status", "--state", "well"],
        &["switch"],
        &["switch", "lcm.yaml"],
        &["switch", "--clear", "write", "paint"],
        &["adopt", "painter"],
        &["plan", "-q", "-v"],
    ] {
        let ran = Lcm::new(folder.path()).args(words).run().code(64);
        assert_eq!(ran.stdout, "", "{ran}");
    }
}

#[test]
fn a_command_of_another_tool_is_answered_by_its_meaning_in_the_layout_of_all_errors() {
    let folder = studio();
    let ran = Lcm::new(folder.path()).args(&["up", "-d"]).run().code(64);
    assert_eq!(
        ran.stderr,
        "error[lcm::command::usage]: lcm has no command `up`\n  help: `lcm apply` starts what the manifest wants; `lcm \
         plan` shows it first\n"
    );
    Lcm::new(folder.path()).args(&["up\u{1b}[2J"]).run().code(64).stderr_has("lcm has no command `up");
}

#[test]
fn a_manifest_above_is_used_and_named_once_and_one_of_others_is_not() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = studio();
    let deep = folder.path().join("a/b");
    std::fs::create_dir_all(&deep).expect("made");
    let file = folder.path().join("lcm.yaml");
    let with_mode = |mode| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("set");
        Lcm::new(&deep).args(&["plan", "--world", "../../world.json"]).run()
    };
    let ran = with_mode(0o644).code(0);
    assert_eq!(ran.stderr.matches("using ../../lcm.yaml: this folder has no lcm.yaml").count(), 1, "{ran}");
    let quiet = Lcm::new(&deep).args(&["plan", "-q", "--world", "../../world.json"]).run().code(0);
    assert!(!quiet.stderr.contains("using"), "{quiet}");
    Lcm::new(&deep).args(&["validate"]).run().code(0).stderr_has("using ../../lcm.yaml");
    with_mode(0o666).code(1).stderr_has("is skipped because others can write").stderr_has("mode 0666");
    let beside = Lcm::new(folder.path()).args(&["plan", "--world", "world.json"]).run();
    assert!(!beside.stderr.contains("using"), "{beside}");
}

#[test]
fn a_folder_without_a_manifest_has_a_first_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = || Lcm::new(folder.path()).args(&["plan"]).run().code(1);
    plan().stderr_has("can't read lcm.yaml").stderr_has("`lcm init` drafts one");
    std::fs::write(folder.path().join("compose.yaml"), "services: {}\n").expect("written");
    plan().stderr_has("`lcm init --from compose.yaml`");
}

#[test]
fn pages_are_found_by_kind_and_by_words() {
    let folder = studio();
    let explain = |words: &[&str]| Lcm::new(folder.path()).args(&["explain"]).args(words).run().code(0);
    explain(&["busy"]).stdout_has("busy (state of a service)");
    explain(&["exit", "4"]).stdout_has("exit code 4");
    explain(&["not", "measured"]).stdout_has("lcm doctor");
    explain(&["preemption"]).stdout_has("effective priority");
    explain(&[])
        .stdout_has("Topics:")
        .stdout_has("States of a service:")
        .stdout_has("Exit codes:")
        .stdout_has("lcm::plan::");
    let unknown = Lcm::new(folder.path()).args(&["explain", "no_capacty"]).run().code(1);
    unknown.stderr_has("did you mean no_capacity?");
}

#[test]
fn help_and_version_go_to_stdout() {
    let folder = studio();
    let lcm = || Lcm::new(folder.path());
    lcm().args(&["--help"]).run().code(0).stdout_has("Exit codes:").stdout_has("  plan ");
    // A debug build does not name its commit: see `src/build.rs`.
    let short = lcm().args(&["-V"]).run().code(0).stdout;
    assert!(short.starts_with("lcm 0.1.0") && short.lines().count() == 1, "{short}");
    lcm().args(&["--version"]).run().code(0).stdout_has(&short).stdout_has("formats  lcm.plan/2, lcm.status/2, ");
    lcm().args(&["apply", "--help"]).run().code(0).stdout_has("--on-failure");
}

/// Streams of tests are pipes: only a flag or a variable paints them.
#[test]
fn help_and_errors_follow_the_same_rule_of_colour() {
    let folder = studio();
    let is_painted = |words: &[&str], name: &str| {
        let ran = Lcm::new(folder.path()).args(words).env(name, "1").run();
        [ran.stdout, ran.stderr].concat().contains('\u{1b}')
    };
    let wrong: &[&str] = &["plan", "--mode", "nope"];
    for words in [&["plan", "--help"][..], &["fly"], &["plan", "--format", "pdf"], wrong] {
        let with = |flag: &'static str| [words, &[flag]].concat();
        assert!(!is_painted(words, "UNUSED"), "{words:?}");
        assert!(is_painted(words, "CLICOLOR_FORCE"), "{words:?}");
        assert!(!is_painted(&with("--color=never"), "CLICOLOR_FORCE"), "{words:?}");
        assert!(!is_painted(words, "NO_COLOR"), "{words:?}");
        assert!(is_painted(&with("--color=always"), "NO_COLOR"), "{words:?}");
    }
}

#[test]
fn names_that_the_manifest_lacks_are_never_skipped() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    lcm(&["plan", "--target", "paintr"]).code(1).stderr_has("did you mean painter?");
    lcm(&["apply", "--exclude", "x"]).code(1).stderr_has("encoder, painter, writer");
    lcm(&["plan", "--goal", "narrate", "--goal", "narate"]).code(1).stderr_has("did you mean `narrate`?");
    lcm(&["apply", "--mode", "wirte"]).code(1).stderr_has("did you mean `write`?");
    Lcm::new(folder.path()).args(&["logs", "writr", "--world", "world.json"]).run().code(1).stderr_has("writer");
}

#[test]
fn a_selection_lists_what_it_leaves_out() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    let note = "--target: 1 of 3 services is selected; left out despite differing from mode both: painter, writer";
    lcm(&["plan", "--mode", "both", "--target", "encoder"]).code(0).stdout_has(&format!("warning: {note}\n"));
    let applied = lcm(&["apply", "--mode", "both", "--target", "encoder", "--format", "json"]).code(0).events();
    assert!(applied.iter().any(|event| event["type"] == "warning" && event["message"] == note), "{applied:#?}");
    assert_eq!(applied.last().expect("a result")["services"]["started"], 1);
    // Several targets, several goals; what is left out may still be changed by a goal that wants it.
    let several = ["--target", "encoder", "--target", "writer", "--goal", "narrate", "--exclude", "painter"];
    let plan = lcm(&[&["plan", "--mode", "write", "--format", "json"], &several[..]].concat()).code(0).json();
    assert_eq!((&plan["goals"], plan["steps"].as_array().map(Vec::len)), (&serde_json::json!(["narrate"]), Some(1)));
    assert_eq!(
        plan["warnings"][0],
        "--target and --exclude: 2 of 3 services are selected; the other one stays as it is"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let folder = studio();
    let mut command = Lcm::new(folder.path()).args(&["schema", "plan"]).command();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = command.stdout(writer).stderr(std::process::Stdio::piped()).output().expect("lcm runs");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn output_that_can_not_be_written_is_an_error() {
    let folder = studio();
    let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let mut command = Lcm::new(folder.path()).args(&["schema", "plan"]).command();
    let output = command.stdout(full).output().expect("lcm runs");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_invalid_snapshot_is_refused() {
    let folder = studio();
    let lcm = |world: &str| Lcm::new(folder.path()).args(&["plan", "--world", world]).run().code(1);
    lcm("nowhere.json").stderr_has("nowhere.json");
    lcm("lcm.yaml").stderr_has("can't use the snapshot file lcm.yaml");
    std::fs::write(
        folder.path().join("next.json"),
        r#"{"format": "lcm.world/3", "host": "box", "observed_at": "2026-11-20T10:00:00Z"}"#,
    )
    .expect("written");
    lcm("next.json").stderr_has("its format is lcm.world/3");
}
