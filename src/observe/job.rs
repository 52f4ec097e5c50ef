//! State of a job: running, done, failed or due, by its instance, and by the store where that is gone.
//!
//! The later of both ends counts. Exit code 0 proves that a job is done only if lcm did not stop it: many programs
//! exit with 0 on their stop signal.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::model::desired::Service;
use crate::model::facts::{ExitFact, HistoryFact};
use crate::model::job::{Job, JobEnd, JobState, JobStatus};
use crate::model::lifecycle::State;
use crate::model::observed::ObservedService;

/// Sets the state of a job, and adjusts the state of its service to it.
pub(super) fn judge(seen: &mut ObservedService, service: &Service, past: Option<&HistoryFact>, now: Timestamp) {
    let Some(job) = service.job.filter(|_| seen.unknown.is_none()) else { return };
    if seen.holds_capacity {
        running(seen, job, now);
        return;
    }
    let status = ended(seen, service, past);
    match status.state {
        JobState::Done => {
            seen.state = State::Offline;
            // It ended as it should.
            seen.ended_by_itself = false;
            seen.since = status.ended_at.or(seen.since);
            "it exited with 0".clone_into(&mut seen.detail);
        }
        JobState::Failed if seen.state != State::Failed => {
            seen.state = State::Failed;
            seen.detail = format!("it ran longer than its `timeout`, and was stopped: {}", seen.detail);
        }
        JobState::Due => seen.ended_by_itself = false,
        JobState::Failed | JobState::Running => {}
    }
    seen.job = Some(Box::new(status));
}

/// Judges a job that runs. One that runs longer than its limit is in error, like a service that does not answer.
fn running(seen: &mut ObservedService, job: Job, now: Timestamp) {
    let over = job.timeout.zip(seen.since).filter(|(timeout, since)| is_over(*since, *timeout, now));
    if let Some((timeout, _)) = over.filter(|_| seen.state.is_operational()) {
        let timeout = SignedDuration::try_from(timeout).unwrap_or(SignedDuration::MAX);
        seen.state = State::Timeout;
        seen.detail = format!("it has run longer than its `timeout` of {timeout:#}");
    }
    seen.job = Some(Box::new(JobStatus { state: JobState::Running, exit_code: None, ended_at: None }));
}

fn is_over(since: Timestamp, timeout: Duration, now: Timestamp) -> bool {
    now.duration_since(since) >= SignedDuration::try_from(timeout).unwrap_or(SignedDuration::MAX)
}

/// Judges a job that does not run.
fn ended(seen: &ObservedService, service: &Service, past: Option<&HistoryFact>) -> JobStatus {
    let record = past.and_then(|past| past.job.as_ref());
    let of_instance = seen.exit.as_deref().zip(seen.marks.as_deref()).filter(|(exit, _)| is_later(exit, record));
    if let Some((exit, marks)) = of_instance {
        let state = match (service.spec.has_hash(&marks.spec), seen.state) {
            (false, _) => JobState::Due,
            (true, State::Failed) => JobState::Failed,
            (true, _) => by_history(exit, past.and_then(|past| past.state.filter(|_| past.made))),
        };
        let of_spec = state != JobState::Due;
        return JobStatus { state, exit_code: exit.code.filter(|_| of_spec), ended_at: exit.at.filter(|_| of_spec) };
    }
    match record.filter(|record| service.spec.has_hash(&record.spec)) {
        Some(JobEnd { exit_code, ended_at, .. }) => {
            let state = if *exit_code == Some(0) { JobState::Done } else { JobState::Failed };
            JobStatus { state, exit_code: *exit_code, ended_at: Some(*ended_at) }
        }
        None => JobStatus { state: JobState::Due, exit_code: None, ended_at: None },
    }
}

/// Judges an end that is no failure in itself, by the last change that lcm made: an error is a stop by the limit of the
/// job, and a state that does not run is a stop on request.
fn by_history(exit: &ExitFact, made: Option<State>) -> JobState {
    match made {
        Some(State::Error | State::Timeout | State::Failed) => JobState::Failed,
        Some(State::Stopping | State::Offline | State::Terminated) => JobState::Due,
        Some(_) | None if exit.code == Some(0) && exit.signal.is_none() => JobState::Done,
        Some(_) | None => JobState::Due,
    }
}

