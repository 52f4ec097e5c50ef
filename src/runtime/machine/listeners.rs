//! Listeners of this host attributed to services and containers. Pure.

use crate::model::endpoint::Endpoint;
use crate::model::facts::{ListenerFact, Owner, ProcessFact, TreeFact};
use crate::model::names::{ProjectName, ServiceName};

/// Tells apart what descent and control groups alone can't: adopted trees, and ports that an engine forwards.
pub(super) fn attribute(listeners: &mut [ListenerFact], trees: &[TreeFact], published: &[(Endpoint, String)]) {
    for listener in listeners.iter_mut().filter(|listener| listener.owner == Owner::Stranger) {
        let holds = |members: &[ProcessFact]| members.iter().any(|member| Some(member.pid) == listener.pid);
        if let Some(tree) = trees.iter().find(|tree| holds(&tree.members)) {
            listener.owner = service(&tree.marks.project, &tree.marks.service);
        } else if let Some((_, id)) = published.iter().find(|(port, _)| port.clashes(&listener.endpoint())) {
            listener.owner = Owner::Container(id.clone());
        }
    }
}

fn service(project: &str, service: &str) -> Owner {
    Owner::Service { project: ProjectName::new(project), service: ServiceName::new(service) }
}

#[cfg(test)]
mod tests {
    use super::attribute;
    use crate::host::ports::describe;
    use crate::model::facts::{ListenerFact, Marks, Owner, ProcessFact, TreeFact};

    fn stranger(port: u16, pid: i32) -> ListenerFact {
        ListenerFact { port, address: None, pid: Some(pid), program: Some("python3".into()), owner: Owner::Stranger }
    }

    #[test]
    fn adopted_trees_and_forwarded_ports_are_no_strangers() {
        let tree = TreeFact {
            marks: Marks { project: "p".into(), service: "s".into(), salt: "7:9".into(), ..Marks::default() },
            adopted: true,
            shim: None,
            members: vec![ProcessFact { pid: 7, start_ticks: 9, program: "python3".into() }],
            started_at: None,
            exit: None,
            suspended: false,
            uid: None,
            lost_shim: None,
            held: None,
            former_project: None,
        };
        let mut listeners = [stranger(1, 7), stranger(2, 8), stranger(3, 9)];
        attribute(&mut listeners, &[tree], &[(2.into(), "0123456789abcdef".to_owned())]);
        let described: Vec<String> = listeners.iter().map(describe).collect();
        assert_eq!(described, ["`s` of project p, python3 (pid 7)", "container 0123456789ab", "python3 (pid 9)"]);
    }
}
