//! A manifest from standard input or another descriptor: read once, bounded, and seen from the current folder.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use crate::drawn::Terminal;
use crate::lcm::{Lcm, Ran, studio};
use crate::live::Live;

/// The same call with the project's manifest for its standard input.
fn piped(live: &Live, words: &[&str]) -> Command {
    let mut command = live.lcm(words).command();
    command.stdin(File::open(live.folder.path().join("lcm.yaml")).expect("a manifest"));
    command
}

#[track_caller]
fn run(mut command: Command, words: &[&str]) -> Ran {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    Ran::new(&words, &command.output().expect("lcm runs"))
}

/// Through a pipe, which can be read once.
#[track_caller]
fn poured(text: &str, lcm: &Lcm, words: &[&str]) -> Ran {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = lcm.command();
    command.stdin(reader);
    let text = text.to_owned();
    let pouring = std::thread::spawn(move || {
        // The rest that lcm does not read can't be written.
        let _ = std::io::Write::write_all(&mut &writer, text.as_bytes());
    });
    let ran = run(command, words);
    pouring.join().expect("no panic");
    ran
}

const WRITES: &str = "{ process: { command: 'pwd > where; echo up; exec sleep 300', env_file: one.env }, \
                      health: { log: up }, stop: { grace: 1s } }\ninclude: part.yaml";

#[test]
fn every_command_reads_it_and_its_paths_start_in_the_current_folder() {
    let live = Live::new(WRITES);
    let folder = live.folder.path();
    fs::write(
        folder.join("part.yaml"),
        "services: { two: { process: { command: [sleep, '300'] }, stop: { grace: 1s } } }\n",
    )
    .expect("written");
    fs::write(folder.join("one.env"), "A=b\n").expect("written");
    let text = fs::read_to_string(folder.join("lcm.yaml")).expect("a manifest");
    let lcm = |words: &[&str]| poured(&text, &live.lcm(words), words);
    lcm(&["plan", "-"]).code(0).stdout_has("2 to start");
    lcm(&["validate", "-"]).code(0).stdout_has("<stdin>: ok (2 services");
    lcm(&["apply", "-m", "-"]).code(0).stdout_has("2 started");
    let here = fs::canonicalize(folder).expect("a folder");
    assert_eq!(fs::read_to_string(folder.join("where")).expect("written").trim(), here.to_str().expect("UTF-8"));
    for words in [
        &["plan", "-m", "-"][..],
        &["plan", "/dev/stdin"],
        &["apply", "--detailed-exitcode", "/dev/fd/0"],
        &["validate", "-m", "-"],
        &["status", "-"],
        &["status", "-m", "-"],
        &["logs", "one", "-m", "-"],
        &["history", "-m", "-"],
        &["observe", "-m", "-"],
        &["maintain", "two", "-m", "-"],
        &["resume", "two", "-m", "-"],
    ] {
        lcm(words).code(0);
    }
    // The file in the same folder is the same manifest.
    live.lcm(&["apply", "--detailed-exitcode"]).run().code(0).stdout_has("Nothing to do");
    let ran = lcm(&["plan", "-m", "-"]).code(0).stdout_has("Nothing to do");
    assert!(!ran.to_string().contains("other_checkout"), "{ran}");
    let runs = live.lcm(&["history", "--runs", "--format", "json"]).run().code(0);
    assert!(runs.stdout.contains("<stdin>"), "{runs}");
    lcm(&["down", "-m", "-", "--yes"]).code(0).stdout_has("2 stopped");
}

#[test]
fn problems_name_standard_input_and_a_long_one_is_refused() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words);
    let broken = "version: 1\nname: x\nservices: { a: { proces: { command: [a] } } }\n";
    for words in
        [&["validate", "-"][..], &["validate", "--format", "json", "-"], &["validate", "--format", "github", "-m", "-"]]
    {
        let ran = poured(broken, &lcm(words), words).code(1).stdout_has("<stdin>");
        assert!(ran.stdout.contains("proces"), "{ran}");
    }
    poured(broken, &lcm(&["plan", "-"]), &[]).code(1).stderr_has("<stdin>:3:18");
    poured("", &lcm(&["plan", "-"]), &[]).code(1).stderr_has("<stdin> is empty");
    // Text after the limit is no manifest of its own.
    let mut long = format!("# {}\n", "x".repeat(1 << 20));
    long.push_str("version: 1\nname: rest\nservices: {}\n");
    let words = ["apply", "--yes", "--json-into", "events.jsonl", "-"];
    poured(&long, &lcm(&words), &words).code(1).stderr_has("can't read <stdin>: it is larger than 1 MiB");
    // A file of that name is a file.
    fs::write(folder.path().join("<stdin>"), "version: 1\n").expect("written");
    let includes = "version: 1\nname: x\ninclude: <stdin>\nservices: {}\nbogus: 1\n";
    poured(includes, &lcm(&["plan", "-"]), &[]).code(1).stderr_has("<stdin>:5:1");
}

#[test]
fn a_mode_override_belongs_to_the_project_however_the_manifest_is_read() {
    let folder = studio();
    let manifest = fs::read_to_string(folder.path().join("lcm.yaml")).expect("a manifest");
    let lcm = |words: &[&str]| poured(&manifest, &Lcm::new(folder.path()).args(words).simulated(), words);
    lcm(&["switch", "write", "--as", "kim", "-"]).code(0);
    Lcm::new(folder.path())
        .args(&["plan"])
        .simulated()
        .run()
        .code(0)
        .stdout_has("mode write (")
        .stdout_has("switched to by kim at");
    lcm(&["switch", "--clear", "/dev/stdin"]).code(0).stdout_has("the mode is paint, by <stdin>");
    Lcm::new(folder.path()).args(&["plan"]).simulated().run().code(0).stdout_has("mode paint (manifest)");
    let words = ["plan", "lcm.yaml", "-m", "lcm.yaml"];
    Lcm::new(folder.path()).args(&words).run().code(64);
}

#[test]
fn at_a_terminal_a_stop_needs_yes_since_nothing_can_be_answered() {
    let live = Live::new("{ process: { command: [sleep, '300'] }, stop: { grace: 1s } }");
    run(piped(&live, &["apply", "-"]), &[]).code(0);
    let (code, shown) = Terminal::of(piped(&live, &["down", "-m", "-"])).left();
    assert_eq!(code, Some(1), "{shown}");
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains("standard input is the manifest") && shown.contains("add `--yes`"), "{shown}");
    live.lcm(&["status"]).run().code(0).stdout_has("online");
    let (code, shown) = Terminal::of(piped(&live, &["down", "-m", "-", "--yes"])).left();
    assert_eq!(code, Some(0), "{shown}");
    // Without a stop there is no question.
    let (code, shown) = Terminal::of(piped(&live, &["apply", "-m", "-"])).left();
    assert_eq!(code, Some(0), "{shown}");
}

#[test]
fn a_socket_is_read_too() {
    let folder = studio();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a socket");
    let text = fs::read(folder.path().join("lcm.yaml")).expect("a manifest");
    std::io::Write::write_all(&mut &ours, &text).expect("written");
    ours.shutdown(std::net::Shutdown::Write).expect("closed");
    let mut command = Lcm::new(folder.path()).args(&["validate", "-"]).command();
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
    run(command, &["validate", "-"]).code(0).stdout_has("<stdin>: ok");
}
