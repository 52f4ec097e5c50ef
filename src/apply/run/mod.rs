//! State that the steps of one run share: its context, its clock, its ledger, its notifications, and the outcomes of
//! steps.
//!
//! In: the context of the caller. Out: events, and the result of the run. Not here: effects on the machine, which
//! `step` makes through the driver.

mod clock;
mod commitment;
mod context;
mod handle;
mod ledger;
mod notices;
mod outcome;
mod poll;
mod reservation;
mod subject;

pub use self::context::{Failure, Interrupt, OnFailure, Options, RunContext, RunResult};

pub(super) use self::clock::{Cancelled, duration_text, millis};
pub(super) use self::commitment::Commitment;
pub(super) use self::handle::Run;
pub(super) use self::ledger::Moved;
pub(super) use self::notices::{Notice, Owed};
pub(super) use self::outcome::{StepError, StepOutcome, WaitError};
pub(super) use self::poll::poll_interval;
pub(super) use self::reservation::{ReservationState, StartReservation};
pub(super) use self::subject::{can_be_inspected, is_of_previous, is_of_service, needed_stops};
