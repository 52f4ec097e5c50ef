//! A reading that failed is not an absence: nothing is started or stopped on the strength of it.

use lcm::model::facts::Reading;
use lcm::model::plan::Request;
use lcm::observe::observe;
use lcm::plan::{audit, plan};

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
  off: { services: [] }
"#;

#[test]
fn an_engine_that_does_not_answer_blocks_what_runs_on_it_and_nothing_else() {
    let house = House::new(MIXED);
    let mut facts = house.sim.world();
    facts.containers = Reading::Unknown("the engine does not answer".to_owned());
    for (mode, expected) in [
        (
            "on",
            "start:native [wanted_by_mode]
             blocked box [unknown] its container can't be read: the engine does not answer
             blocked web [dependency] it depends on box, which is blocked: its container can't be read: the engine does not answer",
        ),
        ("off", ""),
    ] {
        let desired = house.desired(Some(mode));
        let observed = observe(&facts, &desired);
        let made = plan(&desired, &observed, &Request::default());
        assert_eq!(audit(&made, &desired, &observed, &Request::default()), Vec::<String>::new());
        assert_lines(&text(&made), expected);
    }
}
