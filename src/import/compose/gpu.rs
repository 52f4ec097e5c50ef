//! GPUs of a Compose service, from all the keys that can request one.

use crate::import::compose::environment::{GPU_VARIABLE, pairs};
use crate::import::compose::values::{below, scalars};
use crate::import::compose::variables::{ComposeVariables, filled};
use crate::syntax::tree::{Node, Value as Read};

/// GPUs requested by a service.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RequestedGpus {
    Nothing,
    /// Any one GPU; Compose may have given the service all of them.
    One {
        all: bool,
    },
    Count(u32),
    /// GPUs with these indices and UUIDs.
    These(Vec<String>),
    /// AMD's devices, which the service gets by name.
    Amd,
}

/// CDI name of NVIDIA's devices.
const CDI: &str = "nvidia.com/gpu=";

pub(super) fn requested_gpus(node: &Node, variables: &mut ComposeVariables<'_>) -> RequestedGpus {
    let requests = node.get("deploy").and_then(|deploy| deploy.get("resources")?.get("reservations")?.get("devices"));
    let asked = requests.and_then(|list| requested(list, variables));
    let asked = asked.or_else(|| match node.get("gpus") {
        Some(gpus) if matches!(gpus.value, Read::Scalar(_)) => Some(RequestedGpus::One { all: true }),
        Some(gpus) => requested(gpus, variables),
        None => None,
    });
    let devices: Vec<&str> = node.get("devices").map(scalars).unwrap_or_default();
    let cdi: Vec<String> = devices.iter().filter_map(|device| device.strip_prefix(CDI)).map(str::to_owned).collect();
    let asked = asked.or_else(|| (!cdi.is_empty()).then(|| these(cdi)));
    let environment = node.get("environment").map(pairs).unwrap_or_default();
    let visible = environment.into_iter().rev().find(|(name, _)| name == GPU_VARIABLE).and_then(|(_, value)| value);
    let by_runtime = below(node, "runtime") == Some("nvidia");
    match (asked, visible) {
        (Some(gpus), _) => gpus,
        (None, Some(visible)) => match filled(&variables.adapt(&visible)).as_str() {
            "" | "void" | "none" => RequestedGpus::Nothing,
            visible => these(visible.split(',').map(|id| id.trim().to_owned()).collect()),
        },
        (None, None) if by_runtime => RequestedGpus::One { all: true },
        (None, None) if devices.iter().any(|device| device.starts_with("/dev/kfd")) => RequestedGpus::Amd,
        (None, None) => RequestedGpus::Nothing,
    }
}

/// Returns the requested GPUs; `None` where the devices are no GPUs.
fn requested(list: &Node, variables: &mut ComposeVariables<'_>) -> Option<RequestedGpus> {
    let Read::List(requests) = &list.value else { return None };
    let is_gpu = |request: &&Node| {
        let capabilities = request.get("capabilities").map(scalars).unwrap_or_default();
        let driver = below(request, "driver").unwrap_or_default();
        capabilities.iter().any(|capability| ["gpu", "compute", "nvidia"].contains(capability))
            || ["nvidia", "cdi"].contains(&driver)
    };
    let request = requests.iter().find(is_gpu)?;
    let ids = request.get("device_ids").map(scalars).unwrap_or_default();
    if !ids.is_empty() {
        let ids = ids.into_iter().map(|id| filled(&variables.adapt(id)));
        let ids = ids.map(|id| id.strip_prefix(CDI).unwrap_or(&id).to_owned());
        return Some(these(ids.collect()));
    }
    let count = below(request, "count").map(|count| filled(&variables.adapt(count)));
    Some(match count.as_deref().map(str::parse::<u32>) {
        Some(Ok(0)) => RequestedGpus::Nothing,
        Some(Ok(1)) => RequestedGpus::One { all: false },
        Some(Ok(count)) => RequestedGpus::Count(count),
        Some(Err(_)) | None => RequestedGpus::One { all: true },
    })
}

fn these(mut ids: Vec<String>) -> RequestedGpus {
    let is_id = |id: &String| id.parse::<u32>().is_ok() || id.starts_with("GPU-") || id.starts_with("MIG-");
    ids.dedup();
    if !ids.is_empty() && ids.iter().all(is_id) { RequestedGpus::These(ids) } else { RequestedGpus::One { all: true } }
}
