//! Contract of the store's traits, tested against every implementation: journal, holds and attempts in memory and on
//! disk, the lease in memory and as the host's lock.
//!
//! In: factories of empty stores.
//! Out: a test for each clause and implementation.
//! Not here: formats, files and damage, which are each implementation's own.

mod attempts;
mod factory;
mod holds;
mod journal;
mod lease;

/// A test for each clause, in a module for each implementation.
macro_rules! contract {
    ($($name:ident: $clause:path;)*) => {
        mod memory {
            use super::factory::{Factory as _, InMemory};
            $(#[tokio::test] async fn $name() { $clause(&InMemory::new()).await; })*
        }

        mod sqlite {
            use super::factory::{Factory as _, OnDisk};
            $(#[tokio::test] async fn $name() { $clause(&OnDisk::new()).await; })*
        }
    };
}

macro_rules! lease_contract {
    ($($name:ident: $clause:path;)*) => {
        mod memory_lease {
            use crate::store::memory::MemoryLease;
            $(#[tokio::test] async fn $name() {
                let leases = MemoryLease::default();
                $clause(|| leases.clone()).await;
            })*
        }

        mod host_lock {
            use crate::store::lock::HostLock;
            $(#[tokio::test] async fn $name() {
                let folder = tempfile::tempdir().expect("a folder");
                $clause(|| HostLock::at(&folder.path().join("lcm.lock"))).await;
            })*
        }
    };
}

contract! {
    holds_last_until_they_are_released: super::holds::last_until_they_are_released;
    attempts_are_kept_until_all_is_well: super::attempts::are_kept_until_all_is_well;
    the_last_end_of_a_job_is_kept: super::attempts::the_last_end_of_a_job_is_kept;
    reports_are_kept_until_they_are_withdrawn: super::attempts::reports_are_kept_until_they_are_withdrawn;
    pending_calls_are_kept_until_they_are_made: super::journal::pending_calls_are_kept_until_they_are_made;
    a_run_without_an_end_is_recorded_as_killed: super::journal::a_run_without_an_end_is_recorded_as_killed;
    a_record_under_an_older_token_is_refused: super::journal::a_record_under_an_older_token_is_refused;
    no_killed_run_costs_no_write: super::journal::no_killed_run_costs_no_write;
    notices_are_kept_until_they_are_delivered:
        super::journal::notices_are_kept_until_they_are_delivered_or_tried_too_often;
    history_has_changes_and_measures: super::journal::history_has_changes_and_measures;
    converged_runs_are_kept_newest_first_and_once: super::journal::converged_runs_are_kept_newest_first_and_once;
}

lease_contract! {
    the_second_is_refused_with_the_name_of_the_holder: super::lease::the_second_is_refused_with_the_name_of_the_holder;
    tokens_rise: super::lease::tokens_rise;
    another_scope_is_another_lease_or_none: super::lease::another_scope_is_another_lease_or_none;
    a_wait_is_bounded_and_reported_once: super::lease::a_wait_is_bounded_and_reported_once;
    a_wait_ends_when_the_lease_is_released: super::lease::a_wait_ends_when_the_lease_is_released;
    a_wait_that_is_cancelled_acquires_nothing: super::lease::a_wait_that_is_cancelled_acquires_nothing;
}
