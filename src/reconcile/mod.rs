//! One reconcile cycle without a terminal: a project is opened, a plan proposed, approved, applied and recorded. Data
//! flows one way: `Snapshot` to `Proposal` to [`Approval`] to [`RunReport`].
//!
//! In: a manifest's path, a request, and the store's records.
//! Out: a [`RunReport`], and the run's record in the store.
//! Not here: arguments, prompts, texts for people, exit codes. They are the caller's, and [`Caller`] is the only
//! interface to it.

mod approval;
mod caller;
pub(crate) mod comparison;
mod error;
pub(crate) mod files;
pub(crate) mod lock;
pub(crate) mod one_shot;
pub(crate) mod owner;
mod planner;
pub(crate) mod project;
mod proposal;
mod report;
mod run;
mod run_notices;
pub(crate) mod trusted;
pub(crate) mod wanted;
pub(crate) mod wire;

pub use approval::{Approval, ApprovedBy};
pub use caller::Caller;
pub use error::{OpenError, ReconcileError};
pub(crate) use project::Project;
pub(crate) use proposal::{Cycle, propose};
pub use report::{RunReport, RunStatus};
pub(crate) use run::{ActiveRun, CutOff, RunCommand, RunListener, begin, carry_out, propose_for_run};
