//! Replacement of a container: the previous revision is put aside, and removed or restored; no foreign container is
//! touched.

use crate::bench::{Bench, docker, id, inspected, own};
use lcm::model::desired::Service;
use lcm::model::instance::Instance;
use lcm::model::names::{GpuId, ObjectName};
use lcm::runtime::RunState;
use lcm::runtime::docker::intent::{DockerSpec, GpuAccess, PullPolicy};

/// Starts and stops a service, as a plan does before it starts a changed one.
async fn stopped(bench: &Bench, service: &Service) -> Instance {
    let instance = bench.start(service).await.expect("started");
    bench.stop(service, &instance).await.expect("stopped");
    instance
}

/// Returns a service whose program does not exist.
fn broken(bench: &Bench) -> Service {
    let mut container = bench.container("web", &[]);
    container.entrypoint = Some(vec!["/no/such/program".to_owned()]);
    own("web", container)
}

fn name_of(instance: &Instance) -> String {
    inspected(id(instance), ".Name").trim_matches(['"', '/']).to_owned()
}

pub(crate) async fn a_changed_spec_puts_the_old_one_aside_until_settled() {
    let bench = Bench::new();
    let (first, second) = (bench.serving("web", &[]), bench.serving("web", &["--work", "2s"]));
    let old = bench.start(&first).await.expect("started");
    let refused = bench.start(&second).await.expect_err("the old one runs");
    assert!(refused.contains("still runs"), "{refused}");
    bench.stop(&first, &old).await.expect("stopped");

    let new = bench.start(&second).await.expect("started");
    assert_ne!(new, old);
    let inspection = bench.inspect_service(&second).await;
    assert_eq!((inspection.instance, inspection.previous), (Some(new), true));
    assert_eq!(inspection.spec.as_deref(), Some(second.spec.hash()));
    let name = second.object().expect("a container");
    assert_eq!(name_of(&old), format!("{name}.lcm-old"));
    assert!(bench.facts(&[&second]).await.iter().any(|fact| fact.name == format!("{name}.lcm-old")));

    bench.engine.settle(&bench.project, &second).await.expect("settled");
    assert!(!bench.inspect_service(&second).await.previous);
    bench.engine.settle(&bench.project, &second).await.expect("settling twice is fine");
    assert!(!bench.engine.restore(&bench.project, &second).await.expect("nothing to restore"));
    assert_eq!(bench.life(&second).await, RunState::Running);
}

pub(crate) async fn restore_starts_the_previous_revision_again() {
    let bench = Bench::new();
    let (first, second) = (bench.serving("web", &[]), bench.serving("web", &["--hang-health"]));
    let old = stopped(&bench, &first).await;
    let new = bench.start(&second).await.expect("started");
    assert!(bench.engine.restore(&bench.project, &second).await.expect("restored"));
    let inspection = bench.inspect_service(&second).await;
    assert_eq!(
        (inspection.run_state, inspection.previous, inspection.instance),
        (RunState::Running, false, Some(old.clone()))
    );
    assert_eq!(name_of(&old), first.object().expect("a container").as_str());
    docker(&["inspect", "--type", "container", id(&new)]).expect_err("the new one is gone");
}

pub(crate) async fn a_failed_start_leaves_the_old_one_under_its_name() {
    let bench = Bench::new();
    let first = bench.serving("web", &[]);
    let old = stopped(&bench, &first).await;
    let second = broken(&bench);
    let error = bench.start(&second).await.expect_err("it can't run");
    assert!(error.contains("/no/such/program"), "{error}");
    let inspection = bench.inspect_service(&second).await;
    assert_eq!((inspection.instance, inspection.previous), (Some(old.clone()), false));
    assert!(matches!(inspection.run_state, RunState::Ended(_)));
    assert_eq!(
        bench
            .facts(&[&second])
            .await
            .iter()
            .filter(|fact| fact.marks.as_ref().is_some_and(|marks| { marks.project == bench.project.as_str() }))
            .count(),
        1,
        "nothing is left of the new one"
    );
    assert!(bench.engine.restore(&bench.project, &second).await.expect("restored"), "and it can be started again");
    assert_eq!(bench.life(&second).await, RunState::Running);

    let alone = Service { name: "alone".into(), ..broken(&bench) };
    let Some(DockerSpec::Created(mut container)) = alone.workload.spec::<DockerSpec>().cloned() else {
        panic!("a container")
    };
    container.name = ObjectName::new(format!("{}-alone", bench.project));
    let alone = own("alone", *container);
    bench.start(&alone).await.expect_err("it can't run");
    assert_eq!(bench.life(&alone).await, RunState::Ended(None), "without a previous revision it stays, with its error");
    assert!(!bench.engine.restore(&bench.project, &alone).await.expect("there was none"));
}

