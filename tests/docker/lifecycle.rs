//! Start, stop, remove; checks before a start, and settings of a new container.

use std::time::Duration;

use crate::bench::{Bench, docker, id, inspected, own, service, until};
use crate::image::SERVER;
use lcm::model::desired::{GpuRequest, Service, StopPolicy};
use lcm::model::endpoint::{Protocol, PublishedPort};
use lcm::model::environment::EnvValue;
use lcm::model::names::GpuId;
use lcm::model::secret::Secret;
use lcm::model::spec::Spec;
use lcm::runtime::docker::facts::ContainerState;
use lcm::runtime::docker::intent::{ContainerSpec, ExistingContainer, GpuAccess, Ulimit};
use lcm::runtime::{Pause, RunState, StopRequest};

pub(crate) async fn a_container_is_created_started_stopped_and_removed() {
    let bench = Bench::new();
    let web = bench.serving("web", &[]);
    assert_eq!(bench.life(&web).await, RunState::Absent);
    bench.engine.prepare(&bench.project, &web).await.expect("prepared");
    let instance = bench.start(&web).await.expect("started");

    let inspection = bench.inspect_service(&web).await;
    assert_eq!((inspection.run_state, inspection.instance.as_ref()), (RunState::Running, Some(&instance)));
    assert_eq!(inspection.spec.as_deref(), Some(web.spec.hash()));
    let fact = bench.fact(&web).await;
    let marks = fact.marks.expect("marks");
    assert_eq!((marks.project.as_str(), marks.service.as_str()), (bench.project.as_str(), "web"));
    assert_eq!((marks.vram_mib, marks.salt.len()), (512, 32));
    assert!(marks.config.contains(r#""grace_ms":60000"#), "{}", marks.config);
    assert_eq!(bench.start(&web).await.as_ref(), Ok(&instance), "one that runs already is fine");

    bench.stop(&web, &instance).await.expect("stopped");
    bench.stop(&web, &instance).await.expect("one that has ended is fine");
    match bench.life(&web).await {
        RunState::Ended(Some(exit)) => assert_eq!((exit.code, exit.at.is_some()), (Some(0), true)),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.start(&web).await.as_ref(), Ok(&instance), "the same one again");
    bench.engine.remove(&bench.project, &instance).await.expect_err("it runs");
    bench.stop(&web, &instance).await.expect("stopped");
    bench.engine.remove(&bench.project, &instance).await.expect("removed");
    assert_eq!(bench.life(&web).await, RunState::Absent);
    bench.engine.remove(&bench.project, &instance).await.expect("one that is gone is fine");
    bench.stop(&web, &instance).await.expect("one that is gone is fine");
}

fn existing(name: &str) -> Service {
    service("named", ExistingContainer { container: name.into(), accepts_auto_remove: false })
}

pub(crate) async fn an_existing_container_is_started_and_stopped() {
    let bench = Bench::new();
    let name = format!("{}-existing", bench.project);
    let service = existing(&name);
    assert_eq!(bench.life(&service).await, RunState::Absent);
    let missing = bench.engine.prepare(&bench.project, &service).await.expect_err("missing").to_string();
    assert!(missing.contains(&name) && missing.contains("does not exist"), "{missing}");
    assert!(bench.start(&service).await.expect_err("missing").contains("does not exist"));

    let made = bench.foreign(&name, &["--restart", "always"], &[]);
    bench.engine.prepare(&bench.project, &service).await.expect("prepared");
    let instance = bench.start(&service).await.expect("started");
    assert_eq!(id(&instance), made);
    let fact = bench.fact(&service).await;
    assert_eq!((fact.restart_policy.as_deref(), fact.state), (Some("always"), ContainerState::Running));
    assert!(fact.started_at.is_some() && fact.marks.is_none(), "{fact:?}");
    bench.stop(&service, &instance).await.expect("stopped");
    assert_eq!(bench.fact(&service).await.exit_code, Some(0));
    let refused = bench.engine.remove(&bench.project, &instance).await.expect_err("not ours").to_string();
    assert!(refused.contains("was not made by lcm"), "{refused}");
    assert!(!bench.engine.restore(&bench.project, &service).await.expect("nothing to restore"));
}

pub(crate) async fn an_existing_container_whose_mounted_folder_is_gone_is_not_started() {
    let bench = Bench::new();
    let (name, folder) = (format!("{}-bound", bench.project), tempfile::tempdir().expect("a folder"));
    let service = existing(&name);
    let path = folder.path().display().to_string();
    bench.foreign(&name, &["--volume", &format!("{path}:/data")], &[]);
    bench.engine.prepare(&bench.project, &service).await.expect("prepared");
    folder.close().expect("removed");
    let missing = bench.engine.prepare(&bench.project, &service).await.expect_err("missing").to_string();
    assert!(missing.contains(&path) && missing.contains("no longer exists"), "{missing}");
}

pub(crate) async fn a_restart_policy_does_not_bring_back_what_was_stopped() {
    let bench = Bench::new();
    // It ends again and again, and its policy starts it again at once.
    let name = format!("{}-again", bench.project);
    bench.foreign(&name, &["--restart", "always"], &["--die-after", "50ms"]);
    let mut service = existing(&name);
    let engines_own = service.stop.clone();
    let command = StopPolicy { exec: Some(vec![SERVER.to_owned(), "--help".to_owned()]), ..engines_own.clone() };
    for policy in [engines_own, command] {
        service.stop = StopPolicy { grace: Duration::from_millis(300), ..policy };
        let instance = bench.start(&service).await.expect("started");
        until("it was restarted", || async { inspected(&name, ".RestartCount") != "0" }).await;
        bench.stop(&service, &instance).await.expect("stopped");
        assert!(matches!(bench.life(&service).await, RunState::Ended(_)));
        assert_eq!(inspected(&name, ".State.Restarting"), "false");
    }
}

pub(crate) async fn a_container_that_ignores_its_signal_is_killed_after_the_grace_period() {
    let bench = Bench::new();
    let mut web = bench.serving("web", &["--ignore-term"]);
    web.stop.grace = Duration::from_millis(200);
    let instance = bench.start(&web).await.expect("started");
    bench.stop(&web, &instance).await.expect("stopped");
    let fact = bench.fact(&web).await;
    assert_eq!((fact.state, fact.exit_code, fact.oom_killed), (ContainerState::Exited, Some(137), false));
    assert!(fact.started_at.is_some(), "a killed one is inspected");

    web.stop.signal = Some("SIGINT".to_owned());
    bench.start(&web).await.expect("started");
    bench.stop(&web, &instance).await.expect("killed after another signal, too");
    assert_eq!(bench.fact(&web).await.exit_code, Some(137));
}

pub(crate) async fn a_signal_of_the_policy_is_sent_in_place_of_the_containers_own() {
    let bench = Bench::new();
    let name = format!("{}-signal", bench.project);
    bench.foreign(&name, &[], &[]);
    let mut named = existing(&name);
    let instance = bench.start(&named).await.expect("started");
    bench.stop(&named, &instance).await.expect("stopped");
    assert_eq!(bench.fact(&named).await.exit_code, Some(0), "TERM lets it end by itself");
    named.stop.signal = Some("KILL".to_owned());
    bench.start(&named).await.expect("started");
    bench.stop(&named, &instance).await.expect("stopped");
    assert_eq!(bench.fact(&named).await.exit_code, Some(137));

    let mut own = bench.serving("own", &[]);
    own.stop.signal = Some("INT".to_owned());
    let instance = bench.start(&own).await.expect("started");
    assert_eq!(inspected(id(&instance), ".Config.StopSignal"), r#""INT""#, "any stop uses that signal");
}

pub(crate) async fn a_paused_container_is_resumed_or_stopped() {
    let bench = Bench::new();
    let web = bench.serving("web", &[]);
    let instance = bench.start(&web).await.expect("started");
    let pause = Pause { project: &bench.project, service: &web.name, instance: &instance };
    bench.engine.pause(&pause).await.expect("paused");
    bench.engine.pause(&pause).await.expect("one that is paused is fine");
    assert_eq!(bench.life(&web).await, RunState::Suspended);
    assert_eq!(bench.fact(&web).await.state, ContainerState::Paused);
    bench.engine.unpause(&pause).await.expect("unpaused");
    bench.engine.unpause(&pause).await.expect("one that runs is fine");
    assert_eq!(bench.life(&web).await, RunState::Running);
    bench.engine.pause(&pause).await.expect("paused");
    bench.stop(&web, &instance).await.expect("stopped");
    assert_eq!(bench.fact(&web).await.exit_code, Some(0), "it could still end by itself");
    bench.engine.pause(&pause).await.expect_err("it does not run");
}

pub(crate) async fn a_container_of_another_project_is_neither_stopped_nor_removed() {
    let (bench, other) = (Bench::new(), Bench::new());
    let theirs = other.serving("web", &[]);
    let instance = other.start(&theirs).await.expect("started");
    let stop = StopRequest {
        project: &bench.project,
        service: &theirs.name,
        instance: &instance,
        policy: &theirs.stop,
        definition: None,
    };
    let refused = bench.engine.stop(&stop).await.expect_err("not ours").to_string();
    assert!(refused.contains(&format!("lcm project {}", other.project)), "{refused}");
    bench.engine.remove(&bench.project, &instance).await.expect_err("not ours");
    let pause = Pause { project: &bench.project, service: &theirs.name, instance: &instance };
    bench.engine.pause(&pause).await.expect_err("not ours");
    assert_eq!(other.life(&theirs).await, RunState::Running);

    let named = existing(theirs.object().expect("a container").as_str());
    assert_eq!(bench.life(&named).await, RunState::Absent, "nothing of ours");
    bench.start(&named).await.expect_err("not ours");
    let gone = lcm::runtime::docker::instance(id(&instance)[..12].to_owned(), "");
    other.stop(&theirs, &gone).await.expect("the beginning of an id is no id");
    assert_eq!(other.life(&theirs).await, RunState::Running);
}

pub(crate) async fn ports_devices_networks_and_labels_are_checked_before_anything_starts() {
    let bench = Bench::new();
    let refusal = async |change: fn(&mut ContainerSpec)| {
        let mut container = bench.container("web", &[]);
        change(&mut container);
        bench.engine.prepare(&bench.project, &own("web", container)).await.expect_err("refused").to_string()
    };
    let message = refusal(|container| container.networks = vec!["lcm-test-no-such".to_owned()]).await;
    assert!(message.contains("network lcm-test-no-such"), "{message}");
    let message = refusal(|container| container.devices = vec!["/dev/lcm-none:/dev/x".to_owned()]).await;
    assert!(message.contains("device /dev/lcm-none"), "{message}");
    let message = refusal(|container| container.volumes = vec!["/lcm/no/such:/data:ro".to_owned()]).await;
    assert!(message.contains("volume /lcm/no/such:/data:ro: there is no /lcm/no/such on this machine"), "{message}");
    assert!(!std::path::Path::new("/lcm").exists(), "nothing was made");
    let label = |container: &mut ContainerSpec| {
        container.labels.insert("lcm.project".to_owned(), "mine".to_owned());
    };
    assert!(refusal(label).await.contains("lcm.project"));
    assert!(refusal(|container| "../containers".clone_into(&mut container.image)).await.contains("not an image"));
}

pub(crate) async fn networks_are_joined_before_the_start() {
    let bench = Bench::new();
    let mut container = bench.container("web", &[]);
    for side in ["a", "b"] {
        let network = format!("{}-{side}", bench.project);
        docker(&["network", "create", &network]).expect("a network");
        bench.at_the_end(&["network", "rm", &network]);
        container.networks.push(network);
    }
    container.ports = vec![PublishedPort {
        address: Some("127.0.0.1".to_owned()),
        host: None,
        container: 8000,
        protocol: Protocol::Tcp,
    }];
    let networks = container.networks.clone();
    let web = own("web", container);
    bench.engine.prepare(&bench.project, &web).await.expect("prepared");
    let instance = bench.start(&web).await.expect("started");
    let joined = inspected(id(&instance), ".NetworkSettings.Networks");
    assert!(networks.iter().all(|network| joined.contains(network)), "{joined}");
    assert!(joined.contains(r#""web""#), "others resolve the service's name: {joined}");
}

pub(crate) async fn secrets_reach_the_environment_and_no_label() {
    let bench = Bench::new();
    let with = |token: &str| {
        let mut container = bench.container("web", &[]);
        container.environment.insert("MODE".to_owned(), EnvValue::Plain("fast".to_owned()));
        container.environment.insert("TOKEN".to_owned(), EnvValue::Secret(Some(Secret::new(token))));
        let service = own("web", container);
        let secrets = [("TOKEN".to_owned(), Secret::new(token))].into();
        Service { spec: Spec::new(service.spec.config().clone(), secrets), ..service }
    };
    let instance = bench.start(&with("s3cret-one")).await.expect("started");
    let environment = inspected(id(&instance), ".Config.Env");
    assert!(environment.contains("TOKEN=s3cret-one") && environment.contains("MODE=fast"), "{environment}");
    let labels = inspected(id(&instance), ".Config.Labels");
    assert!(!labels.contains("s3cret") && labels.contains("lcm.secrets"), "{labels}");

    bench.stop(&with("s3cret-one"), &instance).await.expect("stopped");
    assert_eq!(bench.start(&with("s3cret-one")).await.as_ref(), Ok(&instance));
    bench.stop(&with("s3cret-one"), &instance).await.expect("stopped");
    assert_ne!(bench.start(&with("s3cret-two")).await.expect("started"), instance, "another secret recreates it");

    let mut container = bench.container("poor", &[]);
    container.environment.insert("TOKEN".to_owned(), EnvValue::Secret(None));
    assert!(bench.start(&own("poor", container)).await.expect_err("missing").contains("TOKEN"));
}

pub(crate) async fn gpus_are_requested_by_id() {
    let bench = Bench::new();
    let with = |name: &str, access: GpuAccess| {
        let mut container = bench.container(name, &[]);
        container.gpu_access = access;
        Service { gpu: GpuRequest::Auto, ..own(name, container) }
    };
    let gpus = [GpuId::new("GPU-00000000-0000-0000-0000-00000000beef"), GpuId::new("gpu-1")];
    let requesting = with("requesting", GpuAccess::Request);
    if !docker(&["info", "--format", "{{json .Runtimes}}"]).expect("an engine").contains("nvidia") {
        let missing = bench.engine.prepare(&bench.project, &requesting).await.expect_err("no GPU support").to_string();
        assert!(missing.contains("NVIDIA Container Toolkit"), "{missing}");
    }
    // No machine has that GPU, so that the container is created and does not start.
    bench.start_on(&requesting, &gpus).await.expect_err("no such GPU");
    let fact = bench.fact(&requesting).await;
    assert_eq!(fact.state, ContainerState::Created);
    assert_eq!(bench.life(&requesting).await, RunState::Ended(None));
    let requests = inspected(&fact.id, ".HostConfig.DeviceRequests");
    assert!(requests.contains(r#""DeviceIDs":["GPU-00000000-0000-0000-0000-00000000beef","1"]"#), "{requests}");
    assert!(requests.contains(r#""Driver":"nvidia""#) && requests.contains(r#"[["gpu"]]"#), "{requests}");

    let by_variable = with("by-variable", GpuAccess::Environment);
    bench.engine.prepare(&bench.project, &by_variable).await.expect("it requests no device");
    let instance = bench.start_on(&by_variable, &gpus).await.expect("started");
    let environment = inspected(id(&instance), ".Config.Env");
    assert!(environment.contains("NVIDIA_VISIBLE_DEVICES=GPU-00000000-0000-0000-0000-00000000beef,1"), "{environment}");
    assert_eq!(inspected(id(&instance), ".HostConfig.DeviceRequests"), "null");
}

pub(crate) async fn settings_of_the_manifest_reach_the_engine_and_volumes_stay() {
    let bench = Bench::new();
    let volume = format!("{}-data", bench.project);
    bench.at_the_end(&["volume", "rm", &volume]);
    let mut container = bench.container("web", &[]);
    container.volumes = vec![format!("{volume}:/data:ro")];
    container.user = Some("1234:1234".to_owned());
    container.shm_size_bytes = Some(128 << 20);
    container.ipc = Some("private".to_owned());
    container.devices = vec!["/dev/null:/dev/nothing:r".to_owned()];
    container.ulimits.insert("nofile".to_owned(), Ulimit { soft: 2000, hard: 3000 });
    container.labels.insert("team".to_owned(), "voice".to_owned());
    let web = own("web", container);
    bench.engine.prepare(&bench.project, &web).await.expect("prepared");
    let instance = bench.start(&web).await.expect("started");
    let host = inspected(id(&instance), ".HostConfig");
    let expected = [
        format!(r#""Binds":["{volume}:/data:ro"]"#),
        format!(r#""ShmSize":{}"#, 128 << 20),
        r#""IpcMode":"private""#.to_owned(),
        r#""PathInContainer":"/dev/nothing""#.to_owned(),
        r#""Name":"nofile""#.to_owned(),
        r#""Hard":3000"#.to_owned(),
        r#""RestartPolicy":{"Name":"no""#.to_owned(),
    ];
    for part in expected {
        assert!(host.contains(&part), "{part} is not in {host}");
    }
    assert_eq!(inspected(id(&instance), ".Config.User"), r#""1234:1234""#);
    assert!(inspected(id(&instance), ".Config.Labels").contains(r#""team":"voice""#));
    bench.stop(&web, &instance).await.expect("stopped");
    bench.engine.remove(&bench.project, &instance).await.expect("removed");
    docker(&["volume", "inspect", &volume]).expect("no volume is ever removed");
}
