//! Processes that somebody else started.

use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use lcm::driver::{DriverError, Life};
use lcm::model::desired::PidFile;
use lcm::model::observed::Instance;
use rustix::process::geteuid;

use crate::support::{Bench, Stranger, lives, process_of, write};

#[tokio::test]
async fn a_pid_file_names_a_service() {
    let bench = Bench::new();
    let stranger = Stranger::sleep(|_| {});
    let path = bench.path("pid");
    write(&path, &format!("{}\n", stranger.pid()));
    let mut service = bench.service("web", "exec sleep 600");
    process_of(&mut service).pid_file = Some(PidFile { path: path.clone(), matching: "sleep 600".to_owned() });
    let look = bench.look(&service).await;
    assert_eq!(look.life, Life::Running);
    let tree = bench.tree(&service).await;
    assert!(tree.adopted && tree.started_at.is_some());
    assert_eq!(tree.members[0].pid, stranger.pid());
    let instance = look.instance.expect("it is there");
    let id = format!("{}:{}", stranger.pid(), tree.members[0].start_ticks);
    assert_eq!(instance, Instance::Tree { id });
    assert_eq!(bench.start(&service).await, instance, "it runs already");
    bench.stop(&service, &instance).await;
    assert!(!lives(stranger.pid()));
    assert_eq!(bench.look(&service).await.life, Life::Absent);
}

#[tokio::test]
async fn a_pid_file_that_lies_names_nothing() {
    let bench = Bench::new();
    let stranger = Stranger::sleep(|_| {});
    let path = bench.path("pid");
    let mut service = bench.service("web", "exec sleep 600");
    let mut name = |matching: &str| {
        process_of(&mut service).pid_file = Some(PidFile { path: path.clone(), matching: matching.to_owned() });
        service.clone()
    };
    write(&path, &stranger.pid().to_string());
    assert_eq!(bench.look(&name("another program")).await.life, Life::Absent);
    assert_eq!(bench.look(&name("sleep")).await.life, Life::Running);

    // Written long before that process was started: the pid was another's then.
    let file = std::fs::File::options().write(true).open(&path).expect("the file");
    file.set_modified(std::time::SystemTime::now() - Duration::from_hours(1)).expect("set back");
    assert_eq!(bench.look(&name("sleep")).await.life, Life::Absent);
    write(&path, "no pid");
    assert_eq!(bench.look(&name("sleep")).await.life, Life::Absent);

    if geteuid().is_root() {
        let other = Stranger::sleep(|command| {
            command.uid(65534);
        });
        write(&path, &other.pid().to_string());
        assert_eq!(bench.look(&name("sleep")).await.life, Life::Absent, "it is another user's");
        let error = bench.processes.adopt(&bench.project, &service.name, other.pid()).expect_err("not ours");
        assert!(error.to_string().contains("user 65534's"), "{error}");
    }
}

#[tokio::test]
async fn an_operator_may_say_what_a_service_is() {
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    let stranger = Stranger::sleep(|_| {});
    let adopted = bench.processes.adopt(&bench.project, &service.name, stranger.pid()).expect("adopted");
    assert_eq!(adopted.pid, stranger.pid());
    let look = bench.look(&service).await;
    assert_eq!((look.life, look.spec), (Life::Running, None));
    let instance = look.instance.expect("it is there");
    drop(stranger);
    assert_eq!(bench.look(&service).await.life, Life::Absent, "it was adopted until its end");
    bench.stop(&service, &instance).await;
}

#[tokio::test]
async fn an_adopted_tree_ends_with_what_it_started_and_no_more() {
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    let mut command = std::process::Command::new("sh");
    let line = format!("sleep 600 & echo $! > {}; wait", bench.path("child").display());
    let mut stranger = Stranger(command.args(["-c", &line]).spawn().expect("sh runs"));
    let bystander = Stranger::sleep(|_| {});
    let child: i32 = bench.line_of("child").await.parse().expect("a pid");
    bench.processes.adopt(&bench.project, &service.name, stranger.pid()).expect("adopted");
    let tree = bench.tree(&service).await;
    assert_eq!(tree.members.iter().map(|member| member.pid).collect::<Vec<_>>(), [stranger.pid(), child]);
    let instance = Instance::Tree { id: tree.marks.salt };
    bench.stop(&service, &instance).await;
    assert!(!lives(stranger.pid()) && !lives(child) && lives(bystander.pid()));
    let _ = stranger.0.wait();
}

#[tokio::test]
async fn what_is_a_service_already_or_nothing_at_all_is_not_adopted() {
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    bench.start(&service).await;
    let pid = bench.tree(&service).await.members[0].pid;
    let other = bench.service("other", "exec sleep 600");
    let adopt = |pid| bench.processes.adopt(&bench.project, &other.name, pid);
    let error = adopt(pid).expect_err("it is a service already");
    assert!(matches!(&error, DriverError::Refused(text) if text.contains("part of `web`")), "{error}");
    let gone = {
        let stranger = Stranger::sleep(|_| {});
        stranger.pid()
    };
    assert!(adopt(gone).is_err() && adopt(1).is_err());
    assert!(adopt(i32::try_from(std::process::id()).expect("a pid")).is_err(), "lcm itself is no service");
    assert_eq!(bench.look(&other).await.life, Life::Absent);
}
