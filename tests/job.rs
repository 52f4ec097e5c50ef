//! lcm inside a job container, on the real engine: only paths mounted from the host count. Without an engine each test
//! is reported as `ignored`, with the reason; with `LCM_TEST_REQUIRE=docker` its absence is a failure.

#[path = "support/image.rs"]
mod image;
#[path = "support/job.rs"]
mod job;
#[path = "support/require.rs"]
mod require;
#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "support/server.rs"]
mod server;

#[path = "job/enclosed.rs"]
mod enclosed;
#[path = "job/forwarded.rs"]
mod forwarded;
#[path = "job/mounted.rs"]
mod mounted;
#[path = "job/runner.rs"]
mod runner;

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

/// Makes trials named after their functions.
macro_rules! trials {
    ($absent:expr; $($module:ident: $($name:ident),+;)+) => {
        vec![$($(trial(concat!(stringify!($module), "::", stringify!($name)), $absent.as_ref(), $module::$name)),+),+]
    };
}

fn main() -> ExitCode {
    let absent = absent();
    let trials = trials![absent;
        mounted:
            a_folder_of_the_checkout_is_mounted_from_the_host,
            a_folder_of_the_container_is_refused_and_not_made_on_the_host,
            a_lock_of_the_container_is_refused_by_commands_that_change_something,
            two_job_containers_exclude_each_other,
            a_plan_of_one_container_is_applied_in_another,
            the_recipe_of_the_readme_plans_in_one_container_and_applies_in_another;
        enclosed:
            a_process_is_not_started_and_containers_go_on,
            a_process_of_the_host_is_seen_and_stopped_with_the_hosts_pids_store_and_lock;
        forwarded:
            a_forwarded_engine_is_local_only_by_a_process_of_its_container;
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

/// Reason why there is no engine to test on. The paths that these tests mount belong to root.
fn absent() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("the host's store and lock are read by root in the container".to_owned());
    }
    let version = Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output();
    match version {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(error.to_string()),
    }
}
