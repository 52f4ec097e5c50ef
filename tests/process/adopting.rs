//! Adoption of processes that lcm did not start.

use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use lcm::model::desired::{Desired, Service};
use lcm::model::facts::ProcessFact;
use lcm::model::names::ProjectName;
use lcm::runtime::contract::{Adoption, Runtime as _};
use lcm::runtime::process::intent::PidFile;
use lcm::runtime::{DriverError, RunState};
use rustix::process::geteuid;

use crate::support::{Bench, Foreign, lives, process_of, write};

/// Adopts a process, no matter which program it runs.
fn adopt(bench: &Bench, desired: &Desired, service: &Service, pid: i32) -> Result<ProcessFact, DriverError> {
    bench.processes.adopt(&Adoption { desired, service: &service.name, pid, is_forced: true })
}

#[tokio::test]
async fn a_pid_file_names_a_service() {
    let bench = Bench::new();
    let foreign = Foreign::sleep(|_| {});
    let path = bench.path("pid");
    write(&path, &format!("{}\n", foreign.pid()));
    let mut service = bench.service("web", "exec sleep 600");
    process_of(&mut service).pid_file = Some(PidFile { path: path.clone(), matching: "sleep 600".to_owned() });
    let inspection = bench.inspect_service(&service).await;
    assert_eq!(inspection.run_state, RunState::Running);
    let tree = bench.tree(&service).await;
    assert!(tree.adopted && tree.started_at.is_some());
    assert_eq!(tree.members[0].pid, foreign.pid());
    let instance = inspection.instance.expect("it is there");
    let id = format!("{}:{}", foreign.pid(), tree.members[0].start_ticks);
    assert_eq!(instance, lcm::runtime::process::instance(id));
    assert_eq!(bench.start(&service).await, instance, "it runs already");
    bench.stop(&service, &instance).await;
    assert!(!lives(foreign.pid()));
    assert_eq!(bench.inspect_service(&service).await.run_state, RunState::Absent);
}

#[tokio::test]
async fn a_pid_file_with_a_wrong_or_stale_pid_is_ignored() {
    let bench = Bench::new();
    let foreign = Foreign::sleep(|_| {});
    let path = bench.path("pid");
    let mut service = bench.service("web", "exec sleep 600");
    let mut name = |matching: &str| {
        process_of(&mut service).pid_file = Some(PidFile { path: path.clone(), matching: matching.to_owned() });
        service.clone()
    };
    write(&path, &foreign.pid().to_string());
    assert_eq!(bench.inspect_service(&name("another program")).await.run_state, RunState::Absent);
    assert_eq!(bench.inspect_service(&name("sleep")).await.run_state, RunState::Running);

    // Written long before that process was started: the pid belonged to another process.
    let file = std::fs::File::options().write(true).open(&path).expect("the file");
    file.set_modified(std::time::SystemTime::now() - Duration::from_hours(1)).expect("set back");
    assert_eq!(bench.inspect_service(&name("sleep")).await.run_state, RunState::Absent);
    write(&path, "no pid");
    assert_eq!(bench.inspect_service(&name("sleep")).await.run_state, RunState::Absent);

    if geteuid().is_root() {
        let other = Foreign::sleep(|command| {
            command.uid(65534);
        });
        write(&path, &other.pid().to_string());
        assert_eq!(bench.inspect_service(&name("sleep")).await.run_state, RunState::Absent, "it is another user's");
        let error = adopt(&bench, &bench.desired(&[&service]), &service, other.pid()).expect_err("not ours");
        assert!(error.to_string().contains("belongs to user 65534"), "{error}");
    }
}

