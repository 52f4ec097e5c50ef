//! One reading of what a store keeps of a project: history, attempts, holds, the mode override, pending calls.

use super::error::StoreError;
use super::handle::Store;
use crate::model::facts::Facts;
use crate::model::holds::Holds;
use crate::model::names::ProjectName;

/// Success of a reading, by what depends on it.
#[must_use]
#[derive(Debug)]
pub struct Recalled {
    /// Holds and the mode override. Without them, no step may begin.
    pub holds: Result<(), StoreError>,
    /// History, attempts and pending calls. Without them, a plan lacks estimates and budgets.
    pub journal: Result<(), StoreError>,
}

/// Adds to facts what a store keeps under the names of a project; the last name takes precedence. Records that can't be
/// read are missing in the facts, and the failure is returned by concern.
pub async fn recall<'a>(
    store: &dyn Store,
    names: impl IntoIterator<Item = &'a ProjectName>,
    facts: &mut Facts,
) -> Recalled {
    let mut recalled = Recalled { holds: Ok(()), journal: Ok(()) };
    for project in names {
        match store.holds(project).await {
            Ok(Holds { services, mode }) => {
                facts.merge_holds(services);
                facts.switches = mode.into_iter().chain(std::mem::take(&mut facts.switches)).take(1).collect();
            }
            Err(error) => recalled.holds = recalled.holds.and(Err(error)),
        }
        // A snapshot file has its own history.
        match store.last_known(project).await {
            Ok(known) => facts.remember(known),
            Err(error) => recalled.journal = recalled.journal.and(Err(error)),
        }
        match store.pending(project).await {
            Ok(pending) => facts.pending.extend(pending),
            Err(error) => recalled.journal = recalled.journal.and(Err(error)),
        }
    }
    recalled
}
