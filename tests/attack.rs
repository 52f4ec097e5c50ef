//! An attacker's suite: other uids, containers, files, an engine, a driver and a terminal that are hostile. Each attack
//! is one trial, which asserts that nothing foreign was touched, nothing of the attacker was executed, no bound was
//! exceeded, and that the owner's run converges all the same.
//!
//! It acts as several users, so it needs root; without root, or without an engine, each trial reports `ignored` and why.
//! With `LCM_TEST_REQUIRE=root,docker` their absence is a failure.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

#[path = "attack/bounds.rs"]
mod bounds;
#[path = "attack/containers.rs"]
mod containers;
#[path = "attack/figures.rs"]
mod figures;
#[path = "attack/files.rs"]
mod files;
#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "support/gpus.rs"]
mod gpus;
#[path = "attack/guard.rs"]
mod guard;
#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "support/image.rs"]
mod image;
#[path = "attack/locks.rs"]
mod locks;
#[path = "attack/marks.rs"]
mod marks;
#[path = "attack/mixed.rs"]
mod mixed;
#[path = "attack/owners.rs"]
mod owners;
#[path = "support/require.rs"]
mod require;
#[path = "attack/reservations.rs"]
mod reservations;
#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "attack/secrets.rs"]
mod secrets;
#[path = "support/server.rs"]
mod server;
#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "support/studio.rs"]
mod studio;
#[path = "attack/support/mod.rs"]
mod support;
#[path = "attack/surviving.rs"]
mod surviving;
#[path = "support/terminal.rs"]
mod terminal;
#[path = "attack/text.rs"]
mod text;
#[path = "attack/users.rs"]
mod users;
#[expect(dead_code, reason = "the library and the server use the rest")]
#[path = "../examples/simulated_gpu/world.rs"]
mod world;

use support::{Attack, Need};

fn main() -> ExitCode {
    // The simulated and forwarded engines count as local, by the name of their process.
    std::fs::write("/proc/self/comm", "dockerd").expect("a name");
    let areas: [(&str, Vec<Attack>); 14] = [
        ("bounds", bounds::trials()),
        ("containers", containers::trials()),
        ("figures", figures::trials()),
        ("files", files::trials()),
        ("guard", guard::trials()),
        ("locks", locks::trials()),
        ("marks", marks::trials()),
        ("mixed", mixed::trials()),
        ("owners", owners::trials()),
        ("reservations", reservations::trials()),
        ("secrets", secrets::trials()),
        ("surviving", surviving::trials()),
        ("text", text::trials()),
        ("users", users::trials()),
    ];
    let trials = areas.into_iter().flat_map(|(area, attacks)| {
        attacks.into_iter().map(move |(name, needs, run)| trial(format!("{area}::{name}"), needs, run))
    });
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.collect());
    support::clean();
    conclusion.exit_code()
}

/// Returns the trial, ignored if a requirement is missing and the pipeline does not require it.
fn trial(name: String, needs: &'static [Need], run: fn()) -> Trial {
    let missing: Vec<(Need, String)> = needs.iter().filter_map(|need| Some((*need, need.missing()?))).collect();
    let ignored = missing.iter().any(|(need, _)| !require::required(need.name()));
    // The first line is enough: an engine's client prints warnings before the error.
    let first =
        missing.first().map(|(need, why)| format!("needs {}: {}", need.name(), why.lines().last().unwrap_or("")));
    let reason = first.unwrap_or_default();
    let kind = reason.clone();
    let trial = Trial::test(name, move || {
        if reason.is_empty() {
            run();
            Ok(())
        } else {
            Err(Failed::from(reason))
        }
    });
    trial.with_kind(kind).with_ignored_flag(ignored)
}
