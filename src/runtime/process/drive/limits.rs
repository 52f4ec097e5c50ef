//! Limits of a process (`ulimits`, `nice`): checked before anything is stopped for it, and set in the process itself
//! before its program begins, so that neither the shim nor lcm is limited.
//!
//! Rust offers no safe hook between fork and exec. lcm therefore executes itself once more in the new process, sets the
//! limits there, and becomes the program. Its stdin is a socket to the shim: it carries the reason of a failure, and is
//! closed by the program's beginning.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, getpriority_process, getrlimit, setpriority_process, setrlimit};
use rustix::thread::{CapabilitySet, capabilities};

use crate::files::kernel;
use crate::runtime::process::intent::ProcessLimits;

/// Hidden subcommand that sets limits and becomes a program.
pub(crate) const SUBCOMMAND: &str = "__limits";

/// This executable, also after its file was replaced.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// Bound for the reason of a failure: one sentence.
const REASON_BYTES_MAX: u64 = 4096;
/// Largest limit of open files that the kernel takes, even from root.
const FILES_MAX: &str = "/proc/sys/fs/nr_open";
/// `RLIMIT_NICE` counts from 20 (priority 0) up to 40 (priority -20).
const NICE_BASE: i32 = 20;

/// Returns the kernel's limit of this name.
fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "core" => Resource::Core,
        "cpu" => Resource::Cpu,
        "data" => Resource::Data,
        "fsize" => Resource::Fsize,
        "locks" => Resource::Locks,
        "memlock" => Resource::Memlock,
        "msgqueue" => Resource::Msgqueue,
        "nice" => Resource::Nice,
        "nofile" => Resource::Nofile,
        "nproc" => Resource::Nproc,
        "rss" => Resource::Rss,
        "rtprio" => Resource::Rtprio,
        "rttime" => Resource::Rttime,
        "sigpending" => Resource::Sigpending,
        "stack" => Resource::Stack,
        _ => return None,
    })
}

/// Returns the reason why this user can't set these limits; `None`: nothing is known to forbid it.
pub(crate) fn refusal(limits: &ProcessLimits) -> Option<String> {
    let held = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    let may_raise = held.contains(CapabilitySet::SYS_RESOURCE);
    for (name, limit) in &limits.ulimits {
        let Some(resource) = resource(name) else { return Some(format!("this lcm knows no ulimit {name}")) };
        if let Some(reason) = files_refusal(name, limit.hard) {
            return Some(reason);
        }
        let own = getrlimit(resource).maximum;
        if let Some(reason) = raise_refusal(name, limit.hard, own).filter(|_| !may_raise) {
            return Some(reason);
        }
    }
    let may_lower = held.contains(CapabilitySet::SYS_NICE);
    nice_refusal(limits.nice?, own_nice(), getrlimit(Resource::Nice).current).filter(|_| !may_lower)
}

/// Reason for which a user other than root can't set a hard limit; `own`: the present one.
fn raise_refusal(name: &str, hard: Option<u64>, own: Option<u64>) -> Option<String> {
    is_above(hard, own).then(|| {
        format!(
            "its ulimit {name} has a hard limit of {}, above lcm's own of {}, and only root may raise that: lower it, or \
             raise the limit of this user (/etc/security/limits.conf, or `Limit{}=` of a systemd unit)",
            shown(hard),
            shown(own),
            name.to_uppercase()
        )
    })
}

/// Reason for which a user other than root can't set a priority. `own`: the present one; `limit`: this user's
/// `RLIMIT_NICE`.
fn nice_refusal(nice: i32, own: i32, limit: Option<u64>) -> Option<String> {
    let lowest = limit.map_or(i32::MIN, |limit| NICE_BASE.saturating_sub(i32::try_from(limit).unwrap_or(i32::MAX)));
    (nice < own && nice < lowest).then(|| {
        format!(
            "its priority `nice: {nice}` is below lcm's own ({own}), and only root may lower it: write {own} or more, or \
             allow it for this user (`nice` in /etc/security/limits.conf, or `LimitNICE=` of a systemd unit)"
        )
    })
}

/// Reason for which the kernel refuses a number of open files to anyone.
fn files_refusal(name: &str, hard: Option<u64>) -> Option<String> {
    let most = kernel::table(FILES_MAX).ok().and_then(|text| text.trim().parse().ok())?;
    (name == "nofile" && is_above(hard, Some(most))).then(|| {
        format!(
            "its ulimit nofile has a hard limit of {}, and this kernel allows {most} at most: lower it, or raise the \
             kernel's setting (`sysctl fs.nr_open`)",
            shown(hard)
        )
    })
}

fn own_nice() -> i32 {
    getpriority_process(None).unwrap_or_default()
}

/// Returns true if a limit is above another; `None` is no limit, above every other.
fn is_above(limit: Option<u64>, other: Option<u64>) -> bool {
    match (limit, other) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(limit), Some(other)) => limit > other,
    }
}

