//! GPUs through the real `nvml-wrapper`, over a library that plays them: what drivers tell, how they fail, and who
//! holds what. The one test that needs an engine says `ignored` where there is none, and so do those that name holders
//! where nobody can.

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
            an_old_driver_tells_no_reserve,
            a_missing_list_leaves_somebody_unnamed,
            a_board_that_tells_no_memory_is_what_the_manifest_says,
            without_a_driver_or_a_gpu_the_manifest_speaks,
            a_library_that_is_none_is_an_error_where_it_was_named,
            a_lost_gpu_is_named_and_the_others_are_read,
            a_gpu_that_was_lost_from_the_beginning_has_its_place,
            a_gpu_that_may_not_be_asked_is_unreadable_and_not_lost,
            a_driver_that_was_replaced_is_loaded_anew,
            a_library_that_cannot_be_shut_down_is_no_panic,
            a_driver_that_leaves_is_unknown,
            a_call_that_hangs_costs_its_deadline_once,
            lcm_ends_while_a_call_hangs;
        holding:
            a_leak_never_comes_back,
            a_model_gives_back_and_takes_again,
            memory_is_taken_while_loading_or_late,
            what_is_not_there_is_refused_and_noted;
    ];
    let named = trials![
        reading:
            gpus_are_told_with_what_is_used_and_reserved,
            a_process_in_both_lists_counts_once_with_the_larger,
            a_long_list_is_told_whole,
            a_driver_that_does_not_know_the_calls_is_asked_the_old_ones,
            instances_are_gpus_and_their_parent_is_none,
            figures_that_are_not_told_are_unknown_and_not_zero;
        holding:
            a_process_tree_holds_and_a_stranger_beside_it,
            what_has_ended_is_listed_until_its_memory_is_back;
        waking:
            what_gave_its_memory_to_one_that_matters_more_is_blocked_and_runs_on,
            one_that_matters_less_gives_way_and_it_is_woken,
            one_that_loads_late_is_satisfied_while_its_memory_is_free;
    ];
    let nameless = gpus::nameless();
    let told = |trial: Trial| trial.with_kind(nameless.unwrap_or_default()).with_ignored_flag(nameless.is_some());
    trials.extend(named.into_iter().map(told));
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

/// Why there is no engine to test on.
fn absent() -> Option<String> {
    let environment = std::env::vars().collect();
    let answer = runtime().block_on(async { connect(None, &environment)?.fact().await });
    answer.err().map(|error| error.to_string())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
