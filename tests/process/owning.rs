//! Ownership of processes: proven by shims, records and descent, never by a process's own environment or arguments.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use lcm::model::claim::{ClaimFact, Claimant};
use lcm::model::desired::Service;
use lcm::model::facts::Reading;
use lcm::runtime::process::facts::LostShim;
use lcm::runtime::{RunState, Start};
use rustix::process::{Signal, geteuid};
use serde_json::{Value, json};

use crate::support::{Bench, Foreign, kill, lives, set, wait_for, write};

/// A user without any process or file.
const OTHER_UID: u32 = 61_009;

fn is_root() -> bool {
    geteuid().is_root()
}

fn members_file(bench: &Bench, service: &Service) -> PathBuf {
    bench.path(&format!("state/projects/{}/{}/members.json", bench.project, service.name))
}

/// Pids in the record of a service, once it holds this one.
async fn recorded(bench: &Bench, service: &Service, pid: i32) {
    let path = members_file(bench, service);
    wait_for(&format!("a record of pid {pid}"), || {
        let note: Value = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
        note["members"].as_array()?.iter().any(|member| member["pid"] == pid).then_some(())
    })
    .await;
}

async fn kill_shim(bench: &Bench, service: &Service) -> i32 {
    let shim = bench.tree(service).await.shim.expect("a shim").pid;
    kill(shim, Signal::KILL);
    wait_for("the shim's end", || (!lives(shim)).then_some(())).await;
    shim
}

async fn claims(bench: &Bench) -> Vec<ClaimFact> {
    let survey = bench.processes.survey(&bench.desired(&[])).await;
    assert!(matches!(survey.trees, Reading::Known(_)), "{survey:?}");
    survey.claims
}

fn claimed_pids(claims: &[ClaimFact]) -> Vec<i32> {
    let pid = |claim: &ClaimFact| match &claim.claimant {
        Claimant::Process { pid, .. } => Some(*pid),
        Claimant::Container { .. } => None,
    };
    claims.iter().filter_map(pid).collect()
}

/// A pid that a service writes into a file of the bench.
async fn pid_in(bench: &Bench, name: &str) -> i32 {
    bench.line_of(name).await.parse().expect("a pid")
}

/// Copies lcm in a separate process: a process that another test forks meanwhile would inherit the copy open for
/// writing, and the kernel does not execute such a file.
fn copy_lcm(to: &Path) {
    let copied = std::process::Command::new("cp").arg(env!("CARGO_BIN_EXE_lcm")).arg(to).status().expect("cp runs");
    assert!(copied.success(), "no copy of lcm");
}

#[tokio::test]
async fn an_upgrade_of_the_binary_loses_and_duplicates_no_service() {
    let mut bench = Bench::new();
    let binary = bench.path("lcm");
    copy_lcm(&binary);
    bench.processes.shim_program.clone_from(&binary);
    let service = bench.service("web", "sleep 600 & exec sleep 600");
    let instance = bench.start(&service).await;
    fs::remove_file(&binary).expect("removed");
    copy_lcm(&binary);
    let inspection = bench.inspect_service(&service).await;
    assert_eq!((inspection.run_state, inspection.instance.as_ref()), (RunState::Running, Some(&instance)));
    assert_eq!(bench.start(&service).await, instance, "no second copy is started");
    bench.stop(&service, &instance).await;
    bench.assert_empty();
}

#[tokio::test]
async fn a_shim_that_records_nothing_is_recorded_by_a_changing_run() {
    let bench = Bench::new();
    let service = bench.service("web", "(sleep 600 & echo $! > child) ; exec sleep 600");
    let instance = bench.start(&service).await;
    let child = pid_in(&bench, "child").await;
    recorded(&bench, &service, child).await;
    // As under an earlier lcm.
    fs::remove_file(members_file(&bench, &service)).expect("removed");
    bench.processes.record(&bench.project).await;
    recorded(&bench, &service, child).await;
    kill_shim(&bench, &service).await;
    assert_eq!(bench.inspect_service(&service).await.run_state, RunState::Running);
    bench.stop(&service, &instance).await;
    assert!(!lives(child));
    bench.assert_empty();
}

