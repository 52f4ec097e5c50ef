//! Random changes by another client of the engine to twelve running services: the plan names each that the manifest
//! describes and no other, one apply mends them, and the second plan is empty. `LCM_SOAK_DRIFT` sets the number of
//! changes, `LCM_SOAK_SEED` their seed.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::sandbox::Sandbox;
use crate::{Undo, docker, image, steps};

const SERVICES: usize = 12;
/// Changes between two plans.
const AT_ONCE: usize = 6;
/// Changes without `LCM_SOAK_DRIFT`: few enough for a pipeline, with every kind among them.
const CHANGES_DEFAULT: usize = 36;

/// Change that another client makes to one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Disconnect,
    Connect,
    RestartPolicy,
    PidsLimit,
    Memory,
    Pause,
    Kill,
    Remove,
    Rename,
    Recreate,
    Retag,
    /// A change of nothing that the manifest describes.
    Nothing,
}

const CHANGES: [Change; 12] = [
    Change::Disconnect,
    Change::Connect,
    Change::RestartPolicy,
    Change::PidsLimit,
    Change::Memory,
    Change::Pause,
    Change::Kill,
    Change::Remove,
    Change::Rename,
    Change::Recreate,
    Change::Retag,
    Change::Nothing,
];

/// Xorshift: the same changes for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("below a usize")
    }
}

struct Yard {
    sandbox: Sandbox,
    manifest: String,
    inside: String,
    other: String,
    /// Image of the same content under another id.
    copy: String,
    _undo: Vec<Undo>,
}

impl Yard {
    fn new() -> Self {
        let mut sandbox = Sandbox::new("drift");
        let (inside, other) = (format!("{}-inside", sandbox.name), format!("{}-other", sandbox.name));
        let mut undo = Vec::new();
        for network in [&inside, &other] {
            docker(&["network", "create", network]).expect("a network");
            undo.push(Undo::later(&["network", "rm", network]));
        }
        let copy = format!("lcm-test/{}:copy", sandbox.name);
        let plain = docker(&["create", image::model_server()]).expect("a container");
        docker(&["commit", "--change", "LABEL copy=yes", &plain, &copy]).expect("another image");
        docker(&["rm", &plain]).expect("removed");
        undo.push(Undo::later(&["rmi", "--force", &copy]));
        let mut text = format!("version: 1\nname: {}\nservices:\n", sandbox.name);
        for number in 0..SERVICES {
            let tag = tag(&sandbox.name, number);
            docker(&["tag", image::model_server(), &tag]).expect("a tag");
            undo.push(Undo::later(&["rmi", "--force", &tag]));
            let network = if number % 2 == 0 { format!("networks: [{inside}], ") } else { String::new() };
            let _ = writeln!(
                text,
                "  s{number}: {{ docker: {{ image: \"{tag}\", pull_policy: never, gpu_access: none, {network}volumes: \
                 [\"./conf:/conf:ro\"], environment: {{ NUMBER: {number} }}, command: [--host, 0.0.0.0] }}, stop: {{ \
                 grace: 1s }}, recover: {{ attempts: 1000000, backoff: 1ms, max_backoff: 1ms }} }}",
            );
        }
        std::fs::create_dir(sandbox.path("conf")).expect("a folder");
        let path = sandbox.write("lcm.yaml", &text);
        sandbox.take_down(&path);
        let yard = Self { manifest: path.display().to_string(), sandbox, inside, other, copy, _undo: undo };
        yard.sandbox.lcm(&["apply", "--yes", &yard.manifest]).exits(0);
        yard
    }

    fn container(&self, number: usize) -> String {
        format!("{}-s{number}", self.sandbox.name)
    }

    fn network(&self, number: usize) -> &str {
        if number.is_multiple_of(2) { &self.inside } else { "bridge" }
    }

    /// Makes the change, and returns true if it affects the manifest.
    fn make(&self, number: usize, change: Change) -> bool {
        let container = &self.container(number);
        let does = |words: &[&str]| drop(docker(words).unwrap_or_else(|error| panic!("{change:?}: {error}")));
        match change {
            Change::Disconnect => does(&["network", "disconnect", self.network(number), container]),
            Change::Connect => does(&["network", "connect", &self.other, container]),
            Change::RestartPolicy => does(&["update", "--restart", "unless-stopped", container]),
            Change::PidsLimit => does(&["update", "--pids-limit", "100", container]),
            Change::Memory => does(&["update", "--memory", "200m", "--memory-swap", "400m", container]),
            Change::Pause => does(&["pause", container]),
            Change::Kill => does(&["kill", container]),
            Change::Remove => does(&["rm", "--force", container]),
            Change::Rename => does(&["rename", container, &format!("{container}-elsewhere")]),
            Change::Recreate => self.recreate(number),
            Change::Retag => {
                let tag = tag(&self.sandbox.name, number);
                let id = |image: &str| docker(&["inspect", "--type", "image", "--format", "{{.Id}}", image]);
                // From one image to the other: the tag may have been moved before.
                let is_copy = id(&tag).is_ok_and(|is| Ok(is) == id(&self.copy));
                does(&["tag", if is_copy { image::model_server() } else { &self.copy }, &tag]);
            }
            Change::Nothing => does(&["tag", &self.copy, &format!("{}-unused", self.copy)]),
        }
        change != Change::Nothing
    }

