//! Probes, hooks, notifiers and stops that start processes to outlive them; and services that attack their own output.

use std::fs;
use std::process::Stdio;
use std::time::Instant;

use crate::sandbox::{PATIENCE, run};
use crate::support::host::lcm;
use crate::support::process::{Identity, living, with_variable, words};
use crate::support::{AS_ROOT, Attack, Canary, Host, KIM, MEMORY_MIB_MAX, ROOT, User, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT => a_probe_in_a_session_of_its_own, a_probe_that_forks_twice, a_probe_that_ignores_a_hangup,
            a_probe_with_groups_of_its_own, a_probe_that_disowns, a_probe_with_stopped_children,
            a_probe_whose_children_ignore_signals, a_probe_that_closes_all_it_has, a_probe_that_drops_its_user,
            a_probe_in_namespaces_of_its_own, a_probe_that_is_a_fork_bomb, a_probe_that_bombs_in_many_sessions,
            a_probe_of_another_user, probes_that_three_plans_run_do_not_pile_up, a_busy_probe_that_flees;
        AS_ROOT => a_hook_that_flees, a_notifier_that_flees, a_stop_that_flees, an_eviction_that_flees,
            a_hook_that_writes_without_end, a_hook_whose_output_is_held_open, a_hook_that_kills_its_guardian,
            a_hook_that_stops_its_guardian, a_hook_that_looks_for_what_lcm_holds;
        AS_ROOT => lcm_killed_in_a_probe, lcm_killed_in_a_hook, lcm_killed_in_a_notifier, lcm_killed_in_a_stop;
        AS_ROOT => a_service_that_empties_its_output, a_service_that_floods_its_log, a_service_that_kills_its_relays;
    ]
}

/// Escaped processes, by an environment variable that no other process on this machine has.
struct Fled(String);

impl Fled {
    fn of(host: &Host) -> Self {
        Self(format!("FLED={}", host.name))
    }

    fn living(&self) -> Vec<Identity> {
        with_variable(&self.0)
    }

    #[track_caller]
    fn assert_ended(&self, owner: &User<'_>) {
        let fled = fs::read_to_string(owner.path("fled")).unwrap_or_default();
        assert!(!fled.is_empty(), "the attack itself was never made");
        let left: Vec<_> = self.living().into_iter().map(|process| (process.pid, words(process.pid))).collect();
        assert!(left.is_empty(), "it outlives what started it: {left:?}");
    }

    /// Same, with a delay after lcm was killed.
    #[track_caller]
    fn end_soon(&self) {
        until("what was started ends with lcm", || self.living().is_empty());
    }
}

impl Drop for Fled {
    fn drop(&mut self) {
        for process in self.living() {
            process.signal("KILL");
        }
    }
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "still waiting: {what}");
        std::thread::yield_now();
    }
}

/// Writes `flee.sh`, which starts a process by `how` (with `@RUN@` in place of its command), waits until it runs, and
/// continues with `then`.
fn flee(host: &Host, owner: &User<'_>, how: &str, then: &str) -> Fled {
    let fled = Fled::of(host);
    owner.write("run.sh", "echo $$ >> \"$1\"/fled\nexec sleep 613\n");
    let home = owner.path("");
    let home = home.display();
    let run = format!("sh {home}/run.sh {home}");
    let script = format!(
        "cd {home}\nexport {}\n{}\nwhile ! [ -s fled ]; do sleep 0.01; done\n{then}\n",
        fled.0,
        how.replace("@RUN@", &run)
    );
    owner.write("flee.sh", &script);
    fled
}

/// Applies a probe whose child escapes and which passes: no process of it is left when lcm returns, and the service is
/// healthy.
fn probe(how: &str) {
    probe_of(ROOT, how);
}

fn probe_of(uid: u32, how: &str) {
    let host = Host::new("guard");
    let owner = host.user(uid);
    let canary = Canary::new(&host);
    let fled = flee(&host, &owner, how, "exit 0");
    let manifest = owner.manifest(
        "  api: { process: { command: [sleep, \"300\"] }, health: { exec: [sh, flee.sh], probe_timeout: 30s } }",
    );
    drop(owner.lcm(&["apply", "--yes", &manifest]).exits(0));
    fled.assert_ended(&owner);
    owner.converges(&manifest);
    fled.assert_ended(&owner);
    owner.goes_down(&manifest);
    canary.assert_untouched();
}

fn a_probe_in_a_session_of_its_own() {
    probe("setsid @RUN@ &");
}

fn a_probe_that_forks_twice() {
    probe("( ( setsid @RUN@ & ) & )");
}

fn a_probe_that_ignores_a_hangup() {
    probe("nohup @RUN@ > /dev/null 2>&1 &");
}

