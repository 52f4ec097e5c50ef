//! Environment, working directory and executable of a service: the same from a shell, from cron and from CI, so of the
//! caller's environment a service gets only what the manifest names.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::process::geteuid;

use crate::files::{kernel, named};
use crate::model::safe_text;
use crate::shared;

/// Default search path for programs; the service's own `PATH` overrides it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Locale that every C library has without any installed.
const LANG: &str = "C.UTF-8";
/// Longest word or variable that Linux takes (`MAX_ARG_STRLEN`), less the space for a variable's name.
const TEXT_BYTES_MAX: usize = (128 << 10) - 1024;

/// Part of a script that Linux reads for its interpreter (`BINPRM_BUF_SIZE`), in bytes.
const SHEBANG_BYTES_MAX: u64 = 256;

/// Everything that a command needs to run. No `Debug`: the environment holds secrets.
#[derive(Clone)]
pub(crate) struct Invocation {
    /// Absolute.
    pub(crate) program: PathBuf,
    /// Arguments, the first of which is the program's name as the manifest has it.
    pub(crate) argv: Vec<String>,
    pub(crate) cwd: PathBuf,
    pub(crate) environment: BTreeMap<String, String>,
}

/// Resolves a command to run in this folder and environment; `Err`: the reason why it can't run.
pub(crate) fn invoke(
    argv: &[String],
    cwd: PathBuf,
    environment: BTreeMap<String, String>,
) -> Result<Invocation, String> {
    require_passable(argv, &cwd, &environment)?;
    if !cwd.is_dir() {
        return Err(format!("its folder {} does not exist", cwd.display()));
    }
    let program = find_program(argv, &cwd, &environment)?;
    Ok(Invocation { program, argv: argv.to_vec(), cwd, environment })
}

/// Checks that the kernel takes all texts of an invocation. No value is shown: it may be a secret.
fn require_passable(argv: &[String], cwd: &Path, environment: &BTreeMap<String, String>) -> Result<(), String> {
    for (at, word) in argv.iter().enumerate() {
        passable(word).map_err(|why| format!("word {} of its command {why}", at + 1))?;
    }
    for (name, value) in environment {
        passable(value).map_err(|why| format!("its variable {name} {why}"))?;
    }
    passable(cwd.to_str().unwrap_or_default()).map_err(|why| format!("its folder {why}"))
}

fn passable(text: &str) -> Result<(), String> {
    if text.contains('\0') {
        return Err("contains a NUL character, which no program can be given".to_owned());
    }
    if text.len() >= TEXT_BYTES_MAX {
        return Err(format!("is {} bytes long, and the kernel takes less than {TEXT_BYTES_MAX}", text.len()));
    }
    Ok(())
}

/// Returns this user's home folder, by the user database rather than by the caller's environment.
pub(crate) fn home(own: &BTreeMap<String, String>) -> PathBuf {
    PathBuf::from(account(own).home)
}

/// Returns the variables that every program gets, independent of the caller.
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

/// Returns this user's account from the user database; of an unknown user, from the environment.
fn account(own: &BTreeMap<String, String>) -> UserAccount {
    let uid = geteuid().as_raw();
    let known = shared::user(uid).map(|user| UserAccount {
        name: user.name,
        home: user.home.display().to_string(),
        shell: user.shell,
    });
    let variable = |name: &str, default: &str| own.get(name).cloned().unwrap_or_else(|| default.to_owned());
    known.unwrap_or_else(|| UserAccount {
        name: variable("USER", &uid.to_string()),
        home: variable("HOME", "/"),
        shell: variable("SHELL", "/bin/sh"),
    })
}

/// Returns the machine's time zone, by name if it has one.
fn timezone() -> String {
    let linked = fs::read_link("/etc/localtime").ok().and_then(|target| {
        target.to_str().and_then(|text| text.split_once("/zoneinfo/")).map(|(_, zone)| zone.to_owned())
    });
    let written = || kernel::table("/etc/timezone").ok().map(|text| text.trim().to_owned());
    linked.or_else(written).filter(|zone| !zone.is_empty()).unwrap_or_else(|| {
        if Path::new("/etc/localtime").exists() { ":/etc/localtime".to_owned() } else { "UTC".to_owned() }
    })
}

/// Resolves the program to an absolute path: relative to the service's folder if it contains a slash, else on its PATH.
fn find_program(argv: &[String], cwd: &Path, environment: &BTreeMap<String, String>) -> Result<PathBuf, String> {
    let Some(name) = argv.first().filter(|name| !name.is_empty()) else {
        return Err("its command is empty".to_owned());
    };
    if name.contains('/') {
        let path = cwd.join(name);
        return match unfit(&path).map(str::to_owned).or_else(|| unfit_interpreter(&path, cwd, environment)) {
            None => Ok(path),
            Some(reason) => Err(format!("its program {name} {reason} ({})", path.display())),
        };
    }
    let found = on_path(name, cwd, environment);
    found.ok_or_else(|| format!("its program {name} is not on its PATH ({})", search_path(environment)))
}

