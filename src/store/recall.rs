//! One reading of what a store keeps of a project: history, holds, the mode override, pending calls.

use crate::model::facts::Facts;
use crate::model::names::ProjectName;
use crate::model::words::Words;
use crate::store::{Store, StoreError};

/// Adds to facts what a store keeps under the names of a project. The last name counts most.
pub fn recall<'a>(
    store: &dyn Store,
    names: impl IntoIterator<Item = &'a ProjectName>,
    facts: &mut Facts,
) -> Result<(), StoreError> {
    for project in names {
        let Words { services, mode } = store.words(project)?;
        // A world file brings its own past.
        facts.remember(store.last_known(project)?);
        facts.pending.extend(store.pending(project)?);
        facts.heed(services);
        facts.switches = mode.into_iter().chain(std::mem::take(&mut facts.switches)).take(1).collect();
    }
    Ok(())
}