fn a_probe_with_groups_of_its_own() {
    probe("bash -c 'set -m; @RUN@ & @RUN@ & disown -a'");
}

fn a_probe_that_disowns() {
    probe("bash -c '@RUN@ & disown; exit 0'");
}

fn a_probe_with_stopped_children() {
    probe("setsid sh -c 'echo $$ >> fled; kill -STOP $$; sleep 613' &");
}

fn a_probe_whose_children_ignore_signals() {
    probe("setsid sh -c 'trap \"\" TERM INT HUP QUIT USR1 USR2 ALRM PIPE CHLD; @RUN@; sleep 613' &");
}

fn a_probe_that_closes_all_it_has() {
    probe("( cd /; setsid @RUN@ 0<&- 1>&- 2>&- & )");
}

fn a_probe_that_drops_its_user() {
    probe("touch fled; chmod 666 fled; setsid setpriv --reuid 61003 --regid 61003 --clear-groups @RUN@ &");
}

fn a_probe_in_namespaces_of_its_own() {
    probe("setsid unshare --user --map-root-user --pid --fork --mount @RUN@ &");
}

/// Bounded fork bomb: 2⁷ processes without a waiting parent.
fn a_probe_that_is_a_fork_bomb() {
    probe("bomb() { [ $1 = 0 ] && { @RUN@; exit; }; bomb $(($1 - 1)) & bomb $(($1 - 1)) & }\nbomb 7 &");
}

fn a_probe_that_bombs_in_many_sessions() {
    probe(
        "cat > bomb.sh <<'EOT'\n[ $1 = 0 ] && exec @RUN@\nsetsid sh bomb.sh $(($1 - 1)) &\n\
         setsid sh bomb.sh $(($1 - 1)) &\nexec sleep 613\nEOT\nsetsid sh bomb.sh 6 &",
    );
}

fn a_probe_of_another_user() {
    probe_of(KIM, "( setsid nohup @RUN@ > /dev/null 2>&1 & )");
}

fn probes_that_three_plans_run_do_not_pile_up() {
    let host = Host::new("guard");
    let owner = host.user(ROOT);
    let fled = Fled::of(&host);
    let line = format!("{} setsid sleep 612 & {} sleep 613", fled.0, fled.0);
    let manifest = owner.manifest(&format!(
        "  api: {{ process: {{ command: [sleep, \"300\"] }}, health: {{ exec: \"{line}\", probe_timeout: 1s, timeout: 2s }} }}",
    ));
    let _failed = owner.lcm(&["apply", "--yes", &manifest]).exits(3);
    for _ in 0..3 {
        let _plan = owner.lcm(&["plan", &manifest]);
        assert!(fled.living().is_empty(), "{:?}", fled.living());
    }
    owner.goes_down(&manifest);
    assert!(fled.living().is_empty(), "{:?}", fled.living());
}

fn a_busy_probe_that_flees() {
    let host = Host::new("guard");
    let owner = host.user(ROOT);
    let fled = flee(&host, &owner, "setsid @RUN@ &", "exit 1");
    let manifest = owner.manifest(
        "  api: { process: { command: [sleep, \"300\"] }, busy: { exec: [sh, flee.sh], probe_timeout: 30s } }",
    );
    owner.converges(&manifest);
    fled.assert_ended(&owner);
    owner.goes_down(&manifest);
    fled.assert_ended(&owner);
}