#[tokio::test]
async fn an_operator_may_adopt_a_process_as_a_service() {
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    let foreign = Foreign::sleep(|_| {});
    let adopted = adopt(&bench, &bench.desired(&[&service]), &service, foreign.pid()).expect("adopted");
    assert_eq!(adopted.pid, foreign.pid());
    let inspection = bench.inspect_service(&service).await;
    assert_eq!((inspection.run_state, inspection.spec), (RunState::Running, None));
    let instance = inspection.instance.expect("it is there");
    drop(foreign);
    assert_eq!(bench.inspect_service(&service).await.run_state, RunState::Absent, "it was adopted until its end");
    bench.stop(&service, &instance).await;
}

#[tokio::test]
async fn a_stop_of_an_adopted_tree_ends_its_descendants_and_no_other_process() {
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    let mut command = std::process::Command::new("sh");
    let line = format!("sleep 600 & echo $! > {}; wait", bench.path("child").display());
    let mut foreign = Foreign(command.args(["-c", &line]).spawn().expect("sh runs"));
    let bystander = Foreign::sleep(|_| {});
    let child: i32 = bench.line_of("child").await.parse().expect("a pid");
    adopt(&bench, &bench.desired(&[&service]), &service, foreign.pid()).expect("adopted");
    let tree = bench.tree(&service).await;
    assert_eq!(tree.members.iter().map(|member| member.pid).collect::<Vec<_>>(), [foreign.pid(), child]);
    let instance = lcm::runtime::process::instance(tree.marks.salt);
    bench.stop(&service, &instance).await;
    assert!(!lives(foreign.pid()) && !lives(child) && lives(bystander.pid()));
    let _ = foreign.0.wait();
}

#[tokio::test]
async fn a_process_of_another_service_a_dead_one_and_lcm_itself_are_not_adopted() {
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    bench.start(&service).await;
    let pid = bench.tree(&service).await.members[0].pid;
    let other = bench.service("other", "exec sleep 600");
    let adopt = |pid| adopt(&bench, &bench.desired(&[&service, &other]), &other, pid);
    let error = adopt(pid).expect_err("it is a service already");
    assert!(matches!(&error, DriverError::Refused(text) if text.contains("part of `web`")), "{error}");
    let gone = {
        let foreign = Foreign::sleep(|_| {});
        foreign.pid()
    };
    assert!(adopt(gone).is_err() && adopt(1).is_err());
    assert!(adopt(i32::try_from(std::process::id()).expect("a pid")).is_err(), "lcm itself is no service");
    assert_eq!(bench.inspect_service(&other).await.run_state, RunState::Absent);
}

