//! Output files of lcm at paths where another user created something first.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use crate::support::{AS_ROOT, Attack, Canary, EVE, Host, ROOT, User, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            no_output_follows_a_planted_link,
            no_output_goes_into_a_planted_file,
            no_output_goes_into_a_planted_pipe,
            no_output_goes_through_a_planted_folder,
            no_output_goes_to_a_second_name,
            no_output_waits_for_a_pipes_reader_for_ever,
            own_links_devices_and_descriptors_are_written_to;
    ]
}

/// Returns all commands that write to a given path.
fn writers<'a>(manifest: &'a str, compose: &'a str, file: &'a str) -> [Vec<&'a str>; 4] {
    [
        vec!["plan", "--out", file, manifest],
        vec!["observe", "--out", file, manifest],
        vec!["apply", "--yes", "--json-into", file, manifest],
        vec!["init", "--force", "--from", compose, file],
    ]
}

/// Creates a folder that all users can write.
fn shared(host: &Host) -> PathBuf {
    host.folder_of(ROOT, "shared", 0o1777)
}

#[track_caller]
fn refused(owner: &User<'_>, manifest: &str, file: &Path) {
    let compose = owner.write("compose.yaml", "services: { web: { image: nginx } }\n");
    for words in writers(manifest, compose.to_str().expect("UTF-8"), file.to_str().expect("UTF-8")) {
        owner.lcm(&words).exits(1);
    }
}

#[track_caller]
fn attacked(plant: impl Fn(&Host, &Path, &Path) -> PathBuf) {
    let host = Host::new("outputs");
    let owner = host.user(ROOT);
    let canary = Canary::new(&host);
    let manifest = owner.manifest("  api: { process: { command: [sleep, \"300\"] } }");
    let file = plant(&host, &shared(&host), &canary.file_of(ROOT));
    // A pipe is not read, since that would wait for its writer.
    let content = || Some(&file).filter(|file| file.is_file()).and_then(|file| fs::read(file).ok());
    let before = content();
    refused(&owner, &manifest, &file);
    assert_eq!(content(), before, "{} was changed", file.display());
    canary.assert_untouched();
    owner.converges(&manifest);
    owner.goes_down(&manifest);
}

fn no_output_follows_a_planted_link() {
    for folder in ["shared", "attacker-61003"] {
        attacked(|host, _, victim| {
            let _eve = host.attacker(EVE);
            let link = host.path(folder).join("out.json");
            symlink(victim, &link).expect("a link");
            lchown(&link, Some(EVE), Some(EVE)).expect("its owner");
            link
        });
    }
}

fn no_output_goes_into_a_planted_file() {
    attacked(|_, shared, _| {
        let file = shared.join("out.json");
        fs::write(&file, "theirs").expect("a file");
        chown(&file, Some(EVE), Some(EVE)).expect("its owner");
        fs::set_permissions(&file, Permissions::from_mode(0o666)).expect("its mode");
        file
    });
}

fn no_output_goes_into_a_planted_pipe() {
    attacked(|host, shared, _| {
        let pipe = shared.join("out.json");
        let made = host.attacker(EVE).program("mkfifo").arg(&pipe).status();
        assert!(made.expect("mkfifo").success());
        pipe
    });
}

fn no_output_goes_through_a_planted_folder() {
    attacked(|host, shared, _| {
        let target = host.folder_of(ROOT, "target", 0o700);
        symlink(target, shared.join("way")).expect("a link");
        lchown(shared.join("way"), Some(EVE), Some(EVE)).expect("its owner");
        shared.join("way/out.json")
    });
}

fn no_output_goes_to_a_second_name() {
    attacked(|host, shared, _| {
        let (victim, second) = (host.path("victim"), shared.join("out.json"));
        fs::write(&victim, "precious").expect("a file");
        // Old kernels allow this to any user, and some configurations still do.
        fs::hard_link(&victim, &second).expect("a link");
        second
    });
}

fn no_output_waits_for_a_pipes_reader_for_ever() {
    let host = Host::new("outputs");
    let owner = host.user(ROOT);
    let manifest = owner.manifest("  api: { process: { command: [sleep, \"300\"] } }");
    let pipe = owner.path("pipe");
    assert!(owner.program("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let ran = owner.lcm(&["plan", "--out", pipe.to_str().expect("UTF-8"), &manifest]).exits(1);
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("no process reads"), "{ran}");
}

fn own_links_devices_and_descriptors_are_written_to() {
    let host = Host::new("outputs");
    let owner = host.user(ROOT);
    let manifest = owner.manifest("  api: { process: { command: [sleep, \"300\"] } }");
    symlink("target.json", owner.path("link.json")).expect("a link");
    let link = owner.path("link.json").display().to_string();
    for file in [link.as_str(), "/dev/null", "/dev/stdout", "/dev/fd/1"] {
        owner.lcm(&["plan", "--out", file, &manifest]).exits(0);
    }
    assert!(owner.path("target.json").is_file() && owner.path("link.json").is_symlink());
}