/// Returns an owner whose service has `more` in its block.
fn with(more: &str, how: &str, then: &str, attack: impl FnOnce(&User<'_>, &str, &Fled)) {
    let host = Host::new("guard");
    let owner = host.user(ROOT);
    let canary = Canary::new(&host);
    let fled = flee(&host, &owner, how, then);
    let manifest = owner.manifest(&format!("  api:\n    process: {{ command: [sleep, \"300\"] }}\n{more}"));
    attack(&owner, &manifest, &fled);
    fs::write(owner.path("flee.sh"), "exit 0\n").expect("written");
    owner.converges(&manifest);
    owner.goes_down(&manifest);
    canary.assert_untouched();
}

const HOOK: &str = "    hooks: { post_start: [{ exec: [sh, flee.sh], timeout: 30s }] }";
const NOTIFY: &str = "notify:\n  - { exec: [sh, flee.sh], timeout: 30s }";
const STOP: &str = "    stop: { exec: [sh, flee.sh], grace: 30s }";

fn a_hook_that_flees() {
    with(HOOK, "( setsid @RUN@ & )", "echo done", |owner, manifest, fled| {
        drop(owner.lcm(&["apply", "--yes", manifest]).exits(0));
        fled.assert_ended(owner);
    });
}

fn a_notifier_that_flees() {
    with(NOTIFY, "( setsid @RUN@ & )", "echo done", |owner, manifest, fled| {
        drop(owner.lcm(&["apply", "--yes", manifest]).exits(0));
        fled.assert_ended(owner);
    });
}

fn a_stop_that_flees() {
    with(STOP, "( setsid @RUN@ & )", "exit 1", |owner, manifest, fled| {
        drop(owner.lcm(&["apply", "--yes", manifest]).exits(0));
        drop(owner.lcm(&["stop", "--yes", "-m", manifest, "api"]).exits(0));
        fled.assert_ended(owner);
    });
}

fn an_eviction_that_flees() {
    let evict = "    evict: { exec: [sh, flee.sh], timeout: 30s }";
    with(evict, "( setsid @RUN@ & )", "exit 0", |owner, manifest, fled| {
        drop(owner.lcm(&["apply", "--yes", manifest]).exits(0));
        drop(owner.lcm(&["stop", "--yes", "-m", manifest, "api"]).exits(0));
        fled.assert_ended(owner);
    });
}

fn a_hook_that_writes_without_end() {
    let hook = "    hooks: { post_start: [{ exec: [sh, flee.sh], timeout: 1s }] }";
    with(hook, "setsid @RUN@ &", "exec yes a line without end", |owner, manifest, fled| {
        drop(owner.bounded(MEMORY_MIB_MAX, &["apply", "--yes", manifest]));
        fled.assert_ended(owner);
    });
}

fn a_hook_whose_output_is_held_open() {
    with(HOOK, "( setsid @RUN@ & )", "echo its output is held open", |owner, manifest, fled| {
        let applied = owner.lcm(&["apply", "--yes", "--format", "json", manifest]).exits(0);
        let hook = applied.events().into_iter().find(|event| event["type"] == "hook").expect("the hook's event");
        let output = hook["output"].as_str().expect("its output");
        assert!(
            output.starts_with("its output is held open\nlcm: ended the processes that were left running: sleep (pid "),
            "{output}"
        );
        fled.assert_ended(owner);
    });
}

fn a_hook_that_kills_its_guardian() {
    with(HOOK, "@RUN@ &", "kill -KILL $PPID; sleep 613", |owner, manifest, fled| {
        let applied = owner.lcm(&["apply", "--yes", manifest]);
        assert!(applied.stderr.contains("was killed") || applied.stdout.contains("was killed"), "{applied}");
        fled.assert_ended(owner);
    });
}

fn a_hook_that_stops_its_guardian() {
    let hook = "    hooks: { post_start: [{ exec: [sh, flee.sh], timeout: 1s }] }";
    with(hook, "setsid @RUN@ &", "kill -STOP $PPID; sleep 613", |owner, manifest, fled| {
        drop(owner.lcm(&["apply", "--yes", manifest]));
        fled.assert_ended(owner);
    });
}

fn a_hook_that_looks_for_what_lcm_holds() {
    let inspection = "ls -l /proc/self/fd > seen; tr '\\0' '\\n' < /proc/$PPID/environ >> guardian; \
                tr '\\0' ' ' < /proc/$PPID/cmdline >> guardian; ls -l /proc/$PPID/fd >> guardian";
    with(HOOK, "setsid @RUN@ &", inspection, |owner, manifest, fled| {
        // Same situation as under `flock 9` in a crontab.
        let mut command = owner.program("bash");
        command.args(["-c", "exec 9> held; exec \"$@\"", "bash"]).arg(lcm()).args(["apply", "--yes", manifest]);
        command.env("TOKEN", "hf_never_to_be_seen");
        drop(run(command, "apply with a file of its caller's").exits(0));
        fled.assert_ended(owner);
        let seen = fs::read_to_string(owner.path("seen")).expect("seen");
        let handed = seen.lines().filter(|line| ![" 0 -> ", " 1 -> ", " 2 -> "].iter().any(|own| line.contains(own)));
        for line in handed {
            let foreign = ["socket:", "pipe:", "anon_inode:", "held", "/state/", "lcm.lock"];
            assert!(!foreign.iter().any(|what| line.contains(what)), "handed on to a hook:\n{seen}");
        }
        let guardian = fs::read_to_string(owner.path("guardian")).expect("seen");
        assert!(guardian.contains("__guard") && !guardian.contains("never_to_be_seen"), "{guardian}");
        assert!(!guardian.contains("state.db") && !guardian.contains("lcm.lock"), "{guardian}");
    });
}

/// Kills lcm while a program of `more` runs: that program ends as well, and the next run converges.
fn killed(more: &str, prepare: &[&str], command: &[&str]) {
    with(more, "( setsid @RUN@ & )\n@RUN@ &", "sleep 613", |owner, manifest, fled| {
        let at = |words: &[&str]| words.iter().map(|word| word.replace('@', manifest)).collect::<Vec<_>>();
        if !prepare.is_empty() {
            drop(owner.lcm(&at(prepare)));
        }
        let mut child =
            owner.command(&at(command)).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lcm runs");
        until("what it runs has begun", || {
            fs::read_to_string(owner.path("fled")).is_ok_and(|text| text.lines().count() >= 2)
        });
        child.kill().expect("killed");
        child.wait().expect("it ended");
        fled.end_soon();
    });
}

fn lcm_killed_in_a_probe() {
    let probe = "    health: { exec: [sh, flee.sh], probe_timeout: 60s, timeout: 90s }";
    killed(probe, &[], &["apply", "--yes", "@"]);
}

fn lcm_killed_in_a_hook() {
    killed(&HOOK.replace("30s", "90s"), &[], &["apply", "--yes", "@"]);
}

fn lcm_killed_in_a_notifier() {
    killed(&NOTIFY.replace("30s", "90s"), &[], &["apply", "--yes", "@"]);
}

fn lcm_killed_in_a_stop() {
    killed(&STOP.replace("30s", "90s"), &["apply", "--yes", "@"], &["stop", "--yes", "-m", "@", "api"]);
}

/// Returns the path of the only service's log.
fn log(host: &Host, owner: &User<'_>) -> String {
    let path = owner.state().join("projects").join(&host.name).join("api/log");
    fs::read_to_string(path).unwrap_or_default()
}

fn a_service_that_empties_its_output() {
    let host = Host::new("guard");
    let owner = host.user(KIM);
    owner.write(
        "serve.sh",
        "echo one\n: > /dev/stdout\necho two > /dev/stderr\n: > /proc/self/fd/1\ntruncate -s 0 /dev/stdout 2>/dev/null\n\
         cp /dev/null /dev/stderr 2>/dev/null\ntee /dev/stdout < /dev/null\necho three\nexec sleep 300\n",
    );
    let manifest = owner.manifest("  api: { process: { command: [sh, serve.sh] } }");
    owner.converges(&manifest);
    until("its last line", || log(&host, &owner).contains("three\n"));
    assert_eq!(log(&host, &owner), "one\ntwo\nthree\n");
    owner.goes_down(&manifest);
}

fn a_service_that_floods_its_log() {
    let host = Host::new("guard");
    let owner = host.user(KIM);
    let manifest = owner.manifest(
        "  api:\n    process: { command: [yes, another line], log: { max_size: 64KiB, files: 1 } }\n    \
         health: { log: server is ready, timeout: 2s }",
    );
    let applied = owner.bounded(MEMORY_MIB_MAX, &["apply", "--yes", &manifest]).exits(3);
    assert!(format!("{applied}").contains("does not show `server is ready`"), "{applied}");
    let folder = owner.state().join("projects").join(&host.name).join("api");
    for entry in fs::read_dir(folder).expect("its folder").flatten() {
        // The log may exceed the bound by one chunk before it is rotated.
        let size = entry.metadata().map_or(0, |metadata| metadata.len());
        assert!(size <= 128 << 10, "{}: {size} bytes", entry.path().display());
    }
    owner.goes_down(&manifest);
}

/// The service runs as its owner, who may kill all processes that guard it.
fn a_service_that_kills_its_relays() {
    let host = Host::new("guard");
    let owner = host.user(KIM);
    let canary = Canary::new(&host);
    owner.write("serve.sh", "echo begun\nwhile ! [ -e go ]; do sleep 0.01; done\nhead -c 3000000 /dev/zero | tr '\\0' x\necho\necho done\nexec sleep 300\n");
    let manifest = owner.manifest("  api: { process: { command: [sh, serve.sh] } }");
    owner.converges(&manifest);
    until("its first line", || log(&host, &owner).contains("begun\n"));
    let log_path = owner.state().join("projects").join(&host.name).join("api/log");
    let holds = |pid: i32| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        descriptors.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|target| target == log_path)
    };
    until("both keepers", || living(holds).len() == 2);
    for supervisor in living(holds) {
        supervisor.signal("KILL");
        until("its end", || !supervisor.is_alive());
    }
    fs::write(owner.path("go"), "").expect("written");
    drop(owner.lcm(&["plan", "--detailed-exitcode", &manifest]).exits(0));
    until("all that it wrote", || log(&host, &owner).ends_with("x\ndone\n"));
    assert_eq!(log(&host, &owner).len(), 6 + 3_000_006);
    owner.converges(&manifest);
    owner.goes_down(&manifest);
    canary.assert_untouched();
}
