//! State folder on a full disk: a tmpfs of its own, visible to this test only.

use std::process::{Command, Stdio};

use crate::sandbox::{Ran, Sandbox, free_port, run};

/// Runs in a mount namespace of its own. With the history of one run the disk becomes full, and stays so for the next.
const SCRIPT: &str = r#"
mkdir -p "$LCM_STATE_DIR"
mount -t tmpfs -o size=8m,mode=700 none "$LCM_STATE_DIR"
said() { echo "--- $*"; code=0; "$LCM" "$@" 2>&1 || code=$?; echo "exit $code"; }
said apply --yes lcm.yaml
head -c 16m /dev/zero > "$LCM_STATE_DIR/filler" 2> /dev/null
said apply --yes --mode less lcm.yaml
said plan --mode less --detailed-exitcode lcm.yaml
said history --format csv --state online
rm "$LCM_STATE_DIR/filler"
said apply --yes lcm.yaml
said history --format csv
said down --yes lcm.yaml
"#;

/// Runs the same with a service whose stop has a hook: a step that can't be recorded is not begun until the disk has
/// free space again.
const DUTIES: &str = r#"
mkdir -p "$LCM_STATE_DIR"
mount -t tmpfs -o size=8m,mode=700 none "$LCM_STATE_DIR"
said() { echo "--- $*"; code=0; "$LCM" "$@" 2>&1 || code=$?; echo "exit $code"; }
said apply --yes lcm.yaml
head -c 16m /dev/zero > "$LCM_STATE_DIR/filler" 2> /dev/null
said apply --yes --mode less lcm.yaml
cat calls.log 2>&1
rm "$LCM_STATE_DIR/filler"
said apply --yes --mode less lcm.yaml
said plan --mode less --detailed-exitcode lcm.yaml
cat calls.log
said down --yes lcm.yaml
"#;

/// Returns the reason why no small disk can be mounted.
pub(crate) fn missing() -> Option<String> {
    let mut probe = Command::new("unshare");
    probe.args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"]).stdout(Stdio::null()).stderr(Stdio::null());
    match probe.status() {
        Ok(status) if status.success() => None,
        Ok(_) => Some("a small disk can't be mounted: not root".to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    }
}

pub(crate) fn fails_the_record_and_not_the_service() {
    let mut sandbox = Sandbox::new("full");
    let service = |name: &str| {
        format!(
            "  {name}: {{ process: {{ command: [\"@SERVER@\", --port, \"{}\"] }}, stop: {{ grace: 10s }} }}\n",
            free_port()
        )
    };
    let manifest = format!(
        "version: 1\nname: \"@NAME@\"\nmode: both\nservices:\n{}{}modes:\n  both: {{ services: [one, two] }}\n  less: {{ services: [one] }}\n",
        service("one"),
        service("two")
    );
    let manifest = sandbox.write("lcm.yaml", &manifest);
    sandbox.take_down(manifest);
    let ran = on_a_small_disk(&sandbox, SCRIPT);
    let part =
        |number: usize| ran.stdout.split("--- ").nth(number).unwrap_or_else(|| panic!("no part {number}\n{ran}"));

    assert!(part(1).contains("2 started") && part(1).contains("exit 0"), "{ran}");

    let full = part(2);
    assert!(full.contains("1 stopped") && full.contains("exit 0"), "{ran}");
    let told = full.matches("warning:").count();
    assert_eq!((told, full.matches("the disk is full").count()), (1, 1), "told once\n{ran}");
    assert!(part(3).contains("exit 0"), "it is done, and the next plan is empty\n{ran}");
    assert!(part(4).contains(",two,starting,online,") && part(4).contains("exit 0"), "it can be read\n{ran}");

    let after = part(5);
    assert!(after.contains("1 started") && !after.contains("warning:"), "{ran}");
    let history = part(6);
    assert!(
        history.lines().any(|line| line.contains(",two,online,") && line.contains(",false,"))
            && !history.contains(",stopping,"),
        "seen, and not made\n{ran}"
    );
}

fn on_a_small_disk(sandbox: &Sandbox, script: &str) -> Ran {
    let lcm = sandbox.command::<&str>(&[]);
    let environment: Vec<_> =
        lcm.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    let mut command = Command::new("unshare");
    command.args(["--mount", "bash", "-c", script]).env_clear().envs(environment);
    command.env("LCM", env!("CARGO_BIN_EXE_lcm")).current_dir(sandbox.path("")).stdin(Stdio::null());
    run(command, "a script on a full disk")
}

pub(crate) fn defers_steps_with_hooks() {
    let mut sandbox = Sandbox::new("owing");
    let hook = "[{ exec: [sh, -c, 'echo called >> calls.log'] }]";
    let manifest = format!(
        "version: 1\nname: \"@NAME@\"\nmode: both\nservices:\n  owes: {{ process: {{ command: [sleep, '300'] }}, hooks: {{ \
         post_stop: {hook} }}, stop: {{ grace: 10s }} }}\n  plain: {{ process: {{ command: [sleep, '300'] }}, stop: {{ grace: \
         10s }} }}\nmodes:\n  both: {{ services: [owes, plain] }}\n  less: {{ services: [] }}\n"
    );
    let manifest = sandbox.write("lcm.yaml", &manifest);
    sandbox.take_down(manifest);
    let ran = on_a_small_disk(&sandbox, DUTIES);
    let part =
        |number: usize| ran.stdout.split("--- ").nth(number).unwrap_or_else(|| panic!("no part {number}\n{ran}"));
    assert!(part(1).contains("exit 0"), "{ran}");
    let full = part(2);
    assert!(full.contains("can't be recorded, so it was not begun") && full.contains("exit 3"), "{ran}");
    assert!(full.contains("1 stopped") && !full.contains("\ncalled"), "a step without hooks is carried out\n{ran}");
    assert!(part(3).contains("1 stopped") && part(3).contains("exit 0"), "{ran}");
    assert!(part(4).contains("exit 0"), "{ran}");
    assert_eq!(part(4).matches("\ncalled").count(), 1, "{ran}");
}
