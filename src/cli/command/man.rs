//! `lcm man`: manual pages, from the same texts as the help, with sections that are too long for it.

use std::fmt::Write as _;

use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;

use crate::cli::answer::data;
use crate::cli::exit::{CODES, Exit};
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::cli::topics::{self, TOPICS};
use crate::files::output;
use crate::report::manual;
use crate::report::output::Output;

/// Print the manual page, or write all pages to a folder
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder to write to, such as ~/.local/share/man: pages of the commands in man1, of the manifest's keys in man5,
    /// of the topics in man7
    #[arg(long, value_name = "DIR")]
    out_dir: Option<PathBuf>,
}

/// Files that lcm reads or keeps.
const FILES: [(&str, &str); 6] = [
    ("lcm.yaml", "the manifest, where no other is named"),
    ("/var/lib/lcm/", "the state folder of root: history, holds, logs of processes"),
    ("~/.local/state/lcm/", "the state folder of any other user; $XDG_STATE_HOME/lcm/ where that is set"),
    ("/run/lock/lcm.lock", "the lock of the host; it names its holder"),
    ("/run/lock/lcm.lock.token", "the last fencing token of that lock: a run with an older one changes nothing more"),
    ("/var/run/docker.sock", "the local Docker engine, where the manifest has containers"),
];

/// Environment variables that lcm reads. Manifests may name further ones.
const ENVIRONMENT: [(&str, &str); 22] = [
    ("LCM_STATE_DIR", "the state folder, in place of the above"),
    ("XDG_STATE_HOME", "the parent of the state folder, for any user but root; an absolute path"),
    ("LCM_LOCK", "the lock's file, in place of the above"),
    ("LCM_NVML_LIB", "path of NVIDIA's NVML library, where lcm does not find it; empty: none"),
    (
        "LCM_LOG",
        "log of driver calls, programs, GPU reads and plans on stderr: error, warn, info, debug, trace or off, or a \
         list such as runtime=debug,host=trace; off by default",
    ),
    ("LCM_LOG_FORMAT", "text (default), or json for one object a line"),
    ("DOCKER_HOST", "the engine's socket, as unix:///…; a remote one must be named in the manifest"),
    ("DOCKER_CONTEXT", "the Docker context of the engine to use, where DOCKER_HOST names none"),
    ("DOCKER_CONFIG", "the folder of Docker's contexts, in place of ~/.docker"),
    ("XDG_RUNTIME_DIR", "the folder of a rootless engine's socket and of the user's systemd"),
    ("DBUS_SESSION_BUS_ADDRESS", "the bus of the user's systemd, for services that may outlive a login"),
    ("HOME", "the folder for ~ in a manifest, and of ~/.docker"),
    ("PATH", "search path of systemd-run; services have a PATH of their own"),
    ("NO_COLOR", "not empty: no colours"),
    ("CLICOLOR_FORCE", "not empty and not 0: colours also into a pipe, unless NO_COLOR forbids them"),
    ("CLICOLOR", "0: no colours"),
    ("COLUMNS", "width of the terminal, instead of the one that it reports"),
    ("TERM", "dumb: neither colours nor moving lines"),
    ("CI", "not empty, 0 or false: no moving lines, also at a terminal"),
    ("USER, SUDO_USER", "the caller, for the history and the lock"),
    ("SSH_CONNECTION", "the address of the caller, likewise"),
    ("SHELL", "the SHELL of a service, where the account is not in the user database"),
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
    output::create_folder(folder).map_err(|error| unwritten(folder, &error))?;
    let mut pages = vec![(1, "lcm".to_owned(), main_page(&root)?)];
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        pages.push((1, format!("lcm-{}", command.get_name()), page(command, &[see_also()])?));
    }
    pages.push((5, topics::KEYS.to_owned(), long_page(5, topics::KEYS, "every key of a manifest", &topics::keys())));
    for topic in TOPICS {
        let name = format!("lcm-{}", topic.name);
        pages.push((7, name.clone(), long_page(7, &name, topic.about(), topic.body())));
    }
    for (number, name, text) in &pages {
        let folder = folder.join(format!("man{number}"));
        output::create_folder(&folder).map_err(|error| unwritten(&folder, &error))?;
        let path = folder.join(format!("{name}.{number}"));
        output::publish(&path, text).map_err(|error| unwritten(&path, &error))?;
    }
    session.note(&format!("{} pages are in {}", pages.len(), folder.display()));
    Ok(Exit::Done)
}

