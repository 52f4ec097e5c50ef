//! A reading that failed is not an absence: it causes no start and no stop.

use lcm::model::facts::Reading;
use lcm::model::plan::Request;
use lcm::plan::{audit, plan};
use lcm::runtime::docker::facts::DockerReading as _;
use lcm::runtime::registry::observe;

use crate::house::{House, assert_lines, text};

const MIXED: &str = r#"
version: 1
name: mixed
services:
  box: { docker: { image: "box:1" } }
  native: { process: { command: [native] } }
  web: { process: { command: [web] }, depends_on: [box] }
modes:
  on: { services: [web, native] }
  quiet: { services: [] }
"#;

#[test]
fn an_engine_that_does_not_answer_blocks_what_runs_on_it_and_nothing_else() {
    let house = House::new(MIXED);
    let mut facts = house.sim.world();
    facts.docker_mut().containers = Reading::Unknown("the engine does not answer".to_owned());
    for (mode, expected) in [
        (
            "on",
            "start:native [wanted_by_mode]
             blocked box [unknown] its container can't be read: the engine does not answer
             blocked web [dependency] it depends on box, which is blocked: its container can't be read: the engine does not answer",
        ),
        // Its state is unknown, so the plan must not report it as off.
        (
            "quiet",
            "blocked box [unknown] not part of mode quiet, but its state is unknown: its container can't be read: the engine does not answer",
        ),
    ] {
        let desired = house.desired(Some(mode));
        let observed = observe(&facts, &desired);
        let made = plan(&desired, &observed, &Request::default());
        assert_eq!(audit(&made, &desired, &observed, &Request::default()), Vec::<String>::new());
        assert_lines(&text(&made), expected);
    }
}

const GPU: &str = r#"
version: 1
name: mixed
gpus: { devices: [{ index: 0, vram: 24GiB }] }
services:
  box: { docker: { image: "box:1", gpu_access: none }, vram: 18GiB }
  native: { process: { command: [native] }, vram: 20GiB }
  small: { process: { command: [small] } }
modes:
  box: { services: [box] }
  native: { services: [native, small] }
"#;

#[test]
fn no_memory_is_assigned_while_that_of_containers_is_unknown() {
    let house = House::new(GPU);
    house.apply("box");
    let desired = house.desired(Some("native"));
    let mut facts = house.inspect(&desired);
    facts.docker_mut().containers = Reading::Unknown("the engine does not answer".to_owned());
    let observed = observe(&facts, &desired);
    let made = plan(&desired, &observed, &Request::default());
    assert_eq!(audit(&made, &desired, &observed, &Request::default()), Vec::<String>::new());
    assert_lines(
        &text(&made),
        "start:small [wanted_by_mode]
         blocked box [unknown] not part of mode native, but its state is unknown: its container can't be read: the engine does not answer
         blocked native [unknown] free memory on its GPUs is unknown: the GPU memory that containers use is unknown: the engine does not answer",
    );
}
