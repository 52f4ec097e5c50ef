//! GPUs of a service, the form in which its program gets them, and variables that the manifest may not set beside that.

use std::fs;
use std::path::Path;

use lcm::manifest::{ModeSelection, load};
use lcm::model::desired::{Desired, GpuRef, GpuRequest};
use lcm::syntax::Environment;
use lcm::syntax::problem::Problems;
use tempfile::TempDir;

fn written(text: &str) -> Result<Desired, Problems> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("lcm.yaml");
    fs::write(folder.path().join("gpus.env"), "MODE=fast\nCUDA_VISIBLE_DEVICES=1\n").unwrap();
    fs::write(&path, format!("version: 1\nname: studio\n{text}")).unwrap();
    load(Path::new(&path), &Environment::new(), &ModeSelection::default())
}

fn service(rest: &str, process: &str) -> Result<Desired, Problems> {
    written(&format!("services:\n  a: {{ process: {{ command: [a]{process} }}{rest} }}\n"))
}

#[test]
fn each_form_may_be_given_by_index() {
    let (first, second) = (GpuRef::Index(0), GpuRef::Index(1));
    for (gpu, request, as_index) in [
        ("{ as: index }", GpuRequest::Auto, true),
        ("{ count: 2, as: index }", GpuRequest::Count(2), true),
        ("{ any: [0, 1], as: index }", GpuRequest::Any(vec![first.clone(), second.clone()]), true),
        ("{ all: [0, 1], as: index }", GpuRequest::All(vec![first.clone(), second.clone()]), true),
        ("{ all: [0, 1] }", GpuRequest::All(vec![first, second]), false),
    ] {
        let desired = service(&format!(", gpu: {gpu}"), "").unwrap_or_else(|problems| panic!("{gpu}: {problems}"));
        let service = &desired.services[&"a".into()];
        assert_eq!((&service.gpu, service.gpu_as_index), (&request, as_index), "{gpu}");
    }
    let hash = |gpu: &str| service(gpu, "").unwrap().services[&"a".into()].spec.hash().to_owned();
    assert_ne!(
        hash(", gpu: { as: index }"),
        hash(", gpu: auto"),
        "a program that gets its GPUs in another form is restarted"
    );
    for gpu in ["{ as: uuid }", "{ any: [0], count: 1 }", "{ count: 0, as: index }", "{}"] {
        assert!(service(&format!(", gpu: {gpu}"), "").is_err(), "{gpu}");
    }
}

#[test]
fn instances_are_not_used_together() {
    for gpu in ["[MIG-a, MIG-b]", "[MIG-a, GPU-b]", "{ all: [MIG-a, MIG-b] }"] {
        let problems = service(&format!(", gpu: {gpu}"), "").expect_err(gpu).to_string();
        assert!(problems.contains("a process can use only one MIG instance"), "{problems}");
    }
    assert!(service(", gpu: { any: [MIG-a, MIG-b] }", "").is_ok());
    assert!(service(", gpu: MIG-a", "").is_ok());
}

#[test]
fn a_variable_that_lcm_sets_is_refused_where_it_gives_gpus() {
    let names = [
        "CUDA_VISIBLE_DEVICES",
        "NVIDIA_VISIBLE_DEVICES",
        "HIP_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
        "GPU_DEVICE_ORDINAL",
        "LCM_GPUS",
    ];
    for name in names {
        for environment in [format!("environment: {{ {name}: \"0\" }}"), format!("environment: [\"{name}=0\"]")] {
            let environment = format!(", {environment}");
            let problems = service(", gpu: auto", &environment).expect_err(name).to_string();
            assert!(problems.contains(name), "{problems}");
            assert_eq!(problems.contains("lcm chooses the GPUs"), !name.starts_with("LCM"), "{problems}");
            assert!(service(", vram: 1GiB", &environment).is_err(), "{name}");
            // Nothing overrides the variable here.
            assert!(service(", gpu: none", &environment).is_ok() && service("", &environment).is_ok(), "{name}");
        }
    }
    assert!(service(", gpu: auto", ", env_file: gpus.env").is_err());
    assert!(service(", gpu: none", ", env_file: gpus.env").is_ok());
    assert!(service(", gpu: auto", ", inherit: [CUDA_VISIBLE_DEVICES]").is_err());
    assert!(service(", gpu: auto", ", inherit: [CUDA_HOME, LCM_LOG]").is_ok());
    let docker = |access: &str| {
        written(&format!(
            "services:\n  a: {{ docker: {{ image: a, environment: {{ CUDA_VISIBLE_DEVICES: \"0\" }}{access} }}, gpu: auto }}\n"
        ))
    };
    assert!(docker("").is_err() && docker(", gpu_access: environment").is_err());
    assert!(docker(", gpu_access: none").is_ok());
}

#[test]
fn a_declared_gpu_may_use_the_hosts_memory() {
    let declared = written(
        "gpus: { devices: [{ index: 0, vram: 110GiB, unified: true }, { index: 1, vram: 8GiB }] }\nservices: {}\n",
    );
    let declared = declared.unwrap_or_else(|problems| panic!("{problems}")).declared_gpus;
    assert_eq!(declared.iter().map(|gpu| gpu.unified).collect::<Vec<_>>(), [true, false]);
}