fn search_path(environment: &BTreeMap<String, String>) -> &str {
    environment.get("PATH").map_or(PATH, String::as_str)
}

fn on_path(name: &str, cwd: &Path, environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    search_path(environment).split(':').map(|folder| cwd.join(folder).join(name)).find(|path| unfit(path).is_none())
}

/// Returns the reason why the interpreter in a script's first line can't run it; `None` also for what is no script.
fn unfit_interpreter(script: &Path, cwd: &Path, environment: &BTreeMap<String, String>) -> Option<String> {
    // A program that may be executed but not read is left to the kernel.
    let start = named::beginning(script, SHEBANG_BYTES_MAX).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?.trim_matches([' ', '\t']);
    let (interpreter, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let shown = safe_text::line(interpreter.trim_end_matches('\r'));
    if let Some(reason) = unfit(&cwd.join(interpreter)) {
        let ending = if line.ends_with('\r') { "; its first line ends with a carriage return" } else { "" };
        return Some(format!("needs the interpreter {shown}, which {reason}{ending}"));
    }
    // `env` looks for its argument on the PATH of the service; options and variables before it are left to `env`.
    let wanted = argument.trim_start();
    let is_name = !wanted.is_empty() && !wanted.contains([' ', '\t', '=', '/']) && !wanted.starts_with('-');
    if interpreter.ends_with("/env") && is_name && on_path(wanted, cwd, environment).is_none() {
        let wanted = safe_text::line(wanted);
        return Some(format!("needs {wanted}, which is not on its PATH ({})", search_path(environment)));
    }
    None
}

/// Returns the reason why a file can't be executed.
fn unfit(path: &Path) -> Option<&'static str> {
    let Ok(metadata) = fs::metadata(path) else { return Some("does not exist") };
    let kind = metadata.file_type();
    if kind.is_dir() || kind.is_fifo() || kind.is_socket() {
        return Some("is not a file");
    }
    access(path, Access::EXEC_OK).is_err().then_some("is not executable")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::{TEXT_BYTES_MAX, find_program, invoke};

    #[test]
    fn a_text_that_the_kernel_does_not_take_is_named_and_not_shown() {
        let refused = |word: &str, value: &str| {
            let environment = BTreeMap::from([("TOKEN".to_owned(), value.to_owned())]);
            invoke(&["true".to_owned(), word.to_owned()], "/".into(), environment).err().expect("refused")
        };
        assert!(refused("a\0b", "").starts_with("word 2 of its command contains a NUL character"));
        let error = refused("a", "s3cret\0");
        assert!(error.starts_with("its variable TOKEN contains a NUL") && !error.contains("s3cret"), "{error}");
        let error = refused("a", &"x".repeat(TEXT_BYTES_MAX));
        assert!(error.starts_with("its variable TOKEN is ") && error.len() < 200, "{error}");
    }

    #[test]
    fn a_script_without_its_interpreter_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let refused = |first_line: &str| {
            let script = folder.path().join("serve.sh");
            std::fs::write(&script, format!("{first_line}\nexit 0\n")).expect("written");
            std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("executable");
            find_program(&["./serve.sh".to_owned()], folder.path(), &BTreeMap::new()).err().unwrap_or_default()
        };
        assert_eq!(refused("#!/bin/sh -e"), "");
        assert_eq!(refused("#! /usr/bin/env sh"), "");
        assert_eq!(refused("no script"), "");
        assert!(refused("#!/no/such/python").contains("needs the interpreter /no/such/python, which does not exist"));
        assert!(refused("#!/bin/sh\r").contains("which does not exist; its first line ends with a carriage return"));
        assert!(
            refused("#!/usr/bin/env no-such-python").contains("needs no-such-python, which is not on its PATH (/usr")
        );
    }

    #[test]
    fn a_command_that_can_not_run_is_named() {
        let find = |name: &str| find_program(&[name.to_owned()], Path::new("/etc"), &BTreeMap::new());
        assert_eq!(find("sh").map(|path| path.ends_with("sh")), Ok(true));
        let error = find("./no-such-program").expect_err("it does not exist");
        assert!(error.contains("./no-such-program does not exist (/etc/./no-such-program)"), "{error}");
        let error = find("./passwd").expect_err("it is not executable");
        assert!(error.contains("is not executable"), "{error}");
        let error = find("no-such-program").expect_err("it is nowhere");
        assert!(error.contains("not on its PATH (/usr/local/sbin:"), "{error}");
    }
}
