//! Mode overrides that a command is to set.

use crate::cli::args::operator::OperatorArgs;
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::model::desired::Desired;
use crate::model::holds::ModeOverride;
use crate::model::names::ModeName;
use crate::reconcile::Project;

/// An entry file that chooses its mode follows no mode override: one that is set with it would have no effect.
pub(crate) fn refuse_choice(desired: &Desired, mode: &ModeName) -> Result<(), EarlyExit> {
    let (Some(own), true) = (&desired.own_mode, desired.entry_is_choice) else { return Ok(()) };
    let message = format!(
        "{} only includes others and names its mode, so it always means mode {own}: a switch would not change it; switch \
         with the manifest that it includes (`lcm switch {mode} -m {}`)",
        desired.entry.display(),
        desired.named_in.display()
    );
    Err(EarlyExit::refused(Code::Usage, message))
}

/// The word as it is to be kept.
pub(crate) fn switched(session: &Session, opened: &Project, voice: &OperatorArgs, mode: ModeName) -> ModeOverride {
    ModeOverride {
        mode,
        entry: opened.entry(),
        own_mode: opened.desired.own_mode.clone(),
        by: voice.by(session),
        since: opened.driver().now(),
        reason: voice.reason(opened),
    }
}
