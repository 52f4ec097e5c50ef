//! Survival of trees: a killed shim, lost notes and a caller that goes away; each tree is found afterwards.

use std::fs;

use lcm::model::facts::Reading;
use lcm::runtime::{RunState, Start};
use rustix::process::Signal;

use crate::support::{Bench, kill, lives, process_of, wait_for};

#[tokio::test]
async fn a_tree_whose_shim_was_killed_is_still_ours() {
    let bench = Bench::new();
    let service = bench.service("web", "sleep 600 & exec sleep 600");
    let instance = bench.start(&service).await;
    let shim = bench.tree(&service).await.shim.expect("a shim");
    kill(shim.pid, Signal::KILL);
    wait_for("the shim's end", || (!lives(shim.pid)).then_some(())).await;
    let inspection = bench.inspect_service(&service).await;
    assert_eq!((inspection.run_state, inspection.instance.as_ref()), (RunState::Running, Some(&instance)));
    assert_eq!(bench.start(&service).await, instance, "it is not started anew for that");
    bench.stop(&service, &instance).await;
    bench.assert_empty();
}

#[tokio::test]
async fn a_tree_whose_notes_are_gone_is_still_ours() {
    let bench = Bench::new();
    let service = bench.service("web", "echo ready; sleep 600 & exec sleep 600");
    let instance = bench.start(&service).await;
    wait_for("both processes", || (bench.marked().len() == 3).then_some(())).await;
    // The shim may still write a note of its own into it.
    wait_for("the notes are gone", || fs::remove_dir_all(bench.path("state")).is_ok().then_some(())).await;
    let inspection = bench.inspect_service(&service).await;
    assert_eq!((inspection.run_state, inspection.instance.as_ref()), (RunState::Running, Some(&instance)));
    assert_eq!(inspection.spec.as_deref(), Some(service.spec.hash()));
    let log = bench.processes.log_since_start(&bench.project, &service.name, 100).await.expect("it still writes");
    assert_eq!(log, "ready\n");
    assert_eq!(bench.start(&service).await, instance, "no second copy is started");
    assert_eq!(bench.tree(&service).await.members.len(), 2);
    bench.stop(&service, &instance).await;
    bench.assert_empty();
    assert_eq!(bench.inspect_service(&service).await.run_state, RunState::Absent);
}

#[tokio::test]
async fn the_shim_has_a_session_of_its_own_and_the_service_a_group_of_its_own() {
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    bench.start(&service).await;
    let tree = bench.tree(&service).await;
    let (shim, main) = (tree.shim.expect("a shim").pid, tree.members[0].pid);
    let numbers = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
        let fields: Vec<i32> = stat
            .rsplit_once(") ")
            .expect("it lives")
            .1
            .split(' ')
            .skip(1)
            .take(3)
            .map(|n| n.parse().expect("n"))
            .collect();
        (fields[1], fields[2])
    };
    assert_eq!(numbers(shim), (shim, shim), "group and session");
    assert_eq!(numbers(main), (main, shim));
}

#[tokio::test]
async fn trees_of_other_projects_are_visible_without_their_config() {
    let (mine, other) = (Bench::new(), Bench::new());
    let service = other.service("web", "exec sleep 600");
    other.start(&service).await;
    let Reading::Known(trees) = mine.processes.trees(&mine.desired(&[])).await else { panic!("it can be read") };
    let tree = trees.iter().find(|tree| tree.marks.project == other.project.as_str()).expect("it is seen");
    assert_eq!((tree.marks.service.as_str(), tree.marks.config.as_str()), ("web", ""));
    let Reading::Known(trees) = other.processes.trees(&other.desired(&[&service])).await else {
        panic!("it can be read")
    };
    let tree = trees.iter().find(|tree| tree.marks.project == other.project.as_str()).expect("it is seen");
    assert!(tree.marks.config.contains("sleep 600"), "its own config is visible");
    assert!(tree.started_at.is_some() && tree.exit.is_none() && tree.shim.is_some());
}

#[tokio::test]
async fn a_log_stays_within_its_bounds_under_a_flood() {
    let bench = Bench::new();
    let mut service = bench.exec("flood", &["yes", "a line that is written again and again"]);
    process_of(&mut service).log.max_size_bytes = 1 << 20;
    process_of(&mut service).log.files = 2;
    let instance = bench.start(&service).await;
    let folder = bench.path(&format!("state/projects/{}/flood", bench.project));
    wait_for("two copies", || folder.join("log.2").exists().then_some(())).await;
    bench.stop(&service, &instance).await;
    let size = |name: &str| fs::metadata(folder.join(name)).expect("it is there").len();
    assert!(size("log.1") <= 1 << 20 && size("log.2") <= 1 << 20, "{} {}", size("log.1"), size("log.2"));
    assert!(!folder.join("log.3").exists());
    let tail = bench.processes.log_tail(&bench.project, &service.name, 3).await;
    assert_eq!(tail.len(), 3);
}

#[tokio::test]
async fn a_pattern_of_this_start_is_not_found_in_the_last() {
    let bench = Bench::new();
    let service = bench.service("web", "echo started as $$; exec sleep 600");
    let mut output = Vec::new();
    for _ in 0..2 {
        let instance = bench.start(&service).await;
        let log = bench.path(&format!("state/projects/{}/web/log", bench.project));
        let lines = output.len() + 1;
        wait_for("its line", || (fs::read_to_string(&log).ok()?.lines().count() == lines).then_some(())).await;
        let text = bench.processes.log_since_start(&bench.project, &service.name, 1000).await.expect("a log");
        assert_eq!(text.lines().count(), 1, "{text}");
        output.push(text);
        bench.stop(&service, &instance).await;
    }
    assert_ne!(output[0], output[1]);
}

#[tokio::test]
async fn a_cancelled_start_leaves_one_service_or_none() {
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    let start = Start { project: &bench.project, service: &service, gpus: &[], indices: &[] };
    for patience_ms in [0, 1, 2, 5, 10, 20] {
        let patience = std::time::Duration::from_millis(patience_ms);
        let _ = tokio::time::timeout(patience, bench.processes.start(&start)).await;
        // Regardless of its outcome, the next start ends with exactly one copy.
        let mut tries = 0;
        let instance = loop {
            match bench.processes.start(&start).await {
                Ok(instance) => break instance,
                Err(error) if tries > 100 => panic!("{error}"),
                Err(_) => tries += 1,
            }
        };
        assert_eq!(bench.tree(&service).await.members.len(), 1);
        bench.stop(&service, &instance).await;
        bench.assert_empty();
    }
}
