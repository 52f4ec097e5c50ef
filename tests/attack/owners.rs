//! Projects that another user claims, and root among the users of a host.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::PathBuf;

use crate::sandbox::{Ran, Running, wait_until};
use crate::support::host::lcm;
use crate::support::process::{self, Identity};
use crate::support::{AS_ROOT, Attack, Canary, EVE, Host, KIM, LEE, ROOT, User, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            a_user_without_rights_cannot_end_another_users_service,
            every_command_of_another_user_is_refused_by_the_owners_name,
            root_goes_on_as_the_owner_before_anything_of_hers_runs,
            nothing_of_roots_session_reaches_the_owners_hooks,
            the_owner_gets_at_nothing_of_roots_while_root_goes_on_as_the_owner,
            signals_to_root_reach_the_lcm_that_goes_on,
            a_store_that_the_owners_file_names_is_opened_as_the_owner_only,
            a_manifest_from_a_pipe_is_not_run_as_root_for_another_user,
            ten_rounds_of_three_users_change_nothing_after_the_first_refusal,
            a_planted_owners_folder_is_an_error_and_leads_nowhere,
            an_owners_folder_that_others_could_change_is_refused_until_root_mends_it,
            a_planted_owner_file_is_an_error_that_names_its_user,
            a_name_taken_beforehand_is_refused_with_its_text_made_harmless,
            an_owner_file_that_was_cleared_away_and_taken_lets_no_one_at_what_runs,
            an_owner_file_without_end_is_not_read_to_it,
            a_user_without_rights_cannot_take_a_project_over,
            root_takes_over_only_when_told_to,
            another_folders_manifest_leaves_what_runs_as_it_is,
            two_checkouts_do_not_push_each_other,
            a_name_that_leaves_its_folder_is_no_project;
    ]
}

const SERVER: &str = "  api: { process: { command: [\"@SERVER@\", --port, \"0\"] }, stop: { grace: 2s } }";

fn owner_file(host: &Host) -> PathBuf {
    host.path("run-lock/lcm.owners").join(&host.name)
}

#[track_caller]
fn refused(user: &User<'_>, words: &[&str], by: u32) -> Ran {
    let owner = if by == ROOT { "root (uid 0)".to_owned() } else { format!("uid {by}") };
    user.lcm(words).exits(1).says(&format!("is owned by {owner}"))
}

fn a_user_without_rights_cannot_end_another_users_service() {
    let host = Host::new("owners");
    let (kim, eve) = (host.user(KIM), host.user(EVE));
    let canary = Canary::new(&host);
    let manifest = kim.manifest(SERVER);
    kim.converges(&manifest);
    let before = host.servers();
    let theirs = eve.manifest(SERVER);
    refused(&eve, &["down", "--yes", &theirs], KIM);
    assert_eq!(host.servers(), before, "the service is not hers");
    kim.goes_down(&manifest);
    assert!(!owner_file(&host).exists(), "nobody owns what is gone");
    canary.assert_untouched();
}

fn every_command_of_another_user_is_refused_by_the_owners_name() {
    let host = Host::new("owners");
    let (kim, eve) = (host.user(KIM), host.user(EVE));
    let manifest = kim.manifest(SERVER);
    kim.converges(&manifest);
    let before = host.servers();
    let theirs = eve.manifest(SERVER);
    let words: [&[&str]; 13] = [
        &["plan", &theirs],
        &["status", &theirs],
        &["apply", "--yes", &theirs],
        &["down", "--yes", &theirs],
        &["start", "api", "-m", &theirs],
        &["stop", "api", "--yes", "-m", &theirs],
        &["restart", "api", "--yes", "-m", &theirs],
        &["maintain", "api", "-m", &theirs],
        &["suspend", "api", "-m", &theirs],
        &["resume", "api", "-m", &theirs],
        &["terminate", "api", "-m", &theirs],
        &["adopt", "api", "--pid", "2", "-m", &theirs],
        &["logs", "api", "-m", &theirs],
    ];
    for words in words {
        refused(&eve, words, KIM);
    }
    assert_eq!(host.servers(), before);
    assert!(!eve.state().exists(), "a refused command leaves no store");
    kim.converges(&manifest);
    assert_eq!(host.servers(), before, "nothing was held or stopped");
    kim.goes_down(&manifest);
}

