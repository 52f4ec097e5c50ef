//! What is really there decides: containers and processes that others changed, folders that moved, links that lead
//! elsewhere. The real binary on the real engine; without one each test says `ignored`, and why; with
//! `LCM_TEST_REQUIRE=docker` its absence is a failure.

#[path = "support/image.rs"]
mod image;
#[path = "support/require.rs"]
mod require;
#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "support/server.rs"]
mod server;

#[path = "reality/checkouts.rs"]
mod checkouts;
#[path = "reality/drift.rs"]
mod drift;
#[path = "reality/states.rs"]
mod states;

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

/// Each with its name, so that a list of functions is all there is to write.
macro_rules! trials {
    ($absent:expr; $($module:ident: $($name:ident),+;)+) => {
        vec![$($(trial(concat!(stringify!($module), "::", stringify!($name)), $absent.as_ref(), $module::$name)),+),+]
    };
}

fn main() -> ExitCode {
    let absent = docker(&["version", "--format", "{{.Server.Version}}"]).err();
    let trials = trials![absent;
        drift:
            whatever_others_change_one_apply_mends_it_and_no_more;
        checkouts:
            a_folder_that_was_made_anew_at_its_path_is_another,
            two_checkouts_do_not_push_each_other,
            a_release_that_a_link_leads_to_by_now_is_taken_and_kept,
            what_a_deleted_checkout_left_running_moves_to_the_next,
            a_folder_that_was_moved_away_is_refused_and_not_made_anew;
        states:
            a_container_that_a_stop_would_remove_is_not_stopped,
            a_crash_loop_under_the_engines_restart_policy_is_an_error,
            a_process_that_opens_its_standard_error_anew_keeps_its_log,
            a_pattern_that_was_never_seen_does_not_pass_for_a_log_that_lost_its_beginning,
            a_service_in_anothers_network_is_made_anew_with_it,
            containers_on_two_addresses_share_a_port_number;
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: &str, absent: Option<&String>, test: fn()) -> Trial {
    let required = require::required("docker");
    let reason = absent.cloned();
    let run = move || {
        if let Some(reason) = reason {
            return Err(Failed::from(reason));
        }
        test();
        Ok(())
    };
    let kind = absent.map(|reason| format!("needs docker: {reason}")).unwrap_or_default();
    Trial::test(name, run).with_kind(kind).with_ignored_flag(absent.is_some() && !required)
}

/// The docker command's answer, without the last line's end.
pub(crate) fn docker(words: &[&str]) -> Result<String, String> {
    let output = Command::new("docker").args(words).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    Err(format!("docker {words:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// Undoes something in the end, also after a panic.
pub(crate) struct Undo(pub(crate) Vec<String>);

impl Undo {
    pub(crate) fn later(words: &[&str]) -> Self {
        Self(words.iter().map(|word| (*word).to_owned()).collect())
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        let _ = docker(&self.0.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// `start:a`, in plan order.
pub(crate) fn steps(plan: &serde_json::Value) -> Vec<String> {
    let steps = plan["steps"].as_array().expect("steps");
    steps.iter().map(|step| step["id"].as_str().unwrap_or_default().to_owned()).collect()
}
