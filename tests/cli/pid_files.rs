//! Pid files that lcm writes.

use std::fs;

use crate::live::Live;

#[test]
fn a_service_has_its_pid_file_while_it_runs() {
    let live = Live::new(
        "{ process: { command: 'echo $$$$ > own; exec sleep 300', pid_file: { path: run/one.pid, write: true } }, \
         stop: { grace: 1s } }\n  two: { process: { command: [sleep, '300'] }, stop: { grace: 1s } }",
    );
    let at = |name: &str| live.folder.path().join(name);
    // Its folder is proven before anything is done.
    live.lcm(&["apply"]).run().code(3).stdout_has("its pid file");
    fs::create_dir(at("run")).expect("made");
    live.lcm(&["start", "one"]).run().code(0);
    let pid = fs::read_to_string(at("run/one.pid")).expect("written");
    assert!(pid.trim().parse::<i32>().is_ok_and(|pid| pid > 1), "{pid}");
    live.lcm(&["restart", "one", "--yes"]).run().code(0);
    assert_ne!(fs::read_to_string(at("run/one.pid")).expect("written"), pid);
    live.lcm(&["apply", "--detailed-exitcode"]).run().code(0);
    live.lcm(&["down", "--yes"]).run().code(0);
    assert_eq!(fs::read_dir(at("run")).expect("listed").count(), 0);
}
