//! End of a job that the store should have: what its instance shows, and no record has yet.

use jiff::Timestamp;

use crate::model::desired::Service;
use crate::model::job::{JobEnd, JobState};
use crate::model::observed::ObservedService;

/// Returns the end that the instance of a job shows and that differs from the recorded one; `None`: there is none.
#[must_use]
pub fn unrecorded(
    service: &Service,
    seen: &ObservedService,
    record: Option<&JobEnd>,
    now: Timestamp,
) -> Option<JobEnd> {
    let status = seen.job.as_deref().filter(|status| matches!(status.state, JobState::Done | JobState::Failed))?;
    let ended_at = status.ended_at.or(record.map(|record| record.ended_at)).unwrap_or(now);
    let end = JobEnd { spec: service.spec.hash().to_owned(), exit_code: status.exit_code, ended_at };
    let is_known = record.is_some_and(|record| {
        // The store keeps microseconds.
        record.ended_at.as_microsecond() == end.ended_at.as_microsecond()
            && (&record.spec, record.exit_code) == (&end.spec, end.exit_code)
    });
    (!is_known).then_some(end)
}
