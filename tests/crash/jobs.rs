//! Jobs on the real machine: each runs once under its spec, also where lcm is killed while it runs, and services start
//! after its end.

use std::fs;

use serde_json::Value;

use crate::image;
use crate::sandbox::{Ran, Sandbox, wait_until};
use crate::studio::docker;

/// Applies of a job that is done.
const APPLIES: usize = 10;

/// Program of the host in a container without programs of its own.
const HOST: &str = "\"/bin:/bin:ro\", \"/lib:/lib:ro\", \"/lib64:/lib64:ro\", \"/usr:/usr:ro\"";

/// A job that notes its start and its end in a file, and ends once its gate has its exit code; a service after it.
struct Yard {
    sandbox: Sandbox,
    is_container: bool,
}

impl Yard {
    fn new(is_container: bool) -> Self {
        let mut sandbox = Sandbox::new("jobs");
        sandbox.take_down(sandbox.path("lcm.yaml"));
        Self { sandbox, is_container }
    }

    /// Writes the manifest; `variant` is in the spec of the job, `keys` are further keys of it.
    fn manifest(&self, variant: usize, keys: &str) {
        let folder = self.sandbox.path("shared").display().to_string();
        fs::create_dir_all(&folder).expect("a folder");
        let work = format!(
            "echo job{variant} >> {folder}/ran; until [ -e {folder}/gate ]; do sleep 0.02; done; \
             echo end{variant} >> {folder}/ran; exit $(cat {folder}/gate)"
        );
        let work = Value::from(work.replace('$', "$$"));
        let block = if self.is_container {
            let image = image::model_server();
            format!(
                "docker: {{ image: \"{image}\", entrypoint: [/bin/sh, -c], command: [{work}], volumes: [{HOST}, \
                 \"{folder}:{folder}\"] }}"
            )
        } else {
            format!("process: {{ command: {work} }}")
        };
        let text = format!(
            "version: 1
name: \"@NAME@\"
services:
  job: {{ {block}, job: true, stop: {{ grace: 1s }}, recover: {{ attempts: 1 }}{keys} }}
  web:
    process: {{ command: \"echo web >> {folder}/ran; exec sleep 600\" }}
    depends_on: {{ job: {{ condition: service_completed_successfully }} }}
modes: {{ all: {{ services: [web] }}, rest: {{ services: [] }} }}
mode: all
"
        );
        self.sandbox.write("lcm.yaml", &text);
    }

    fn gate(&self, code: Option<u8>) {
        let gate = self.sandbox.path("shared/gate");
        match code {
            // Under its name at once: the job reads it as soon as it exists.
            Some(code) => {
                let beside = self.sandbox.path("shared/gate.new");
                fs::write(&beside, code.to_string()).and_then(|()| fs::rename(&beside, &gate)).expect("a gate");
            }
            None => drop(fs::remove_file(gate)),
        }
    }

    fn ran(&self) -> Vec<String> {
        let text = fs::read_to_string(self.sandbox.path("shared/ran")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn apply(&self, words: &[&str]) -> Ran {
        self.sandbox.lcm(&[&["apply", "--yes"], words].concat())
    }

    fn job(&self) -> Value {
        let status = self.sandbox.lcm(&["status", "--format", "json"]).json();
        let services = status["services"].as_array().expect("services");
        services.iter().find(|line| line["name"] == "job").expect("the job")["job"].clone()
    }
}

pub(crate) fn processes() {
    run_once(&Yard::new(false));
}

pub(crate) fn containers() {
    run_once(&Yard::new(true));
}

fn run_once(yard: &Yard) {
    yard.manifest(1, "");
    let mut killed = yard.sandbox.start(&["apply", "--yes"]);
    wait_until("the job runs", || yard.ran() == ["job1"]);
    killed.child.kill().expect("it waits for the job");
    killed.child.wait().expect("it ends");
    assert_eq!(yard.job()["state"], "running");
    let awaits = yard.sandbox.lcm(&["plan", "--format", "json"]).json();
    assert_eq!(
        (&awaits["steps"][0]["id"], &awaits["steps"][0]["job"]["until_end"]),
        (&"start:job".into(), &true.into())
    );
    let second = yard.sandbox.start(&["apply", "--yes"]);
    yard.gate(Some(0));
    second.end().exits(0);
    wait_until("the service runs", || yard.ran().len() == 3);
    for _ in 0..APPLIES {
        yard.apply(&["--detailed-exitcode"]).exits(0);
    }
    assert_eq!(yard.ran(), ["job1", "end1", "web"]);
    assert_eq!((&yard.job()["state"], &yard.job()["exit_code"]), (&"done".into(), &0.into()));
    yard.sandbox.lcm(&["history", "--format", "json"]).exits(0);
    the_store_proves_it(yard);
    another_spec(yard);
    down_forgets_it(yard);
}

/// The container may be removed: the store has the end of the job.
fn the_store_proves_it(yard: &Yard) {
    if yard.is_container {
        docker(&["rm", &format!("{}-job", yard.sandbox.name)]);
        assert_eq!(yard.job()["state"], "done");
        yard.apply(&["--detailed-exitcode"]).exits(0);
        assert_eq!(yard.ran().len(), 3);
    }
}

/// A failure blocks the service with its reason, and another spec runs once more.
fn another_spec(yard: &Yard) {
    yard.manifest(2, "");
    yard.gate(Some(3));
    yard.sandbox.lcm(&["stop", "web", "--yes"]).exits(0);
    yard.apply(&[]).exits(3).says("the job failed: exit status 3");
    assert_eq!((&yard.job()["state"], &yard.job()["exit_code"]), (&"failed".into(), &3.into()));
    yard.sandbox.lcm(&["plan"]).exits(3).says("it depends on job, which is held: it exited with 3");
    yard.manifest(3, ", timeout: 1s");
    yard.gate(None);
    yard.apply(&[]).exits(3).says("the job ran longer than its `timeout` of 1s, and was stopped");
    assert_eq!(yard.job()["state"], "failed");
    yard.manifest(4, "");
    yard.gate(Some(0));
    yard.apply(&[]).exits(0);
    wait_until("the service runs", || yard.ran().last().is_some_and(|last| last == "web"));
    let ran = ["job1", "end1", "web", "job2", "end2", "job3", "job4", "end4", "web"];
    assert_eq!(yard.ran(), ran);
}

/// `lcm down` forgets the end, and `lcm start` runs a job that is done.
fn down_forgets_it(yard: &Yard) {
    let count = |yard: &Yard| yard.ran().iter().filter(|line| *line == "job4").count();
    yard.sandbox.lcm(&["start", "job", "--yes"]).exits(0);
    wait_until("the job runs again", || count(yard) == 2);
    wait_until("the job is done", || yard.job()["state"] == "done");
    yard.sandbox.lcm(&["down", "--yes"]).exits(0);
    assert_eq!(yard.job()["state"], "due");
    yard.apply(&[]).exits(0);
    assert_eq!(count(yard), 3);
    yard.apply(&["--detailed-exitcode"]).exits(0);
}
