//! Recovery budget of a service that does not stay up: how often, and from when on, it is started again. Plain
//! arithmetic over past attempts.
//!
//! Not here: counting attempts, which is `apply`'s, and acting on a spent budget, which is the planner's.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::model::desired::{Recover, Service};
use crate::model::facts::Attempts;
use crate::model::lifecycle::State;
use crate::model::observed::ObservedService;

/// Time that a service must stay up, beyond its longest start, before earlier attempts stop counting: longer than
/// programs take to fail on what they load, shorter than an operator waits to trust one again.
pub const WELL_FOR: Duration = Duration::from_mins(10);

/// Shortest wait before another attempt once the budget is spent: cron runs each minute, and each attempt costs a
/// start.
pub const RETRY_AFTER_MIN: Duration = Duration::from_mins(5);

/// State of a service's recovery budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// The service may be started.
    Open,
    /// The service may be started again from `due` on.
    Waits { count: u32, due: Timestamp },
    /// Spent; the next attempt is at `due`. `None`: no further attempt by itself.
    Spent { count: u32, due: Option<Timestamp> },
    /// Spent, and the next attempt is due, if no other service has to stop for it.
    Retry { count: u32 },
}

impl Budget {
    /// Returns the budget of a service in its current state.
    #[must_use]
    pub fn of(service: &Service, seen: &ObservedService, now: Timestamp) -> Self {
        // Nearly all services have no attempts, and comparing a spec costs a hash.
        if seen.attempts.is_none() && service.recover.attempts > 0 {
            return Self::Open;
        }
        if is_up(service, seen) { Self::Open } else { Self::of_start(service, seen, now) }
    }

    /// Returns the budget that would apply to a start now, whether or not the service runs.
    #[must_use]
    pub fn of_start(service: &Service, seen: &ObservedService, now: Timestamp) -> Self {
        let recover = &service.recover;
        match counted(service, seen, now) {
            None if recover.attempts == 0 && needs_recovery(seen) => Self::Spent { count: 0, due: None },
            None => Self::Open,
            // Permission for one start, given by an operator after the service ended.
            Some(Attempts { count: 0, last_at, .. }) => match recover.attempts {
                0 if needs_recovery(seen) && ended_at(seen).is_none_or(|ended| ended > *last_at) => {
                    Self::Spent { count: 0, due: None }
                }
                _ => Self::Open,
            },
            Some(Attempts { count, last_at, .. }) => tried(recover, *count, *last_at, now),
        }
    }

    /// Returns the budget as part of a sentence; `None` where there is nothing to report.
    #[must_use]
    pub fn sentence(self, service: &Service, now: Timestamp) -> Option<String> {
        let (name, attempts) = (&service.name, service.recover.attempts);
        match self {
            Self::Open => None,
            Self::Waits { count, due } => {
                Some(format!("{count} of {attempts} attempts are spent; the next is due at {}", when(due, now)))
            }
            Self::Spent { due: None, .. } => Some(format!(
                "lcm does not start it again (`recover.attempts` is 0) until its spec changes or `lcm resume {name}`"
            )),
            Self::Spent { count, due: Some(due) } => Some(format!(
                "{}; the next attempt is due at {}, or as soon as its spec changes or after `lcm resume {name}`",
                spent(count, attempts),
                when(due, now)
            )),
            Self::Retry { count } => Some(format!(
                "{}; `lcm apply` tries it again if no other service has to stop for it",
                spent(count, attempts)
            )),
        }
    }

    /// Returns true if the budget keeps the service from being started.
    #[must_use]
    pub fn holds(self) -> bool {
        match self {
            Self::Open | Self::Retry { .. } => false,
            Self::Waits { .. } | Self::Spent { .. } => true,
        }
    }
}

/// Returns true if earlier attempts do not count any more: they were of another spec, or the service has been well for
/// [`WELL_FOR`] since.
#[must_use]
pub fn is_void(service: &Service, attempts: &Attempts, seen: &ObservedService, now: Timestamp) -> bool {
    if attempts.spec != service.spec.hash() {
        return true;
    }
    if service.job.is_some() {
        // A job that fails after a long run has failed all the same.
        return seen.is_done_job();
    }
    let lived = if seen.unknown.is_some() {
        None
    } else if seen.state.is_operational() {
        let since = seen.since.filter(|_| is_as_described(service, seen));
        since.map(|since| now.duration_since(since.max(attempts.last_at)))
    } else {
        // A service that runs badly may never have been well, however long it runs.
        let ended = ended_at(seen).filter(|_| seen.ended_by_itself && !seen.holds_capacity);
        ended.map(|ended| ended.duration_since(attempts.last_at))
    };
    let long = signed(service.health.start_time_max().saturating_add(WELL_FOR));
    lived.is_some_and(|lived| lived >= long)
}

