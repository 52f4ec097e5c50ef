//! Manifests, includes and env files that grow, nest, repeat or never end.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{AS_ROOT, Attack, Host, KIM, User, attacks};

/// Maximum data memory of `validate`, in MiB, for any input.
const VALIDATE_MIB_MAX: u64 = 100;

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            an_env_file_whose_variables_multiply_is_refused,
            quotes_defaults_and_exports_multiply_nothing_either,
            env_files_are_bounded_together,
            one_env_file_for_a_thousand_services_is_bounded,
            an_env_file_of_many_names_is_refused,
            a_variable_of_the_callers_is_not_repeated_without_end,
            defaults_within_defaults_end,
            aliases_that_multiply_are_refused,
            an_alias_of_a_large_text_is_refused,
            merge_keys_that_multiply_are_refused,
            nesting_without_end_is_refused,
            a_hundred_thousand_unknown_keys_are_told_within_bounds,
            templates_that_multiply_a_large_text_are_refused,
            a_chain_of_includes_without_end_is_refused,
            includes_in_a_circle_are_refused,
            many_large_includes_are_refused,
            includes_of_devices_pipes_and_the_kernels_texts_are_refused_at_once,
            env_files_that_are_devices_or_pipes_are_refused_at_once,
            a_manifest_from_an_endless_descriptor_is_refused,
            worlds_and_plans_that_never_end_are_refused;
    ]
}

/// Validates within bounds, and returns the output: every fault is an error of the manifest, and never a crash.
#[track_caller]
fn refused(owner: &User<'_>, manifest: &str) -> String {
    let ran = owner.bounded(VALIDATE_MIB_MAX, &["validate", manifest]).exits(1);
    format!("{}{}", ran.stdout, ran.stderr)
}

#[track_caller]
fn reports(output: &str, words: &str) {
    // Long lines are folded.
    let flat = output.replace(['│', '\n'], " ").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains(words), "does not report `{words}`:\n{}", &output[..output.len().min(4000)]);
}

fn with_env_file(owner: &User<'_>, text: &str) -> String {
    owner.write("all.env", text);
    owner.manifest("  api: { process: { command: [sleep, \"300\"], env_file: all.env } }")
}

fn an_env_file_whose_variables_multiply_is_refused() {
    let host = Host::new("bomb");
    let owner = host.user(KIM);
    let mut text = "A=aaaaaaaaaa\n".to_owned();
    let _ = writeln!(text, "V0={}", "$A".repeat(10));
    for level in 1..12 {
        let _ = writeln!(text, "V{level}={}", format!("$V{}", level - 1).repeat(10));
    }
    let said = refused(&owner, &with_env_file(&owner, &text));
    reports(&said, "line 6: variables expand this value past the limit of 128 KiB");
    assert!(!said.contains("aaaa"), "{said}");
}

fn quotes_defaults_and_exports_multiply_nothing_either() {
    let host = Host::new("bomb");
    let owner = host.user(KIM);
    for (form, end) in [("\"", "\""), ("", ""), ("${N:-", "}"), ("${N-x", "}")] {
        let mut text = "export V0=aaaaaaaaaaaaaaaa\n".to_owned();
        for level in 1..30 {
            let _ = writeln!(text, "export V{level}={form}{}{end}", format!("${{V{}:-b}}", level - 1).repeat(4));
        }
        reports(&refused(&owner, &with_env_file(&owner, &text)), "past the limit of 128 KiB");
    }
}

fn env_files_are_bounded_together() {
    let host = Host::new("bomb");
    let owner = host.user(KIM);
    let mut services = String::new();
    for number in 0..64 {
        owner.write(&format!("{number}.env"), &format!("A{number}={}\n", "x".repeat(1_000_000)));
        let _ = writeln!(services, "  s{number}: {{ process: {{ command: [a], env_file: {number}.env }} }}");
    }
    reports(&refused(&owner, &owner.manifest(&services)), "env files of this manifest are larger than 4 MiB together");
}

fn one_env_file_for_a_thousand_services_is_bounded() {
    let host = Host::new("bomb");
    let owner = host.user(KIM);
    owner.write("all.env", &(0..1_000).map(|at| format!("A{at}={}\n", "x".repeat(900))).collect::<Vec<_>>().concat());
    let services: String = (0..1_000)
        .map(|at| format!("  s{at}: {{ process: {{ command: [a], env_file: all.env }} }}\n"))
        .collect::<Vec<_>>()
        .concat();
    reports(&refused(&owner, &owner.manifest(&services)), "environments of all services add up to more than 16 MiB");
}

fn an_env_file_of_many_names_is_refused() {
    let host = Host::new("bomb");
    let owner = host.user(KIM);
    let text = (0..100_000).map(|at| format!("A{at}=\n")).collect::<Vec<_>>().concat();
    reports(&refused(&owner, &with_env_file(&owner, &text)), "line 10001: more than 10000 variables");
}