fn shown(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}

/// Returns the command that becomes this program under these limits, and the socket that carries the reason of its failure.
pub(super) fn limited(program: &Path, argv: &[String], limits: &ProcessLimits) -> io::Result<(Command, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(OWN_PROGRAM);
    command.arg0("lcm").arg(SUBCOMMAND).arg(serde_json::to_string(limits).map_err(io::Error::other)?);
    command.arg(program).args(argv).stdin(Stdio::from(OwnedFd::from(theirs)));
    Ok((command, ours))
}

/// Waits until the program has begun; `Err`: the reason why it has not.
pub(super) fn begun(socket: UnixStream) -> Result<(), String> {
    let mut reason = String::new();
    // The end of the socket is the beginning of the program, or its death.
    let _ = socket.take(REASON_BYTES_MAX).read_to_string(&mut reason);
    if reason.is_empty() { Ok(()) } else { Err(reason) }
}

/// Sets the limits and becomes the program; returns only if that fails. For the hidden subcommand only.
pub(crate) fn limits_main(words: &mut dyn Iterator<Item = OsString>) -> u8 {
    // A program that can't begin has replaced stdin already; this copy is closed by one that does.
    let reply = io::stdin().as_fd().try_clone_to_owned();
    let reason = become_program(words);
    if let Ok(reply) = reply {
        let _ = rustix::io::write(reply, reason.as_bytes());
    }
    1
}

/// Returns the reason of a failure.
fn become_program(words: &mut dyn Iterator<Item = OsString>) -> String {
    let limits = words.next().and_then(|text| serde_json::from_str::<ProcessLimits>(text.to_str()?).ok());
    let (Some(limits), Some(program)) = (limits, words.next()) else {
        return "invalid limits for the program".to_owned();
    };
    if let Err(reason) = set(&limits) {
        return reason;
    }
    let argv: Vec<OsString> = words.collect();
    let error = Command::new(&program)
        .arg0(argv.first().map_or(OsStr::new(""), OsString::as_os_str))
        .args(argv.iter().skip(1))
        .stdin(Stdio::null())
        .exec();
    format!("can't run {}: {error}", program.display())
}

/// Sets the limits of this process. The priority first: its own limit may be one of the others.
fn set(limits: &ProcessLimits) -> Result<(), String> {
    if let Some(nice) = limits.nice {
        setpriority_process(None, nice).map_err(|error| format!("can't set its priority `nice: {nice}`: {error}"))?;
    }
    for (name, limit) in &limits.ulimits {
        let Some(resource) = resource(name) else { return Err(format!("this lcm knows no ulimit {name}")) };
        let new = Rlimit { current: limit.soft, maximum: limit.hard };
        setrlimit(resource, new).map_err(|error| {
            format!("can't set its ulimit {name} to {} and {}: {error}", shown(limit.soft), shown(limit.hard))
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{is_above, nice_refusal, raise_refusal, refusal, resource};
    use crate::manifest::wire::ulimit::NAMES;
    use crate::runtime::process::intent::{ProcessLimits, ProcessUlimit};

    #[test]
    fn each_name_that_a_manifest_may_have_is_a_limit_of_the_kernel() {
        assert!(NAMES.iter().all(|name| resource(name).is_some()));
        assert!(resource("as").is_none());
    }

    #[test]
    fn no_limit_is_above_every_limit() {
        assert!(is_above(None, Some(u64::MAX)) && is_above(Some(2), Some(1)));
        assert!(!is_above(None, None) && !is_above(Some(1), None) && !is_above(Some(1), Some(1)));
    }

    #[test]
    fn only_root_raises_a_hard_limit_or_lowers_a_priority() {
        let reason = raise_refusal("nofile", Some(2000), Some(1000)).expect("above its own");
        assert!(reason.contains("nofile has a hard limit of 2000, above lcm's own of 1000"), "{reason}");
        assert!(reason.contains("LimitNOFILE="), "{reason}");
        assert_eq!(raise_refusal("nofile", Some(1000), Some(1000)), None);
        assert_eq!(raise_refusal("nofile", None, None), None);
        let reason = nice_refusal(-5, 0, Some(0)).expect("below its own");
        assert!(reason.contains("`nice: -5` is below lcm's own (0)"), "{reason}");
        // A limit of 25 allows priorities from -5 on.
        assert_eq!((nice_refusal(-5, 0, Some(25)), nice_refusal(3, 3, Some(0))), (None, None));
    }

    #[test]
    fn more_open_files_than_the_kernel_allows_are_refused_even_to_root() {
        let limits = |hard| ProcessLimits {
            ulimits: [("nofile".to_owned(), ProcessUlimit { soft: Some(16), hard })].into(),
            nice: None,
        };
        assert_eq!(refusal(&limits(Some(16))), None);
        let reason = refusal(&limits(None)).expect("refused");
        assert!(reason.contains("nofile") && reason.contains("fs.nr_open"), "{reason}");
    }
}
