//! Shims of other users' lcm. Only root may read whose a process is from another user's environment; but a shim shows
//! its project and service to all, on its command line. What another user runs of this project is not absent.

use std::{fs, io};

use rustix::process::geteuid;

use crate::driver::process::proc;
use crate::driver::process::shim::SUBCOMMAND;

/// An error that names the first of them, where there is one for this project (and service).
pub(crate) fn refuse(project: &str, service: Option<&str>) -> io::Result<()> {
    let own = geteuid();
    // Root sees all there is.
    if own.is_root() {
        return Ok(());
    }
    for pid in proc::pids()? {
        let Ok(words) = fs::read(format!("/proc/{pid}/cmdline")) else { continue };
        let Some(found) = shim_of(&words, project).filter(|found| service.is_none_or(|wanted| wanted == *found)) else {
            continue;
        };
        let whose = proc::uid(pid).filter(|uid| *uid != own.as_raw());
        if let Some(whose) = whose {
            return Err(io::Error::other(format!(
                "`{found}` of project {project} is run by user {whose} (its shim is process {pid}), and user {} may not \
                 look into that: run lcm as that user or as root",
                own.as_raw()
            )));
        }
    }
    Ok(())
}

/// The service whose shim has this command line.
fn shim_of<'a>(words: &'a [u8], project: &str) -> Option<&'a str> {
    let mut words = words.split(|byte| *byte == 0).skip(1);
    for wanted in [SUBCOMMAND, "--project", project, "--service"] {
        if words.next() != Some(wanted.as_bytes()) {
            return None;
        }
    }
    std::str::from_utf8(words.next()?).ok()
}

#[cfg(test)]
mod tests {
    use super::shim_of;

    #[test]
    fn a_shim_shows_whose_it_is() {
        let line = b"lcm\0__shim\0--project\0studio\0--service\0comfyui\0";
        assert_eq!(shim_of(line, "studio"), Some("comfyui"));
        assert_eq!(shim_of(line, "other"), None);
        assert_eq!(shim_of(b"grep\0--project\0studio\0", "studio"), None);
        assert_eq!(shim_of(b"", "studio"), None);
    }
}
