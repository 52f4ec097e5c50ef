//! Networks that a manifest defines: made before the first start that needs them, kept as they are, and removed with the
//! project. The simulated engine proves ownership as the real one does.

use lcm::model::facts::{Facts, Marks, Reading};
use lcm::model::network::{NetworkChange, NetworkLine};
use lcm::model::plan::{Plan, Purpose, ReasonCode, Request};
use lcm::runtime::docker::facts::{ContainerFact, ContainerState, DockerReading as _, NetworkFact};
use lcm::sim::{Crash, Deed};

use crate::house::{House, assert_lines, text};

const MANIFEST: &str = r#"
version: 1
name: shop
networks:
  front:
  back: { internal: true }
  proxy: { external: true }
services:
  api: { docker: { image: "api:1", networks: { front: { aliases: [gateway] }, back: } } }
  db: { docker: { image: "db:1", networks: [back] } }
"#;

fn house(manifest: &str) -> House {
    let house = House::new(manifest);
    house.sim.inject(|facts| {
        facts.docker_mut().networks = Reading::Known([("proxy".to_owned(), "n0".to_owned())].into());
    });
    house
}

fn planned(house: &House, request: &Request) -> Plan {
    house.plan_for(&house.desired(None), request)
}

fn down() -> Request {
    Request { purpose: Purpose::Down, ..Request::default() }
}

fn needs(line: &NetworkLine) -> Vec<&str> {
    line.needs.iter().map(lcm::model::names::StepId::as_str).collect()
}

fn lines(plan: &Plan) -> Vec<(&str, NetworkChange, Vec<&str>, &str)> {
    plan.networks.iter().map(|line| (&*line.network, line.change, needs(line), line.message.as_str())).collect()
}

fn details(house: &House) -> Vec<String> {
    house.inspect(&house.desired(None)).docker().network_details.keys().cloned().collect()
}

fn network<'a>(facts: &'a mut Facts, name: &str) -> &'a mut NetworkFact {
    facts.docker_mut().network_details.get_mut(name).expect("a network")
}

#[test]
fn they_are_made_before_the_first_start_and_the_second_apply_does_nothing() {
    let house = house(MANIFEST);
    let first = planned(&house, &Request::default());
    assert_eq!(
        lines(&first),
        [
            ("shop_back", NetworkChange::Create, vec![], "needed by api, db"),
            ("shop_front", NetworkChange::Create, vec![], "needed by api"),
        ]
    );
    house.apply_for(&house.desired(None), &Request::default());
    assert_eq!(details(&house), ["shop_back", "shop_front"]);
    let made: Vec<Deed> = house.sim.log().iter().map(|effect| effect.deed).collect();
    assert_eq!(made.iter().filter(|deed| **deed == Deed::CreateNetwork).count(), 2, "{made:?}");
    let second = planned(&house, &Request::default());
    assert!(!second.changes && second.networks.is_empty() && second.warnings.is_empty(), "{second:#?}");
    let facts = house.inspect(&house.desired(None));
    let back = &facts.docker().network_details["shop_back"];
    assert_eq!(back.users.values().map(String::as_str).collect::<Vec<_>>(), ["shop-api", "shop-db"]);
    assert!(back.settings.internal && !facts.docker().network_details["shop_front"].settings.internal);
}

#[test]
fn a_crash_at_any_effect_converges() {
    for side in [Crash::Before, Crash::After] {
        let mut number = 1;
        loop {
            let house = house(MANIFEST);
            house.sim.crash_at(number, side);
            if !house.apply_until_crash(&house.desired(None), &Request::default()) {
                break;
            }
            house.sim.revive();
            house.apply_for(&house.desired(None), &Request::default());
            assert_eq!(details(&house), ["shop_back", "shop_front"], "crash {side:?} of effect {number}");
            house.apply_for(&house.desired(None), &down());
            assert!(details(&house).is_empty(), "crash {side:?} of effect {number}");
            assert_eq!(house.sim.violations(), Vec::<String>::new());
            number += 1;
        }
        assert!(number > 5, "two networks and two containers are made and started");
    }
}

#[test]
fn down_removes_them_after_their_containers_and_leaves_those_that_are_used() {
    let house = house(MANIFEST);
    house.apply_for(&house.desired(None), &Request::default());
    let plan = planned(&house, &down());
    assert_eq!(
        lines(&plan),
        [
            ("shop_back", NetworkChange::Remove, vec!["remove:api", "remove:db"], "requested by `lcm down`"),
            ("shop_front", NetworkChange::Remove, vec!["remove:api"], "requested by `lcm down`"),
        ]
    );
    // Another client's container joins one of them.
    house.sim.inject(|facts| {
        let containers = facts.docker_mut().containers.known_mut().expect("containers");
        containers.push(ContainerFact::plain("c9", "guest", ContainerState::Running));
        network(facts, "shop_front").users.insert("c9".to_owned(), "guest".to_owned());
    });
    let result = house.apply_for(&house.desired(None), &down());
    assert!(result.changed);
    assert_eq!(details(&house), ["shop_front"]);
    let left = planned(&house, &down());
    let message = "it stays: this plan does not remove all containers that use it (guest)";
    assert_eq!(lines(&left), [("shop_front", NetworkChange::Keep, vec![], message)]);
    assert!(!left.changes);
}

