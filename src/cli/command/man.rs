//! `lcm man`: manual pages, made of the same words as the help, with what no help has room for.

use std::fmt::Write as _;

use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;

use crate::cli::answer::data;
use crate::cli::exit::{CODES, Exit};
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::files::output;
use crate::report::output::Output;

/// Print the manual page, or write all of them into a folder
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder to write into: lcm.1, and a page for each command; it is made where it is missing
    #[arg(long, value_name = "DIR")]
    out_dir: Option<PathBuf>,
}

/// Files that lcm reads or keeps.
const FILES: [(&str, &str); 5] = [
    ("lcm.yaml", "the manifest, where no other is named"),
    ("/var/lib/lcm/", "the state folder of root: history, operators' words, logs of processes"),
    ("~/.local/state/lcm/", "that of anybody else; $XDG_STATE_HOME/lcm/ where that is set"),
    ("/run/lock/lcm.lock", "the lock of the host, and in it who holds it"),
    ("/var/run/docker.sock", "the local Docker engine, where the manifest has containers"),
];

/// Variables that lcm heeds. What manifests name besides is theirs.
const ENVIRONMENT: [(&str, &str); 22] = [
    ("LCM_STATE_DIR", "the state folder, in place of the above"),
    ("XDG_STATE_HOME", "the folder that has the state folder, for anybody but root; an absolute path"),
    ("LCM_LOCK", "the lock's file, in place of the above"),
    ("LCM_NVML_LIB", "NVIDIA's NVML library, where it is not found by itself; empty: none"),
    (
        "LCM_LOG",
        "log of driver calls, programs, GPU reads and plans on stderr: error, warn, info, debug, trace or off, or a list such \
         as runtime=debug,host=trace; off where it is not set",
    ),
    ("LCM_LOG_FORMAT", "text, or json for one object a line"),
    ("DOCKER_HOST", "the engine's socket, as unix:///…; a remote one must be named in the manifest"),
    ("DOCKER_CONTEXT", "the Docker context whose engine is asked, where DOCKER_HOST names none"),
    ("DOCKER_CONFIG", "the folder of Docker's contexts, in place of ~/.docker"),
    ("XDG_RUNTIME_DIR", "where a rootless engine's socket and systemd of the user are looked for"),
    (
        "DBUS_SESSION_BUS_ADDRESS",
        "the bus by which systemd of the user is called, for services that may outlive a login",
    ),
    ("HOME", "what ~ means in a manifest, and where ~/.docker is"),
    ("PATH", "where systemd-run is looked for; services have a PATH of their own"),
    ("NO_COLOR", "not empty: no colours"),
    ("CLICOLOR_FORCE", "not empty and not 0: colours also into a pipe, unless NO_COLOR forbids them"),
    ("CLICOLOR", "0: no colours"),
    ("COLUMNS", "how wide the terminal is, where it is not to be asked"),
    ("TERM", "dumb: neither colours nor moving lines"),
    ("CI", "not empty, 0 or false: no moving lines, also at a terminal"),
    ("USER, SUDO_USER", "who called, as the history and the lock name them"),
    ("SSH_CONNECTION", "from where, likewise"),
    ("SHELL", "the SHELL of a service, where the machine does not know the account"),
];

pub(crate) fn run(session: &Session, args: &Args, root: Command) -> Result<Exit, EarlyExit> {
    let mut root = root.disable_help_subcommand(true);
    root.build();
    let Some(folder) = &args.out_dir else {
        data(&Output::plain(&main_page(&root)?))?;
        return Ok(Exit::Done);
    };
    let unwritten = |path: &Path, error: &std::io::Error| {
        EarlyExit::refused(Code::File, format!("can't write {}: {error}", path.display()))
    };
    output::make_folder(folder).map_err(|error| unwritten(folder, &error))?;
    let mut pages = vec![("lcm.1".to_owned(), main_page(&root)?)];
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        pages.push((format!("lcm-{}.1", command.get_name()), page(command, &[see_also()])?));
    }
    for (name, text) in &pages {
        let path = folder.join(name);
        output::publish(&path, text).map_err(|error| unwritten(&path, &error))?;
    }
    session.note(&format!("{} pages are in {}", pages.len(), folder.display()));
    Ok(Exit::Done)
}

