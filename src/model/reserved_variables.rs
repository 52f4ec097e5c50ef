//! Variables that lcm sets for the services that it starts: a manifest that sets them too would have no effect.

/// Variables that select the GPUs a program sees.
const OF_GPUS: [&str; 5] = [
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
];

/// Variables that mark a process which lcm starts.
const MARKS: [&str; 10] = [
    "LCM_PROJECT",
    "LCM_SERVICE",
    "LCM_SPEC",
    "LCM_SECRETS",
    "LCM_SALT",
    "LCM_CONFIG",
    "LCM_GPUS",
    "LCM_VRAM_MIB",
    "LCM_STARTED_AT",
    "LCM_ROLE",
];

/// Returns true if a variable selects the GPUs a program sees.
pub(crate) fn names_gpus(name: &str) -> bool {
    OF_GPUS.contains(&name)
}

/// Returns true if lcm sets a variable for a service that it gives GPUs.
pub(crate) fn is_overruled(name: &str) -> bool {
    names_gpus(name) || MARKS.contains(&name)
}
