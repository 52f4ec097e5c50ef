//! Orphans: instances with this project's marks but without a service in the manifest, and surplus copies.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::model::claim::Claimant;
use crate::model::desired::{GRACE_DEFAULT, ORPHAN_GRACE_MAX, StopPolicy};
use crate::model::endpoint::Endpoint;
use crate::model::facts::Marks;
use crate::model::instance::Instance;
use crate::model::lifecycle::State;
use crate::model::names::{GpuId, ServiceName};
use crate::model::observed::Orphan;
use crate::model::signal;
use crate::model::size::Mebibytes;
use crate::observe::contract::{ObserverInput, Observers};

/// Maximum number of ports that count of one mark; no service publishes as many.
const PORTS_MAX: usize = 1024;

/// Returns the orphans sorted by service name, then by instance.
pub(super) fn orphans(view: ObserverInput<'_>, observers: Observers<'_>) -> Vec<Orphan> {
    let mut orphans: Vec<Orphan> = observers.iter().flat_map(|observer| observer.orphans(view)).collect();
    orphans.sort_by(|a, b| (&a.service, &a.instance).cmp(&(&b.service, &b.instance)));
    orphans
}

/// Returns an orphan by its marks, each of which is a claim and bounded.
pub(crate) fn orphan(
    (service, instance, state): (ServiceName, Instance, State),
    carrier: Option<Claimant>,
    marks: &Marks,
) -> Orphan {
    let config: Value = serde_json::from_str(&marks.config).unwrap_or(Value::Null);
    Orphan {
        service,
        instance,
        carrier,
        state,
        stop: stop_policy(&config["stop"]),
        gpus: marks.placed_on().map(GpuId::from).collect(),
        vram: Mebibytes::bounded(marks.vram_mib),
        ports: ports(&config["ports"]),
        hold: None,
    }
}

fn is_known(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    signal::stopping().any(|known| known == upper.strip_prefix("SIG").unwrap_or(&upper))
}

/// Stop policy with a known signal and a bounded grace. A mark is a claim: no program that it names is ever run.
fn stop_policy(stop: &Value) -> StopPolicy {
    StopPolicy {
        signal: stop["signal"].as_str().filter(|name| is_known(name)).map(str::to_owned),
        grace: stop["grace_ms"].as_u64().map_or(GRACE_DEFAULT, Duration::from_millis).min(ORPHAN_GRACE_MAX),
        exec: None,
    }
}

fn ports(ports: &Value) -> BTreeSet<Endpoint> {
    let listed = ports.as_array().into_iter().flatten().take(PORTS_MAX);
    listed.filter_map(|port| serde_json::from_value(port.clone()).ok()).collect()
}
