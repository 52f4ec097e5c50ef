//! Signals that lcm's caller ignores, as `nohup` and background jobs of scripts do: a service must not inherit that, or
//! the signal that should reload or end it would do nothing.
//!
//! An ignored signal stays ignored through an exec, and a handled one is reset to its default. So the shim installs
//! handlers that do nothing for the ignored signals before it starts the service.

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::files::kernel;

/// Signals that commonly control services.
const COMMON: [i32; 7] = [1, 2, 3, 10, 12, 14, 15];

/// Handles the ignored signals, permanently: a handler stays even if the runtime is dropped. `None`: none was ignored.
pub(crate) fn handle_ignored() -> Option<Runtime> {
    let mask = ignored(&kernel::table("/proc/self/status").ok()?)?;
    handle(COMMON.into_iter().filter(|number| mask & (1 << (number - 1)) != 0).collect())
}

/// Handles all common signals, ignored before or not: none of them ends this process any more.
pub(crate) fn handle_all() -> Option<Runtime> {
    handle(COMMON.to_vec())
}

fn handle(numbers: Vec<i32>) -> Option<Runtime> {
    if numbers.is_empty() {
        return None;
    }
    let runtime = Builder::new_current_thread().enable_io().build().ok()?;
    let within = runtime.enter();
    for number in numbers {
        // A signal that can't be handled stays ignored: no reason not to start.
        let _ = signal(SignalKind::from_raw(number));
    }
    drop(within);
    Some(runtime)
}

/// Parses the mask of ignored signals in `/proc/PID/status`.
fn ignored(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::ignored;

    #[test]
    fn the_mask_is_read_as_the_kernel_writes_it() {
        assert_eq!(ignored("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000005\n"), Some(0b101));
        assert_eq!(ignored("Name:\tlcm\n"), None);
    }
}
