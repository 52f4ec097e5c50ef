//! Whom a machine sees that its manifest does not name, from an engine that is a few lines of canned answers.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread;

use serde_json::json;

use super::Machine;
use crate::driver::Driver as _;
use crate::model::desired::Desired;
use crate::model::names::ProjectName;

/// Answers with these containers, and with an image without labels, as long as the test runs.
fn engine(listener: UnixListener, containers: &serde_json::Value) {
    let body = containers.to_string();
    thread::spawn(move || {
        for call in listener.incoming() {
            let Ok(mut call) = call else { return };
            let mut asked = [0; 4096];
            let length = call.read(&mut asked).unwrap_or(0);
            let is_image = String::from_utf8_lossy(&asked[..length]).starts_with("GET /images/");
            let body = if is_image { "{}" } else { &body };
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}", body.len());
            let _ = write!(call, "{head}\r\nContent-Type: application/json\r\n\r\n{body}");
        }
    });
}

#[tokio::test]
async fn a_manifest_without_containers_sees_those_of_every_lcm_project() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("docker.sock");
    let running = |name: &str, labels: serde_json::Value| {
        let names = [format!("/{name}")];
        json!({ "Id": name, "Names": names, "ImageID": "sha256:0", "State": "running", "Status": "Up 2 minutes", "Labels": labels })
    };
    let containers = json!([
        running("strangers", json!({})),
        running("old", json!({ "lcm.project": "paint", "lcm.service": "old" })),
        running("ollama", json!({ "lcm.project": "write", "lcm.service": "ollama", "lcm.vram_mib": "18000" })),
    ]);
    engine(UnixListener::bind(&socket).expect("a socket"), &containers);
    let mut desired = Desired::plain(ProjectName::new("paint"), []);
    desired.engine_host = Some(format!("unix://{}", socket.display()));
    let state = folder.path().join("state").display().to_string();
    let environment = BTreeMap::from([("LCM_STATE_DIR".to_owned(), state)]);
    let machine = Machine::new(&desired, environment, PathBuf::from("/proc/self/exe"));
    let facts = machine.survey(&desired).await;
    let found = facts.containers.known().expect("they are marked");
    let seen: Vec<(&str, u64)> =
        found.iter().filter_map(|found| Some((found.name.as_str(), found.marks.as_ref()?.vram_mib))).collect();
    assert_eq!(seen, [("old", 0), ("ollama", 18_000)], "what they declare is taken, also before they hold it");
    assert_eq!(found.len(), 2, "what nobody marked is only in the way of who uses the engine");
}