fn root_goes_on_as_the_owner_before_anything_of_hers_runs() {
    let host = Host::new("owners");
    let (kim, root) = (host.user(KIM), host.user(ROOT));
    let said = kim.path("who");
    let who = format!("id -u >>{0}; id -G >>{0}", said.display());
    let services = format!(
        "  api: {{ process: {{ command: [\"@SERVER@\", --port, \"0\"] }}, stop: {{ grace: 2s }}, health: {{ exec: '{who}' }}, \
         hooks: {{ pre_stop: [{{ exec: [sh, -c, '{who}'], timeout: 5s }}] }} }}"
    );
    let manifest = kim.manifest(&services);
    kim.converges(&manifest);
    fs::remove_file(&said).expect("her own probes wrote it");
    root.lcm(&["plan", &manifest]).exits(0).says("continuing as that user");
    root.lcm(&["down", "--yes", &manifest]).exits(0);
    let ids = fs::read_to_string(&said).expect("the probe and the hook wrote who they are");
    assert!(ids.lines().count() >= 4, "{ids}");
    assert!(ids.lines().all(|id| id == KIM.to_string()), "{ids}");
    assert_eq!(host.servers(), []);
    let history = kim.lcm(&["history", "-m", &manifest]).exits(0);
    assert!(history.stdout.contains("root as"), "{history}");
    assert!(!root.state().exists(), "root's own store has nothing of it");
}

fn nothing_of_roots_session_reaches_the_owners_hooks() {
    let host = Host::new("owners");
    let (kim, mut root) = (host.user(KIM), host.user(ROOT));
    let said = kim.path("environment");
    let services = format!(
        "  api: {{ process: {{ command: [\"@SERVER@\", --port, \"0\"], inherit: [ROOTS_TOKEN], \
         environment: {{ COPY: \"x${{ROOTS_TOKEN:-none}}\" }} }}, stop: {{ grace: 2s }}, \
         hooks: {{ pre_stop: [{{ exec: [sh, -c, 'env >>{0}; cat /proc/$$PPID/environ >>{0}'], timeout: 5s }}] }} }}",
        said.display()
    );
    let manifest = kim.manifest(&services);
    kim.converges(&manifest);
    let planted = host.folder_of(EVE, "planted", 0o777);
    root.set("ROOTS_TOKEN", "hunter2-of-root");
    for name in ["XDG_STATE_HOME", "XDG_RUNTIME_DIR", "DOCKER_CONFIG", "HOME", "XDG_CONFIG_HOME"] {
        root.set(name, planted.display().to_string());
    }
    root.unset("LCM_STATE_DIR");
    root.lcm(&["down", "--yes", &manifest]).exits(0).hides("hunter2-of-root");
    let environment = fs::read(&said).expect("the hook wrote it");
    let environment = String::from_utf8_lossy(&environment);
    assert!(!environment.contains("hunter2-of-root"), "{environment}");
    assert!(!environment.contains("/planted"), "{environment}");
    assert_eq!(fs::read_dir(&planted).expect("listed").count(), 0, "nothing of root's was written there");
    assert!(kim.state().join("lcm.db").exists(), "the owner's own store was used");
    assert_eq!(host.servers(), []);
}

/// Returns a service whose stop waits for a file, the file that reports the wait, and the one that ends it.
fn waiting(kim: &User<'_>) -> (String, PathBuf, PathBuf) {
    let (waits, go) = (kim.path("waits"), kim.path("go"));
    let services = format!(
        "  api: {{ process: {{ command: [\"@SERVER@\", --port, \"0\"] }}, stop: {{ grace: 2s }}, hooks: {{ pre_stop: [{{ \
         exec: [sh, -c, 'touch {}; while ! [ -e {} ]; do sleep 0.01; done'], timeout: 60s }}] }} }}",
        waits.display(),
        go.display()
    );
    let manifest = kim.manifest(&services);
    kim.converges(&manifest);
    (manifest, waits, go)
}

