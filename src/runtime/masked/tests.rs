//! Facts with a secret in each of their free texts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::{Masked, mask_facts};
use crate::model::facts::{BusyReading, Facts, ProbeFacts, ProbeReading, Reading};
use crate::model::secret::{Masker, Secret};
use crate::runtime::DriverError;
use crate::runtime::docker::facts::DockerReading as _;
use crate::runtime::docker::facts::EngineFact;
use crate::runtime::process::facts::ProcessReading as _;
use crate::sim::Sim;

const TOKEN: &str = "hf_0123456789abcdef";

fn masker() -> Masker {
    Masker::of([Secret::new(TOKEN)].iter())
}

#[test]
fn every_free_text_of_facts_is_masked_and_no_name() {
    let mut facts = Facts::empty("host", Timestamp::UNIX_EPOCH);
    facts.docker_mut().engine = Some(EngineFact { endpoint: format!("tcp://u:{TOKEN}@h"), version: TOKEN.to_owned() });
    facts.docker_mut().containers = serde_json::from_value(json!({ "known": [{
        "id": "1", "name": format!("of-{TOKEN}"), "image": "i", "state": "running",
        "marks": { "project": "p", "service": "s", "config": json!({ "spec": { "command": [TOKEN] } }).to_string() }
    }] }))
    .expect("a container");
    facts.processes_mut().trees = Reading::Unknown(format!("no {TOKEN}"));
    facts.listeners = Reading::Unknown(TOKEN.to_owned());
    facts.gpus = serde_json::from_value(json!({ "known": [
        { "id": "GPU-1", "index": 0, "capacity": 1, "lost": TOKEN, "unreadable": TOKEN }
    ] }))
    .expect("a GPU");
    let health = Some(ProbeReading::Failed { failures: 1, detail: format!("curl -H {TOKEN}") });
    let probes = ProbeFacts { health, busy: Some(BusyReading::Busy(TOKEN.to_owned())) };
    facts.probes = BTreeMap::from([("a".into(), probes)]);
    mask_facts(&masker(), &mut facts);
    let text = serde_json::to_string(&facts).expect("facts are JSON");
    assert_eq!(text.matches(TOKEN).count(), 1, "the name alone: {text}");
    assert!(text.contains(&format!("of-{TOKEN}")) && text.contains("***"), "{text}");
}

#[test]
fn every_error_is_masked_and_keeps_its_kind() {
    let masked = Masked::new(Sim::frozen(Facts::empty("host", Timestamp::UNIX_EPOCH)), masker());
    let quoted = || format!("no such image: {TOKEN}");
    let source = || std::io::Error::new(std::io::ErrorKind::NotFound, quoted());
    for error in [
        DriverError::NoEngine { endpoint: quoted(), reason: quoted() },
        DriverError::Engine { what: quoted(), reason: quoted() },
        DriverError::Io { what: quoted(), source: source() },
        DriverError::Missing(quoted()),
        DriverError::Refused(quoted()),
        DriverError::Survivors { survivors: quoted(), waited: std::time::Duration::ZERO },
    ] {
        let masked = masked.error(error);
        let text = format!("{masked} {masked:?}");
        assert!(!text.contains(TOKEN) && text.contains("***"), "{text}");
    }
    let os = DriverError::Io { what: "can't read".to_owned(), source: std::io::Error::from_raw_os_error(2) };
    assert!(matches!(masked.error(os), DriverError::Io { source, .. } if source.raw_os_error() == Some(2)));
}
