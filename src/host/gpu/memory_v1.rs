//! The one call that the wrapper has no safe door to: how drivers before 510 tell a GPU's memory. Here, and nowhere
//! else in lcm, is unsafe code.
#![expect(unsafe_code, reason = "nvml-wrapper offers nvmlDeviceGetMemoryInfo by its raw library alone")]

use std::mem::MaybeUninit;

use nvml_wrapper::Device;
use nvml_wrapper::Nvml;
use nvml_wrapper::error::{NvmlError, nvml_try};

/// Total and used, in bytes; what the driver keeps for itself counts as used.
pub(super) fn memory(nvml: &Nvml, device: &Device<'_>) -> Result<(u64, u64), NvmlError> {
    let call = match &nvml.lib().nvmlDeviceGetMemoryInfo {
        Ok(call) => call,
        Err(error) => return Err(NvmlError::FailedToLoadSymbol(error.to_string())),
    };
    let mut memory = MaybeUninit::zeroed();
    // SAFETY: the handle is the device's own, of this same library, which is loaded for as long as `nvml` lives; the
    // call writes one struct of three integers, for which all zeroes are a value too.
    let memory = unsafe {
        nvml_try(call(device.handle(), memory.as_mut_ptr()))?;
        memory.assume_init()
    };
    Ok((memory.total, memory.used))
}
