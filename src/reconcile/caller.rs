//! The program that runs a cycle, as far as a cycle needs it: its environment, and a place for notes.

use std::path::Path;

use crate::model::desired::Desired;
use crate::model::facts::Facts;
use crate::model::names::ProjectName;
use crate::reconcile::error::ReconcileError;
use crate::shared::owner::ProjectOwner;
use crate::syntax::Environment;

/// Environment of a cycle, and receiver of its notes. Each note is one line.
pub trait Caller: Sync {
    /// Returns the environment that manifest, store and lock are found by.
    fn environment(&self) -> &Environment;

    /// Reports a line that must be known.
    fn say(&self, line: &str);

    /// Reports a line that is good to know.
    fn note(&self, line: &str);

    /// Reports a risk.
    fn warn(&self, message: &str);

    /// Continues as the owner of a project, before anything of the owner's is read. Returns only where that is refused.
    fn continue_as(&self, project: &ProjectName, owner: &ProjectOwner) -> ReconcileError;

    /// Hides the secrets of a manifest in the caller's log.
    fn hide_secrets_of(&self, desired: &Desired);

    /// Writes facts into a world file.
    fn write_world(&self, path: &Path, facts: &Facts) -> std::io::Result<()>;
}