#[test]
fn down_removes_a_network_that_a_crash_left_without_containers() {
    let house = house(MANIFEST);
    house.apply_for(&house.desired(None), &Request::default());
    house.sim.inject(|facts| {
        facts.docker_mut().containers = Reading::Known(Vec::new());
        facts.docker_mut().network_details.values_mut().for_each(|network| network.users.clear());
    });
    let plan = planned(&house, &down());
    assert!(plan.steps.is_empty() && plan.changes && !plan.is_idle(), "{plan:#?}");
    house.apply_for(&house.desired(None), &down());
    assert!(details(&house).is_empty());
    assert!(planned(&house, &down()).is_idle());
}

#[test]
fn a_foreign_network_under_a_defined_name_blocks_and_is_named() {
    let house = house(MANIFEST);
    let foreign = |marks: Option<Marks>, compose: Option<&str>| {
        house.sim.inject(|facts| {
            let docker = facts.docker_mut();
            docker.networks.known_mut().expect("networks").insert("shop_front".to_owned(), "n1".to_owned());
            let compose_project = compose.map(str::to_owned);
            let fact = NetworkFact { marks, compose_project, ..NetworkFact::default() };
            docker.network_details.insert("shop_front".to_owned(), fact);
        });
        let plan = planned(&house, &Request::default());
        let [blocked] = &plan.blocked[..] else { panic!("{plan:#?}") };
        assert_eq!((blocked.service.as_str(), blocked.reason.code), ("api", ReasonCode::NotOurs));
        assert!(plan.networks.iter().all(|line| line.network == "shop_back"), "{plan:#?}");
        blocked.reason.message.clone()
    };
    let marks = |project: &str, name: &str| {
        Some(Marks { project: project.to_owned(), name: name.to_owned(), ..Marks::default() })
    };
    for (message, owner) in [
        (foreign(None, None), "was not made by lcm"),
        (foreign(None, Some("web")), "belongs to Compose project web"),
        (foreign(marks("other", "shop_front"), None), "belongs to lcm project other"),
        // Labels copied from another network of this project.
        (foreign(marks("shop", "shop_back"), None), "has labels that lcm gave another network"),
    ] {
        assert!(message.contains("network shop_front exists and ") && message.contains(owner), "{message}");
        assert!(message.contains("`external: true` in the network `front`"), "{message}");
    }
    assert_eq!(house.sim.violations(), Vec::<String>::new());
}

#[test]
fn changed_aliases_are_mended_in_place() {
    let house = house(MANIFEST);
    house.apply_for(&house.desired(None), &Request::default());
    house.rewrite(&MANIFEST.replace("[gateway]", "[gateway, edge]"));
    let plan = planned(&house, &Request::default());
    assert_lines(&text(&plan), "update:api [settings_changed]");
    let diff = plan.steps[0].diff.as_deref().expect("a diff");
    assert_eq!(diff, "-names on network shop_front: api, gateway\n+names on network shop_front: api, edge, gateway");
    house.apply_for(&house.desired(None), &Request::default());
    // And back to none.
    house.rewrite(&MANIFEST.replace("{ front: { aliases: [gateway] }, back: }", "[front, back]"));
    assert_lines(&text(&planned(&house, &Request::default())), "update:api [settings_changed]");
    house.apply_for(&house.desired(None), &Request::default());
}

#[test]
fn a_network_that_differs_is_told_while_it_is_used_and_made_anew_once_it_is_not() {
    let house = house(MANIFEST);
    house.apply_for(&house.desired(None), &Request::default());
    house.sim.inject(|facts| network(facts, "shop_front").settings.internal = true);
    let plan = planned(&house, &Request::default());
    assert!(!plan.changes);
    let [warning] = &plan.warnings[..] else { panic!("{:?}", plan.warnings) };
    assert!(
        warning.contains("shop_front differs from the manifest in internal") && warning.contains("shop-api"),
        "{warning}"
    );
    house.sim.inject(|facts| {
        facts.docker_mut().containers = Reading::Known(Vec::new());
        facts.docker_mut().network_details.values_mut().for_each(|network| network.users.clear());
    });
    let plan = planned(&house, &Request::default());
    let message = "made anew: it differs from the manifest in internal";
    assert_eq!(lines(&plan), [("shop_front", NetworkChange::Create, vec![], message)]);
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    house.apply_for(&house.desired(None), &Request::default());
    assert!(!house.inspect(&house.desired(None)).docker().network_details["shop_front"].settings.internal);
}

#[test]
fn a_network_that_no_service_joins_any_more_is_reported_and_pruned() {
    let house = house(MANIFEST);
    house.apply_for(&house.desired(None), &Request::default());
    let without = MANIFEST.replace("{ front: { aliases: [gateway] }, back: }", "[back]");
    house.rewrite(&without);
    house.apply_for(&house.desired(None), &Request::default());
    let plan = planned(&house, &Request::default());
    let message = "no service joins it; `lcm apply --prune` removes it";
    assert_eq!(lines(&plan), [("shop_front", NetworkChange::Keep, vec![], message)]);
    assert!(!plan.changes);
    let prune = Request { prune: true, ..Request::default() };
    assert!(planned(&house, &prune).changes);
    house.apply_for(&house.desired(None), &prune);
    assert_eq!(details(&house), ["shop_back"]);
    assert!(!planned(&house, &prune).changes);
}
