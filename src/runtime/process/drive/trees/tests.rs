//! Attribution of processes to trees, on data.

use std::collections::BTreeSet;

use super::{Census, ProjectNames, Stat, TreeStart, VerificationError};
use crate::model::facts::Marks;
use crate::runtime::process::drive::members::Recorded;
use crate::runtime::process::drive::members_note::{Member, MembersNote};
use crate::runtime::process::facts::LostShim;

const OWNER: u32 = 61_001;

fn process(census: &mut Census, pid: i32, parent: i32, state: char) {
    in_session(census, pid, parent, 1, state);
}

fn in_session(census: &mut Census, pid: i32, parent: i32, session: i32, state: char) {
    census.owners = BTreeSet::from([OWNER]);
    let ticks = u64::from(pid.unsigned_abs());
    let stat = Stat { pid, parent, session, state, start_ticks: ticks, program: format!("p{pid}") };
    census.stats.insert(pid, stat);
}

fn marks(service: &str, salt: &str) -> Marks {
    Marks { project: "p".into(), service: service.into(), salt: salt.into(), ..Marks::default() }
}

fn shim(census: &mut Census, pid: i32, service: &str, salt: &str) {
    let start =
        TreeStart { uid: OWNER, marks: marks(service, salt), former_project: None, started_at: None, shim: Some(pid) };
    census.shims.insert(pid, start);
}

fn mark(census: &mut Census, pid: i32, service: &str, salt: &str) {
    let start =
        TreeStart { uid: OWNER, marks: marks(service, salt), former_project: None, started_at: None, shim: None };
    census.marked.insert(pid, start);
}

fn member(pid: i32, session: Option<i32>) -> Member {
    Member { pid, start_ticks: u64::from(pid.unsigned_abs()), session }
}

fn record(census: &mut Census, service: &str, shim: i32, members: Vec<Member>) {
    // The writer is the one with ten times the number of the shim.
    let note = MembersNote {
        boot: "b".into(),
        marks: marks(service, "s1"),
        started_at: jiff::Timestamp::UNIX_EPOCH,
        shim: member(shim, Some(shim)),
        output: Some(u64::from(shim.unsigned_abs())),
        members,
    };
    census.recorded_starts.push(super::start_of_note(&note, OWNER, &ProjectNames::default()));
    census.recorded =
        Recorded::living(vec![note], &census.stats, &|pid, output| u64::from(pid.unsigned_abs()) == output * 10);
}

fn members(census: &Census, service: &str) -> (Vec<i32>, Vec<i32>) {
    let trees = census.trees();
    let tree = &trees[&("p".to_owned(), service.to_owned())];
    let pids = |all: &[crate::model::facts::ProcessFact]| all.iter().map(|it| it.pid).collect();
    (pids(&tree.shims), pids(&tree.members))
}

#[test]
fn a_tree_is_all_descendants_of_its_shim_with_any_marks() {
    let mut census = Census::default();
    for (pid, parent, state) in [(1, 0, 'S'), (10, 1, 'S'), (11, 10, 'S'), (12, 11, 'R'), (13, 10, 'Z'), (20, 1, 'S')] {
        process(&mut census, pid, parent, state);
    }
    shim(&mut census, 10, "a", "s1");
    // 12 carries the marks of another service.
    mark(&mut census, 12, "b", "s2");
    // 13 is a zombie, 20 is not lcm's.
    assert_eq!(members(&census, "a"), (vec![10], vec![11, 12]));
    assert!(census.start_of(20).is_none());
    assert_eq!(census.trees().len(), 1, "proof has precedence over an environment");
}

#[test]
fn marks_of_an_owner_count_without_a_shim_or_a_record() {
    let mut census = Census::default();
    for (pid, parent) in [(1, 0), (14, 1), (15, 14)] {
        process(&mut census, pid, parent, 'S');
    }
    mark(&mut census, 14, "a", "s1");
    assert_eq!(members(&census, "a"), (vec![], vec![14, 15]));
    let tree = &census.trees()[&("p".to_owned(), "a".to_owned())];
    assert_eq!(tree.lost_shim, Some(LostShim { pid: None }));
}

#[test]
fn a_service_started_from_within_another_has_its_own_tree() {
    let mut census = Census::default();
    for (pid, parent) in [(10, 1), (11, 10), (30, 10), (31, 30)] {
        process(&mut census, pid, parent, 'S');
    }
    shim(&mut census, 10, "a", "s1");
    shim(&mut census, 30, "b", "s2");
    assert_eq!(members(&census, "a"), (vec![10], vec![11]));
    assert_eq!(members(&census, "b"), (vec![30], vec![31]));
}