/// Returns the lcm process that continues as this user.
fn lcm_of(host: &Host, uid: u32, manifest: &str) -> Identity {
    let is_it = |pid: i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let words = process::words(pid);
        status.contains(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}")) && words == format!("lcm down --yes {manifest}")
    };
    let found = process::living(is_it);
    let [lcm] = found[..] else { panic!("not one lcm of {uid}, but {found:?} on {}", host.name) };
    lcm
}

fn the_owner_gets_at_nothing_of_roots_while_root_goes_on_as_the_owner() {
    let host = Host::new("owners");
    let (kim, root) = (host.user(KIM), host.user(ROOT));
    let (manifest, waits, go) = waiting(&kim);
    let secret = root.write("secret", "hunter2-of-root");
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).expect("its mode");
    // lcm inherits the open files of root's shell.
    let mut shell = root.program("sh");
    shell.args(["-c", "exec 9<\"$0\"; exec \"$@\""]).arg(&secret).arg(lcm()).args(["down", "--yes", &manifest]);
    let running = Running::start(shell, "root's lcm");
    wait_until("the stop waits", || waits.exists());
    let lcm = lcm_of(&host, KIM, &manifest);
    let proc = |file: &str| format!("/proc/{}/{file}", lcm.pid);
    let open = fs::read_dir(proc("fd")).expect("root sees it").flatten();
    assert!(
        open.filter_map(|entry| fs::read_link(entry.path()).ok()).all(|path| path != secret),
        "root's file is open"
    );
    // A user whom the kernel lets write there may attach a debugger, and so control lcm.
    let stat = fs::read_to_string(proc("stat")).expect("its state");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    assert_eq!((fields[3], fields[4]), (&lcm.pid.to_string()[..], "0"), "a session of its own, without a terminal");
    for file in ["mem", "environ", "fd/0", "maps"] {
        let opened = kim.program("sh").args(["-c", &format!("exec 3<{}", proc(file))]).output().expect("sh runs");
        assert!(!opened.status.success(), "{file} of root's lcm is open to the owner");
    }
    fs::write(go, "").expect("written");
    running.end().exits(0);
    assert_eq!(host.servers(), []);
}

fn signals_to_root_reach_the_lcm_that_goes_on() {
    let host = Host::new("owners");
    let (kim, root) = (host.user(KIM), host.user(ROOT));
    let (manifest, waits, go) = waiting(&kim);
    let running = root.start(&["down", "--yes", &manifest]);
    wait_until("the stop waits", || waits.exists());
    let lcm = lcm_of(&host, KIM, &manifest);
    let leader = Identity::of(i32::try_from(running.child.id()).expect("a pid")).expect("it lives");
    leader.signal("INT");
    let ran = running.end();
    assert_eq!(ran.code, 130, "{ran}");
    assert!(!lcm.is_alive(), "it goes on without root");
    fs::write(go, "").expect("written");
    kim.goes_down(&manifest);
}

fn a_store_that_the_owners_file_names_is_opened_as_the_owner_only() {
    let host = Host::new("owners");
    let (kim, mut root) = (host.user(KIM), host.user(ROOT));
    let manifest = kim.manifest(SERVER);
    kim.converges(&manifest);
    // The owner may write anything into her own file: it must not make root's files reachable.
    let roots = host.folder_of(ROOT, "roots", 0o700);
    let text = fs::read_to_string(owner_file(&host)).expect("her file");
    let mut note: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    note["store"] = roots.display().to_string().into();
    fs::write(owner_file(&host), note.to_string()).expect("written");
    root.unset("LCM_STATE_DIR");
    root.lcm(&["apply", "--yes", &manifest]).exits(1);
    assert_eq!(fs::read_dir(&roots).expect("listed").count(), 0);
    note["store"] = kim.state().display().to_string().into();
    fs::write(owner_file(&host), note.to_string()).expect("written");
    kim.goes_down(&manifest);
}