fn main_page(root: &Command) -> Result<String, EarlyExit> {
    let rest = [section("EXIT STATUS", &CODES), section("FILES", &FILES), section("ENVIRONMENT", &ENVIRONMENT)];
    // The exit codes stand at the end of the help as well.
    page(&root.clone().after_help(""), &rest)
}

/// What clap knows of it, and what follows that.
fn page(command: &Command, rest: &[String]) -> Result<String, EarlyExit> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .source(format!("lcm {}", env!("CARGO_PKG_VERSION")))
        .manual("lcm manual");
    let mut page = Vec::new();
    let rendered = man
        .render_title(&mut page)
        .and_then(|()| man.render_name_section(&mut page))
        .and_then(|()| man.render_synopsis_section(&mut page))
        .and_then(|()| man.render_description_section(&mut page))
        .and_then(|()| man.render_options_section(&mut page))
        .and_then(|()| if command.has_subcommands() { man.render_subcommands_section(&mut page) } else { Ok(()) });
    rendered.map_err(|error| EarlyExit::refused(Code::System, format!("can't make the page: {error}")))?;
    let mut page = String::from_utf8_lossy(&page).into_owned();
    page.extend(rest.iter().map(String::as_str));
    Ok(page)
}

fn see_also() -> String {
    ".SH \"SEE ALSO\"\n\\fBlcm\\fR(1), which tells exit status, files and environment of all commands.\n".to_owned()
}

/// A term and what it means, line by line.
fn section(title: &str, terms: &[(&str, &str)]) -> String {
    let mut text = format!(".SH \"{title}\"\n");
    for (term, meaning) in terms {
        let _ = write!(text, ".TP\n\\fB{}\\fR\n{}\n", escaped(term), escaped(meaning));
    }
    text
}

/// For roff a backslash begins a request, a hyphen may become a dash, a letter beyond ASCII needs its number, and a
/// point or a quote at a line's beginning is a request as well.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    if text.starts_with(['.', '\'']) {
        escaped.push_str("\\&");
    }
    for letter in text.chars() {
        match letter {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '\'' => escaped.push_str("\\(aq"),
            '~' => escaped.push_str("\\(ti"),
            letter if letter.is_ascii() => escaped.push(letter),
            letter => {
                let _ = write!(escaped, "\\[u{:04X}]", u32::from(letter));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::ENVIRONMENT;

    /// The names in capitals that the sources ask an environment for, by `.get("…")`, or by a helper that does.
    fn heeded() -> BTreeSet<String> {
        const ASKED: [&str; 6] = [".get(\"", "said(\"", "set(\"", "absolute(\"", "env::var(\"", "env::var_os(\""];
        let mut names = BTreeSet::from([crate::host::gpu::NVML_LIBRARY.to_owned()]);
        let mut open: Vec<PathBuf> = ["cli", "host", "manifest", "reconcile", "runtime", "shared", "store", "syntax"]
            .map(|headroom| Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(headroom))
            .into();
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            let asked = ASKED.iter().flat_map(|by| text.split(by).skip(1)).filter_map(|rest| rest.split('"').next());
            let is_name = |name: &&str| name.len() > 1 && name.chars().all(|at| at.is_ascii_uppercase() || at == '_');
            names.extend(asked.filter(is_name).map(str::to_owned));
        }
        // Between lcm and its own scripts; and out of Compose's `.env`, not out of the environment.
        names.retain(|name| !["_CLAP_COMPLETE_INDEX", "COMPOSE_PROJECT_NAME"].contains(&name.as_str()));
        names
    }

    #[test]
    fn the_page_tells_of_every_variable_that_is_heeded() {
        let told: BTreeSet<String> =
            ENVIRONMENT.iter().flat_map(|(names, _)| names.split(", ")).map(str::to_owned).collect();
        let heeded = heeded();
        assert!(heeded.contains("CI") && heeded.contains("XDG_STATE_HOME"), "{heeded:?}");
        let untold: Vec<_> = heeded.difference(&told).collect();
        let made_up: Vec<_> = told.difference(&heeded).collect();
        assert!(untold.is_empty() && made_up.is_empty(), "heeded and not told: {untold:?}; not heeded: {made_up:?}");
    }
}