fn a_variable_of_the_callers_is_not_repeated_without_end() {
    let host = Host::new("bomb");
    let mut owner = host.user(KIM);
    owner.set("BIG", "x".repeat(60_000));
    let manifest =
        owner.manifest(&format!("  api: {{ process: {{ command: [a, \"{}\"] }} }}", "${BIG}".repeat(20_000)));
    reports(&refused(&owner, &manifest), "the variable `BIG` expands the text past the limit of 128 KiB");
    let many: Vec<&str> = std::iter::repeat_n("\"${BIG}\"", 20_000).collect();
    let manifest = owner.manifest(&format!("  api: {{ process: {{ command: [{}] }} }}", many.join(",")));
    reports(&refused(&owner, &manifest), "the variable `BIG` expands the text past the limit of 4096 KiB");
}

fn defaults_within_defaults_end() {
    let host = Host::new("bomb");
    let owner = host.user(KIM);
    let nested = format!("{}x{}", "${A:-".repeat(100_000), "}".repeat(100_000));
    let manifest = owner.manifest(&format!("  api: {{ process: {{ command: [a, \"{nested}\"] }} }}"));
    reports(&refused(&owner, &manifest), "is not a variable");
}

fn aliases_that_multiply_are_refused() {
    let host = Host::new("bomb");
    let owner = host.user(KIM);
    let mut text = "version: 1\nname: x\nx-0: &a0 [y, y, y, y, y, y, y, y, y]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        let _ = writeln!(text, "x-{level}: &a{level} [{aliases}]");
    }
    let manifest = owner.write("lcm.yaml", &format!("{text}services: *a11\n"));
    reports(&refused(&owner, manifest.to_str().expect("UTF-8")), "expands too far");
}

fn an_alias_of_a_large_text_is_refused() {
    let host = Host::new("bomb");
    let owner = host.user(KIM);
    let aliases = vec!["*big"; 190].join(", ");
    let text =
        format!("version: 1\nname: x\nx-big: &big {}\nx-all: [{aliases}]\nservices: {{}}\n", "y".repeat(900_000));
    let manifest = owner.write("lcm.yaml", &text);
    reports(&refused(&owner, manifest.to_str().expect("UTF-8")), "expands too far");
}

fn merge_keys_that_multiply_are_refused() {
    let host = Host::new("bomb");
    let owner = host.user(KIM);
    let keys = (0..50).map(|at| format!("k{at}: {at}, ")).collect::<Vec<_>>().concat();
    let mut text = format!("version: 1\nname: x\nx-0: &a0 {{ {keys} }}\n");
    for level in 1..40 {
        let last = level - 1;
        let _ = writeln!(text, "x-{level}: &a{level} {{ a: {{ <<: *a{last} }}, b: {{ <<: *a{last} }}, c: *a{last} }}");
    }
    let manifest = owner.write("lcm.yaml", &format!("{text}services: {{}}\n"));
    refused(&owner, manifest.to_str().expect("UTF-8"));
}

fn nesting_without_end_is_refused() {
    let host = Host::new("bomb");
    let owner = host.user(KIM);
    for opener in ["[", "{a: ", "- ", "? "] {
        let text = format!("version: 1\nname: x\nservices:\n  {}", opener.repeat(900_000 / opener.len()));
        let manifest = owner.write("lcm.yaml", &text);
        refused(&owner, manifest.to_str().expect("UTF-8"));
    }
}

fn a_hundred_thousand_unknown_keys_are_told_within_bounds() {
    let host = Host::new("bomb");
    let owner = host.user(KIM);
    let keys = (0..48_000).map(|at| format!("k{at}: 1, ")).collect::<Vec<_>>().concat();
    let manifest = owner.manifest(&format!("  api: {{ {keys} }}"));
    let said = refused(&owner, &manifest);
    assert!(said.matches("k0").count() > 0, "{}", &said[..said.len().min(2000)]);
}

fn templates_that_multiply_a_large_text_are_refused() {
    let host = Host::new("bomb");
    let owner = host.user(KIM);
    let services = (0..1_000).map(|at| format!("  s{at}: {{ extends: big }}\n")).collect::<Vec<_>>().concat();
    let big = "y".repeat(500_000);
    let text = format!(
        "version: 1\nname: x\ntemplates:\n  big: {{ process: {{ command: [a, {big}] }} }}\nservices:\n{services}"
    );
    let manifest = owner.write("lcm.yaml", &text);
    reports(&refused(&owner, manifest.to_str().expect("UTF-8")), "templates expand to more than lcm allows");
}

