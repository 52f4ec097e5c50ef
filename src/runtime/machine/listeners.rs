//! Listeners of this host attributed to services and containers. Pure.

use crate::model::facts::{Attribution, ListenerFact, ProcessOwner};

/// Attributes listeners that parent processes and control groups don't identify: adopted trees, and ports that an
/// engine forwards.
pub(super) fn attribute(listeners: &mut [ListenerFact], owned: &[Attribution]) {
    for listener in listeners.iter_mut().filter(|listener| listener.owner == ProcessOwner::Foreign) {
        let by_process = owned.iter().find(|one| one.pids.iter().any(|pid| Some(*pid) == listener.pid));
        let forwards = |one: &&Attribution| one.ports.iter().any(|port| port.clashes(&listener.endpoint()));
        if let Some(found) = by_process.or_else(|| owned.iter().find(forwards)) {
            listener.owner = found.owner.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::attribute;
    use crate::host::ports::describe;
    use crate::model::facts::{Attribution, ListenerFact, ProcessOwner};

    fn foreign(port: u16, pid: i32) -> ListenerFact {
        ListenerFact {
            port,
            address: None,
            pid: Some(pid),
            program: Some("python3".into()),
            owner: ProcessOwner::Foreign,
        }
    }

    #[test]
    fn adopted_trees_and_forwarded_ports_are_not_foreign() {
        let mut listeners = [foreign(1, 7), foreign(2, 8), foreign(3, 9)];
        let forwarded = Attribution::of_object("0123456789abcdef", vec![2.into()]);
        attribute(&mut listeners, &[Attribution::of_service("p", "s", vec![7]), forwarded]);
        let described: Vec<String> = listeners.iter().map(describe).collect();
        assert_eq!(described, ["`s` of project p, python3 (pid 7)", "container 0123456789ab", "python3 (pid 9)"]);
    }
}
