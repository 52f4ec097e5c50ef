//! Containers of the simulated engine: settings as requested, and a state; nothing runs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Answer, Request};

/// Image of the engine.
pub(crate) const IMAGE: &str = "played:1";
const IMAGE_ID: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const NETWORK_ID: &str = "2222222222222222222222222222222222222222222222222222222222222222";
const CREATED_AT: &str = "2026-01-01T00:00:00.000000000Z";
const NEVER: &str = "0001-01-01T00:00:00Z";

#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    /// `created`, `running`, `paused` or `exited`.
    pub(crate) state: String,
    pub(crate) exit_code: i64,
    /// Body of the request that created it.
    pub(crate) given: Value,
}

/// State of the engine.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    pub(crate) containers: BTreeMap<String, Container>,
    count: u64,
}

impl Machine {
    /// Adds a container created by another client of the engine.
    pub(crate) fn add(&mut self, name: &str, given: Value) -> String {
        self.count += 1;
        let id = format!("{:064x}", 0xabc0_0000_0000_u64 + self.count);
        let (name, state) = (name.to_owned(), "created".to_owned());
        self.containers.insert(id.clone(), Container { id: id.clone(), name, state, exit_code: 0, given });
        id
    }

    pub(super) fn answer(&mut self, request: &Request) -> Answer {
        let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
        match (request.method.as_str(), &parts[..]) {
            ("GET", ["_ping"]) => Answer::new(200, json!("OK")),
            ("GET", ["version"]) => Answer::new(
                200,
                json!({ "Version": "28.0.0", "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux", "Arch": "amd64" }),
            ),
            ("GET", ["info"]) => Answer::new(
                200,
                json!({ "ID": "played", "Name": "played", "OperatingSystem": "Debian", "Runtimes": { "runc": {} }, "DockerRootDir": "/" }),
            ),
            ("GET", ["networks"]) => Answer::new(200, json!([network()])),
            ("GET", ["networks", ..]) => Answer::new(200, network()),
            ("GET", ["volumes"]) => Answer::new(200, json!({ "Volumes": [] })),
            ("GET", ["images", .., "json"]) if is_image(request) => Answer::new(200, image()),
            ("GET", ["images", .., "json"]) => missing("image"),
            ("GET", ["containers", "json"]) => {
                Answer::new(200, self.containers.values().map(Container::listed).collect())
            }
            ("POST", ["containers", "create"]) => self.create(request),
            ("GET", ["containers", id, "json"]) => {
                self.find(id).map_or_else(|| missing("container"), |found| Answer::new(200, found.inspected()))
            }
            ("DELETE", ["containers", id]) => self.remove(id),
            ("POST", ["containers", id, verb]) => self.act(id, verb, request),
            ("GET", ["containers", _, "logs"]) => Answer::new(200, Value::Null),
            _ => Answer::new(404, json!({ "message": "page not found" })),
        }
    }

    pub(crate) fn find(&mut self, reference: &str) -> Option<&mut Container> {
        let is_it = |one: &Container| one.name == reference || one.id.starts_with(reference);
        self.containers.values_mut().find(|one| is_it(one))
    }

    fn create(&mut self, request: &Request) -> Answer {
        let name = request.field("name").unwrap_or_else(|| format!("unnamed-{}", self.count));
        if self.containers.values().any(|one| one.name == name) {
            return Answer::new(
                409,
                json!({ "message": format!("Conflict. The container name \"/{name}\" is already in use") }),
            );
        }
        let id = self.add(&name, request.body.clone());
        Answer::new(201, json!({ "Id": id, "Warnings": [] }))
    }

    fn remove(&mut self, reference: &str) -> Answer {
        let Some(id) = self.find(reference).map(|found| found.id.clone()) else { return missing("container") };
        self.containers.remove(&id);
        Answer::new(204, Value::Null)
    }