#[tokio::test]
async fn a_tree_whose_shim_died_is_whole_and_reported() {
    let bench = Bench::new();
    let line = "(env -i setsid sh -c 'echo $$ > orphan; exec sleep 600' &); exec sleep 600";
    let service = bench.service("web", line);
    let instance = bench.start(&service).await;
    let orphan = pid_in(&bench, "orphan").await;
    recorded(&bench, &service, orphan).await;
    let shim = kill_shim(&bench, &service).await;
    let tree = bench.tree(&service).await;
    assert_eq!(tree.lost_shim, Some(LostShim { pid: Some(shim) }));
    assert!(tree.members.iter().any(|member| member.pid == orphan), "{:?}", tree.members);
    assert_eq!(bench.inspect_service(&service).await.spec.as_deref(), Some(service.spec.hash()));
    assert_eq!(bench.start(&service).await, instance, "it is not started anew for that");
    bench.stop(&service, &instance).await;
    assert!(!lives(orphan), "no process of it survives");
    bench.assert_empty();
    assert_eq!(bench.start(&service).await, bench.inspect_service(&service).await.instance.expect("it runs again"));
    assert_eq!(bench.tree(&service).await.lost_shim, None);
}

#[tokio::test]
async fn processes_of_a_recorded_session_belong_to_the_tree_after_the_shims_death() {
    let bench = Bench::new();
    // The parent of the late one ends, so that nothing but the session leads to it.
    let line =
        "while [ ! -e go ]; do sleep 0.02; done; (env -i sh -c 'echo $$ > late; exec sleep 600' &); exec sleep 600";
    let service = bench.service("web", line);
    let instance = bench.start(&service).await;
    let main = bench.tree(&service).await.members[0].pid;
    recorded(&bench, &service, main).await;
    kill_shim(&bench, &service).await;
    write(&bench.path("go"), "");
    let late = pid_in(&bench, "late").await;
    let tree = bench.tree(&service).await;
    assert!(tree.members.iter().any(|member| member.pid == late), "{:?}", tree.members);
    bench.stop(&service, &instance).await;
    assert!(!lives(late));
}

#[tokio::test]
async fn a_change_of_user_or_namespace_does_not_take_a_process_out_of_its_tree() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    fs::set_permissions(bench.folder.path(), fs::Permissions::from_mode(0o777)).expect("all write there");
    let inner = |name: &str| format!("sh -c \"echo \\$\\$ > {name}.pid; exec sleep 600\"");
    let ways = [
        (
            "dropped",
            format!("env -i setpriv --reuid {OTHER_UID} --regid {OTHER_UID} --clear-groups {}", inner("dropped")),
        ),
        ("user", format!("env -i unshare -U {}", inner("user"))),
        ("pids", format!("env -i unshare -p -f {}", inner("pids"))),
        ("mounts", format!("env -i unshare -m {}", inner("mounts"))),
    ];
    let line = ways.iter().map(|(_, line)| format!("(setsid {line} &); ")).collect::<Vec<_>>().concat();
    let mut service = bench.service("web", &format!("{line} exec sleep 600"));
    // The first process of a pid namespace takes no TERM.
    service.stop.grace = std::time::Duration::from_millis(200);
    let instance = bench.start(&service).await;
    for (name, _) in &ways {
        bench.line_of(&format!("{name}.pid")).await;
    }
    let tree = bench.tree(&service).await;
    let sleeps = tree.members.iter().filter(|member| member.program == "sleep").count();
    assert_eq!(sleeps, ways.len() + 1, "{:?}", tree.members);
    assert!(claims(&bench).await.is_empty());
    let members: Vec<i32> = tree.members.iter().map(|member| member.pid).collect();
    bench.stop(&service, &instance).await;
    assert!(members.iter().all(|pid| !lives(*pid)));
}

