//! The environment, the folder and the program of a service: the same from a shell, from cron and from CI, so nothing
//! of the caller's gets in but what the manifest names.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::process::geteuid;

use crate::files::kernel;
use crate::shared;

/// Where programs are looked up, unless the service's own environment says otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Known by every C library without any locale installed.
const LANG: &str = "C.UTF-8";

/// Everything that a command needs to run. It has no `Debug`: the environment holds secrets.
#[derive(Clone)]
pub(crate) struct Invocation {
    /// Absolute.
    pub(crate) program: PathBuf,
    /// With the program's name as it was written.
    pub(crate) argv: Vec<String>,
    pub(crate) cwd: PathBuf,
    pub(crate) environment: BTreeMap<String, String>,
}

/// A command, ready to run in any folder and environment; or why it can't be run.
pub(crate) fn invoke(
    argv: &[String],
    cwd: PathBuf,
    environment: BTreeMap<String, String>,
) -> Result<Invocation, String> {
    if !cwd.is_dir() {
        return Err(format!("its folder {} is not there", cwd.display()));
    }
    let program = find_program(argv, &cwd, &environment)?;
    Ok(Invocation { program, argv: argv.to_vec(), cwd, environment })
}

/// This user's home folder, by the user database rather than by the caller's word.
pub(crate) fn home(own: &BTreeMap<String, String>) -> PathBuf {
    PathBuf::from(account(own).home)
}

/// What every program gets, whoever calls lcm.
pub(crate) fn fixed(own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let account = account(own);
    [
        ("HOME", account.home),
        ("USER", account.name.clone()),
        ("LOGNAME", account.name),
        ("SHELL", account.shell),
        ("LANG", LANG.to_owned()),
        ("TZ", timezone()),
        ("PATH", PATH.to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

struct UserAccount {
    name: String,
    home: String,
    shell: String,
}

/// From the user database; a user whom it does not know is taken at the environment's word.
fn account(own: &BTreeMap<String, String>) -> UserAccount {
    let uid = geteuid().as_raw();
    let known = shared::user(uid).map(|user| UserAccount {
        name: user.name,
        home: user.home.display().to_string(),
        shell: user.shell,
    });
    let said = |name: &str, otherwise: &str| own.get(name).cloned().unwrap_or_else(|| otherwise.to_owned());
    known.unwrap_or_else(|| UserAccount {
        name: said("USER", &uid.to_string()),
        home: said("HOME", "/"),
        shell: said("SHELL", "/bin/sh"),
    })
}

/// The machine's own time zone by name, where it tells.
fn timezone() -> String {
    let linked = fs::read_link("/etc/localtime").ok().and_then(|target| {
        target.to_str().and_then(|text| text.split_once("/zoneinfo/")).map(|(_, zone)| zone.to_owned())
    });
    let written = || kernel::table("/etc/timezone").ok().map(|text| text.trim().to_owned());
    linked.or_else(written).filter(|zone| !zone.is_empty()).unwrap_or_else(|| {
        if Path::new("/etc/localtime").exists() { ":/etc/localtime".to_owned() } else { "UTC".to_owned() }
    })
}

/// The program as an absolute path: below the service's folder where it has a slash, else on its PATH.
fn find_program(argv: &[String], cwd: &Path, environment: &BTreeMap<String, String>) -> Result<PathBuf, String> {
    let Some(name) = argv.first().filter(|name| !name.is_empty()) else {
        return Err("its command is empty".to_owned());
    };
    if name.contains('/') {
        let path = cwd.join(name);
        return match unfit(&path) {
            None => Ok(path),
            Some(reason) => Err(format!("its program {name} {reason} ({})", path.display())),
        };
    }
    let search = environment.get("PATH").map_or(PATH, String::as_str);
    let found = search.split(':').map(|folder| cwd.join(folder).join(name)).find(|path| unfit(path).is_none());
    found.ok_or_else(|| format!("its program {name} is not on its PATH ({search})"))
}

/// Why a file can't be run.
fn unfit(path: &Path) -> Option<&'static str> {
    let Ok(metadata) = fs::metadata(path) else { return Some("is not there") };
    let kind = metadata.file_type();
    if kind.is_dir() || kind.is_fifo() || kind.is_socket() {
        return Some("is not a file");
    }
    access(path, Access::EXEC_OK).is_err().then_some("is not executable")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::find_program;

    #[test]
    fn what_can_not_run_is_named() {
        let find = |name: &str| find_program(&[name.to_owned()], Path::new("/etc"), &BTreeMap::new());
        assert_eq!(find("sh").map(|path| path.ends_with("sh")), Ok(true));
        let error = find("./no-such-program").expect_err("it is not there");
        assert!(error.contains("./no-such-program is not there (/etc/./no-such-program)"), "{error}");
        let error = find("./passwd").expect_err("it is no program");
        assert!(error.contains("is not executable"), "{error}");
        let error = find("no-such-program").expect_err("it is nowhere");
        assert!(error.contains("not on its PATH (/usr/local/sbin:"), "{error}");
    }
}