    fn act(&mut self, reference: &str, verb: &str, request: &Request) -> Answer {
        let name = request.field("name");
        let Some(found) = self.find(reference) else { return missing("container") };
        match verb {
            "start" | "unpause" | "restart" => "running".clone_into(&mut found.state),
            "pause" => "paused".clone_into(&mut found.state),
            "stop" | "kill" => {
                "exited".clone_into(&mut found.state);
                found.exit_code = 0;
            }
            "rename" => found.name = name.unwrap_or_default(),
            "wait" => return Answer::new(200, json!({ "StatusCode": found.exit_code })),
            "update" => return Answer::new(200, json!({ "Warnings": [] })),
            _ => return Answer::new(404, json!({ "message": "page not found" })),
        }
        Answer::new(204, Value::Null)
    }
}

impl Container {
    fn labels(&self) -> Value {
        self.given.get("Labels").cloned().unwrap_or_else(|| json!({}))
    }

    fn host_config(&self) -> Value {
        let mut config = self.given.get("HostConfig").cloned().unwrap_or_else(|| json!({}));
        if config["NetworkMode"].as_str().unwrap_or_default().is_empty() {
            config["NetworkMode"] = json!("bridge");
        }
        config
    }

    fn networks(&self) -> Value {
        json!({ "bridge": { "NetworkID": NETWORK_ID, "IPAddress": if self.is_running() { "172.17.0.9" } else { "" } } })
    }

    fn is_running(&self) -> bool {
        matches!(self.state.as_str(), "running" | "paused")
    }

    fn listed(&self) -> Value {
        let status = match self.state.as_str() {
            "running" => "Up 2 minutes".to_owned(),
            "paused" => "Up 2 minutes (Paused)".to_owned(),
            "created" => "Created".to_owned(),
            _ => format!("Exited ({}) 1 minute ago", self.exit_code),
        };
        json!({
            "Id": self.id, "Names": [format!("/{}", self.name)], "Image": self.given["Image"], "ImageID": IMAGE_ID,
            "Command": "", "Created": 1_767_225_600, "Ports": [], "Labels": self.labels(), "State": self.state,
            "Status": status, "HostConfig": { "NetworkMode": "bridge" },
            "NetworkSettings": { "Networks": self.networks() }, "Mounts": [],
        })
    }

    fn inspected(&self) -> Value {
        let mut config = self.given.clone();
        if let Some(config) = config.as_object_mut() {
            config.remove("HostConfig");
            config.remove("NetworkingConfig");
        }
        let ran = self.state != "created";
        json!({
            "Id": self.id, "Created": CREATED_AT, "Path": "", "Args": [], "Image": IMAGE_ID,
            "Name": format!("/{}", self.name), "RestartCount": 0, "Driver": "overlay2", "Platform": "linux",
            "State": {
                "Status": self.state, "Running": self.is_running(), "Paused": self.state == "paused",
                "Restarting": false, "OOMKilled": false, "Dead": false, "Pid": 0, "ExitCode": self.exit_code, "Error": "",
                "StartedAt": if ran { CREATED_AT } else { NEVER },
                "FinishedAt": if self.state == "exited" { CREATED_AT } else { NEVER },
            },
            "Config": config, "HostConfig": self.host_config(), "Mounts": [],
            "NetworkSettings": { "Ports": {}, "Networks": self.networks() },
        })
    }
}

fn is_image(request: &Request) -> bool {
    let name = request.path.trim_start_matches("/images/").trim_end_matches("/json");
    name == IMAGE || name == IMAGE_ID || name.replace("%3A", ":") == IMAGE
}

fn image() -> Value {
    json!({ "Id": IMAGE_ID, "RepoTags": [IMAGE], "Created": CREATED_AT, "Os": "linux", "Architecture": "amd64",
        "Size": 1, "Config": { "Env": ["PATH=/bin"], "Cmd": ["/run"], "Labels": {} } })
}

fn network() -> Value {
    json!({ "Name": "bridge", "Id": NETWORK_ID, "Driver": "bridge", "Scope": "local", "Labels": {} })
}

fn missing(what: &str) -> Answer {
    Answer::new(404, json!({ "message": format!("No such {what}") }))
}
