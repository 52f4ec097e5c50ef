//! Ownership of containers: the labels of an owned one name it, and did not come with its image. All else is a claim; a
//! renamed container is not touched, and no second one is created.

use lcm::model::claim::Claimant;
use lcm::model::desired::Desired;
use lcm::model::facts::Facts;
use lcm::model::observed::{Observed, Ownership};
use lcm::model::plan::{Plan, Purpose, Request};
use lcm::plan::{audit, plan};
use lcm::runtime::docker::facts::DockerReading as _;
use lcm::runtime::docker::facts::{ContainerFact, ContainerState};
use lcm::runtime::docker::ownership::{on_other_hosts, owner_uids};
use lcm::runtime::registry::observe;

use crate::house::{House, assert_lines, text};

const SHOP: &str = r#"
version: 1
name: shop
gpus: { devices: [{ index: 0, vram: 24GiB }] }
services:
  web: { docker: { image: "web:1", gpu_access: none, ports: ["9000:9000"] }, vram: 8GiB }
"#;

const GONE: &str = r#"
version: 1
name: shop
gpus: { devices: [{ index: 0, vram: 24GiB }] }
services:
  api: { docker: { image: "api:1", gpu_access: none } }
"#;

/// House in which the shop runs, with changed facts.
fn shop(change: impl FnOnce(&mut Vec<ContainerFact>)) -> (House, Desired) {
    let house = House::new(SHOP);
    let desired = house.desired(None);
    house.apply_for(&desired, &Request::default());
    house.sim.inject(|facts| change(facts.docker_mut().containers.known_mut().expect("containers")));
    (house, desired)
}

/// Copy of the service's container under another name, with an id of its own.
fn copy(of: &ContainerFact, name: &str) -> ContainerFact {
    ContainerFact { id: format!("copy-{name}"), name: name.to_owned(), ports: Vec::new(), ..of.clone() }
}

fn planned(facts: &Facts, desired: &Desired, request: &Request) -> (Observed, Plan) {
    let observed = observe(facts, desired);
    let made = plan(desired, &observed, request);
    assert_eq!(audit(&made, desired, &observed, request), Vec::<String>::new());
    (observed, made)
}

fn claimed(observed: &Observed) -> Vec<&str> {
    let names = observed.claimed.iter().map(|claim| match &claim.claimant {
        Claimant::Container { name, .. } => name.as_str(),
        Claimant::Process { program, .. } => program.as_str(),
    });
    names.collect()
}

fn requests() -> [Request; 3] {
    let of = |purpose, prune| Request { purpose, prune, ..Request::default() };
    [of(Purpose::Apply, false), of(Purpose::Apply, true), of(Purpose::Down, true)]
}

#[test]
fn labels_of_an_image_under_any_name_are_a_claim_that_counts_for_nothing() {
    for name in ["experiment", "shop-ghost", "shop-web.lcm-old"] {
        let (house, desired) = shop(|containers| {
            let mut copied = copy(&containers[0], name);
            let marks = copied.marks.as_mut().expect("marks");
            (marks.vram_mib, marks.name) = (99_999_999, name.trim_end_matches(".lcm-old").to_owned());
            copied.marks_inherited = true;
            containers.push(copied);
        });
        for request in requests() {
            let (observed, made) = planned(&house.inspect(&desired), &desired, &request);
            assert_eq!(claimed(&observed), [name]);
            assert!(observed.orphans.is_empty(), "{name}: {:?}", observed.orphans);
            assert_eq!(made.gpus[0].before_mib.0, 8192, "{name}");
            assert_eq!(made.gpus[0].foreign_mib.0, 0, "{name}");
            let touched = made.steps.iter().any(|step| format!("{:?}", step.expect.instance).contains("copy-"));
            assert!(!touched && made.blocked.is_empty(), "{name}: {made:?}");
        }
    }
}

#[test]
fn labels_of_an_image_under_the_services_name_block_it() {
    let (house, desired) = shop(|containers| containers[0].marks_inherited = true);
    let (observed, made) = planned(&house.inspect(&desired), &desired, &Request::default());
    assert_eq!(claimed(&observed), ["shop-web"]);
    assert_lines(
        &text(&made),
        "blocked web [not_ours] it would need container shop-web, whose lcm marks came with its image; lcm does not touch \
         that",
    );
}

