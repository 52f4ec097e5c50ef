//! Environment variables that limit programs to their GPUs, for each vendor's runtime. Pure.
//!
//! NVIDIA's takes UUIDs. AMD's takes UUIDs in `ROCR_VISIBLE_DEVICES`; HIP counts from 0 those that remain
//! (<https://rocm.docs.amd.com/en/latest/conceptual/gpu-isolation.html>). A GPU without a UUID has just its index.

use std::collections::BTreeMap;

use crate::model::names::GpuId;
use crate::model::names::device_id;

/// Digits of AMD's UUIDs: `GPU-4b2c1a9f8d3e6f7a`. NVIDIA's are longer, and in groups.
const AMD_DIGITS: usize = 16;

/// Returns the variables by which a process sees these GPUs and no others; none if it was not placed.
pub(crate) fn of_process(gpus: &[GpuId], indices: &[u32]) -> BTreeMap<String, String> {
    if are_amd(gpus) {
        return of_amd(gpus, indices);
    }
    let visible = named_by(gpus, indices);
    named(
        gpus,
        [
            ("CUDA_VISIBLE_DEVICES", visible.clone()),
            ("HIP_VISIBLE_DEVICES", visible),
            // By default CUDA orders by speed, to which no index refers.
            ("CUDA_DEVICE_ORDER", "PCI_BUS_ID".to_owned()),
        ],
    )
}

/// Returns the variables for a container, whose runtime mounts the GPUs that they name.
pub(crate) fn of_container(gpus: &[GpuId], indices: &[u32]) -> BTreeMap<String, String> {
    if are_amd(gpus) {
        return of_amd(gpus, indices);
    }
    named(gpus, [("NVIDIA_VISIBLE_DEVICES", named_by(gpus, indices))])
}

/// Lists GPUs by index if indices are given, else by id.
fn named_by(gpus: &[GpuId], indices: &[u32]) -> String {
    if indices.is_empty() || indices.len() != gpus.len() {
        return device_ids(gpus).join(",");
    }
    indices.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Returns the ids by the drivers' names.
pub(crate) fn device_ids(gpus: &[GpuId]) -> Vec<String> {
    gpus.iter().map(|gpu| device_id(gpu.as_str()).to_owned()).collect()
}

fn of_amd(gpus: &[GpuId], indices: &[u32]) -> BTreeMap<String, String> {
    let places: Vec<String> = (0..gpus.len()).map(|place| place.to_string()).collect();
    named(gpus, [("ROCR_VISIBLE_DEVICES", named_by(gpus, indices)), ("HIP_VISIBLE_DEVICES", places.join(","))])
}

fn are_amd(gpus: &[GpuId]) -> bool {
    let is_amd = |gpu: &GpuId| {
        let digits = gpu.as_str().strip_prefix("GPU-");
        digits.is_some_and(|rest| rest.len() == AMD_DIGITS && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    !gpus.is_empty() && gpus.iter().all(is_amd)
}

fn named<const N: usize>(gpus: &[GpuId], variables: [(&str, String); N]) -> BTreeMap<String, String> {
    let variables = variables.into_iter().filter(|_| !gpus.is_empty());
    variables.map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{of_container, of_process};
    use crate::model::names::GpuId;

    const NVIDIA: &str = "GPU-8f1e4f6a-0b1c-4a5e-9d7f-2c3b4a5d6e7f";
    const MIG: &str = "MIG-c7384736-a75d-5afc-978f-d2f1294409fd";

    type VisibleVariables = fn(&[GpuId], &[u32]) -> BTreeMap<String, String>;

    fn shown(variables: VisibleVariables, ids: &[&str]) -> Vec<String> {
        shown_by(variables, ids, &[])
    }

    fn shown_by(variables: VisibleVariables, ids: &[&str], indices: &[u32]) -> Vec<String> {
        let ids: Vec<GpuId> = ids.iter().map(|id| GpuId::new(*id)).collect();
        variables(&ids, indices).into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn processes_see_their_gpus_by_uuid_and_declared_ones_by_index() {
        let order = "CUDA_DEVICE_ORDER=PCI_BUS_ID";
        for (ids, visible) in [
            (&[NVIDIA, MIG][..], format!("{NVIDIA},{MIG}")),
            (&["gpu-0", "gpu-2"], "0,2".to_owned()),
            (&["GPU-3b1f-aa"], "GPU-3b1f-aa".to_owned()),
        ] {
            let (cuda, hip) = (format!("CUDA_VISIBLE_DEVICES={visible}"), format!("HIP_VISIBLE_DEVICES={visible}"));
            assert_eq!(shown(of_process, ids), [order.to_owned(), cuda, hip]);
        }
        assert_eq!(shown(of_process, &[]), Vec::<String>::new());
    }

    #[test]
    fn programs_that_parse_integers_are_given_indices() {
        let expected = ["CUDA_DEVICE_ORDER=PCI_BUS_ID", "CUDA_VISIBLE_DEVICES=1,3", "HIP_VISIBLE_DEVICES=1,3"];
        assert_eq!(shown_by(of_process, &[NVIDIA, "GPU-3b1f-aa"], &[1, 3]), expected);
        assert_eq!(shown_by(of_container, &[NVIDIA], &[2]), ["NVIDIA_VISIBLE_DEVICES=2"]);
        let amd = shown_by(of_process, &["GPU-4b2c1a9f8d3e6f7a"], &[5]);
        assert_eq!(amd, ["HIP_VISIBLE_DEVICES=0", "ROCR_VISIBLE_DEVICES=5"]);
    }

    #[test]
    fn amd_programs_count_the_gpus_that_their_runtime_shows() {
        let ids = ["GPU-4b2c1a9f8d3e6f7a", "GPU-deadbeefdeadbeef"];
        let expected = ["HIP_VISIBLE_DEVICES=0,1", "ROCR_VISIBLE_DEVICES=GPU-4b2c1a9f8d3e6f7a,GPU-deadbeefdeadbeef"];
        assert_eq!(shown(of_process, &ids), expected);
        assert_eq!(shown(of_container, &ids), expected);
    }

    #[test]
    fn containers_use_the_variable_of_their_runtime() {
        assert_eq!(shown(of_container, &[NVIDIA, "gpu-1"]), [format!("NVIDIA_VISIBLE_DEVICES={NVIDIA},1")]);
        assert_eq!(shown(of_container, &[]), Vec::<String>::new());
    }
}
