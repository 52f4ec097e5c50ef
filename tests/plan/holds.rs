//! Operator holds: services under a hold, holds that still have to be carried out, and their effects on others.

use std::time::Duration;

use lcm::model::facts::{ProbeReading, Reading};
use lcm::model::holds::Hold;
use lcm::model::lifecycle::State;
use lcm::model::plan::{Purpose, Request};
use lcm::runtime::docker::facts::DockerReading as _;
use lcm::runtime::process::facts::ProcessReading as _;
use lcm::runtime::registry::observe;
use lcm::sim::Behaviour;

use crate::house::{House, assert_lines};

const STUDIO: &str = r#"
version: 1
name: studio
gpus: { devices: [{ index: 0, vram: 24GiB }] }
services:
  encoder: { docker: { image: "encoder:1" }, vram: 2GB, priority: 60 }
  painter: { process: { command: [paint] }, vram: 18GB, priority: 100, depends_on: [encoder], health: { http: "http://localhost:8188/" } }
  writer: { process: { command: [write] }, vram: 20GB, priority: 50 }
modes:
  paint: { services: [painter] }
  write: { services: [writer, encoder] }
  rest: { services: [] }
"#;

fn painting() -> House {
    let house = House::new(STUDIO);
    house.apply("paint");
    house
}

fn state(house: &House, service: &str) -> State {
    let desired = house.desired(Some("paint"));
    observe(&house.inspect(&desired), &desired).services[&service.into()].state
}

#[test]
fn a_service_in_maintenance_is_left_as_it_is_by_every_mode() {
    let house = painting();
    house.set_hold("painter", Some(Hold::Maintain));
    let held = "held painter [maintenance]";
    assert_lines(&house.plan("paint"), held);
    // Its dependencies are not stopped.
    assert_lines(&house.plan("rest"), held);
    let down = Request { purpose: Purpose::Down, ..Request::default() };
    assert_lines(&house.plan_with("rest", &down), held);
    for _ in 0..3 {
        assert!(!house.apply("rest").changed);
    }
    assert_eq!(state(&house, "painter"), State::Maintenance);
}

#[test]
fn a_service_in_maintenance_counts_in_full_and_is_not_preempted() {
    let house = House::new(&STUDIO.replace("priority: 50", "priority: 500"));
    house.apply("paint");
    house.set_hold("painter", Some(Hold::Maintain));
    assert_lines(
        &house.plan("write"),
        "blocked writer [no_capacity] it needs 19 074 MiB (priority 500); GPU 0 has 24 576 − 1 908 encoder (priority 60) − 17 167 painter (priority 100) = 5 501
         held painter [maintenance]",
    );
}

#[test]
fn health_is_ignored_in_maintenance_and_an_ended_service_is_not_started() {
    let house = painting();
    house.set_hold("painter", Some(Hold::Maintain));
    house.sim.inject(|facts| {
        let failed = ProbeReading::Failed { failures: 9, detail: "it answers 503".to_owned() };
        facts.probes.entry("painter".into()).or_default().health = Some(failed);
    });
    assert_lines(&house.plan("paint"), "held painter [maintenance]");
    house.sim.inject(|facts| {
        for tree in facts.processes_mut().trees.known_mut().expect("asked") {
            tree.members.clear();
        }
    });
    assert_lines(&house.plan("paint"), "held painter [maintenance]");
    assert_eq!(state(&house, "painter"), State::Registered, "no row leads to maintenance from there");
    house.sim.inject(|facts| facts.probes.clear());
    house.set_hold("painter", None);
    assert_lines(&house.plan("paint"), "start:painter [wanted_by_mode] 17167 on gpu-0");
}

#[test]
fn an_engine_that_does_not_answer_releases_no_hold() {
    let house = painting();
    house.set_hold("encoder", Some(Hold::Maintain));
    house.sim.inject(|facts| facts.docker_mut().containers = Reading::Unknown("no engine".to_owned()));
    assert!(house.plan("paint").contains("held encoder [maintenance]"), "{}", house.plan("paint"));
    house.set_hold("encoder", Some(Hold::Terminate));
    assert!(house.plan("paint").contains("held encoder [terminated]"), "{}", house.plan("paint"));
    house.set_hold("encoder", Some(Hold::Suspend));
    assert!(house.plan("paint").contains("held encoder [suspended]"), "{}", house.plan("paint"));
}

#[test]
fn a_pending_suspension_is_carried_out_by_the_next_apply() {
    let house = painting();
    house.set_hold("painter", Some(Hold::Suspend));
    assert_lines(&house.plan("paint"), "pause:painter [suspended]");
    house.apply("paint");
    assert_eq!(state(&house, "painter"), State::Suspended);
    assert_lines(&house.plan("rest"), "held painter [suspended]");
    let last = house.transitions().pop().expect("it is recorded");
    assert_eq!((last.from, last.to, last.made), (State::Online, State::Suspended, true));
    assert_eq!(last.metadata["ticket"], "7");
    // A container likewise; one that has ended meanwhile is not started for the pause.
    house.set_hold("painter", None);
    house.sim.inject(|facts| facts.processes_mut().trees.known_mut().expect("asked")[0].suspended = false);
    house.set_hold("encoder", Some(Hold::Suspend));
    assert_lines(&house.plan("paint"), "pause:encoder [suspended]");
    house.apply("paint");
    house.sim.inject(|facts| {
        facts.docker_mut().containers.known_mut().expect("asked")[0].state =
            lcm::runtime::docker::facts::ContainerState::Exited;
    });
    assert_lines(&house.plan("paint"), "held encoder [suspended]");
}