    /// Replaces the container by one with the same name and labels, and other mounts.
    fn recreate(&self, number: usize) {
        let container = self.container(number);
        let format = "{{range $name, $value := .Config.Labels}}{{$name}}={{$value}}\n{{end}}";
        let labels = docker(&["inspect", "--format", format, &container]).expect("labels");
        docker(&["rm", "--force", &container]).expect("removed");
        let mount = format!("{}:/elsewhere", self.sandbox.path("conf").display());
        let mut words = vec!["run", "--detach", "--name", &container, "--volume", &mount];
        words.extend(labels.lines().filter(|line| !line.is_empty()).flat_map(|line| ["--label", line]));
        let tag = tag(&self.sandbox.name, number);
        words.extend([tag.as_str(), "--host", "0.0.0.0"]);
        docker(&words).expect("recreated");
    }

    /// Returns services with a step in the plan, and blocked ones.
    fn named(&self) -> BTreeSet<String> {
        let plan = self.sandbox.lcm(&["plan", &self.manifest, "--format", "json"]).json();
        let of = |list: &str| -> Vec<String> {
            let entries = plan[list].as_array().expect("a list");
            entries.iter().map(|entry| entry["service"].as_str().expect("a name").to_owned()).collect()
        };
        of("steps").into_iter().chain(of("blocked")).collect()
    }
}

fn tag(name: &str, number: usize) -> String {
    format!("lcm-test/{name}:s{number}")
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

pub(crate) fn one_apply_mends_changes_by_others_and_no_more() {
    let yard = Yard::new();
    let soak = setting("LCM_SOAK_DRIFT").and_then(|count| usize::try_from(count).ok());
    let changes = soak.unwrap_or(CHANGES_DEFAULT);
    // The short run is the same each time; the long one searches for unknown cases.
    let drawn = if soak.is_some() { u64::from(std::process::id()) } else { 1 };
    let seed = setting("LCM_SOAK_SEED").unwrap_or(0x5eed_0000 + drawn);
    println!("LCM_SOAK_SEED={seed}");
    let mut dice = Dice(seed | 1);
    for round in 0..changes.div_ceil(AT_ONCE) {
        let mut chosen: Vec<(usize, Change)> = Vec::new();
        while chosen.len() < AT_ONCE {
            let number = dice.below(SERVICES);
            // Each kind once before any comes again; after that at random.
            let at = round * AT_ONCE + chosen.len();
            let change = if at < CHANGES.len() { CHANGES[at] } else { CHANGES[dice.below(CHANGES.len())] };
            if chosen.iter().all(|(other, _)| *other != number) {
                chosen.push((number, change));
            }
        }
        let made: Vec<bool> = chosen.iter().map(|(number, change)| yard.make(*number, *change)).collect();
        let touched: BTreeSet<String> =
            chosen.iter().zip(made).filter(|(_, made)| *made).map(|((number, _), _)| format!("s{number}")).collect();
        assert_eq!(yard.named(), touched, "seed {seed}, round {round}: {chosen:?}");

        let renamed: Vec<usize> =
            chosen.iter().filter(|(_, change)| *change == Change::Rename).map(|(number, _)| *number).collect();
        let code = if renamed.is_empty() { 0 } else { 4 };
        yard.sandbox.lcm(&["apply", "--yes", &yard.manifest]).exits(code);
        for number in renamed {
            // The renamed container was not touched, and no second one was created.
            let container = yard.container(number);
            docker(&["rename", &format!("{container}-elsewhere"), &container]).expect("its own name again");
        }
        let second = yard.sandbox.lcm(&["plan", &yard.manifest, "--format", "json"]).exits(0).json();
        assert_eq!(steps(&second), [""; 0], "seed {seed}, round {round}: {chosen:?}");
    }
    let _ = docker(&["rmi", "--force", &format!("{}-unused", yard.copy)]);
}
