//! Helpers of the host and of all runtimes behind one entry.

use crate::host::helper::HELPERS;
use crate::host::identity;
use crate::runtime::registry::RUNTIMES;

/// Runs one of the helpers as which lcm executes itself, and returns its exit code; `None`: no helper was called. Runs
/// before any argument is parsed.
#[must_use]
pub fn run() -> Option<u8> {
    identity::close_if_led();
    let mut words = std::env::args_os().skip(1);
    let first = words.next()?;
    let helpers = RUNTIMES.iter().flat_map(|runtime| runtime.helpers).chain(HELPERS);
    let helper = helpers.copied().find(|helper| first == helper.subcommand)?;
    Some((helper.run)(&mut words))
}
