//! Adjustments for the place of lcm (in a container or not) and of a runtime's endpoint (local or remote).

use std::borrow::Cow;

use crate::model::facts::Facts;

/// Returns the facts without those of another machine: instances at a remote endpoint hold no GPU of this host.
pub(super) fn of_this_machine(facts: &Facts) -> Cow<'_, Facts> {
    if facts.instances.all().all(|read| read.elsewhere().is_none()) {
        return Cow::Borrowed(facts);
    }
    let mut facts = facts.clone();
    facts.instances.all_mut().for_each(|read| read.keep_local());
    Cow::Owned(facts)
}

/// Warning about a store that is lost with the container.
pub(super) fn own_store(facts: &Facts) -> Option<String> {
    let option = facts.enclosure.as_ref()?.own_store.as_ref()?;
    Some(format!(
        "lcm's store is inside the container that lcm runs in: holds, attempts and history of the host are unknown here, \
         and this run's are lost with the container; `docker run {option}` mounts the host's"
    ))
}
