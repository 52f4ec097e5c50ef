//! GPUs that a container was created with, read from its device requests, else from its environment. Of the environment
//! only the variables that choose GPUs are read.

use bollard::models::{DeviceRequest, HostConfig};

use crate::runtime::docker::facts::VisibleGpus;

/// Prefix of a CDI name whose rest lcm knows: `nvidia.com/gpu=0`.
const CDI_NVIDIA: &str = "nvidia.com/gpu=";

/// Paths of the packaged hook that gives containers their GPUs; with it the engine needs no runtime of that name.
pub(super) const GPU_HOOKS: [&str; 2] =
    ["/usr/bin/nvidia-container-runtime-hook", "/usr/local/bin/nvidia-container-runtime-hook"];

/// Returns the GPUs of a container; `None`: unknown.
pub(super) fn visible(host: &HostConfig, environment: &[String]) -> Option<VisibleGpus> {
    // The last of several lines counts.
    let variable = |name: &str| environment.iter().rev().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let given = given(host, variable("NVIDIA_VISIBLE_DEVICES"));
    let words = words(variable("CUDA_VISIBLE_DEVICES").unwrap_or_default());
    let is_index = |word: &String| word.bytes().all(|byte| byte.is_ascii_digit());
    let is_uuid = |word: &String| word.starts_with("GPU-") || word.starts_with("MIG-");
    // Indices number the GPUs that the container sees; by speed, unless it requests the driver's order.
    let in_order = given == Some(VisibleGpus::All) && variable("CUDA_DEVICE_ORDER") == Some("PCI_BUS_ID");
    let is_clear = words.iter().all(is_uuid) || (in_order && words.iter().all(is_index));
    if is_clear && !words.is_empty() { Some(VisibleGpus::These(words)) } else { given }
}

/// Returns the GPUs that the engine gives the container; `None`: unknown.
fn given(host: &HostConfig, visible: Option<&str>) -> Option<VisibleGpus> {
    // A privileged container has the device files of all GPUs.
    if host.privileged == Some(true) {
        return Some(VisibleGpus::All);
    }
    let mut files = host.devices.iter().flatten().filter_map(|device| device.path_on_host.as_deref());
    if files.any(|path| path.starts_with("/dev/nvidia")) {
        return None;
    }
    let mut requests = host.device_requests.iter().flatten().filter(|request| is_for_gpus(request)).peekable();
    if requests.peek().is_none() {
        return visible.map(|visible| listed(words(visible)));
    }
    let mut these = Vec::new();
    for request in requests {
        match requested(request)? {
            VisibleGpus::All => return Some(VisibleGpus::All),
            VisibleGpus::None => {}
            VisibleGpus::These(more) => these.extend(more),
        }
    }
    Some(VisibleGpus::These(these))
}

fn is_for_gpus(request: &DeviceRequest) -> bool {
    let mut capabilities = request.capabilities.iter().flatten().flatten();
    let mut ids = request.device_ids.iter().flatten();
    match request.driver.as_deref() {
        Some("cdi") => ids.any(|id| id.contains("/gpu=")),
        Some("nvidia") => true,
        Some(_) | None => capabilities.any(|capability| capability == "gpu"),
    }
}

/// Returns the GPUs of one device request; `None`: a kind of request that lcm does not know.
fn requested(request: &DeviceRequest) -> Option<VisibleGpus> {
    let ids = request.device_ids.as_deref().unwrap_or_default();
    match request.driver.as_deref() {
        Some("cdi") => {
            let gpus = ids.iter().filter(|id| id.contains("/gpu="));
            Some(listed(gpus.map(|id| id.strip_prefix(CDI_NVIDIA).map(str::to_owned)).collect::<Option<_>>()?))
        }
        Some("" | "nvidia") | None if !ids.is_empty() => Some(listed(ids.iter().flat_map(|id| words(id)).collect())),
        Some("" | "nvidia") | None => match request.count? {
            // The engine counts from the first GPU. More than any host has means all of them.
            count @ 1..=64 => Some(VisibleGpus::These((0..count).map(|index| index.to_string()).collect())),
            0 => None,
            _ => Some(VisibleGpus::All),
        },
        Some(_) => None,
    }
}

fn listed(words: Vec<String>) -> VisibleGpus {
    if words.iter().any(|word| word == "all") {
        return VisibleGpus::All;
    }
    match words.first().map(String::as_str) {
        None | Some("none" | "void") => VisibleGpus::None,
        Some(_) => VisibleGpus::These(words),
    }
}