fn a_chain_of_includes_without_end_is_refused() {
    let host = Host::new("bomb");
    let owner = host.user(KIM);
    for number in 0..2_000 {
        fs::write(owner.path(&format!("{number}.yaml")), format!("include: {}.yaml\n", number + 1)).expect("a file");
    }
    let manifest = owner.write("lcm.yaml", "version: 1\nname: x\ninclude: 0.yaml\nservices: {}\n");
    reports(&refused(&owner, manifest.to_str().expect("UTF-8")), "more than 64 files are included");
}

fn includes_in_a_circle_are_refused() {
    let host = Host::new("bomb");
    let owner = host.user(KIM);
    owner.write("a.yaml", "include: link.yaml\n");
    symlink("lcm.yaml", owner.path("link.yaml")).expect("a link");
    let manifest = owner.write("lcm.yaml", "version: 1\nname: x\ninclude: a.yaml\nservices: {}\n");
    reports(&refused(&owner, manifest.to_str().expect("UTF-8")), "files include each other");
}

fn many_large_includes_are_refused() {
    let host = Host::new("bomb");
    let owner = host.user(KIM);
    let names: Vec<String> = (0..60).map(|number| format!("{number}.yaml")).collect();
    for name in &names {
        let keys = (0..45_000).map(|at| format!("k{at}: {{}}, ")).collect::<Vec<_>>().concat();
        owner.write(name, &format!("x-{name}: {{ {keys} }}\nservices: {{}}\n"));
    }
    let text = format!("version: 1\nname: x\ninclude: [{}]\nservices: {{}}\n", names.join(", "));
    let manifest = owner.write("lcm.yaml", &text);
    refused(&owner, manifest.to_str().expect("UTF-8"));
}

fn includes_of_devices_pipes_and_the_kernels_texts_are_refused_at_once() {
    let host = Host::new("bomb");
    let owner = host.user(KIM);
    let pipe = owner.path("pipe.yaml");
    assert!(owner.program("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    symlink("/dev/zero", owner.path("zero.yaml")).expect("a link");
    for (include, what) in [
        ("pipe.yaml", "it is a named pipe, not a regular file"),
        ("zero.yaml", "it is a device, not a regular file"),
        ("/dev/zero", "it is a device, not a regular file"),
        ("/dev/stdin", "it is a device, not a regular file"),
        ("/proc/self/environ", "it is a pseudo-file of the kernel, not a regular file"),
        ("/proc/self/status", "it is a pseudo-file of the kernel, not a regular file"),
        ("/proc/kmsg", "can't read /proc/kmsg"),
        ("/", "it is a folder, not a file"),
    ] {
        let text = format!("version: 1\nname: x\ninclude: {include}\nservices: {{}}\n");
        let said = refused(&owner, owner.write("lcm.yaml", &text).to_str().expect("UTF-8"));
        reports(&said, what);
        assert!(!said.contains("LCM_LOCK="), "it quotes the environment:\n{said}");
    }
}

fn env_files_that_are_devices_or_pipes_are_refused_at_once() {
    let host = Host::new("bomb");
    let owner = host.user(KIM);
    let pipe = owner.path("pipe.env");
    assert!(owner.program("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    for (file, what) in [
        ("pipe.env", "it is a named pipe"),
        ("/dev/zero", "it is a device"),
        ("/proc/self/environ", "it is a pseudo-file of the kernel"),
    ] {
        let manifest = owner.manifest(&format!("  api: {{ process: {{ command: [a], env_file: {file} }} }}"));
        let said = refused(&owner, &manifest);
        reports(&said, what);
        assert!(!said.contains("LCM_LOCK="), "it quotes the environment:\n{said}");
    }
}

fn a_manifest_from_an_endless_descriptor_is_refused() {
    let host = Host::new("bomb");
    let owner = host.user(KIM);
    for (source, manifest) in
        [("yes x: y |", "/dev/stdin"), ("yes |", "-"), ("", "/dev/stdin </dev/zero"), ("", "/dev/zero")]
    {
        let lcm = crate::support::host::lcm();
        let line = format!("ulimit -d {} && {source} {} validate {manifest}", VALIDATE_MIB_MAX << 10, lcm.display());
        let output = owner.program("sh").args(["-c", &line]).output().expect("a shell");
        assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
    }
}

fn worlds_and_plans_that_never_end_are_refused() {
    let host = Host::new("bomb");
    let owner = host.user(KIM);
    let manifest = owner.manifest("  api: { process: { command: [a] } }");
    let pipe = owner.path("pipe.json");
    assert!(owner.program("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let pipe = pipe.to_str().expect("UTF-8");
    for file in [pipe, "/dev/zero", "/proc/self/environ"] {
        owner.bounded(VALIDATE_MIB_MAX, &["plan", "--world", file, &manifest]).exits(1);
        owner.bounded(VALIDATE_MIB_MAX, &["show", file]).exits(1);
        owner.bounded(VALIDATE_MIB_MAX, &["apply", "--yes", "--plan", file, &manifest]).exits(1);
    }
}
