//! Docker driver on a real engine. Without one each test is `ignored`, with the reason; with `LCM_TEST_REQUIRE=docker`
//! its absence is a failure.

#[path = "support/bench.rs"]
mod bench;
#[path = "support/image.rs"]
mod image;
#[path = "docker/lifecycle.rs"]
mod lifecycle;
#[path = "docker/networks.rs"]
mod networks;
#[path = "docker/options.rs"]
mod options;
#[path = "docker/reading.rs"]
mod reading;
#[path = "docker/registry.rs"]
mod registry;
#[path = "docker/replacing.rs"]
mod replacing;
#[path = "support/require.rs"]
mod require;
#[path = "support/server.rs"]
mod server;
#[path = "docker/settings.rs"]
mod settings;
#[path = "docker/states.rs"]
mod states;

use std::future::Future;

use lcm::runtime::docker::drive::connect;
use libtest_mimic::{Arguments, Failed, Trial};

/// Makes trials of functions, each under its own name.
macro_rules! trials {
    ($absent:expr; $($module:ident: $($name:ident),+;)+) => {
        vec![$($(trial(concat!(stringify!($module), "::", stringify!($name)), $absent, $module::$name)),+),+]
    };
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let absent = absent();
    let trials = effects(absent.as_ref()).into_iter().chain(readings(absent.as_ref())).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Trials of what changes containers, networks and images.
fn effects(absent: Option<&String>) -> Vec<Trial> {
    trials![absent;
        lifecycle:
            a_container_is_created_started_stopped_and_removed,
            an_existing_container_is_started_and_stopped,
            an_existing_container_whose_mounted_folder_is_gone_is_not_started,
            a_restart_policy_does_not_bring_back_what_was_stopped,
            a_container_that_ignores_its_signal_is_killed_after_the_grace_period,
            a_signal_of_the_policy_is_sent_in_place_of_the_containers_own,
            a_paused_container_is_resumed_or_stopped,
            a_container_of_another_project_is_neither_stopped_nor_removed,
            ports_devices_networks_and_labels_are_checked_before_anything_starts,
            networks_are_joined_before_the_start,
            secrets_reach_the_environment_and_no_label,
            gpus_are_requested_by_id,
            settings_of_the_manifest_reach_the_engine_and_volumes_stay;
        replacing:
            a_changed_spec_puts_the_old_one_aside_until_settled,
            restore_starts_the_previous_revision_again,
            a_failed_start_leaves_the_old_one_under_its_name,
            a_crash_in_the_middle_of_replacing_is_repaired,
            a_foreign_container_is_refused_and_untouched,
            another_placement_recreates,
            an_image_that_cannot_be_pulled_is_named_and_the_old_one_runs_on;
        networks:
            a_defined_network_is_made_once_and_removed_when_unused,
            a_defined_network_that_was_removed_by_hand_is_made_again,
            a_foreign_network_under_its_name_is_neither_used_nor_removed,
            aliases_and_a_fixed_address_are_set_and_changed_in_place;
        registry:
            a_pull_without_a_login_names_the_registry_and_the_way,
            a_stored_login_is_used_for_a_pull,
            a_credential_helper_is_asked_for_the_login,
            a_configuration_of_another_user_is_not_used;
    ]
}

/// Trials of what is read and compared.
fn readings(absent: Option<&String>) -> Vec<Trial> {
    trials![absent;
        reading:
            a_moved_image_is_seen,
            exit_codes_and_published_ports_are_read_from_the_list,
            times_of_start_and_end_are_read_from_the_engine,
            exec_returns_the_exit_status,
            a_log_begins_with_the_last_start,
            a_log_is_followed_through_a_restart_and_into_a_new_container,
            a_pattern_in_a_log_is_remembered_for_the_start_that_showed_it,
            a_log_that_lost_its_beginning_is_told_from_a_whole_one,
            health_is_the_images_own;
        settings:
            a_created_container_reads_back_as_it_was_created,
            settings_that_the_engine_rewrites_are_not_compared,
            settings_that_the_engine_can_change_are_changed_while_it_runs,
            settings_that_it_cannot_change_recreate_it_at_the_next_start,
            a_recreated_network_no_longer_keeps_it_from_starting,
            a_link_that_leads_elsewhere_by_now_is_another_folder,
            a_container_whose_network_it_shares_is_known_by_its_id,
            another_container_under_its_name_and_with_its_labels_is_detected;
        options:
            each_option_has_its_effect_and_is_compared,
            options_are_effective_inside,
            limits_follow_the_manifest_while_it_runs,
            limits_of_a_container_that_is_not_compared_are_changed_too,
            limits_that_the_machine_is_too_small_for_are_refused_before_anything_starts,
            rights_beyond_the_manifest_are_a_difference;
        states:
            without_a_container_it_is_registered,
            created_and_never_run_it_is_deployed,
            young_and_without_an_answer_it_is_starting,
            a_container_that_the_engine_restarts_is_starting,
            with_an_answer_it_is_online_busy_or_idle,
            old_and_without_an_answer_it_is_in_error_or_timed_out,
            paused_it_is_suspended,
            ended_with_0_or_by_a_stop_signal_it_is_offline,
            ended_otherwise_it_has_failed,
            killed_out_of_memory_it_has_failed;
    ]
}

fn trial<F: Future<Output = ()> + 'static>(name: &str, absent: Option<&String>, test: fn() -> F) -> Trial {
    let required = require::required("docker");
    let reason = absent.cloned();
    let run = move || {
        if let Some(reason) = reason {
            return Err(Failed::from(reason));
        }
        runtime().block_on(test());
        Ok(())
    };
    let kind = absent.map(|reason| format!("needs docker: {reason}")).unwrap_or_default();
    Trial::test(name, run).with_kind(kind).with_ignored_flag(absent.is_some() && !required)
}

/// Returns the reason why there is no engine to test on.
fn absent() -> Option<String> {
    let environment = std::env::vars().collect();
    let answer = runtime().block_on(async { connect(None, &environment)?.fact().await });
    answer.err().map(|error| error.to_string())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
