//! Marks of simulated instances: written at a start as the real runtimes write them, and compared.

use std::collections::BTreeMap;

use serde_json::json;

use crate::model::facts::Marks;
use crate::model::names::GpuId;
use crate::model::size::Mebibytes;
use crate::model::spec::Spec;
use crate::runtime::Start;

/// Returns the marks of an instance that this start makes.
pub(crate) fn marks(start: &Start<'_>, salt: &str) -> Marks {
    let service = start.service;
    let stop = BTreeMap::from([
        ("signal", json!(service.stop.signal)),
        ("grace_ms", json!(service.stop.grace.as_millis())),
        ("exec", json!(service.stop.exec)),
    ]);
    let stop = service.spec.masked(json!(stop));
    let config = json!({ "spec": service.spec.config(), "stop": stop, "ports": service.ports });
    Marks {
        project: start.project.to_string(),
        service: service.name.to_string(),
        spec: service.spec.hash().to_owned(),
        secrets: service.spec.secret_digest(salt),
        salt: salt.to_owned(),
        config: config.to_string(),
        gpus: start.gpus.iter().map(GpuId::as_str).collect::<Vec<_>>().join(","),
        ..Marks::default()
    }
    .with_vram(&Marks::vram_text(service))
}

/// Returns the salt of a start: unique in a simulation, and the same in every run of a test.
pub(crate) fn salt_of(count: u64) -> String {
    format!("sim{count:08x}")
}

/// Returns true if an instance was made from this start's spec, and its marks match the start's GPUs and memory.
pub(crate) fn is_made_from(marks: &Marks, start: &Start<'_>) -> bool {
    let spec = &start.service.spec;
    let wanted = Marks::default().with_vram(&Marks::vram_text(start.service));
    let is_same_memory = marks.vram_mib == wanted.vram_mib && marks.uneven_mib == wanted.uneven_mib;
    let as_marked = gpus_of(marks) == start.gpus && is_same_memory;
    is_as_wanted(marks, spec) && as_marked
}

/// Returns true if an instance was made from this spec.
pub(crate) fn is_as_wanted(marks: &Marks, spec: &Spec) -> bool {
    spec.has_hash(&marks.spec) && spec.has_secrets(&marks.secrets, &marks.salt)
}

/// Returns the GPUs of the marks.
pub(crate) fn gpus_of(marks: &Marks) -> Vec<GpuId> {
    marks.placed_on().map(GpuId::new).collect()
}

/// Returns the GPU memory of the marks, by GPU.
pub(super) fn declared(marks: &Marks) -> Vec<(GpuId, Mebibytes)> {
    gpus_of(marks).into_iter().enumerate().map(|(position, gpu)| (gpu, marks.vram_on(position))).collect()
}
