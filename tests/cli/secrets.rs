//! A secret in every field that a manifest can carry one in, in a real run and in a simulated one: no output, no file and
//! no database that lcm writes shows it, in any notation. And ordinary values in the same fields stay readable.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::lcm::Lcm;

/// A project of its own, taken down when dropped.
struct Planted {
    folder: tempfile::TempDir,
    secret: String,
}

/// Places of a secret in a manifest; `@` stands for the variable.
const MANIFEST: &str = r#"version: 1
name: NAME
mode: all
gpus: { devices: [{ index: 0, vram: 24GiB }] }
services:
  api:
    process:
      command: "printf '%s\n' \"$$TOK\"; printf '%s' \"$$TOK\" | base64; exec sleep 300"
      env_file: token.env
      environment: { TOK: { env: TOK }, FROM: { file: token.txt }, LONGER: "Bearer @", LIST: "@,@" }
    stop: { grace: 1s }
    busy: { exec: [test, -n, "@"] }
    drain: 100ms
    hooks:
      pre_start: { exec: [sh, -c, "printf '%s\n' \"$$1\"; printf '%s' \"$$1\" | od -An -v -tx1; cat", hook, "@"] }
      post_start: { exec: ["false", "@"] }
      post_stop: { http: { url: "http://127.0.0.1:9/x", json: { key: "@" } }, timeout: 1s }
  quoting:
    description: "of @"
    process: { command: [sh, -c, "echo \"$$1\" >&2; exit 3", quoting, "@"] }
    stop: { exec: [kill, "@"], grace: 1s }
    health: { exec: ["false", "@"], timeout: 1s }
    recover: { attempts: 1, backoff: 1h }
    depends_on: [api]
  logged:
    process: { command: [sleep, "300"] }
    stop: { grace: 1s }
    vram: 1GiB
    health: { log: "never", timeout: 100ms }
    evict: { exec: ["false", "@"], timeout: 1s }
modes:
  all: { description: "all with @", services: [api, quoting, logged] }
goals:
  talk: { description: "talk with @", services: [api] }
lifecycle: { deny: [{ from: updating, reason: "never with @" }] }
notify: [{ exec: [sh, -c, "cat >> told.json; echo \"$$1\"; exit 1", notify, "@"] }]
"#;

const VIEWS: [&[&str]; 22] = [
    &["validate"],
    &["validate", "--format", "json"],
    &["validate", "--format", "github"],
    &["plan", "-v"],
    &["plan", "--format", "json", "--out", "saved.plan"],
    &["plan", "--format", "markdown"],
    &["plan", "--format", "html"],
    &["plan", "--format", "mermaid"],
    &["show", "saved.plan", "--format", "html"],
    &["status", "-v"],
    &["status", "--format", "json"],
    &["status", "--format", "prometheus"],
    &["history"],
    &["history", "--format", "json"],
    &["history", "--format", "csv"],
    &["history", "--runs"],
    &["history", "--stats"],
    &["observe", "--out", "seen.json"],
    &["plan", "--world", "seen.json", "--format", "json"],
    &["apply", "--yes", "--world", "seen.json", "--format", "json"],
    &["logs", "api"],
    &["logs", "quoting"],
];

/// Files given to lcm, and those that services write themselves.
const NOT_BY_LCM: [&str; 6] = ["lcm.yaml", "token.env", "token.txt", "log", "log.1", "shim.log"];