pub(crate) async fn a_crash_in_the_middle_of_replacing_is_repaired() {
    let bench = Bench::new();
    let first = bench.serving("web", &[]);
    let name = first.object().expect("a container").to_string();
    let old = stopped(&bench, &first).await;

    // Renamed, and the new one was not created; then the manifest was reverted.
    docker(&["rename", id(&old), &format!("{name}.lcm-old")]).expect("renamed");
    let inspection = bench.inspect_service(&first).await;
    assert_eq!((inspection.run_state, inspection.previous), (RunState::Absent, true));
    bench.engine.settle(&bench.project, &first).await.expect("settled");
    assert!(bench.inspect_service(&first).await.previous, "the only one there is stays");
    assert_eq!(bench.start(&first).await.as_ref(), Ok(&old));
    bench.stop(&first, &old).await.expect("stopped");

    // Renamed, and a new one was created that is outdated by now: the one that worked stays the fallback.
    let (second, third) = (bench.serving("web", &["--work", "2s"]), bench.serving("web", &["--work", "3s"]));
    let middle = stopped(&bench, &second).await;
    let last = bench.start(&third).await.expect("started");
    docker(&["inspect", "--type", "container", id(&middle)]).expect_err("the one in the middle is gone");
    assert_eq!((name_of(&last), name_of(&old)), (name.clone(), format!("{name}.lcm-old")));
    bench.stop(&third, &last).await.expect("stopped");
    bench.start(&broken(&bench)).await.expect_err("it can't run");
    assert_eq!(name_of(&old), name, "and is the fallback");
}

pub(crate) async fn a_foreign_container_is_refused_and_untouched() {
    let bench = Bench::new();
    let web = bench.serving("web", &[]);
    let name = web.object().expect("a container").as_str();
    let made = bench.foreign(name, &[], &[]);
    let created = inspected(&made, ".State");
    assert_eq!(bench.life(&web).await, RunState::Absent);
    let refused = bench.start(&web).await.expect_err("a foreign container");
    assert!(refused.contains(name) && refused.contains("was not made by lcm"), "{refused}");
    let unfit = bench.engine.prepare(&bench.project, &web).await.expect_err("known beforehand").to_string();
    assert!(unfit.contains(name) && unfit.contains("was not made by lcm"), "{unfit}");
    bench.engine.restore(&bench.project, &web).await.expect("nothing of ours to restore");
    bench.engine.settle(&bench.project, &web).await.expect("nothing of ours to settle");
    assert_eq!(inspected(&made, ".State"), created);
    docker(&["rename", &made, &format!("{name}.lcm-old")]).expect("renamed");

    let old = stopped(&bench, &web).await;
    let unfit = bench.engine.prepare(&bench.project, &web).await.expect_err("known before a stop").to_string();
    assert!(unfit.contains(".lcm-old") && unfit.contains("rename or remove it"), "{unfit}");
    let refused = bench.start(&bench.serving("web", &["--work", "2s"])).await.expect_err("the name is taken");
    assert!(refused.contains(".lcm-old"), "{refused}");
    assert_eq!(name_of(&old), name, "nothing was moved");
    bench.engine.settle(&bench.project, &web).await.expect("nothing of ours to settle");
    assert_eq!(inspected(&made, ".State"), created);
}

pub(crate) async fn another_placement_recreates() {
    let bench = Bench::new();
    let mut container = bench.container("web", &[]);
    container.gpu_access = GpuAccess::None;
    let web = own("web", container);
    let (zero, one) = ([GpuId::new("gpu-0")], [GpuId::new("gpu-1")]);
    let first = bench.start_on(&web, &zero).await.expect("started");
    assert_eq!(bench.fact(&web).await.marks.expect("marks").gpus, "gpu-0");
    bench.stop(&web, &first).await.expect("stopped");
    assert_eq!(bench.start_on(&web, &zero).await.as_ref(), Ok(&first));
    bench.stop(&web, &first).await.expect("stopped");
    assert_ne!(bench.start_on(&web, &one).await.expect("started"), first);
    assert_eq!(bench.fact(&web).await.marks.expect("marks").gpus, "gpu-1");
}

pub(crate) async fn an_image_that_cannot_be_pulled_is_named_and_the_old_one_runs_on() {
    let bench = Bench::new();
    let web = bench.serving("web", &[]);
    let instance = bench.start(&web).await.expect("started");
    let with = |pull: PullPolicy| {
        let mut container = bench.container("web", &[]);
        // Port 1 of this machine has no listener.
        "127.0.0.1:1/lcm-test/none:1".clone_into(&mut container.image);
        container.pull = pull;
        own("web", container)
    };
    for pull in [PullPolicy::Missing, PullPolicy::Always] {
        let error = bench.engine.prepare(&bench.project, &with(pull)).await.expect_err("no registry").to_string();
        assert!(error.contains("pull image 127.0.0.1:1/lcm-test/none:1") && error.contains("refused"), "{error}");
    }
    let error = bench.engine.prepare(&bench.project, &with(PullPolicy::Never)).await.expect_err("not here").to_string();
    assert!(error.contains("pull_policy: never"), "{error}");
    assert_eq!(bench.inspect_service(&web).await.instance, Some(instance));
    assert_eq!(bench.life(&web).await, RunState::Running);
}
