//! Descriptors that lcm inherits from its caller and must not pass to a service: the lock of a `flock 9` around lcm in
//! a crontab would stay held while the service runs.
//!
//! Files that lcm itself opens close on exec. Inherited descriptors can only be closed by number, which a shell does on
//! the way to the shim.

use std::fs;
use std::path::Path;

use crate::files::kernel;
use crate::host::program::scope::Launcher;

/// Flag of files that close on exec (`O_CLOEXEC`), as `/proc` shows it.
const CLOSES_ON_EXEC: u32 = 0o2_000_000;
/// Highest descriptor of a plain shell, which parses one digit only.
const PLAIN_MAX: u32 = 9;

/// Returns the descriptors of this process, without the standard ones, that a child would inherit.
pub(crate) fn inherited() -> Vec<u32> {
    let folder = Path::new("/proc/self/fdinfo");
    let Ok(names) = kernel::names(folder) else { return Vec::new() };
    let mut leaking: Vec<u32> = names
        .filter_map(|name| {
            let number: u32 = name.to_str()?.parse().ok()?;
            let leaks = number > 2 && !closes(&kernel::table(folder.join(name)).ok()?)?;
            leaks.then_some(number)
        })
        .collect();
    leaking.sort_unstable();
    leaking
}

fn closes(info: &str) -> Option<bool> {
    Some(flags_of(info)? & CLOSES_ON_EXEC != 0)
}

/// Parses the flags of a descriptor in `/proc/PID/fdinfo`.
pub(crate) fn flags_of(info: &str) -> Option<u32> {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    u32::from_str_radix(flags.trim(), 8).ok()
}

/// Wraps a command so that it runs without those descriptors, as far as the shells of this host can close them.
pub(crate) fn without(launcher: Launcher, leaking: &[u32]) -> Launcher {
    let bash = Path::new("/bin/bash");
    let shell = if bash.exists() { bash } else { Path::new("/bin/sh") };
    let closable = |number: &&u32| shell == bash || **number <= PLAIN_MAX;
    let closing: Vec<String> = leaking.iter().filter(closable).map(|number| format!("{number}>&-")).collect();
    // Within a shell, /proc/self/exe would be the shell.
    let program = fs::read_link(&launcher.program).unwrap_or_else(|_| launcher.program.clone());
    if closing.is_empty() || !program.exists() {
        return launcher;
    }
    // Bash takes a socket as its stdin for a remote login, and then executes the user's ~/.bashrc.
    let quiet: &[&str] = if shell == bash { &["--rcfile", "/dev/null"] } else { &[] };
    let mut arguments: Vec<String> = quiet.iter().map(|word| (*word).to_owned()).collect();
    arguments.extend(["-c".to_owned(), format!("exec {}; exec \"$0\" \"$@\"", closing.join(" "))]);
    arguments.push(program.display().to_string());
    arguments.extend(launcher.arguments);
    Launcher { program: shell.to_owned(), arguments, environment: launcher.environment }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::{closes, without};
    use crate::host::program::scope::Launcher;

    #[test]
    fn inherited_descriptors_are_closed_on_the_way_and_nothing_else_changes() {
        let program = PathBuf::from("/bin/ls").canonicalize().expect("it is there");
        let launcher = Launcher { program, arguments: vec!["-l".into(), "a b".into()], environment: BTreeMap::new() };
        assert_eq!(without(launcher.clone(), &[]), launcher);
        let wrapped = without(launcher.clone(), &[3, 9]);
        let quiet = if wrapped.program.ends_with("bash") { &["--rcfile", "/dev/null"][..] } else { &[] };
        let (before, arguments) = wrapped.arguments.split_at(quiet.len());
        assert_eq!(before, quiet, "no file of the user's is executed on the way");
        let (head, tail) = arguments.split_at(3);
        assert_eq!(head[..2], ["-c", r#"exec 3>&- 9>&-; exec "$0" "$@""#]);
        assert_eq!((head[2].as_str(), tail), (launcher.program.to_str().expect("text"), &launcher.arguments[..]));
    }

    #[test]
    fn the_flag_is_read_as_the_kernel_writes_it() {
        assert_eq!(closes("pos:\t0\nflags:\t02100002\nmnt_id:\t9\n"), Some(true));
        assert_eq!(closes("pos:\t0\nflags:\t0100002\nmnt_id:\t9\n"), Some(false));
    }
}
