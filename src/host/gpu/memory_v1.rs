//! Binding of the one call that the wrapper does not offer safely: the memory query of drivers before 510. This is the
//! only unsafe code in lcm.
#![expect(unsafe_code, reason = "nvml-wrapper offers nvmlDeviceGetMemoryInfo by its raw library alone")]

use std::mem::MaybeUninit;

use nvml_wrapper::Device;
use nvml_wrapper::Nvml;
use nvml_wrapper::error::{NvmlError, nvml_try};

/// Returns total and used memory in bytes; memory reserved by the driver counts as used.
pub(super) fn memory(nvml: &Nvml, device: &Device<'_>) -> Result<(u64, u64), NvmlError> {
    let call = match &nvml.lib().nvmlDeviceGetMemoryInfo {
        Ok(call) => call,
        Err(error) => return Err(NvmlError::FailedToLoadSymbol(error.to_string())),
    };
    let mut memory = MaybeUninit::zeroed();
    // SAFETY: the handle is the device's own, of this same library, which stays loaded while `nvml` lives; the call
    // writes one struct of three integers, for which all zeroes are a valid value.
    let memory = unsafe {
        nvml_try(call(device.handle(), memory.as_mut_ptr()))?;
        memory.assume_init()
    };
    Ok((memory.total, memory.used))
}
