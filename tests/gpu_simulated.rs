//! GPUs through the real `nvml-wrapper` over a simulated library: readings, failures of drivers, and holders of memory.
//! The one test that needs an engine is ignored without one, and so are those that name holders on hosts where holders
//! can't be named.

#[path = "support/bench.rs"]
#[expect(dead_code, reason = "the tests of the engine need more of it")]
mod bench;
#[path = "support/gpus.rs"]
mod gpus;
#[path = "gpu_simulated/holding.rs"]
mod holding;
#[path = "support/image.rs"]
mod image;
#[path = "gpu_simulated/reading.rs"]
mod reading;
#[path = "support/require.rs"]
mod require;
#[path = "support/sandbox.rs"]
#[expect(dead_code, reason = "others need more of it")]
mod sandbox;
#[path = "support/server.rs"]
mod server;
#[path = "gpu_simulated/waking.rs"]
mod waking;
#[path = "../examples/simulated_gpu/world.rs"]
#[expect(dead_code, reason = "the library and the server use the rest")]
mod world;

use std::future::Future;

use lcm::runtime::docker::drive::connect;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let absent = absent();
    macro_rules! trials {
        ($($module:ident: $($name:ident),+;)+) => {
            vec![$($(trial(concat!(stringify!($module), "::", stringify!($name)), $module::$name)),+),+]
        };
    }
    let mut trials = trials![
        reading:
            an_old_driver_reports_no_reserve,
            a_missing_list_leaves_holders_unnamed,
            a_board_that_reports_no_memory_has_the_capacity_of_the_manifest,
            without_a_driver_or_a_gpu_the_declared_gpus_count,
            an_invalid_library_is_an_error_if_it_was_named,
            a_lost_gpu_is_named_and_the_others_are_read,
            a_gpu_that_was_never_read_is_named_by_its_index,
            a_gpu_without_permission_is_unreadable_and_not_lost,
            a_replaced_driver_is_loaded_again,
            a_library_that_cannot_be_shut_down_is_no_panic,
            an_unloaded_driver_is_unknown,
            a_call_that_hangs_costs_its_deadline_once,
            lcm_ends_while_a_call_hangs,
            doctor_names_the_driver_and_each_gpu;
        holding:
            leaked_memory_is_never_freed,
            a_model_unloads_and_loads_again,
            memory_is_taken_while_loading_or_late,
            an_overcommit_is_refused_and_recorded;
    ];
    let named = trials![
        reading:
            gpus_are_read_with_used_and_reserved_memory,
            a_process_in_both_lists_counts_once_with_the_larger,
            a_long_list_is_read_whole,
            a_driver_without_the_new_calls_is_read_by_the_old_ones,
            mig_instances_are_gpus_and_their_parent_is_not,
            unreported_sizes_are_unknown_and_not_zero;
        holding:
            a_process_tree_holds_beside_a_foreign_process,
            an_ended_process_is_listed_until_its_memory_is_free;
        waking:
            a_service_evicted_for_a_higher_priority_is_blocked_and_keeps_running,
            a_lower_priority_is_stopped_and_the_evicted_service_is_woken,
            a_service_that_loads_late_needs_no_step_while_its_memory_is_free;
    ];
    let nameless = gpus::nameless();
    let with_names = |trial: Trial| trial.with_kind(nameless.unwrap_or_default()).with_ignored_flag(nameless.is_some());
    trials.extend(named.into_iter().map(with_names));
    let required = require::required("docker");
    let absent = nameless.map(str::to_owned).or(absent.map(|reason| format!("needs docker: {reason}")));
    let kind = absent.clone().unwrap_or_default();
    let container = trial("holding::a_container_holds", holding::a_container_holds);
    trials.push(container.with_kind(kind).with_ignored_flag(nameless.is_some() || absent.is_some() && !required));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial<F: Future<Output = ()> + 'static>(name: &str, test: fn() -> F) -> Trial {
    let run = move || {
        runtime().block_on(test());
        Ok::<(), Failed>(())
    };
    Trial::test(name, run)
}

/// Reason why there is no engine to test on.
fn absent() -> Option<String> {
    let environment = std::env::vars().collect();
    let answer = runtime().block_on(async { connect(None, &environment)?.fact().await });
    answer.err().map(|error| error.to_string())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
