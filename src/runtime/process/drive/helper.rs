//! Helper processes: lcm executed again, in a form that outlives the caller.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;

use crate::host::program::{leaks, scope};
use crate::runtime::DriverError;
use crate::runtime::process::drive::processes::Processes;

/// Builds the command of a helper that outlives lcm: without the environment and the open files of the caller.
pub(crate) fn helper(processes: &Processes, words: &[String]) -> Result<std::process::Command, DriverError> {
    let launch = scope::launch(&processes.environment);
    let launcher = scope::launcher(&launch, &processes.shim_program, words, &processes.environment)?;
    let launcher = leaks::without(launcher, &leaks::inherited());
    let mut command = std::process::Command::new(&launcher.program);
    command
        .arg0(launcher.program.file_name().filter(|name| *name != "exe").unwrap_or(OsStr::new("lcm")))
        .args(launcher.arguments)
        .current_dir("/")
        .env_clear()
        .envs(launcher.environment);
    Ok(command)
}
