//! Containers whose labels, names or images another client of the engine forged: commits of a service's container,
//! copied and made-up labels, renamed containers, other machines' containers at a shared engine.

use std::fs;
use std::process::Command;

use crate::sandbox::{Ran, run};
use crate::studio::docker;
use crate::support::host::lcm;
use crate::support::{Attack, Canary, Host, ROOT, User, WITH_ENGINE, attacks, shell};

#[path = "containers/copied.rs"]
mod copied;
#[path = "containers/inherited.rs"]
mod inherited;
#[path = "containers/renamed.rs"]
mod renamed;
#[path = "containers/shared.rs"]
mod shared;

pub(crate) fn trials() -> Vec<Attack> {
    let mut trials = attacks![
        WITH_ENGINE => a_container_without_any_label_is_left_alone;
    ];
    trials.extend(inherited::trials());
    trials.extend(copied::trials());
    trials.extend(renamed::trials());
    trials.extend(shared::trials());
    trials
}

/// Service `web` of the owner in a container, beside foreign objects.
struct Shop<'h> {
    host: &'h Host,
    owner: User<'h>,
    canary: Canary<'h>,
    manifest: String,
    images: Vec<String>,
}

/// Returns a manifest of one service, with these arguments for the shell in its container.
fn service(name: &str, line: &str) -> String {
    format!(
        "  {name}: {{ docker: {{ image: \"{}\", pull_policy: never, gpu_access: none, command: [-c, \"{line}\"] }}, \
         stop: {{ grace: 1s }} }}",
        shell::image()
    )
}

impl<'h> Shop<'h> {
    /// Starts the owner's service.
    fn open(host: &'h Host) -> Self {
        let owner = host.user(ROOT);
        let manifest = owner.manifest(&service("web", "sleep 600"));
        let shop = Self { host, owner, canary: Canary::new(host), manifest, images: Vec::new() };
        shop.owner.converges(&shop.manifest);
        shop
    }

    /// Returns the name of the service's container.
    fn web(&self) -> String {
        format!("{}-web", self.host.name)
    }

    fn web_id(&self) -> String {
        docker(&["inspect", "--format", "{{.Id}}", &self.web()])
    }

    fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.host.name)
    }

    /// Commits the service's container to an image, with these changes.
    fn commit(&mut self, changes: &[&str]) -> String {
        let image = format!("{}:snap{}", self.host.name, self.images.len());
        let changes = changes.iter().flat_map(|change| ["--change", change]);
        docker(&["commit"].into_iter().chain(changes).chain([self.web().as_str(), &image]).collect::<Vec<_>>());
        self.images.push(image.clone());
        image
    }

    /// Starts a foreign container that must stay untouched.
    fn foreign(&mut self, words: &[&str]) -> String {
        let id = self.host.run_container(words);
        self.canary.watch_container(&id);
        id
    }

    /// Returns every label of the service's container, as arguments for `docker run`.
    fn labels(&self) -> Vec<String> {
        let text = docker(&["inspect", "--format", "{{json .Config.Labels}}", &self.web()]);
        let labels: std::collections::BTreeMap<String, String> = serde_json::from_str(&text).expect("labels");
        labels.into_iter().flat_map(|(name, value)| ["--label".to_owned(), format!("{name}={value}")]).collect()
    }

    fn plan(&self) -> Ran {
        self.owner.lcm(&["plan", "--format", "json", &self.manifest])
    }

    /// Asserts that the foreign container is reported as claimed, by its name.
    #[track_caller]
    fn claims(&self, name: &str) {
        let plan = self.plan();
        let json = plan.json();
        let names: Vec<&str> = json["claimed"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|claim| claim.pointer("/claimant/container/name")?.as_str())
            .collect();
        assert!(names.contains(&name), "{name} is not among the claims {names:?}\n{plan}");
    }

    /// Asserts that this reason blocks the service.
    #[track_caller]
    fn blocked(&self, code: &str) {
        let plan = self.plan();
        assert_eq!(plan.json().pointer("/blocked/0/reason/code").and_then(|code| code.as_str()), Some(code), "{plan}");
        self.canary.assert_untouched();
        self.owner.lcm(&["apply", "--yes", &self.manifest]).exits(4);
        self.canary.assert_untouched();
    }

    /// Asserts that the owner's runs are not disturbed: apply converges, `down` and another apply work, and nothing
    /// foreign is touched.
    #[track_caller]
    fn goes_on(&self) {
        self.owner.converges(&self.manifest);
        self.canary.assert_untouched();
        self.owner.lcm(&["restart", "--yes", "-m", &self.manifest, "web"]).exits(0);
        self.canary.assert_untouched();
        self.owner.lcm(&["apply", "--yes", "--prune", &self.manifest]).exits(0);
        self.canary.assert_untouched();
        self.owner.goes_down(&self.manifest);
        self.canary.assert_untouched();
        self.owner.converges(&self.manifest);
        self.owner.goes_down(&self.manifest);
        self.canary.assert_untouched();
    }
}

impl Drop for Shop<'_> {
    fn drop(&mut self) {
        // An image can't be removed before its containers.
        for image in &self.images {
            let made = Command::new("docker").args(["ps", "-aq", "--filter", &format!("ancestor={image}")]).output();
            for id in made.map(|made| String::from_utf8_lossy(&made.stdout).into_owned()).unwrap_or_default().lines() {
                let _ = Command::new("docker").args(["rm", "--force", id]).output();
            }
            let _ = Command::new("docker").args(["rmi", "--force", image]).output();
        }
    }
}

fn a_container_without_any_label_is_left_alone() {
    let host = Host::new("containers");
    let mut shop = Shop::open(&host);
    let name = shop.name("bystander");
    shop.foreign(&["--name", &name, shell::image(), "-c", "sleep 600"]);
    shop.goes_on();
}

/// Runs lcm as on another machine with the same engine: the same files, but another machine id.
fn on_another_machine(owner: &User<'_>, words: &[&str]) -> Ran {
    let id = owner.path("another-machine-id");
    fs::write(&id, "00112233445566778899aabbccddeeff\n").expect("a machine id");
    let mut command = owner.program("unshare");
    command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/machine-id && exec \"$@\""]).arg(&id).arg(lcm());
    command.args(words);
    run(command, &format!("(another machine) lcm {}", words.join(" ")))
}
