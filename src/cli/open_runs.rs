//! Runs without a recorded end: one that is still running, or runs that were killed.

use crate::cli::wire;
use crate::model::names::ProjectName;
use crate::report::history::OpenRun;
use crate::store::{Journal, RunBegun, StoreError};

/// Returns the open runs of a project, oldest first.
pub(super) async fn open_runs(store: &dyn Journal, project: &ProjectName) -> Result<Vec<OpenRun>, StoreError> {
    let line = |run: RunBegun| OpenRun {
        // A run's id ends in its pid.
        running: run
            .id
            .rsplit('-')
            .next()
            .and_then(|pid| pid.parse().ok())
            .is_some_and(|pid| wire::lives_since(pid, run.began)),
        run: run.id,
        command: run.command,
        manifest: run.manifest,
        by: run.by,
        began_at: run.began,
    };
    Ok(store.runs_begun(project).await?.into_iter().map(line).collect())
}