#[test]
fn a_renamed_container_is_blocked_by_name_and_nothing_else_is_done_to_it() {
    for state in [ContainerState::Running, ContainerState::Exited, ContainerState::Paused] {
        let (house, desired) = shop(|containers| {
            "foo".clone_into(&mut containers[0].name);
            containers[0].state = state;
        });
        let (observed, made) = planned(&house.inspect(&desired), &desired, &Request::default());
        let seen = &observed.services[&"web".into()];
        assert!(matches!(&seen.ownership, Ownership::Renamed { container, .. } if container == "foo"), "{seen:?}");
        assert!(claimed(&observed).is_empty(), "it is reported once");
        let lines = text(&made);
        assert!(lines.contains("blocked web [renamed] foo ("), "{lines}");
        assert!(lines.contains("`docker rename foo shop-web` restores it"), "{lines}");
        for request in requests() {
            assert_eq!(planned(&house.inspect(&desired), &desired, &request).1.steps, [], "{state:?}");
        }
    }
}

#[test]
fn of_several_with_one_salt_only_the_one_under_the_right_name_is_ours() {
    let (house, desired) = shop(|containers| {
        let copies = ["experiment", "shop-web.lcm-old"].map(|name| copy(&containers[0], name));
        containers.extend(copies);
    });
    for request in requests() {
        let (observed, made) = planned(&house.inspect(&desired), &desired, &request);
        assert_eq!(claimed(&observed), ["experiment", "shop-web.lcm-old"]);
        assert_eq!(observed.services[&"web".into()].ownership, Ownership::Ours);
        assert_eq!(observed.services[&"web".into()].previous, None);
        assert!(made.blocked.is_empty(), "{made:?}");
    }
}

#[test]
fn labels_in_a_form_that_lcm_does_not_write_are_a_claim_and_block_nothing() {
    let (house, desired) = shop(|containers| {
        containers[0].name = "experiment".to_owned();
        let marks = containers[0].marks.as_mut().expect("marks");
        (marks.spec, marks.config) = (String::new(), String::new());
        containers[0].ports.clear();
    });
    house.sim.inject(|facts| facts.listeners.known_mut().into_iter().for_each(Vec::clear));
    let (observed, made) = planned(&house.inspect(&desired), &desired, &Request::default());
    assert_eq!(claimed(&observed), ["experiment"]);
    assert_eq!(made.steps.len(), 1, "web is started: {made:?}");
}

#[test]
fn a_container_of_an_older_lcm_is_ours_under_its_former_name() {
    let (house, desired) = shop(|containers| containers[0].marks.as_mut().expect("marks").name.clear());
    let (observed, made) = planned(&house.inspect(&desired), &desired, &Request::default());
    assert_eq!((observed.services[&"web".into()].ownership.clone(), made.changes), (Ownership::Ours, false));
    house.rewrite(GONE);
    let (observed, _) = planned(&house.inspect(&desired), &house.desired(None), &Request::default());
    assert_eq!((observed.orphans.len(), claimed(&observed).len()), (1, 0));
}

#[test]
fn an_orphans_labels_are_bounded_and_none_of_its_commands_is_kept() {
    let (house, _) = shop(|containers| {
        let marks = containers[0].marks.as_mut().expect("marks");
        marks.vram_mib = u64::MAX;
        marks.gpus = "gpu-0".to_owned();
        r#"{"stop":{"exec":["/bin/sh","-c","id"],"grace_ms":18446744073709551615,"signal":"KILL\u001b[2J"},"ports":[70000,-1]}"#
            .clone_into(&mut marks.config);
    });
    house.rewrite(GONE);
    let desired = house.desired(None);
    let (observed, made) = planned(&house.inspect(&desired), &desired, &Request::default());
    let orphan = &observed.orphans[0];
    assert_eq!((orphan.stop.exec.as_ref(), orphan.stop.signal.as_ref()), (None, None));
    assert_eq!(orphan.stop.grace.as_secs(), 600);
    assert_eq!(orphan.vram.0, 24_576, "no more than its GPU has");
    assert!(made.blocked.is_empty(), "{made:?}");
}

#[test]
fn another_projects_figures_count_only_up_to_the_gpu_and_under_their_own_name() {
    for (name, foreign) in [("elsewhere-llm", 24_576), ("experiment", 0)] {
        let (house, desired) = shop(|containers| {
            let mut other = copy(&containers[0], name);
            let marks = other.marks.as_mut().expect("marks");
            (marks.project, marks.service) = ("elsewhere".to_owned(), "llm".to_owned());
            (marks.name, marks.gpus, marks.vram_mib) = ("elsewhere-llm".to_owned(), "gpu-0".to_owned(), u64::MAX);
            containers.push(other);
        });
        let (observed, made) = planned(&house.inspect(&desired), &desired, &Request::default());
        assert_eq!(made.gpus[0].foreign_mib.0, foreign, "{name}");
        assert!(claimed(&observed).is_empty(), "a claim on another project is its own affair");
    }
}

