//! The picture in the README: a switch of modes as a terminal shows it, recorded from the real binary. `LCM_BLESS=1`
//! writes it anew.

use std::fmt::Write as _;
use std::fs;

use anstyle_svg::Term;
use regex_lite::Regex;

use crate::sandbox::Sandbox;
use crate::{in_repository, quickstart};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/quickstart/session.svg");

/// Commands as the picture shows them. The sandbox needs the manifest named, the reader's folder has it.
const COMMANDS: [&str; 3] = ["lcm plan --mode write", "lcm apply --mode write --yes --quiet", "lcm plan --mode write"];

pub(crate) fn is_current() {
    let mut sandbox = Sandbox::new("picture");
    let manifest = quickstart(&mut sandbox);
    sandbox.set("CLICOLOR_FORCE", "1".to_owned());
    sandbox.set("COLUMNS", "96".to_owned());
    in_repository(&sandbox, &format!("lcm apply --yes {manifest}"), "the picture").exits(0);
    let mut session = String::new();
    for command in COMMANDS {
        let ran = in_repository(&sandbox, &format!("{command} -m {manifest}"), command).exits(0);
        let _ = writeln!(session, "\u{1b}[1m$ {command}\u{1b}[0m\n{}", ran.stdout.trim_end());
    }
    let session = session.replace(&sandbox.name, "quickstart");
    let redacted =
        [(r"\d+\.\d+ s", "0.7 s"), (r"host [^ \x1b]+", "host box"), (r"\d+ process trees", "3 process trees")];
    let session = redacted.iter().fold(session, |text, (pattern, shown)| {
        Regex::new(pattern).expect("a pattern").replace_all(&text, *shown).into_owned()
    });
    let picture = Term::new().render_svg(session.trim_end());
    if std::env::var_os("LCM_BLESS").is_some_and(|bless| bless == "1") {
        fs::write(PATH, &picture).expect("written");
    }
    let kept = fs::read_to_string(PATH).unwrap_or_default();
    assert_eq!(picture, kept, "{PATH} differs from what lcm shows; LCM_BLESS=1 writes it anew");
}
