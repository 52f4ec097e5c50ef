//! Jobs: each runs once under its spec, services wait for its end, and take over its memory.

use std::time::Duration;

use lcm::model::job::JobState;
use lcm::model::lifecycle::Action;
use lcm::model::names::ServiceName;
use lcm::model::plan::{Plan, Purpose, ReasonCode, Request};
use lcm::runtime::docker::facts::DockerReading as _;
use lcm::runtime::registry::observe;
use lcm::sim::{Behaviour, Deed};

use crate::house::{House, assert_lines};

const SHOP: &str = r#"
version: 1
name: shop
gpus: { devices: [{ index: 0, vram: 24GiB }] }
services:
  convert: { docker: { image: "convert:1" }, job: true, vram: 20GiB, priority: 10 }
  migrate: { process: { command: [migrate] }, job: true, timeout: 1h }
  web:
    process: { command: [serve] }
    vram: 20GiB
    depends_on: { migrate: { condition: service_completed_successfully }, convert: { condition: service_completed_successfully } }
modes:
  all: { services: [web] }
  jobs: { services: [migrate, convert] }
  rest: { services: [] }
"#;

const ONE: &str = r#"
version: 1
name: one
services:
  migrate: { process: { command: [migrate] }, job: true, recover: { attempts: 1 } }
  web: { docker: { image: "web:1" }, depends_on: { migrate: { condition: service_completed_successfully } } }
modes: { all: { services: [web] }, jobs: { services: [migrate] }, rest: { services: [] } }
"#;

fn starts(house: &House, name: &str) -> usize {
    let is_it = |effect: &&lcm::sim::Effect| effect.deed == Deed::Start && effect.service == ServiceName::from(name);
    house.sim.log().iter().filter(is_it).count()
}

fn job(house: &House, name: &str) -> JobState {
    let desired = house.desired(Some("all"));
    let seen = observe(&house.inspect(&desired), &desired);
    seen.services[&name.into()].job.as_ref().expect("a job").state
}

fn plan_of(house: &House, mode: &str) -> Plan {
    house.plan_for(&house.desired(Some(mode)), &Request::default())
}

fn one_shot(purpose: Purpose, target: &str) -> Request {
    Request { purpose, targets: [target.into()].into(), ..Request::default() }
}

#[test]
fn a_service_starts_after_the_jobs_and_takes_over_their_memory() {
    let house = House::new(SHOP);
    assert_lines(
        &house.plan("all"),
        "start:convert [wanted_by_dependency] 20480 on gpu-0
         start:migrate [wanted_by_dependency]
         start:web [wanted_by_mode] 20480 on gpu-0 after start:convert, start:migrate",
    );
    house.sim.set_behaviour("convert", Behaviour { runs_for: Duration::from_secs(30), ..Behaviour::default() });
    house.apply("all");
    let started: Vec<String> =
        house.sim.log().iter().map(|effect| format!("{:?} {}", effect.deed, effect.service)).collect();
    assert_eq!(started.last().map(String::as_str), Some("Start web"), "{started:?}");
    for _ in 0..3 {
        house.apply("all");
    }
    assert_eq!(["convert", "migrate", "web"].map(|name| starts(&house, name)), [1, 1, 1]);
    assert_eq!(["convert", "migrate"].map(|name| job(&house, name)), [JobState::Done; 2]);
    assert_lines(&house.plan("all"), "");
}

#[test]
fn a_job_runs_again_for_another_spec_or_on_request_and_never_because_it_ended() {
    let house = House::new(ONE);
    house.apply("all");
    house.apply("rest");
    house.apply("all");
    assert_eq!(starts(&house, "migrate"), 1);
    let again = house.plan_with("all", &one_shot(Purpose::Start, "migrate"));
    assert_lines(&again, "start:migrate [requested]");
    let outcome = house.try_apply(&house.desired(Some("all")), &one_shot(Purpose::Start, "migrate"));
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!(starts(&house, "migrate"), 2, "a job that is named runs once");
    house.rewrite(&ONE.replace("[migrate] }, job", "[migrate, now] }, job"));
    let plan = house.plan("all");
    assert!(plan.starts_with("start:migrate [spec_changed]"), "{plan}");
    house.apply("all");
    house.apply("all");
    assert_eq!(starts(&house, "migrate"), 3);
}