/// Returns true if an end is as new as the recorded one. An end without a time counts, unless ends were forgotten.
fn is_later(exit: &ExitFact, record: Option<&JobEnd>) -> bool {
    match (exit.at, record) {
        (_, None) => true,
        (Some(at), Some(record)) => at.as_microsecond() >= record.ended_at.as_microsecond(),
        (None, Some(record)) => !record.is_forgotten(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use jiff::Timestamp;

    use super::judge;
    use crate::model::desired::Service;
    use crate::model::facts::{ExitFact, HistoryFact, Marks};
    use crate::model::job::{Job, JobEnd, JobState};
    use crate::model::job_record::unrecorded;
    use crate::model::lifecycle::State;
    use crate::model::observed::{ObservedService, Ownership};
    use crate::runtime::process::intent::{CommandSpec, LogPolicy, ProcessLimits, ProcessSpec};

    fn service() -> Service {
        let process = ProcessSpec {
            command: CommandSpec::Exec(vec!["true".to_owned()]),
            cwd: "/".into(),
            environment: BTreeMap::new(),
            inherit: BTreeSet::new(),
            log: LogPolicy { max_size_bytes: 1 << 20, files: 1 },
            pid_file: None,
            writes_pid: None,
            limits: ProcessLimits::default(),
        };
        let timeout = Some(Duration::from_mins(1));
        Service { job: Some(Job { timeout }), ..Service::plain("job".into(), process) }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn ended(state: State, code: i32, second: i64) -> ObservedService {
        let marks = Marks { spec: service().spec.hash().to_owned(), ..Marks::default() };
        ObservedService {
            exit: Some(Box::new(ExitFact { code: Some(code), signal: None, at: Some(at(second)) })),
            marks: Some(Box::new(marks)),
            ..ObservedService::plain(state, "it exited", Ownership::Ours)
        }
    }

    fn made(state: State) -> HistoryFact {
        HistoryFact { state: Some(state), made: true, ..HistoryFact::default() }
    }

    fn recorded(spec: &str, exit_code: i32, second: i64) -> HistoryFact {
        let job = Some(JobEnd { spec: spec.to_owned(), exit_code: Some(exit_code), ended_at: at(second) });
        HistoryFact { job, ..made(State::Online) }
    }

    fn state_of(mut seen: ObservedService, past: &HistoryFact) -> (JobState, State) {
        judge(&mut seen, &service(), Some(past), at(1_000));
        (seen.job.expect("a job").state, seen.state)
    }

    #[test]
    fn exit_code_0_is_done_unless_lcm_stopped_it_or_the_spec_has_changed() {
        let done = || ended(State::Offline, 0, 50);
        assert_eq!(state_of(done(), &made(State::Online)), (JobState::Done, State::Offline));
        assert_eq!(state_of(done(), &HistoryFact::default()), (JobState::Done, State::Offline), "the store is gone");
        for stopped in [State::Stopping, State::Offline, State::Terminated] {
            assert_eq!(state_of(done(), &made(stopped)).0, JobState::Due, "{stopped}");
        }
        assert_eq!(state_of(done(), &made(State::Failed)), (JobState::Failed, State::Failed), "its timeout");
        let mut other = done();
        other.marks = Some(Box::new(Marks { spec: "v1:other".to_owned(), ..Marks::default() }));
        assert_eq!(state_of(other, &made(State::Online)).0, JobState::Due);
        assert_eq!(state_of(ended(State::Failed, 3, 50), &made(State::Online)).0, JobState::Failed);
        assert_eq!(state_of(ended(State::Offline, 143, 50), &made(State::Online)).0, JobState::Due, "by a signal");
    }

    #[test]
    fn the_store_proves_an_end_whose_instance_is_gone_and_the_later_end_counts() {
        let hash = service().spec.hash().to_owned();
        let gone = || ObservedService::plain(State::Registered, "it was never started", Ownership::Absent);
        assert_eq!(state_of(gone(), &recorded(&hash, 0, 50)), (JobState::Done, State::Offline));
        assert_eq!(state_of(gone(), &recorded("v1:other", 0, 50)).0, JobState::Due);
        assert_eq!(state_of(gone(), &made(State::Online)).0, JobState::Due);
        assert_eq!(state_of(ended(State::Failed, 1, 60), &recorded(&hash, 0, 50)).0, JobState::Failed);
        assert_eq!(state_of(ended(State::Failed, 1, 40), &recorded(&hash, 0, 50)).0, JobState::Done);
        let forgotten = HistoryFact { job: Some(JobEnd::forgotten(at(70))), ..made(State::Online) };
        assert_eq!(state_of(ended(State::Offline, 0, 50), &forgotten).0, JobState::Due, "after `lcm down`");
        assert_eq!(state_of(ended(State::Offline, 0, 80), &forgotten).0, JobState::Done);
    }

    #[test]
    fn a_job_that_runs_past_its_limit_is_in_timeout() {
        let runs = |since| ObservedService {
            holds_capacity: true,
            since: Some(at(since)),
            ..ObservedService::plain(State::Online, "it is running", Ownership::Ours)
        };
        assert_eq!(state_of(runs(950), &made(State::Online)), (JobState::Running, State::Online));
        assert_eq!(state_of(runs(930), &made(State::Online)), (JobState::Running, State::Timeout));
    }

    #[test]
    fn an_end_is_recorded_once() {
        let mut seen = ended(State::Offline, 0, 50);
        judge(&mut seen, &service(), None, at(1_000));
        let end = unrecorded(&service(), &seen, None, at(1_000)).expect("it is new");
        assert_eq!((end.exit_code, end.ended_at), (Some(0), at(50)));
        assert_eq!(unrecorded(&service(), &seen, Some(&end), at(1_001)), None);
    }
}