#[tokio::test]
async fn an_environment_alone_makes_no_process_a_service_of_root() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    let instance = bench.start(&service).await;
    let tree = bench.tree(&service).await;
    let forged = Foreign::sleep(|command| {
        command.env("LCM_PROJECT", bench.project.as_str()).env("LCM_SERVICE", "web").env("LCM_SALT", &tree.marks.salt);
        command.env("LCM_SPEC", service.spec.hash());
    });
    let seen = bench.tree(&service).await;
    assert_eq!(seen.members, tree.members);
    let claims = claims(&bench).await;
    assert_eq!(claimed_pids(&claims), [forged.pid()]);
    assert!(claims[0].sentence().contains("an environment alone proves nothing"), "{}", claims[0].sentence());
    bench.stop(&service, &instance).await;
    assert!(lives(forged.pid()));
    assert_eq!(
        bench.inspect_service(&service).await.run_state,
        RunState::Ended(seen.exit.or(bench.tree(&service).await.exit))
    );
    let again = bench.start(&service).await;
    assert_ne!(again, instance, "a claim does not prevent the start");
    bench.stop(&service, &again).await;
    assert!(lives(forged.pid()));
}

#[tokio::test]
async fn a_command_line_of_a_shim_without_its_lock_is_a_claim() {
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    write(&bench.path("__shim"), "sleep 600; :\n");
    let mut command = std::process::Command::new("sh");
    command.args(["__shim", "--project", bench.project.as_str(), "--service", "web"]).current_dir(bench.folder.path());
    let forged = Foreign(command.spawn().expect("sh runs"));
    assert_eq!(bench.inspect_service(&service).await.run_state, RunState::Absent);
    let claims = claims(&bench).await;
    assert_eq!(claimed_pids(&claims), [forged.pid()]);
    assert!(claims[0].sentence().contains("holds no lock"), "{}", claims[0].sentence());
    let instance = bench.start(&service).await;
    bench.stop(&service, &instance).await;
    assert!(lives(forged.pid()));
    // Its child, which this test did start.
    for child in fs::read_to_string(format!("/proc/{0}/task/{0}/children", forged.pid())).unwrap_or_default().split(' ')
    {
        let _ = child.parse().map(|pid| kill(pid, Signal::KILL));
    }
}

#[tokio::test]
async fn processes_forked_since_the_last_record_are_known_by_their_output_pipe() {
    let bench = Bench::new();
    let daemon = "setsid sh -c 'echo $$ > daemon; exec sleep 600' &";
    let line = format!("while ! [ -e go ]; do sleep 0.01; done; ({daemon}); exec sleep 600");
    let service = bench.service("web", &line);
    let instance = bench.start(&service).await;
    let shim = bench.tree(&service).await.shim.expect("a shim").pid;
    // A stopped shim records nothing.
    kill(shim, Signal::STOP);
    write(&bench.path("go"), "");
    let pid = pid_in(&bench, "daemon").await;
    let note = fs::read_to_string(members_file(&bench, &service)).expect("a record");
    assert!(!note.contains(&format!("\"pid\":{pid},")), "it was recorded: {note}");
    kill(shim, Signal::KILL);
    wait_for("the shim's end", || (!lives(shim)).then_some(())).await;
    let tree = bench.tree(&service).await;
    assert!(tree.members.iter().any(|member| member.pid == pid), "{pid} is not in {:?}", tree.members);
    assert_eq!(tree.lost_shim, Some(LostShim { pid: Some(shim) }));
    bench.stop(&service, &instance).await;
    assert!(!lives(pid), "it was left running");
    bench.assert_empty();
}