#[test]
fn another_machines_container_is_refused_by_name_until_it_is_taken_over() {
    let (house, mut desired) =
        shop(|containers| containers[0].marks.as_mut().expect("marks").host_id = "kims-box/1111".to_owned());
    let facts = house.inspect(&desired);
    assert!(on_other_hosts(&facts, &desired).is_empty(), "at the machine's own engine nothing is compared");
    let facts = Facts { host_id: Some("here/2222".to_owned()), ..facts };
    let (observed, made) = planned(&facts, &desired, &Request::default());
    assert_eq!(on_other_hosts(&facts, &desired)[0].name, "shop-web");
    assert_eq!(claimed(&observed), ["shop-web"]);
    let lines = text(&made);
    assert!(lines.contains("blocked web [not_ours]") && lines.contains("host kims-box"), "{lines}");
    for request in requests() {
        assert_eq!(planned(&facts, &desired, &request).1.steps, []);
    }
    let renamed = Facts { host_id: Some("a-new-name/1111".to_owned()), ..facts.clone() };
    assert!(on_other_hosts(&renamed, &desired).is_empty(), "a machine may get another hostname");

    desired.take_over = true;
    assert!(on_other_hosts(&facts, &desired).is_empty());
    house.sim.inject(|facts| facts.host_id = Some("here/2222".to_owned()));
    assert_lines(
        &text(&house.plan_for(&desired, &Request::default())),
        "stop:web [spec_changed] 8192 on gpu-0
         start:web [spec_changed] 8192 on gpu-0 after stop:web",
    );
    house.apply_for(&desired, &Request::default());
    desired.take_over = false;
    assert!(on_other_hosts(&house.inspect(&desired), &desired).is_empty(), "its label names this machine now");
    assert!(!house.plan_for(&desired, &Request::default()).changes);
}

#[test]
fn owners_are_the_users_of_proven_containers_alone() {
    let (house, desired) = shop(|containers| {
        containers[0].marks.as_mut().expect("marks").uid = Some(61_001);
        let mut claim = copy(&containers[0], "experiment");
        claim.marks.as_mut().expect("marks").uid = Some(61_002);
        containers.push(claim);
    });
    assert_eq!(owner_uids(&house.inspect(&desired), &desired).into_iter().collect::<Vec<_>>(), [61_001]);
}

#[test]
fn a_renamed_project_takes_over_its_instances_without_a_restart() {
    let (house, _) = shop(|_| {});
    let renamed = SHOP.replace("name: shop", "name: store\nrenamed_from: shop");
    house.rewrite(&renamed);
    let desired = house.desired(None);
    let plan = house.plan_for(&desired, &Request::default());
    assert!(!plan.changes, "{plan:?}");
    assert!(plan.warnings.iter().any(|warning| warning.starts_with("web still under a former name")), "{plan:?}");

    // A change recreates it, under the current name.
    house.rewrite(&renamed.replace("web:1", "web:2"));
    let desired = house.desired(None);
    house.apply_for(&desired, &Request::default());
    let names = |house: &House| -> Vec<String> {
        house.sim.world().docker().containers.known().into_iter().flatten().map(|found| found.name.clone()).collect()
    };
    assert_eq!(names(&house), ["store-web"]);
    let (house, _) = shop(|_| {});
    house.rewrite(&renamed);
    let down = Request { purpose: Purpose::Down, ..Request::default() };
    house.apply_for(&house.desired(None), &down);
    assert_eq!(names(&house), Vec::<String>::new(), "down takes them along");

    // Without `renamed_from` it belongs to another project, and is not touched.
    let (house, _) = shop(|_| {});
    house.rewrite(&SHOP.replace("name: shop", "name: store").replace("9000:9000", "9001:9000"));
    house.apply_for(&house.desired(None), &Request::default());
    assert_eq!(names(&house), ["shop-web", "store-web"]);
}

#[test]
fn an_orphan_of_the_former_name_is_an_orphan() {
    let (house, _) = shop(|_| {});
    house.rewrite(&GONE.replace("name: shop", "name: store\nrenamed_from: [shop, older]"));
    let desired = house.desired(None);
    let (observed, _) = planned(&house.inspect(&desired), &desired, &Request::default());
    assert_eq!(observed.orphans.len(), 1);
    house.apply_for(&desired, &Request { prune: true, ..Request::default() });
}
