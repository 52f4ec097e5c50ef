//! Files that are not manifests: an error names them, and shows nothing of their contents.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};

use crate::support::{AS_ROOT, Attack, Host, KIM, ROOT, User, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            nothing_of_a_foreign_file_is_quoted_from_an_include,
            nothing_of_a_foreign_file_is_quoted_as_the_manifest,
            nothing_of_a_foreign_file_is_quoted_as_an_env_file,
            nothing_of_a_foreign_file_is_quoted_by_init,
            a_manifest_that_only_root_can_read_is_not_quoted_to_who_includes_it,
            own_mistakes_are_still_underlined;
    ]
}

const SECRET: &str = "hunter2hunter2";

/// Files of many kinds, each with the secret at a place that an error could quote.
const FOREIGN: [(&str, &str); 14] = [
    ("shadow", "root:$6$hunter2hunter2:19000:0:99999:7:::\nkim:!hunter2hunter2:19000::::::\n"),
    ("key", "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2hunter2\n-----END OPENSSH PRIVATE KEY-----\n"),
    ("env", "TOKEN=hunter2hunter2\nexport OTHER='hunter2hunter2\n"),
    ("netrc", "machine example.org login kim password hunter2hunter2\n"),
    ("script.sh", "#!/bin/sh\nTOKEN=hunter2hunter2 exec ./a\n"),
    ("kubeconfig", "apiVersion: v1\nkind: Config\nusers:\n- name: a\n  user: { token: hunter2hunter2 }\n"),
    ("kubeconfig-broken", "apiVersion: v1\nusers:\n- name: a\n  user: {token: hunter2hunter2\n"),
    ("app.yaml", "name: app\nversion: 2\ndatabase_password: hunter2hunter2\n"),
    ("config.json", "{\"auths\": {\"r.example\": {\"auth\": \"hunter2hunter2\"}}}"),
    ("broken.json", "{\"auths\": {\"r.example\": {\"auth\": \"hunter2hunter2\""),
    ("binary", "\u{7f}ELF\u{1}\u{2}hunter2hunter2\u{0}\u{0}"),
    ("list.yaml", "- hunter2hunter2\n- other\n"),
    ("word", "hunter2hunter2"),
    ("secrets.yaml", "services: x\npassword: hunter2hunter2\ntoken: hunter2hunter2\nkey: hunter2hunter2\n"),
];

#[track_caller]
fn hides(owner: &User<'_>, what: &str, words: &[&str]) {
    for format in [&[][..], &["--format", "json"], &["--format", "github"]] {
        let words = if words[0] == "validate" { [words, format].concat() } else { words.to_vec() };
        let ran = owner.lcm(&words);
        assert_ne!(ran.code, 0, "{what} is taken\n{ran}");
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(SECRET), "{what} is quoted\n{ran}");
    }
}

fn nothing_of_a_foreign_file_is_quoted_from_an_include() {
    let host = Host::new("quoted");
    let owner = host.user(KIM);
    for (name, text) in FOREIGN {
        let file = owner.write(name, text);
        for include in [name, file.to_str().expect("UTF-8")] {
            let manifest = format!("version: 1\nname: x\ninclude: {include}\nservices: {{}}\n");
            let manifest = owner.write("lcm.yaml", &manifest);
            hides(&owner, name, &["validate", manifest.to_str().expect("UTF-8")]);
            hides(&owner, name, &["plan", manifest.to_str().expect("UTF-8")]);
        }
    }
}

fn nothing_of_a_foreign_file_is_quoted_as_the_manifest() {
    let host = Host::new("quoted");
    let owner = host.user(KIM);
    for (name, text) in FOREIGN {
        let file = owner.write(name, text);
        hides(&owner, name, &["validate", file.to_str().expect("UTF-8")]);
        hides(&owner, name, &["apply", "--yes", file.to_str().expect("UTF-8")]);
    }
}

fn nothing_of_a_foreign_file_is_quoted_as_an_env_file() {
    let host = Host::new("quoted");
    let owner = host.user(KIM);
    let files = FOREIGN.iter().copied().chain([
        ("unset", "A=hunter2$hunter2hunter2\n"),
        ("quote", "A=\"hunter2hunter2\n"),
        ("form", "A=${hunter2hunter2!}\n"),
        ("needed", "A=${hunter2hunter2:?hunter2hunter2}\n"),
        ("behind", "A='x' hunter2hunter2\n"),
    ]);
    for (name, text) in files {
        owner.write(name, text);
        let manifest = owner.manifest(&format!("  api: {{ process: {{ command: [a], env_file: {name} }} }}"));
        let ran = owner.lcm(&["validate", &manifest]);
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(SECRET), "{name} is quoted\n{ran}");
    }
}

fn nothing_of_a_foreign_file_is_quoted_by_init() {
    let host = Host::new("quoted");
    let owner = host.user(KIM);
    for (name, text) in FOREIGN {
        let file = owner.write(name, text);
        let ran = owner.lcm(&["init", "--from", file.to_str().expect("UTF-8"), "new.yaml"]);
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(SECRET), "{name} is quoted\n{ran}");
    }
}

fn a_manifest_that_only_root_can_read_is_not_quoted_to_who_includes_it() {
    let host = Host::new("quoted");
    let root = host.user(ROOT);
    let kim = host.user(KIM);
    let private = root.write("private.yaml", "services: { api: { process: { command: [a], hunter2hunter2: 1 } } }\n");
    fs::set_permissions(&private, Permissions::from_mode(0o600)).expect("its mode");
    let text = format!("version: 1\nname: x\ninclude: {}\nservices: {{}}\n", private.display());
    let manifest = kim.write("lcm.yaml", &text);
    hides(&root, "a private manifest", &["validate", manifest.to_str().expect("UTF-8")]);
    // A user who may read the file gets the error.
    chown(&manifest, Some(ROOT), Some(ROOT)).expect("its owner");
    let ran = root.lcm(&["validate", manifest.to_str().expect("UTF-8")]).exits(1);
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains(SECRET), "{ran}");
}

fn own_mistakes_are_still_underlined() {
    let host = Host::new("quoted");
    let owner = host.user(KIM);
    for text in [
        "version: 1\nname: x\nservices:\n  api: { process: { comand: [a] } }\n",
        "version: 1\nname: x\nservices:\n  api: { process: { comand: [a\n",
        "version: 1\nname: x\nservces:\n  api: { process: { comand: [a] } }\n",
    ] {
        let manifest = owner.write("lcm.yaml", text);
        let ran = owner.lcm(&["validate", manifest.to_str().expect("UTF-8")]).exits(1);
        assert!(format!("{}{}", ran.stdout, ran.stderr).contains("api: { process: { comand"), "{ran}");
    }
}