#[test]
fn a_starting_or_failing_service_is_not_paused_yet() {
    let house = painting();
    house.set_hold("painter", Some(Hold::Suspend));
    house.sim.set_behaviour("painter", Behaviour { never_healthy: true, ..Behaviour::default() });
    assert_lines(&house.plan("paint"), "held painter [suspended]");
}

#[test]
fn a_terminated_service_is_stopped_with_its_dependents_and_stays_off() {
    let house = painting();
    house.set_hold("encoder", Some(Hold::Terminate));
    let after = "blocked painter [dependency] encoder, which it depends on, is kept off by an operator";
    assert_lines(
        &house.plan("paint"),
        &format!(
            "stop:painter [dependency] 17167 on gpu-0
             stop:encoder [terminated] 1908 on gpu-0 after stop:painter
             {after}"
        ),
    );
    house.apply("paint");
    assert_eq!(state(&house, "encoder"), State::Terminated);
    assert_eq!(state(&house, "painter"), State::Offline);
    let made: Vec<State> =
        house.transitions().iter().filter(|made| made.service == "encoder".into()).map(|made| made.to).collect();
    assert_eq!(made[made.len() - 2..], [State::Stopping, State::Terminated]);
    assert_lines(
        &house.plan("paint"),
        "blocked painter [dependency] it depends on encoder, which is held: it is kept off by `lcm terminate`
         held encoder [terminated]",
    );
    house.set_hold("encoder", None);
    house.apply("paint");
    assert_eq!(state(&house, "painter"), State::Online);
}

#[test]
fn a_start_of_another_service_does_not_stop_a_terminated_one() {
    let house = painting();
    house.set_hold("painter", Some(Hold::Terminate));
    let start = Request { purpose: Purpose::Start, targets: ["encoder".into()].into(), ..Request::default() };
    assert_lines(&house.plan_with("paint", &start), "held painter [terminated]");
}

/// Applies mode rest, whose stop of the painter takes a second, and holds the encoder meanwhile.
fn resting_while(house: &House, kind: Hold) -> lcm::apply::RunResult {
    house.sim.set_behaviour("painter", Behaviour { stop_takes: Duration::from_secs(1), ..Behaviour::default() });
    let desired = house.desired(Some("rest"));
    house.apply_while(&desired, &Request::default(), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        house.set_hold("encoder", Some(kind));
    })
}

#[test]
fn a_new_hold_takes_effect_before_the_next_step() {
    let house = painting();
    let outcome = resting_while(&house, Hold::Maintain);
    assert_eq!((outcome.done, outcome.skipped, outcome.failures.len()), (1, 1, 0));
    assert_eq!(outcome.last_plan.expect("a plan").held.len(), 1);
    assert_eq!(state(&house, "encoder"), State::Maintenance);

    let house = painting();
    let outcome = resting_while(&house, Hold::Suspend);
    // The stop was stale, and the next round paused it.
    assert_eq!((outcome.done, outcome.failures.len()), (2, 0));
    assert_eq!(state(&house, "encoder"), State::Suspended);

    let house = painting();
    let outcome = resting_while(&house, Hold::Terminate);
    assert_eq!((outcome.done, outcome.failures.len()), (2, 0));
    assert_eq!(state(&house, "encoder"), State::Terminated);
}

#[test]
fn a_hold_that_is_released_meanwhile_is_not_carried_out() {
    let house = painting();
    house.set_hold("encoder", Some(Hold::Terminate));
    house.sim.set_behaviour("painter", Behaviour { stop_takes: Duration::from_secs(1), ..Behaviour::default() });
    let desired = house.desired(Some("paint"));
    let outcome = house.apply_while(&desired, &Request::default(), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        house.set_hold("encoder", None);
    });
    assert!(outcome.failures.is_empty());
    assert_eq!(outcome.last_plan.expect("a plan").steps, []);
    assert_eq!((state(&house, "encoder"), state(&house, "painter")), (State::Online, State::Online));
    let stopped =
        house.transitions().iter().any(|made| made.service == "encoder".into() && made.to == State::Terminated);
    assert!(!stopped);
}

#[test]
fn a_hold_during_the_wait_for_a_busy_service_takes_effect() {
    let busy = r#"busy: { http: "http://localhost:8188/queue", pointer: /left }"#;
    let house = House::new(&STUDIO.replace("depends_on: [encoder],", &format!("depends_on: [encoder], {busy},")));
    house.apply("paint");
    let work = Duration::from_secs(20);
    house.sim.set_behaviour("painter", Behaviour { busy_for: Some(work), ..Behaviour::default() });
    let desired = house.desired(Some("rest"));
    let outcome = house.apply_while(&desired, &Request::default(), async {
        tokio::time::sleep(work / 2).await;
        house.set_hold("painter", Some(Hold::Maintain));
    });
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!(state(&house, "painter"), State::Maintenance);
    let stopped = |made: &lcm::store::Transition| made.service == "painter".into() && made.to == State::Stopping;
    assert!(!house.transitions().iter().any(stopped));
}

#[test]
fn a_suspended_service_is_left_as_it_is_by_down() {
    let house = painting();
    house.set_hold("painter", Some(Hold::Suspend));
    house.apply("paint");
    let down = Request { purpose: Purpose::Down, ..Request::default() };
    assert_lines(&house.plan_with("paint", &down), "held painter [suspended]");
}