fn a_manifest_from_a_pipe_is_not_run_as_root_for_another_user() {
    let host = Host::new("owners");
    let (kim, root) = (host.user(KIM), host.user(ROOT));
    let manifest = kim.manifest(SERVER);
    kim.converges(&manifest);
    let before = host.servers();
    let piped = root.path("piped.sh");
    let lcm = crate::support::host::lcm();
    fs::write(&piped, format!("cat {manifest} | {} down --yes /dev/stdin", lcm.display())).expect("written");
    let mut command = root.program("sh");
    command.arg(&piped);
    let ran = crate::sandbox::run(command, "a manifest from a pipe").exits(1);
    assert!(ran.stderr.contains("owned by uid 61001") || ran.stderr.contains("can't read"), "{ran}");
    assert_eq!(host.servers(), before);
    kim.goes_down(&manifest);
}

fn ten_rounds_of_three_users_change_nothing_after_the_first_refusal() {
    let host = Host::new("owners");
    let (kim, lee, root) = (host.user(KIM), host.user(LEE), host.user(ROOT));
    let manifest = kim.manifest(SERVER);
    kim.converges(&manifest);
    let before = host.servers();
    let theirs = lee.manifest(SERVER);
    for _ in 0..10 {
        refused(&lee, &["apply", "--yes", &theirs], KIM);
        root.lcm(&["apply", "--yes", "--detailed-exitcode", &manifest]).exits(0);
        kim.lcm(&["apply", "--yes", "--detailed-exitcode", &manifest]).exits(0);
    }
    assert_eq!(host.servers(), before);
    kim.goes_down(&manifest);
}

fn a_planted_owners_folder_is_an_error_and_leads_nowhere() {
    let host = Host::new("owners");
    let (kim, eve) = (host.user(KIM), host.attacker(EVE));
    let folder = host.path("run-lock/lcm.owners");
    let trap = eve.path("trap");
    fs::create_dir(&trap).expect("made");
    fs::set_permissions(&trap, Permissions::from_mode(0o777)).expect("set");
    let manifest = kim.manifest(SERVER);
    for plant in ["ln -s {trap} {folder}", "mkfifo {folder}", "echo x >{folder}"] {
        let line =
            plant.replace("{trap}", &trap.display().to_string()).replace("{folder}", &folder.display().to_string());
        assert!(eve.sh(&line).status.success(), "{line}");
        kim.lcm(&["apply", "--yes", &manifest]).exits(1).says("not a folder").says("uid 61003");
        assert_eq!(host.servers(), []);
        fs::remove_file(&folder).expect("cleared away");
    }
    assert_eq!(fs::read_dir(&trap).expect("listed").count(), 0);
    kim.converges(&manifest);
    kim.goes_down(&manifest);
}

fn an_owners_folder_that_others_could_change_is_refused_until_root_mends_it() {
    let host = Host::new("owners");
    let (kim, root) = (host.user(KIM), host.user(ROOT));
    let folder = host.folder_of(EVE, "run-lock/lcm.owners", 0o777);
    let manifest = kim.manifest(SERVER);
    kim.lcm(&["apply", "--yes", &manifest]).exits(1).says("mode 0777").says("uid 61003");
    let own = root.manifest_at("own.yaml", "roots-own", "  none: { process: { command: [\"true\"] } }");
    root.lcm(&["maintain", "none", "-m", &own]);
    let mode = fs::metadata(&folder).expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode, 0o1777, "root has mended it");
    kim.converges(&manifest);
    kim.goes_down(&manifest);
    root.lcm(&["resume", "none", "-m", &own]);
}