impl Planted {
    fn new(secret: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let name = format!("planted-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let manifest = MANIFEST.replace("NAME", &name).replace('@', "${TOK}");
        for (file, text) in [
            ("lcm.yaml", manifest),
            ("token.txt", format!("{secret}\n")),
            ("token.env", format!("IN_FILE='{secret}'\n")),
        ] {
            fs::write(folder.path().join(file), text).expect("written");
        }
        Self { folder, secret: secret.to_owned() }
    }

    fn lcm(&self, words: &[&str]) -> Lcm {
        Lcm::new(self.folder.path()).args(words).env("TOK", &self.secret)
    }

    /// Returns the output of a run.
    fn said(&self, words: &[&str]) -> String {
        let ran = self.lcm(words).run();
        let said = format!("{ran}");
        // The command line itself is this test's.
        said.split_once('\n').map_or(String::new(), |(_, said)| said.to_owned())
    }

    fn hides(&self, what: &str, text: &str) -> Result<(), TestCaseError> {
        for form in forms(&self.secret) {
            prop_assert!(!text.contains(&form), "{what} shows {:?} as {form:?}:\n{text}", self.secret);
        }
        Ok(())
    }

    fn is_written_nowhere(&self, folder: &Path) -> Result<(), TestCaseError> {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let kind = entry.file_type().expect("its kind");
            if kind.is_dir() {
                self.is_written_nowhere(&path)?;
            } else if kind.is_file() && !NOT_BY_LCM.contains(&name.as_str()) {
                let bytes = fs::read(&path).unwrap_or_default();
                self.hides(&path.display().to_string(), &String::from_utf8_lossy(&bytes))?;
            }
        }
        Ok(())
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        // A held service is not stopped.
        let _ = self.lcm(&["resume", "logged"]).command().stdout(Stdio::null()).stderr(Stdio::null()).status();
        let _ = self.lcm(&["down", "--yes"]).command().stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// Notations in which outputs and programs write a text.
fn forms(secret: &str) -> Vec<String> {
    let percent =
        |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02X}") };
    let each = |escape: fn(u8) -> String| secret.bytes().map(escape).collect::<String>();
    let base64 = ["", "x", "xx"].map(|before| STANDARD.encode(format!("{before}{secret}")));
    let json = serde_json::to_string(secret).expect("JSON");
    let json = json.trim_matches('"');
    let mut forms = vec![
        secret.to_owned(),
        json.to_owned(),
        json.replace('\\', "\\\\"),
        each(percent),
        each(|byte| format!("{byte:02x}")),
        secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;"),
        secret.replace('"', "\"\""),
    ];
    forms.extend(base64.iter().map(|text| text[3..text.len() - 4].to_owned()));
    forms.sort_unstable();
    forms.dedup();
    forms
}

fn planted(secret: &str) -> Result<(), TestCaseError> {
    let planted = Planted::new(secret);
    for words in
        [&["plan"][..], &["apply", "--yes", "--format", "json", "--json-into", "events.json"], &["apply", "--yes"]]
    {
        planted.hides(&words.join(" "), &planted.said(words))?;
        planted.is_written_nowhere(planted.folder.path())?;
    }
    for words in VIEWS {
        planted.hides(&words.join(" "), &planted.said(words))?;
    }
    for words in [
        &["maintain", "logged", "--reason", secret][..],
        &["restart", "api", "--yes"],
        &["report", "api", "--error", secret],
        &["resume", "logged"],
        &["rollback", "--yes"],
        &["down", "--yes"],
    ] {
        planted.hides(words[0], &planted.said(words))?;
    }
    planted.is_written_nowhere(planted.folder.path())
}

#[test]
fn no_output_and_no_file_shows_a_secret() {
    // Each case is some forty runs of the binary; the masker alone is tested with thousands.
    let mut runner = TestRunner::new(Config { cases: 2, failure_persistence: None, ..Config::default() });
    let secret = "[a-z]{2}_[A-Z0-9]{4}[-A-Za-z0-9/+=_.~:&<>\" %]{6,20}[A-Z0-9]{4}";
    runner.run(&secret, |secret| planted(&secret)).expect("it shows nowhere");
}

#[test]
fn a_secret_of_letters_alone_is_shown_nowhere() {
    planted("correct-horse-battery").expect("it shows nowhere");
}

#[test]
fn ordinary_values_are_never_blanked() {
    for value in
        ["18188", "/srv/models/llama-3", "gpu-host-01.example.org:18188", "http://localhost:18188/health", "quoting-x"]
    {
        let planted = Planted::new("correct-horse-battery");
        let manifest = fs::read_to_string(planted.folder.path().join("lcm.yaml")).expect("the manifest");
        let manifest = manifest
            .replace("TOK: { env: TOK }, FROM: { file: token.txt }", "TOK: \"${TOK}\"")
            .replace("quoting:", "quoting-x:");
        let manifest = manifest
            .replace("[api, quoting, logged]", "[api, quoting-x, logged]")
            .replace("env_file: token.env", "inherit: []");
        fs::write(planted.folder.path().join("lcm.yaml"), manifest).expect("written");
        let said = |words: &[&str]| {
            let ran = Lcm::new(planted.folder.path()).args(words).env("TOK", value).run();
            format!("{}{}", ran.stdout, ran.stderr)
        };
        let applied = said(&["apply", "--yes"]);
        assert!(applied.contains(&format!("false {value}")), "{value}: {applied}");
        assert!(said(&["logs", "api"]).contains(value), "{value}");
        said(&["down", "--yes"]);
    }
}
