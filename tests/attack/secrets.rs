//! Secrets that services, probes, engines and hooks try to carry into what lcm shows or writes.

#[path = "secrets/carried.rs"]
mod carried;
#[path = "secrets/engine.rs"]
mod engine;
#[path = "secrets/manifest.rs"]
mod manifest;

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::support::{AS_ROOT, Attack, Host, User, attacks};

/// Token that differs in each notation, and is neither a path nor a host.
pub(crate) const TOKEN: &str = "tk-9Qx/7+Zr=pL2v&W0%mN4<Js8";
/// Token for places that need a name.
pub(crate) const NAME_TOKEN: &str = "tk9qx7zr2vw0mn4js8hd";

/// Commands that show everything; none of their outputs may contain any part of the secret.
const VIEWS: [&[&str]; 24] = [
    &["plan"],
    &["plan", "-v", "--format", "text"],
    &["plan", "--format", "json"],
    &["plan", "--format", "markdown"],
    &["plan", "--format", "html"],
    &["plan", "--format", "mermaid"],
    &["plan", "--out", "saved.plan"],
    &["show", "saved.plan"],
    &["show", "saved.plan", "--format", "json"],
    &["status"],
    &["status", "-v"],
    &["status", "--format", "json"],
    &["status", "--format", "prometheus"],
    &["observe"],
    &["observe", "--out", "seen.world"],
    &["plan", "--world", "seen.world", "--format", "json"],
    &["history"],
    &["history", "--format", "json"],
    &["history", "--format", "csv"],
    &["history", "--runs", "--format", "json"],
    &["validate"],
    &["validate", "--format", "json"],
    &["validate", "--format", "github"],
    &["logs", "api"],
];

/// Files that the owner gave to lcm, and those that services write themselves.
const NOT_BY_LCM: [&str; 6] = ["lcm.yaml", "token.env", "token.txt", "shim.log", "log", "log.1"];

pub(crate) fn trials() -> Vec<Attack> {
    let own = attacks![
        AS_ROOT => a_secret_of_the_environment_is_in_no_plan;
    ];
    own.into_iter().chain(carried::trials()).chain(engine::trials()).chain(manifest::trials()).collect()
}

/// Returns the token in each notation.
pub(crate) fn forms(token: &str) -> Vec<String> {
    let each = |escape: fn(u8) -> String| token.bytes().map(escape).collect::<String>();
    let percent = each(|byte| {
        if byte.is_ascii_alphanumeric() || byte == b'-' { char::from(byte).into() } else { format!("%{byte:02X}") }
    });
    let base64 = ["", "x", "xx"].map(|before| STANDARD.encode(format!("{before}{token}")));
    // The surrounding bytes affect its first and last characters.
    let base64 = base64.iter().map(|text| text[3..text.len() - 4].to_owned());
    let url = URL_SAFE_NO_PAD.encode(token);
    let html = token.replace('&', "&amp;").replace('<', "&lt;");
    let mut forms = vec![
        token.to_owned(),
        percent.clone(),
        percent.replace('%', "%25"),
        each(|byte| format!("%{byte:02x}")),
        token.replace('/', "\\/"),
        token.replace('&', "\\u0026").replace('<', "\\u003c"),
        html,
        each(|byte| format!("{byte:02x}")),
        each(|byte| format!("\\x{byte:02x}")),
        url[..url.len() - 2].to_owned(),
    ];
    forms.extend(base64);
    forms.sort_unstable();
    forms.dedup();
    forms
}

#[track_caller]
pub(crate) fn hidden(what: &str, text: &str, token: &str) {
    for form in forms(token) {
        assert!(!text.contains(&form), "{what} shows the token as {form}:\n{text}");
    }
}

/// Asserts that no output and no file of lcm contains the token.
#[track_caller]
pub(crate) fn shown_nowhere(owner: &User<'_>, token: &str) {
    for words in VIEWS {
        let ran = owner.lcm(words);
        hidden(&ran.what, &format!("{}\n{}", ran.stdout, ran.stderr), token);
    }
    written_nowhere(&owner.path(""), token);
}

#[track_caller]
fn written_nowhere(folder: &Path, token: &str) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let kind = entry.file_type().expect("its kind");
        if kind.is_dir() {
            written_nowhere(&path, token);
        } else if kind.is_file() && !NOT_BY_LCM.contains(&name.as_str()) {
            let bytes = fs::read(&path).unwrap_or_default();
            hidden(&path.display().to_string(), &String::from_utf8_lossy(&bytes), token);
        }
    }
}

/// Applies once in each format, with any result, and searches everywhere.
#[track_caller]
pub(crate) fn tried(owner: &User<'_>, token: &str) {
    for words in [
        &["apply", "--yes", "--timeout", "20s"][..],
        &["apply", "--yes", "--timeout", "20s", "--format", "json", "--json-into", "events.json"],
    ] {
        let ran = owner.lcm(words);
        hidden(&ran.what, &format!("{}\n{}", ran.stdout, ran.stderr), token);
        shown_nowhere(owner, token);
    }
}

fn a_secret_of_the_environment_is_in_no_plan() {
    let host = Host::new("secrets");
    let mut owner = host.user(crate::support::ROOT);
    owner.set("TOK", TOKEN);
    let manifest =
        owner.manifest("  api: { process: { command: [sleep, \"300\"], environment: { TOK: { env: TOK } } } }");
    shown_nowhere(&owner, TOKEN);
    owner.converges(&manifest);
    shown_nowhere(&owner, TOKEN);
    owner.goes_down(&manifest);
}