fn a_planted_owner_file_is_an_error_that_names_its_user() {
    let host = Host::new("owners");
    let (kim, eve) = (host.user(KIM), host.attacker(EVE));
    let canary = Canary::new(&host);
    let manifest = kim.manifest(SERVER);
    kim.converges(&manifest);
    kim.goes_down(&manifest);
    let path = owner_file(&host);
    for plant in
        ["ln -s /etc/passwd {path}", "mkfifo {path}", "mkdir {path}", "touch {path} && ln {path} {path}.second"]
    {
        let line = plant.replace("{path}", &path.display().to_string());
        assert!(eve.sh(&line).status.success(), "{line}");
        kim.lcm(&["apply", "--yes", &manifest]).exits(1).says("uid 61003").says("remove it");
        kim.lcm(&["plan", &manifest]).exits(1);
        assert_eq!(host.servers(), []);
        let cleared = if path.is_dir() { fs::remove_dir(&path) } else { fs::remove_file(&path) };
        cleared.expect("cleared away");
    }
    kim.converges(&manifest);
    kim.goes_down(&manifest);
    canary.assert_untouched();
}

fn a_name_taken_beforehand_is_refused_with_its_text_made_harmless() {
    let host = Host::new("owners");
    let (kim, eve) = (host.user(KIM), host.attacker(EVE));
    let manifest = kim.manifest(SERVER);
    kim.converges(&manifest);
    kim.goes_down(&manifest);
    let text = r#"{"format":"lcm.owner/1","store":"/\u001b[2J","manifest":"/\u001b]0;x\u0007","home":"/x\ny"}"#;
    let line = format!("printf '%s' '{text}' >{}", owner_file(&host).display());
    assert!(eve.sh(&line).status.success());
    for words in [["plan", &manifest], ["apply", &manifest], ["status", &manifest]] {
        let ran = refused(&kim, &words, EVE);
        assert!(!ran.stderr.contains('\u{1b}') && !ran.stdout.contains('\u{1b}'), "{ran}");
    }
    fs::remove_file(owner_file(&host)).expect("cleared away");
    kim.converges(&manifest);
    kim.goes_down(&manifest);
}

fn an_owner_file_that_was_cleared_away_and_taken_lets_no_one_at_what_runs() {
    let host = Host::new("owners");
    let (kim, eve) = (host.user(KIM), host.user(EVE));
    let manifest = kim.manifest(SERVER);
    kim.converges(&manifest);
    let before = host.servers();
    // State after a reboot, or after removal by the folder's owner.
    fs::remove_file(owner_file(&host)).expect("cleared away");
    let theirs = eve.manifest(SERVER);
    drop(eve.lcm(&["down", "--yes", &theirs]));
    assert_eq!(host.servers(), before, "processes show whose they are");
    let _ = fs::remove_file(owner_file(&host));
    kim.converges(&manifest);
    assert_eq!(host.servers(), before);
    kim.goes_down(&manifest);
}

fn an_owner_file_without_end_is_not_read_to_it() {
    let host = Host::new("owners");
    let (kim, eve) = (host.user(KIM), host.attacker(EVE));
    let manifest = kim.manifest(SERVER);
    kim.converges(&manifest);
    kim.goes_down(&manifest);
    assert!(eve.sh(&format!("truncate -s 8G {}", owner_file(&host).display())).status.success());
    kim.bounded(crate::support::MEMORY_MIB_MAX, &["apply", "--yes", &manifest]).exits(1).says("larger than");
    fs::remove_file(owner_file(&host)).expect("cleared away");
    kim.converges(&manifest);
    kim.goes_down(&manifest);
}

fn a_user_without_rights_cannot_take_a_project_over() {
    let host = Host::new("owners");
    let (kim, eve) = (host.user(KIM), host.user(EVE));
    let manifest = kim.manifest(SERVER);
    kim.converges(&manifest);
    let before = (host.servers(), fs::read(owner_file(&host)).expect("her file"));
    let theirs = eve.manifest(SERVER);
    refused(&eve, &["apply", "--yes", "--take-over", &theirs], KIM);
    assert_eq!((host.servers(), fs::read(owner_file(&host)).expect("her file")), before);
    kim.goes_down(&manifest);
}

