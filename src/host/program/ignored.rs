//! Signals that lcm's caller ignores, as `nohup` and background jobs of scripts do: a service must not inherit that, or
//! the signal that should reload or end it would do nothing.
//!
//! The kernel hands an ignored signal on through an exec, and a heard one as it is by default. So the shim hears what was
//! ignored before it starts the service, and does nothing about it, as before.

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::files::kernel;

/// Those that services are commonly told something by.
const COMMON: [i32; 7] = [1, 2, 3, 10, 12, 14, 15];

/// Hears them for as long as this lives, and after that as well: a handler stays. `None`: nothing was ignored.
pub(crate) fn hear_again() -> Option<Runtime> {
    let mask = ignored(&kernel::table("/proc/self/status").ok()?)?;
    hear(COMMON.into_iter().filter(|number| mask & (1 << (number - 1)) != 0).collect())
}

/// Handles all of them, ignored before or not: none of them ends this process any more.
pub(crate) fn hear_all() -> Option<Runtime> {
    hear(COMMON.to_vec())
}

fn hear(numbers: Vec<i32>) -> Option<Runtime> {
    if numbers.is_empty() {
        return None;
    }
    let runtime = Builder::new_current_thread().enable_io().build().ok()?;
    let within = runtime.enter();
    for number in numbers {
        // One that can't be heard stays ignored: no reason not to start.
        let _ = signal(SignalKind::from_raw(number));
    }
    drop(within);
    Some(runtime)
}

/// The mask of ignored signals, as `/proc/PID/status` shows it.
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