fn refused(result: Result<ProcessFact, DriverError>, reason: &str) {
    match result {
        Err(DriverError::Refused(text)) => assert!(text.contains(reason), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn no_part_of_an_adopted_tree_is_adopted_by_a_second_service() {
    let bench = Bench::new();
    let (one, two) = (bench.service("one", "exec sleep 600"), bench.service("two", "exec sleep 600"));
    let mut command = std::process::Command::new("sh");
    let line = format!("sh -c 'echo $$ > {}; sleep 600 & wait' & wait", bench.path("child").display());
    let parent = Foreign(command.args(["-c", &line]).spawn().expect("sh runs"));
    let child: i32 = bench.line_of("child").await.parse().expect("a pid");
    let desired = bench.desired(&[&one, &two]);
    // Another project of the same state folder.
    let elsewhere = Desired::plain(ProjectName::new(format!("{}-other", bench.project)), [two.clone()]);
    let adopt = |desired: &Desired, service: &Service, pid| adopt(&bench, desired, service, pid);

    adopt(&desired, &one, parent.pid()).expect("adopted");
    let whose = format!("part of `one` of project {}", bench.project);
    for desired in [&desired, &elsewhere] {
        refused(adopt(desired, &two, parent.pid()), &format!("it is already {whose}"));
        let reason = format!("it descends from process {} (sh), which is {whose}", parent.pid());
        refused(adopt(desired, &two, child), &reason);
    }
    adopt(&desired, &one, parent.pid()).expect("it is its own already");
    assert_eq!(bench.inspect_service(&two).await.run_state, RunState::Absent);
    let id = bench.inspect_service(&one).await.instance.expect("it is there");
    let members: Vec<i32> = bench.tree(&one).await.members.iter().map(|member| member.pid).collect();
    bench.stop(&one, &id).await;
    assert!(members.iter().all(|pid| !lives(*pid)));

    let mut command = std::process::Command::new("sh");
    let line = format!("sh -c 'echo $$ > {}; sleep 600 & wait' & wait", bench.path("second").display());
    let parent = Foreign(command.args(["-c", &line]).spawn().expect("sh runs"));
    let child: i32 = bench.line_of("second").await.parse().expect("a pid");
    adopt(&desired, &one, child).expect("adopted: the earlier one has ended");
    refused(adopt(&desired, &two, parent.pid()), &format!("process {child} (sh) descends from it, and is {whose}"));
    let id = bench.inspect_service(&one).await.instance.expect("it is there");
    bench.stop(&one, &id).await;
    assert!(!lives(child));
}

#[tokio::test]
async fn a_process_in_another_services_pid_file_is_not_adopted() {
    let bench = Bench::new();
    let foreign = Foreign::sleep(|_| {});
    let path = bench.path("pid");
    write(&path, &foreign.pid().to_string());
    let (mut one, two) = (bench.service("one", "exec sleep 600"), bench.service("two", "exec sleep 600"));
    process_of(&mut one).pid_file = Some(PidFile { path: path.clone(), matching: "sleep 600".to_owned() });
    let desired = bench.desired(&[&one, &two]);
    let reason = format!("part of `one` of project {}, by {}", bench.project, path.display());
    refused(adopt(&bench, &desired, &two, foreign.pid()), &reason);
    adopt(&bench, &desired, &one, foreign.pid()).expect("its own");
}

#[tokio::test]
async fn a_service_that_runs_adopts_nothing_else() {
    let bench = Bench::new();
    let (web, known) = (bench.service("web", "exec sleep 600"), bench.service("known", "exec sleep 600"));
    let desired = bench.desired(&[&web, &known]);
    let instance = bench.start(&web).await;
    let (first, second) = (Foreign::sleep(|_| {}), Foreign::sleep(|_| {}));
    let running = bench.tree(&web).await.members[0].pid;
    let adopt = |service: &Service, pid| adopt(&bench, &desired, service, pid);
    refused(adopt(&web, first.pid()), &format!("`web` already runs as pid {running}"));
    assert_eq!(bench.inspect_service(&web).await.instance, Some(instance.clone()));

    adopt(&known, first.pid()).expect("adopted");
    refused(adopt(&known, second.pid()), &format!("`known` already runs as pid {}", first.pid()));
    assert_eq!(bench.tree(&known).await.members[0].pid, first.pid(), "nothing changed");
    drop(first);
    adopt(&known, second.pid()).expect("the first has ended");
    bench.stop(&web, &instance).await;
    adopt(&web, second.pid()).expect_err("it is another's by now");
}

/// Adopts a process only if it looks like the service.
fn adopt_fitting(bench: &Bench, service: &Service, pid: i32) -> Result<ProcessFact, DriverError> {
    let desired = bench.desired(&[service]);
    bench.processes.adopt(&Adoption { desired: &desired, service: &service.name, pid, is_forced: false })
}

#[tokio::test]
async fn a_process_of_another_program_is_not_adopted() {
    let bench = Bench::new();
    let (fitting, other) = (bench.service("one", "exec sleep 600"), bench.service("two", "exec ./server --port 1"));
    let foreign = Foreign::sleep(|_| {});
    let reason = "it runs `sleep 600`, not the command of `two`, which is `sh -c exec ./server --port 1`; check the pid, or \
                  adopt it all the same with `--force`";
    refused(adopt_fitting(&bench, &other, foreign.pid()), reason);
    assert_eq!(bench.inspect_service(&other).await.run_state, RunState::Absent);
    adopt_fitting(&bench, &fitting, foreign.pid()).expect("its program");

    let mut command = std::process::Command::new("sh");
    let parent = Foreign(command.args(["-c", "sleep 600 & wait"]).spawn().expect("sh runs"));
    let third = bench.service("three", "exec sleep 600");
    let below = loop {
        let Err(error) = adopt_fitting(&bench, &third, parent.pid()) else { panic!("it is a shell") };
        // Until the shell has started its child.
        if let Some((_, rest)) = error.to_string().split_once("; process ") {
            break rest.split(' ').next().expect("a pid").parse().expect("a pid");
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(adopt_fitting(&bench, &third, below).expect("named by the refusal").pid, below);
    let instance = bench.inspect_service(&third).await.instance.expect("it is there");
    bench.stop(&third, &instance).await;
}

#[tokio::test]
async fn a_process_without_a_port_of_the_service_is_not_adopted() {
    let bench = Bench::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut service = bench.service("web", "exec sleep 600");
    service.ports = [lcm::model::endpoint::Endpoint::from(port)].into();
    let silent = Foreign::sleep(|_| {});
    refused(
        adopt_fitting(&bench, &service, silent.pid()),
        &format!("it listens on no port, but `web` has port {port}"),
    );
    // A child that inherits the socket listens on it.
    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty()).expect("inherited");
    let listening = Foreign::sleep(|_| {});
    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::CLOEXEC).expect("not inherited any more");
    adopt_fitting(&bench, &service, listening.pid()).expect("it listens");
    service.ports = [lcm::model::endpoint::Endpoint::from(1)].into();
    let second = Service { name: "second".into(), ..service.clone() };
    let other = Foreign::sleep(|_| {});
    refused(adopt_fitting(&bench, &second, other.pid()), "but `second` has port 1");
}

#[tokio::test]
async fn what_was_adopted_is_given_back_and_keeps_running() {
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    let desired = bench.desired(&[&service]);
    let disown = || bench.processes.disown(&desired, &service.name);
    refused(disown(), "it does not run, so nothing is adopted");
    let foreign = Foreign::sleep(|_| {});
    adopt_fitting(&bench, &service, foreign.pid()).expect("adopted");
    assert_eq!(bench.processes.disownable(&desired, &service.name).expect("adopted").pid, foreign.pid());
    assert_eq!(bench.inspect_service(&service).await.run_state, RunState::Running, "it was only checked");
    assert_eq!(disown().expect("given back").pid, foreign.pid());
    assert!(lives(foreign.pid()));
    assert_eq!(bench.inspect_service(&service).await.run_state, RunState::Absent);
    refused(disown(), "nothing is adopted");
    adopt_fitting(&bench, &service, foreign.pid()).expect("once more");
    disown().expect("given back");

    let instance = bench.start(&service).await;
    let pid = bench.tree(&service).await.members[0].pid;
    refused(disown(), &format!("lcm started it, as process {pid} (sleep) under its helper process "));
    bench.stop(&service, &instance).await;

    let path = bench.path("pid");
    write(&path, &foreign.pid().to_string());
    let mut named = bench.service("named", "exec sleep 600");
    process_of(&mut named).pid_file = Some(PidFile { path: path.clone(), matching: "sleep 600".to_owned() });
    let reason = format!("its `pid_file` {} adopts it; remove `pid_file` from the manifest", path.display());
    refused(bench.processes.disown(&bench.desired(&[&named]), &named.name), &reason);
    assert!(lives(foreign.pid()));
}

#[tokio::test]
async fn an_ended_adoption_is_no_service_that_never_ran() {
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    let foreign = Foreign::sleep(|_| {});
    adopt_fitting(&bench, &service, foreign.pid()).expect("adopted");
    drop(foreign);
    let tree = bench.tree(&service).await;
    assert!(tree.adopted && tree.members.is_empty() && tree.exit.is_some());
    let instance = bench.start(&service).await;
    assert!(!bench.tree(&service).await.adopted);
    bench.stop(&service, &instance).await;
}