/// Returns the page of a topic in this section of the manual.
fn long_page(number: u8, name: &str, about: &str, markdown: &str) -> String {
    let (version, name, about) = (env!("CARGO_PKG_VERSION"), manual::escaped(name), manual::escaped(about));
    let title = format!(".TH \"{}\" {number} \"\" \"lcm {version}\" \"lcm manual\"\n", name.to_uppercase());
    // A text begins with its description, unless it begins with a heading.
    let text = manual::roff(markdown);
    let heading = if text.starts_with(".SH") { "" } else { ".SH DESCRIPTION\n" };
    format!("{title}.SH NAME\n{name} \\- {about}\n{heading}{text}{}", see_also())
}

fn main_page(root: &Command) -> Result<String, EarlyExit> {
    let rest = [section("EXIT STATUS", &CODES), section("FILES", &FILES), section("ENVIRONMENT", &ENVIRONMENT)];
    // The exit codes are at the end of the help as well.
    page(&root.clone().after_help(""), &rest)
}

/// Returns the page of a command: clap's sections, then the rest.
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
    ".SH \"SEE ALSO\"\n\\fBlcm\\fR(1), which describes exit status, files and environment of all commands.\n".to_owned()
}

/// Returns a section of terms and their meanings.
fn section(title: &str, terms: &[(&str, &str)]) -> String {
    let mut text = format!(".SH \"{title}\"\n");
    for (term, meaning) in terms {
        let _ = write!(text, ".TP\n\\fB{}\\fR\n{}\n", manual::escaped(term), manual::escaped(meaning));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::ENVIRONMENT;

    /// Returns the names in capitals that the sources read from an environment, by `.get("…")` or by a helper.
    fn read_by_sources() -> BTreeSet<String> {
        const READS: [&str; 7] =
            [".get(\"", ": variable(\"", "value(\"", "set(\"", "absolute(\"", "env::var(\"", "env::var_os(\""];
        let mut names = BTreeSet::from([crate::host::gpu::NVML_LIBRARY.to_owned()]);
        let mut open: Vec<PathBuf> = ["cli", "host", "manifest", "reconcile", "runtime", "shared", "store", "syntax"]
            .map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder))
            .into();
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            let read = READS.iter().flat_map(|by| text.split(by).skip(1)).filter_map(|rest| rest.split('"').next());
            let is_name = |name: &&str| name.len() > 1 && name.chars().all(|at| at.is_ascii_uppercase() || at == '_');
            names.extend(read.filter(is_name).map(str::to_owned));
        }
        // One is between lcm and its own scripts; the other is read from Compose's `.env`, not from the environment.
        names.retain(|name| !["_CLAP_COMPLETE_INDEX", "COMPOSE_PROJECT_NAME"].contains(&name.as_str()));
        names
    }

    #[test]
    fn the_page_lists_every_variable_that_is_read() {
        let listed: BTreeSet<String> =
            ENVIRONMENT.iter().flat_map(|(names, _)| names.split(", ")).map(str::to_owned).collect();
        let read = read_by_sources();
        assert!(read.contains("CI") && read.contains("XDG_STATE_HOME"), "{read:?}");
        let unlisted: Vec<_> = read.difference(&listed).collect();
        let unread: Vec<_> = listed.difference(&read).collect();
        assert!(unlisted.is_empty() && unread.is_empty(), "read but not listed: {unlisted:?}; not read: {unread:?}");
    }
}
