//! Tests of the checks of an engine.

use super::{EngineAnswers, EngineFault, EngineReading, Location, judge};
use crate::model::doctor::CheckLevel::{self, Fail, Ok as Fine, Skip, Warn};
use crate::model::doctor::{Demand, MachineCheck, RuntimeDemand};

fn reading(outcome: Result<EngineAnswers, EngineFault>) -> EngineReading {
    let (endpoint, user) = ("unix:///var/run/docker.sock".to_owned(), "kim".to_owned());
    EngineReading { endpoint, is_named: false, user, outcome }
}

fn answers() -> EngineAnswers {
    EngineAnswers {
        name: "Docker Engine".to_owned(),
        version: "27.3.1".to_owned(),
        api: "1.47".to_owned(),
        images: Some(("/var/lib/docker".into(), 90_000)),
        pull_free_mib_min: 1024,
        ..EngineAnswers::default()
    }
}

fn demand(runtime: Demand, gpus: Demand) -> RuntimeDemand {
    RuntimeDemand { runtime, gpus }
}

#[test]
fn an_engine_that_does_not_answer_has_the_repair_of_its_cause() {
    for (fault, unknown, unneeded, found, help) in [
        (EngineFault::NoSocket, Skip, Skip, "no container engine found", "docs.docker.com/engine/install"),
        (
            EngineFault::Denied,
            Fail,
            Warn,
            "kim may not connect",
            "usermod -aG docker kim, then log in again; this gives",
        ),
        (EngineFault::NotRunning, Fail, Warn, "is not running", "systemctl start docker"),
        (EngineFault::Silent { deadline_s: 3 }, Fail, Warn, "does not answer within 3 s", "systemctl restart docker"),
        (EngineFault::Other("broken pipe".to_owned()), Fail, Warn, "broken pipe", "docker version"),
        (EngineFault::Refused("DOCKER_HOST points elsewhere".to_owned()), Fail, Warn, "DOCKER_HOST", ""),
    ] {
        let check = |demand| -> MachineCheck {
            let mut checks =
                judge(&reading(Err(fault.clone())), RuntimeDemand { runtime: demand, ..Default::default() });
            assert_eq!(checks.len(), 1);
            checks.remove(0)
        };
        let levels: Vec<CheckLevel> =
            [Demand::Unknown, Demand::Unneeded, Demand::Needed].map(|demand| check(demand).level).to_vec();
        assert_eq!(levels, [unknown, unneeded, Fail], "{fault:?}");
        let check = check(Demand::Needed);
        assert!(check.found.contains(found) && check.help.join("\n").contains(help), "{check:?}");
    }
    let named = EngineReading { is_named: true, ..reading(Err(EngineFault::NoSocket)) };
    assert_eq!(judge(&named, RuntimeDemand::default())[0].level, Fail);
}

#[test]
fn the_engine_is_named_with_version_and_location() {
    let check = |answers| judge(&reading(Ok(answers)), RuntimeDemand::default()).remove(0);
    let here = check(answers());
    assert_eq!(here.level, Fine);
    assert_eq!(
        here.found,
        "Docker Engine 27.3.1 (API 1.47) at unix:///var/run/docker.sock, proven to be this machine's"
    );
    let old = check(EngineAnswers { api: "1.39".to_owned(), ..answers() });
    assert_eq!(old.level, Warn);
    assert!(old.found.contains("older than Docker 20.10"), "{old:?}");
    let forwarded =
        EngineAnswers { location: Location::Elsewhere("its socket is held by ssh".to_owned()), ..answers() };
    let elsewhere = check(forwarded.clone());
    assert_eq!(elsewhere.level, Fail);
    assert!(elsewhere.help[0].contains("docker: { host: \"unix:///var/run/docker.sock\" }"), "{elsewhere:?}");
    let named = EngineReading { is_named: true, ..reading(Ok(forwarded)) };
    assert_eq!(judge(&named, RuntimeDemand::default())[0].level, Fine);
}

#[test]
fn gpus_of_containers_matter_only_where_something_needs_them() {
    let check = |answers: EngineAnswers, runtime, gpus| {
        let checks = judge(&reading(Ok(answers)), demand(runtime, gpus));
        checks.into_iter().find(|check| check.check == "docker_gpus").expect("a line")
    };
    assert_eq!(check(answers(), Demand::Unknown, Demand::Unknown).level, Skip);
    let missing = check(answers(), Demand::Needed, Demand::Needed);
    assert_eq!(missing.level, Fail);
    assert!(missing.help[1].contains("nvidia-ctk runtime configure"), "{missing:?}");
    assert_eq!(check(answers(), Demand::Unknown, Demand::Needed).level, Warn);
    let runtimes = vec!["runc".to_owned(), "nvidia".to_owned()];
    let with = check(EngineAnswers { runtimes, ..answers() }, Demand::Needed, Demand::Needed);
    assert_eq!((with.level, with.found.as_str()), (Fine, "containers can get GPUs, by the nvidia runtime"));
    let cdi = EngineAnswers { has_gpu_devices: true, ..answers() };
    assert_eq!(check(cdi, Demand::Needed, Demand::Needed).level, Fine);
    let with_file = EngineAnswers { gpu_specifications: vec!["/etc/cdi/nvidia.yaml".into()], ..answers() };
    let unread = check(with_file.clone(), Demand::Needed, Demand::Needed);
    assert!(
        unread.found.contains("/etc/cdi/nvidia.yaml is there") && unread.help[0].contains("daemon.json"),
        "{unread:?}"
    );
    let old = check(EngineAnswers { version: "20.10.24".to_owned(), ..with_file }, Demand::Needed, Demand::Needed);
    assert!(old.found.contains("only Docker 25 and newer"), "{old:?}");
}

#[test]
fn a_rootless_engine_and_a_full_disk_have_a_line_of_their_own() {
    let lines = |answers| -> Vec<String> {
        let checks = judge(&reading(Ok(answers)), demand(Demand::Unknown, Demand::Needed));
        checks.into_iter().map(|check| check.check).collect()
    };
    assert_eq!(lines(answers()), ["docker_engine", "docker_gpus"]);
    let full = EngineAnswers { images: Some(("/var/lib/docker".into(), 7)), is_rootless: true, ..answers() };
    assert_eq!(lines(full), ["docker_engine", "docker_rootless", "docker_gpus", "docker_disk"]);
}