/// Splits a list such as `0,1`, also of CDI names.
fn words(list: &str) -> Vec<String> {
    let words = list.split(',').map(str::trim).filter(|word| !word.is_empty());
    words.map(|word| word.rsplit('=').next().unwrap_or(word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use bollard::models::ContainerInspectResponse;
    use serde_json::{Value, json};

    use super::visible;
    use crate::runtime::docker::facts::VisibleGpus;

    /// Reads the GPUs from an answer of an engine.
    fn read(host: &Value, environment: &[&str]) -> Option<VisibleGpus> {
        let answer = json!({ "HostConfig": host, "Config": { "Env": environment } });
        let answer: ContainerInspectResponse = serde_json::from_value(answer).expect("an answer");
        let environment = answer.config.and_then(|config| config.env).unwrap_or_default();
        visible(&answer.host_config.unwrap_or_default(), &environment)
    }

    fn request(driver: &str, count: i64, ids: &[&str]) -> Value {
        let request =
            json!({ "Driver": driver, "Count": count, "DeviceIDs": ids, "Capabilities": [["gpu"]], "Options": {} });
        json!({ "DeviceRequests": [request] })
    }

    fn these(names: &[&str]) -> VisibleGpus {
        VisibleGpus::These(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn gpus_are_read_from_device_requests() {
        let image = &["NVIDIA_VISIBLE_DEVICES=all"][..];
        assert_eq!(read(&request("nvidia", 0, &["1"]), image), Some(these(&["1"])));
        assert_eq!(read(&request("", 0, &["GPU-aaaa", "GPU-bbbb"]), image), Some(these(&["GPU-aaaa", "GPU-bbbb"])));
        assert_eq!(read(&request("", -1, &[]), &[]), Some(VisibleGpus::All));
        assert_eq!(read(&request("", 2, &[]), image), Some(these(&["0", "1"])));
        assert_eq!(read(&request("cdi", 0, &["nvidia.com/gpu=1"]), &[]), Some(these(&["1"])));
        assert_eq!(read(&request("cdi", 0, &["nvidia.com/gpu=all"]), &[]), Some(VisibleGpus::All));
        assert_eq!(read(&request("cdi", 0, &["amd.com/gpu=1"]), image), None);
        assert_eq!(read(&request("amd", 0, &["1"]), image), None);
    }

    #[test]
    fn without_device_requests_gpus_are_read_from_the_environment() {
        let by = |list: &str| read(&json!({ "DeviceRequests": null }), &[&format!("NVIDIA_VISIBLE_DEVICES={list}")]);
        assert_eq!(by("GPU-aaaa, 1"), Some(these(&["GPU-aaaa", "1"])));
        assert_eq!(by("all"), Some(VisibleGpus::All));
        assert_eq!(by("nvidia.com/gpu=0"), Some(these(&["0"])));
        for none in ["", "none", "void"] {
            assert_eq!(by(none), Some(VisibleGpus::None));
        }
        assert_eq!(read(&json!({}), &["PATH=/bin"]), None);
    }

    #[test]
    fn cuda_variables_narrow_the_gpus() {
        let all = request("", -1, &[]);
        assert_eq!(read(&all, &["CUDA_VISIBLE_DEVICES=GPU-bbbb"]), Some(these(&["GPU-bbbb"])));
        assert_eq!(read(&all, &["CUDA_VISIBLE_DEVICES=1", "CUDA_DEVICE_ORDER=PCI_BUS_ID"]), Some(these(&["1"])));
        // By speed, 1 may be any GPU; and in a container of one GPU, 0 is that one.
        assert_eq!(read(&all, &["CUDA_VISIBLE_DEVICES=1"]), Some(VisibleGpus::All));
        let one = request("", 0, &["1"]);
        assert_eq!(read(&one, &["CUDA_VISIBLE_DEVICES=0", "CUDA_DEVICE_ORDER=PCI_BUS_ID"]), Some(these(&["1"])));
    }

    #[test]
    fn device_files_give_more_gpus_than_the_environment_names() {
        let files =
            json!([{ "PathOnHost": "/dev/nvidia0", "PathInContainer": "/dev/nvidia0", "CgroupPermissions": "rwm" }]);
        assert_eq!(read(&json!({ "Devices": files }), &["NVIDIA_VISIBLE_DEVICES=1"]), None);
        assert_eq!(read(&json!({ "Privileged": true }), &["NVIDIA_VISIBLE_DEVICES=1"]), Some(VisibleGpus::All));
    }
}
