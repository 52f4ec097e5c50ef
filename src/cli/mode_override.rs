//! Mode overrides that a command sets.

use crate::cli::args::operator::OperatorArgs;
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::model::desired::Desired;
use crate::model::holds::ModeOverride;
use crate::model::mode_set::ModeSet;
use crate::reconcile::Project;

/// Refuses a switch where the entry file chooses its mode: such a file ignores a mode override.
pub(crate) fn refuse_choice(desired: &Desired, mode: &ModeSet) -> Result<(), EarlyExit> {
    let (Some(own), true) = (&desired.own_mode, desired.entry_is_choice) else { return Ok(()) };
    let message = format!(
        "{} only includes other files and sets `mode: {}`, which a switch would not change; switch the included \
         manifest instead: `lcm switch {} -m {}`",
        desired.entry.display(),
        own.yaml(),
        mode.words(),
        desired.named_in.display()
    );
    Err(EarlyExit::refused(Code::Usage, message))
}

/// Returns the mode override to store.
pub(crate) fn switched(session: &Session, opened: &Project, operator: &OperatorArgs, mode: ModeSet) -> ModeOverride {
    ModeOverride {
        mode,
        entry: opened.entry(),
        own_mode: opened.desired.own_mode.clone(),
        by: operator.by(session),
        since: opened.driver().now(),
        reason: operator.reason(opened),
    }
}
