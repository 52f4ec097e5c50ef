//! Refusals of a cycle, as early exits of commands.

use crate::cli::args::names;
use crate::cli::exit::Exit;
use crate::cli::stop::{Code, EarlyExit};
use crate::plan::judge_commands::{HeldRelation, HeldService};
use crate::reconcile::ReconcileError;

impl From<ReconcileError> for EarlyExit {
    fn from(error: ReconcileError) -> Self {
        match error {
            ReconcileError::AllUnknown(message) => Self::refused(Code::AllUnknown, message),
            ReconcileError::Audit(message) => Self::refused(Code::Audit, message),
            ReconcileError::File(message) => Self::refused(Code::File, message),
            ReconcileError::Held(held) => self::held(&held),
            ReconcileError::Lock(message) => Self::refused(Code::Lock, message),
            ReconcileError::LockLost(message) => Self::new(Exit::Locked, Code::Locked, message),
            ReconcileError::Locked(held) => {
                Self::new(Exit::Locked, Code::Locked, format!("{held}; `--lock-timeout` waits for it"))
            }
            ReconcileError::OtherHost(message) => Self::refused(Code::OtherHost, message),
            ReconcileError::Owned(message) => Self::refused(Code::Owned, message),
            ReconcileError::Stale(differences) => {
                let advice = "plan again, and review the new plan".to_owned();
                let stop = Self::new(
                    Exit::Stale,
                    Code::Stale,
                    "the saved plan is stale, and nothing was applied; differences from a plan made now:",
                );
                stop.with(differences, Some(advice))
            }
            ReconcileError::Store(message) => Self::refused(Code::Store, message),
            ReconcileError::UnknownGoal { goal, known } => names::unknown_name("goal", &goal, &known),
            ReconcileError::World(message) => Self::refused(Code::World, message),
        }
    }
}

/// Returns the refusal of a command that a hold forbids.
pub(super) fn held(held: &HeldService) -> EarlyExit {
    let HeldService { service, hold, relation } = held;
    let cause = match relation {
        HeldRelation::Named => service.to_string(),
        HeldRelation::Needed => format!("{service} is needed, but"),
        HeldRelation::DependsOn(base) => format!("{base} can't be stopped: {service} depends on it, and"),
    };
    let (command, whom) = (hold.kind.as_str(), hold.attribution());
    EarlyExit::refused(
        Code::Held,
        format!("{cause} is held by `lcm {command}` ({whom}); `lcm resume {service}` releases the hold"),
    )
}