/// Returns the attempts that count once an operator resumes a service; `None`: the whole budget is available again. A
/// service that is never restarted by itself is permitted one start.
#[must_use]
pub fn resumed(service: &Service, now: Timestamp) -> Option<Attempts> {
    let is_never = service.recover.attempts == 0;
    is_never.then(|| Attempts { count: 0, last_at: now, spec: service.spec.hash().to_owned() })
}

/// Returns the attempts that count: those of the current spec that are not void.
#[must_use]
pub fn counted<'a>(service: &Service, seen: &'a ObservedService, now: Timestamp) -> Option<&'a Attempts> {
    seen.attempts.as_deref().filter(|attempts| !is_void(service, attempts, seen, now))
}

fn tried(recover: &Recover, count: u32, last_at: Timestamp, now: Timestamp) -> Budget {
    let is_spent = count >= recover.attempts;
    if is_spent && recover.attempts == 0 {
        return Budget::Spent { count, due: None };
    }
    let wait = if is_spent { retry_after(recover, count) } else { backoff(recover, count.saturating_sub(1)) };
    // A time that overflows is never reached.
    let due = last_at.checked_add(signed(wait)).unwrap_or(Timestamp::MAX);
    // A clock that was set back must not block a start for years.
    let is_due = due <= now || last_at > now;
    match (is_spent, is_due) {
        (true, true) => Budget::Retry { count },
        (true, false) => Budget::Spent { count, due: Some(due) },
        (false, true) => Budget::Open,
        (false, false) => Budget::Waits { count, due },
    }
}

/// Backoff after this many doublings.
fn backoff(recover: &Recover, doublings: u32) -> Duration {
    let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
    recover.backoff.saturating_mul(factor).min(recover.max_backoff)
}

/// Wait after a spent budget: the backoff goes on growing, from [`RETRY_AFTER_MIN`] at least.
fn retry_after(recover: &Recover, count: u32) -> Duration {
    let further = count.saturating_sub(recover.attempts);
    let first = backoff(recover, recover.attempts).max(RETRY_AFTER_MIN);
    first.saturating_mul(2_u32.checked_pow(further).unwrap_or(u32::MAX)).min(recover.max_backoff)
}

/// Returns true if the service answers or is starting. An earlier revision that runs on does not count: it is not what
/// the manifest describes now.
fn is_up(service: &Service, seen: &ObservedService) -> bool {
    (seen.state.is_operational() || seen.state == State::Starting) && is_as_described(service, seen)
}

fn is_as_described(service: &Service, seen: &ObservedService) -> bool {
    let Some(marks) = &seen.marks else { return true };
    // With a secret missing there is nothing to compare.
    let same_secrets = || service.spec.has_secrets(&marks.secrets, &marks.salt);
    let secrets = !service.missing_secrets.is_empty() || same_secrets();
    service.spec.has_hash(&marks.spec) && !seen.image_moved && secrets
}

/// Returns true if the service is down or unhealthy, and not on request.
fn needs_recovery(seen: &ObservedService) -> bool {
    seen.ended_by_itself || matches!(seen.state, State::Error | State::Timeout)
}

fn ended_at(seen: &ObservedService) -> Option<Timestamp> {
    seen.exit.as_ref().and_then(|exit| exit.at)
}

fn spent(count: u32, attempts: u32) -> String {
    let all = if attempts == 1 {
        "its one attempt is spent".to_owned()
    } else {
        format!("all {attempts} attempts are spent")
    };
    if count > attempts { format!("{all}, and {} more", count - attempts) } else { all }
}

/// `2026-01-02T03:09:05Z (in 5m)`.
fn when(due: Timestamp, now: Timestamp) -> String {
    // Rounded up: the time shown is never before the attempt is due.
    let whole = due.as_second() + i64::from(due.subsec_nanosecond() > 0);
    let due = Timestamp::from_second(whole).unwrap_or(due);
    let left = SignedDuration::from_secs(due.duration_since(now).as_secs().max(1));
    format!("{due:.0} (in {left:#})")
}

fn signed(time: Duration) -> SignedDuration {
    SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)
}
