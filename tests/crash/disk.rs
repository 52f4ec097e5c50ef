//! A state folder on a disk that is really full: a tmpfs of its own, seen by this test alone.

use std::process::{Command, Stdio};

use crate::sandbox::{Sandbox, free_port, run};

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

/// Why there can be none.
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
    let mut script = sandbox.command::<&str>(&[]);
    let environment: Vec<_> =
        script.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    script = Command::new("unshare");
    script.args(["--mount", "bash", "-c", SCRIPT]).env_clear().envs(environment);
    script.env("LCM", env!("CARGO_BIN_EXE_lcm")).current_dir(sandbox.path("")).stdin(Stdio::null());
    let ran = run(script, "a script on a full disk");
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