#[test]
fn a_child_that_its_shim_has_not_executed_yet_is_not_a_second_shim() {
    let mut census = Census::default();
    process(&mut census, 10, 1, 'S');
    process(&mut census, 11, 10, 'R');
    shim(&mut census, 10, "a", "s1");
    shim(&mut census, 11, "a", "s1");
    assert_eq!(members(&census, "a"), (vec![10], vec![11]));
}

#[test]
fn two_shims_of_one_service_are_both_found() {
    let mut census = Census::default();
    for (pid, parent) in [(10, 1), (11, 10), (20, 1), (21, 20)] {
        process(&mut census, pid, parent, 'S');
    }
    shim(&mut census, 10, "a", "s1");
    shim(&mut census, 20, "a", "s2");
    assert_eq!(members(&census, "a"), (vec![20, 10], vec![11, 21]));
}

#[test]
fn a_tree_whose_shim_died_is_its_recorded_members_their_sessions_and_descendants() {
    let mut census = Census::default();
    // 11 led its session and is gone; 12 is recorded in it, 13 is in it unrecorded, 14 has left it, 15 descends from
    // 12, and 100 was never recorded, but has the output of the service.
    for (pid, parent, session) in
        [(1, 0, 1), (12, 1, 11), (13, 1, 11), (14, 1, 14), (15, 12, 15), (20, 1, 20), (100, 1, 100)]
    {
        in_session(&mut census, pid, parent, session, 'S');
    }
    record(&mut census, "a", 10, vec![member(12, Some(11)), member(11, Some(11))]);
    assert_eq!(members(&census, "a"), (vec![], vec![12, 13, 15, 100]));
    let tree = &census.trees()[&("p".to_owned(), "a".to_owned())];
    assert_eq!(tree.lost_shim, Some(LostShim { pid: Some(10) }));
}

#[test]
fn a_record_counts_for_no_later_process_with_its_pid_and_for_no_session_that_was_left() {
    let mut census = Census::default();
    for (pid, session) in [(1, 1), (12, 40), (13, 11), (40, 40)] {
        in_session(&mut census, pid, 0, session, 'S');
    }
    let mut later = member(13, Some(11));
    later.start_ticks -= 1;
    // 12 has left session 11 for one that 40 leads as well.
    record(&mut census, "a", 10, vec![member(12, Some(11)), later]);
    assert_eq!(members(&census, "a"), (vec![], vec![12]));
}

#[test]
fn the_session_of_a_shims_caller_is_not_recorded() {
    let stat = |pid, session| Stat { pid, parent: 1, session, state: 'S', start_ticks: 1, program: String::new() };
    let (leading, led) = (stat(10, 10), stat(10, 5));
    assert_eq!(Member::of(&stat(11, 10), &leading).session, Some(10));
    assert_eq!(Member::of(&stat(11, 5), &led).session, None);
    assert_eq!(Member::of(&stat(11, 11), &led).session, Some(11));
}

#[test]
fn an_unverified_tree_is_one_claim() {
    let mut census = Census::default();
    for (pid, parent) in [(1, 0), (10, 1), (11, 10), (50, 1), (51, 50), (60, 1)] {
        process(&mut census, pid, parent, 'S');
    }
    shim(&mut census, 10, "a", "s1");
    let key = |service: &str| ("p".to_owned(), service.to_owned());
    for pid in [11, 50, 51, 60] {
        census.rejected.insert(pid, (key("ghost"), VerificationError::MarksAlone));
    }
    census.rejected.insert(60, (("q".to_owned(), "ghost".to_owned()), VerificationError::MarksAlone));
    let unverified: Vec<i32> = census.unverified("p").map(|(pid, _, _)| pid).collect();
    assert_eq!(unverified, [50], "11 descends from a shim, 51 from 50, and 60 is another project's");
    assert!(census.trees().keys().all(|key| key.1 == "a"));
}

#[test]
fn trees_of_other_users_are_kept_apart() {
    let mut census = Census::default();
    process(&mut census, 10, 1, 'S');
    process(&mut census, 11, 10, 'S');
    shim(&mut census, 10, "a", "s1");
    census.owners = BTreeSet::from([0]);
    assert!(census.trees().is_empty());
    assert_eq!(census.trees_of_others().len(), 1);
    assert_eq!(
        census.unverified("p").map(|(pid, _, error)| (pid, error)).collect::<Vec<_>>(),
        [(10, VerificationError::OtherUser(OWNER))]
    );
}

#[test]
fn a_tree_is_suspended_when_all_of_it_is() {
    let mut census = Census::default();
    process(&mut census, 10, 1, 'T');
    process(&mut census, 11, 1, 'S');
    mark(&mut census, 10, "a", "s1");
    mark(&mut census, 11, "a", "s1");
    let suspended = |census: &Census| census.trees().values().next().map(|tree| tree.suspended);
    assert_eq!(suspended(&census), Some(false));
    process(&mut census, 11, 1, 'T');
    assert_eq!(suspended(&census), Some(true));
}