#[tokio::test]
async fn two_shims_of_one_service_are_both_found_and_stopped() {
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    let first = bench.start(&service).await;
    // An lcm that trusts no shim of this user starts a second copy.
    let mut doubter = bench.processes.clone();
    doubter.owners = BTreeSet::from([OTHER_UID]);
    doubter.state_dir = bench.path("other-state");
    let second = doubter
        .start(&Start { project: &bench.project, service: &service, gpus: &[], indices: &[] })
        .await
        .expect("started");
    assert_ne!(first, second);
    let tree = bench.tree(&service).await;
    assert_eq!((tree.members.len(), &tree.marks.salt[..]), (2, crate::support::salt(&second)));
    bench.stop(&service, &second).await;
    bench.assert_empty();
}

#[tokio::test]
async fn a_record_counts_for_this_boot_this_process_and_this_user_only() {
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    let instance = bench.start(&service).await;
    let foreign = Foreign::sleep(|command| {
        command.env_clear();
    });
    let main = bench.tree(&service).await.members[0].pid;
    recorded(&bench, &service, main).await;
    let path = members_file(&bench, &service);
    let note: Value = serde_json::from_slice(&fs::read(&path).expect("a record")).expect("JSON");
    bench.stop(&service, &instance).await;
    bench.assert_empty();
    wait_for("the record's end", || (!path.exists()).then_some(())).await;

    let stat = fs::read_to_string(format!("/proc/{}/stat", foreign.pid())).expect("it lives");
    let ticks: u64 =
        stat.rsplit_once(") ").expect("a line").1.split(' ').nth(19).expect("field 22").parse().expect("ticks");
    let planted = |change: &dyn Fn(&mut Value)| {
        let mut note = note.clone();
        note["members"] = json!([{ "pid": foreign.pid(), "start_ticks": ticks, "session": null }]);
        change(&mut note);
        write(&path, &note.to_string());
    };
    planted(&|note| note["boot"] = json!("00000000-0000-0000-0000-000000000000"));
    assert!(bench.tree(&service).await.members.is_empty(), "another boot");
    planted(&|note| note["members"][0]["start_ticks"] = json!(ticks - 1));
    assert!(bench.tree(&service).await.members.is_empty(), "another process had that pid");
    planted(&|note| note["members"] = json!([{ "pid": 1, "start_ticks": 0, "session": 1 }]));
    assert!(bench.tree(&service).await.members.is_empty(), "the init process belongs to no service");
    if is_root() {
        planted(&|_| {});
        chown(&path, Some(OTHER_UID), None).expect("another user's file");
        assert!(bench.tree(&service).await.members.is_empty(), "another user wrote it");
    }
    fs::remove_file(&path).expect("removed");
    planted(&|_| {});
    let believed: Vec<i32> = bench.tree(&service).await.members.iter().map(|member| member.pid).collect();
    assert_eq!(believed, [foreign.pid()], "a record of this user counts");
    fs::remove_file(&path).expect("removed");
    assert!(lives(foreign.pid()));
}

#[tokio::test]
async fn a_stop_command_runs_in_the_environment_that_lcm_builds() {
    let bench = Bench::new();
    let mut service = bench.service("web", "env -i PATH=/forged MODE=forged sleep 600 & exec sleep 600");
    set(&mut service, "MODE", "from the manifest");
    let script = "#!/bin/sh\necho \"$MODE $PATH\" > stopped\n";
    write(&bench.path("stopper"), script);
    fs::set_permissions(bench.path("stopper"), fs::Permissions::from_mode(0o755)).expect("executable");
    service.stop.exec = Some(vec!["./stopper".to_owned()]);
    service.stop.grace = std::time::Duration::from_millis(200);
    let instance = bench.start(&service).await;
    bench.stop(&service, &instance).await;
    let line = bench.line_of("stopped").await;
    assert!(line.starts_with("from the manifest /usr/"), "{line}");
    bench.assert_empty();
}
