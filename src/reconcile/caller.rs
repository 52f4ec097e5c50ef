//! The program that runs a cycle, as far as a cycle needs it: its environment, and a receiver of its notes.

use std::path::Path;

use crate::model::desired::Desired;
use crate::model::facts::Facts;
use crate::model::names::ProjectName;
use crate::reconcile::error::ReconcileError;
use crate::shared::owner::ProjectOwner;
use crate::syntax::Environment;

/// Environment of a cycle, and receiver of its notes. Each note is one line.
pub trait Caller: Sync {
    /// Returns the environment by which manifest, store and lock are found.
    fn environment(&self) -> &Environment;

    /// Reports a line that the user must know.
    fn report(&self, line: &str);

    /// Reports a line that is useful to know.
    fn note(&self, line: &str);

    /// Reports a risk.
    fn warn(&self, message: &str);

    /// Continues as the owner of a project, before any file of the owner is read. Returns only if that is refused.
    fn continue_as(&self, project: &ProjectName, owner: &ProjectOwner) -> ReconcileError;

    /// Hides the secrets of a manifest in the caller's log.
    fn hide_secrets_of(&self, desired: &Desired);

    /// Writes facts into a snapshot file.
    fn write_world(&self, path: &Path, facts: &Facts) -> std::io::Result<()>;
}
