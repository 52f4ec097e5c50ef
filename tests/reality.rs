//! Drift on a real engine: containers and processes that others changed, folders that moved, links that lead elsewhere.
//! Without an engine each test reports `ignored` and the reason; with `LCM_TEST_REQUIRE=docker` its absence is a
//! failure.

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
#[path = "reality/options.rs"]
mod options;
#[path = "reality/states.rs"]
mod states;

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

/// Lists trials by function: each has the name of its function.
macro_rules! trials {
    ($absent:expr; $($module:ident: $($name:ident),+;)+) => {
        vec![$($(trial(concat!(stringify!($module), "::", stringify!($name)), $absent.as_ref(), $module::$name)),+),+]
    };
}

fn main() -> ExitCode {
    let absent = docker(&["version", "--format", "{{.Server.Version}}"]).err();
    let trials = trials![absent;
        drift:
            one_apply_mends_changes_by_others_and_no_more;
        checkouts:
            a_folder_that_was_recreated_at_its_path_is_another,
            two_checkouts_do_not_displace_each_other,
            a_release_that_a_link_leads_to_is_adopted_and_kept,
            services_of_a_deleted_checkout_move_to_the_next,
            a_folder_that_was_moved_away_is_refused_and_not_recreated;
        options:
            options_are_applied_once_and_limits_follow_while_it_runs;
        states:
            a_container_that_a_stop_would_remove_is_not_stopped,
            a_crash_loop_under_the_engines_restart_policy_is_an_error,
            a_process_that_reopens_its_standard_error_keeps_its_log,
            a_pattern_that_never_matched_fails_even_if_the_log_has_lost_its_beginning,
            a_service_in_the_network_of_another_is_recreated_with_it,
            containers_on_two_addresses_share_a_port_number,
            networks_of_the_manifest_come_and_go_with_its_services;
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

/// Returns the output of the docker command, without its last line break.
pub(crate) fn docker(words: &[&str]) -> Result<String, String> {
    let output = Command::new("docker").args(words).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    Err(format!("docker {words:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// A docker command that runs at the end, also after a panic.
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

/// Returns the steps of a plan in order: `start:a`.
pub(crate) fn steps(plan: &serde_json::Value) -> Vec<String> {
    let steps = plan["steps"].as_array().expect("steps");
    steps.iter().map(|step| step["id"].as_str().unwrap_or_default().to_owned()).collect()
}