fn root_takes_over_only_when_told_to() {
    use std::os::unix::fs::MetadataExt as _;
    let host = Host::new("owners");
    let (kim, root) = (host.user(KIM), host.user(ROOT));
    let manifest = kim.manifest(SERVER);
    kim.converges(&manifest);
    let roots = root.manifest(SERVER);
    root.lcm(&["apply", "--yes", "--take-over", &roots]).exits(0);
    assert_eq!(fs::metadata(owner_file(&host)).expect("there").uid(), ROOT);
    refused(&kim, &["apply", "--yes", &manifest], ROOT);
    root.converges(&roots);
    assert_eq!(host.servers().len(), 1, "never doubled");
    root.goes_down(&roots);
}

fn another_folders_manifest_leaves_what_runs_as_it_is() {
    let host = Host::new("owners");
    let kim = host.user(KIM);
    let first = kim.manifest_at("one/lcm.yaml", "@NAME@", SERVER);
    kim.converges(&first);
    let before = host.servers();
    let changed = SERVER.replace("--port, \"0\"", "--port, \"0\", --work, 2s");
    let second = kim.manifest_at("two/lcm.yaml", "@NAME@", &changed);
    kim.lcm(&["plan", "--detailed-exitcode", &second]).exits(0).says("other_checkout");
    kim.lcm(&["apply", "--yes", "--detailed-exitcode", &second]).exits(0).says("other_checkout");
    assert_eq!(host.servers(), before);
    // The first folder is gone: the second manages it.
    fs::remove_dir_all(kim.path("one")).expect("removed");
    kim.lcm(&["apply", "--yes", "--detailed-exitcode", &second]).exits(2).hides("other_checkout");
    assert_ne!(host.servers(), before);
    kim.goes_down(&second);
}

fn two_checkouts_do_not_push_each_other() {
    let host = Host::new("owners");
    let kim = host.user(KIM);
    let first = kim.manifest_at("one/lcm.yaml", "@NAME@", SERVER);
    let changed = SERVER.replace("--port, \"0\"", "--port, \"0\", --work, 2s");
    let second = kim.manifest_at("two/lcm.yaml", "@NAME@", &changed);
    kim.converges(&first);
    let before = host.servers();
    for _ in 0..3 {
        kim.lcm(&["apply", "--yes", "--detailed-exitcode", &second]).exits(0);
        kim.lcm(&["apply", "--yes", "--detailed-exitcode", &first]).exits(0);
    }
    assert_eq!(host.servers(), before);
    kim.lcm(&["apply", "--yes", "--take-over", "--detailed-exitcode", &second]).exits(2);
    kim.converges(&second);
    kim.lcm(&["apply", "--yes", "--detailed-exitcode", &first]).exits(0).says("other_checkout");
    // A link to one checkout is that checkout.
    symlink(kim.path("two"), kim.path("current")).expect("linked");
    chown(kim.path("two"), Some(KIM), Some(KIM)).expect("its owner");
    let linked = kim.path("current/lcm.yaml").display().to_string();
    kim.lcm(&["plan", "--detailed-exitcode", &linked]).exits(0).hides("other_checkout");
    kim.goes_down(&second);
}

fn a_name_that_leaves_its_folder_is_no_project() {
    let host = Host::new("owners");
    let (kim, canary) = (host.user(KIM), Canary::new(&host));
    for name in ["../../etc/cron.d/x", "..", "a/b", "/tmp/x", ".hidden", "x\\nname: y"] {
        let manifest = kim.manifest_at("named.yaml", name, SERVER);
        kim.lcm(&["apply", "--yes", &manifest]).exits(1);
    }
    assert!(!host.path("run-lock/lcm.owners").exists());
    canary.assert_untouched();
}