#[test]
fn a_job_that_fails_blocks_what_waits_for_it_and_spends_its_budget() {
    let house = House::new(ONE);
    house.sim.set_behaviour("migrate", Behaviour { exit_code: 3, ..Behaviour::default() });
    let outcome = house.try_apply(&house.desired(Some("all")), &Request::default());
    let error = &outcome.failures[0].error;
    assert!(error.contains("the job failed: exit status 3"), "{error}");
    assert_eq!((job(&house, "migrate"), starts(&house, "web")), (JobState::Failed, 0));
    let plan = plan_of(&house, "all");
    let held = &plan.held[0];
    assert_eq!((held.service.as_str(), held.reason.code.is_of_budget()), ("migrate", true), "{held:?}");
    let blocked = &plan.blocked[0];
    assert_eq!((blocked.service.as_str(), blocked.reason.code), ("web", ReasonCode::Dependency));
    assert!(blocked.reason.message.contains("it depends on migrate, which is held: it exited with 3"), "{blocked:?}");
}

#[test]
fn a_running_job_is_awaited_only_where_a_service_waits_and_stopped_where_it_is_not_wanted() {
    let house = House::new(ONE);
    house.sim.set_behaviour("migrate", Behaviour { runs_for: Duration::from_mins(10), ..Behaviour::default() });
    house.apply("jobs");
    assert_eq!(job(&house, "migrate"), JobState::Running);
    assert_lines(&house.plan("jobs"), "");
    let plan = plan_of(&house, "all");
    let step = plan.steps.iter().find(|step| step.service.as_str() == "migrate").expect("awaited");
    assert!(step.awaits_running_job() && step.is_until_end(), "{step:?}");
    assert_lines(&house.plan("rest"), "stop:migrate [not_in_mode]");
    house.apply("rest");
    assert_eq!(job(&house, "migrate"), JobState::Due, "a stop is no completion");
    assert_lines(&house.plan("rest"), "");
    house.apply("all");
    assert_eq!((job(&house, "migrate"), starts(&house, "migrate"), starts(&house, "web")), (JobState::Done, 2, 1));
}

#[test]
fn a_job_past_its_timeout_is_stopped_and_has_failed() {
    let house = House::new(&ONE.replace("job: true,", "job: true, timeout: 60s,"));
    house.sim.set_behaviour("migrate", Behaviour { runs_for: Duration::from_mins(10), ..Behaviour::default() });
    let outcome = house.try_apply(&house.desired(Some("all")), &Request::default());
    let error = &outcome.failures[0].error;
    assert!(error.contains("the job ran longer than its `timeout` of 1m, and was stopped"), "{error}");
    assert_eq!((job(&house, "migrate"), starts(&house, "migrate"), starts(&house, "web")), (JobState::Failed, 1, 0));
}

#[test]
fn the_store_proves_a_completion_whose_container_is_gone_and_down_forgets_it() {
    let house =
        House::new(&ONE.replace("migrate: { process: { command: [migrate] }", "migrate: { docker: { image: \"m:1\" }"));
    house.apply("all");
    house.sim.inject(|facts| {
        let containers = facts.docker_mut().containers.known_mut().expect("an engine");
        containers.retain(|container| container.name != "one-migrate");
    });
    assert_eq!(job(&house, "migrate"), JobState::Done);
    house.apply("all");
    assert_eq!(starts(&house, "migrate"), 1);
    let plan = house.plan_with("all", &Request { purpose: Purpose::Down, ..Request::default() });
    assert!(plan.contains("stop:web") && !plan.contains("stop:migrate"), "{plan}");
    assert!(plan_of(&house, "all").steps.iter().all(|step| step.action != Action::Start));
}
