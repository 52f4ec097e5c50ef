//! `lcm init`.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::cli::answer::data;
use crate::cli::exit::Exit;
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::log;
use crate::cli::terminal::session::Session;
use crate::cli::{opened, wire};
use crate::files::output;
use crate::import::{Given, ImportContext, ManifestDraft, machine, narrow, translate};
use crate::manifest::ModeSelection;
use crate::model::found::{Discovered, MachineSurvey};
use crate::reconcile::files;
use crate::reconcile::project;
use crate::report::output::Output;
use crate::report::table::counted;
use crate::syntax::Environment;

/// Argument that stands for stdout.
const STDOUT: &str = "-";

/// Write a first manifest from this machine or another tool's file
///
/// Without `--from`, the manifest lists this machine's containers, both running and stopped, unchanged. Other programs
/// that use GPU memory are listed in comments. With `--from`, it is translated from a Compose file or a configuration of
/// llama-swap. What can't be translated is reported, and no secret is copied.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File to write; `-` is stdout
    #[arg(default_value = "lcm.yaml", value_name = "FILE")]
    file: PathBuf,
    /// Translate this file; may be given several times: later files override earlier ones, as in Compose
    #[arg(long = "from", value_name = "FILE", conflicts_with_all = ["only", "world"])]
    from: Vec<PathBuf>,
    /// Include only this container, or the containers of this Compose project; may be given several times
    #[arg(long = "only", value_name = "NAME")]
    only: Vec<String>,
    /// Name of the project [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
    /// Print the manifest to stdout, and write no file
    #[arg(long)]
    dry_run: bool,
    /// Use this snapshot, made by `lcm observe`, instead of the machine
    #[arg(long, value_name = "FILE")]
    world: Option<PathBuf>,
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<Exit, EarlyExit> {
    let to_stdout = args.dry_run || args.file == Path::new(STDOUT);
    if !to_stdout && !args.force && args.file.symlink_metadata().is_ok() {
        let message = "exists already; name another file, `-` for stdout, or use `--force` to replace it";
        return Err(EarlyExit::refused(Code::File, format!("{} {message}", args.file.display())));
    }
    let draft = if args.from.is_empty() { from_machine(session, args).await? } else { from_files(session, args)? };
    let is_empty = draft.services + draft.proposals == 0;
    if is_empty && !args.from.is_empty() {
        // Notes quote untranslated lines, which must not be shown of a file that is in none of these formats.
        return Err(EarlyExit::refused(
            Code::Empty,
            "found nothing in the given files that could be a service; nothing was written",
        ));
    }
    for note in &draft.notes {
        session.note(&format!("note: {note}"));
    }
    if is_empty {
        let message = "found no containers and no programs on a GPU; nothing was written; start the services first, or \
                       translate a file with `--from`";
        return Err(EarlyExit::refused(Code::Empty, message));
    }
    if to_stdout {
        data(&Output::plain(&draft.text))?;
        return Ok(Exit::Done);
    }
    output::replace(&args.file, &draft.text)
        .map_err(|error| EarlyExit::refused(Code::File, format!("can't write {}: {error}", args.file.display())))?;
    Ok(check(session, &args.file, &draft))
}

/// Reads the new manifest like any other: its problems are reported now, not at the next command.
fn check(session: &Session, file: &Path, draft: &ManifestDraft) -> Exit {
    let services = counted(draft.services, "service", "services");
    let notes = counted(draft.notes.len(), "note", "notes");
    session.note(&format!("wrote {}: {services}, {notes} (each as a comment at its place)", file.display()));
    let choice = ModeSelection { mode_optional: true, ..ModeSelection::default() };
    match crate::reconcile::wire::load(file, &session.environment, &choice) {
        Ok(_) if draft.services == 0 => {
            session.note("found no containers: the manifest has proposals in comments only");
        }
        Ok(_) => {
            let named = if file == Path::new("lcm.yaml") { String::new() } else { format!(" {}", file.display()) };
            session.note(&format!("next: `lcm plan{named}` shows what it would do, and changes nothing"));
        }
        Err(problems) => {
            session.note("the manifest is not valid yet; fix these problems first:");
            session.show_unless_quiet(wire::render(&problems, session.stderr, session.width()).trimmed());
        }
    }
    Exit::Done
}

async fn from_machine(session: &Session, args: &Args) -> Result<ManifestDraft, EarlyExit> {
    // No manifest is read, so no secrets are known.
    log::no_secrets();
    let mut found = match &args.world {
        Some(world) => MachineSurvey { facts: project::read_world(world)?, discovered: Discovered::default() },
        None => wire::found(&session.environment).await,
    };
    narrow(&mut found, &args.only).map_err(|unknown| {
        let message = format!("found no container and no Compose project `{unknown}`");
        EarlyExit::refused(Code::UnknownName, message)
    })?;
    let name = args.name.clone().unwrap_or_else(|| folder_of(&args.file));
    Ok(machine(&found, &name))
}

fn from_files(session: &Session, args: &Args) -> Result<ManifestDraft, EarlyExit> {
    let mut given = Vec::new();
    for path in &args.from {
        let text = files::read(path)
            .map_err(|error| EarlyExit::refused(Code::File, format!("can't read {}: {error}", path.display())))?;
        given.push(Given { path: path.clone(), text });
    }
    let folder = absolute_folder(&args.from[0]);
    let setting = ImportContext {
        name: args.name.clone().unwrap_or_else(|| folder_of(&args.from[0])),
        variables: dotenv(&folder, &session.environment),
        environment: session.environment.clone(),
        base: relative(&folder, &absolute_folder(&args.file)),
    };
    translate(&given, &setting, &read_named).map_err(|problems| opened::refusal(session, &problems))
}

/// Reads a file that a given one names; `None`: there is none.
fn read_named(path: &Path) -> Result<Option<String>, String> {
    match files::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("it can't be read: {error}")),
    }
}

/// Returns the variables of Compose's `.env` file; none where it is missing or can't be read.
fn dotenv(folder: &Path, environment: &Environment) -> BTreeMap<String, String> {
    files::read(&folder.join(".env")).map(|text| wire::dotenv(&text, environment)).unwrap_or_default()
}

fn absolute_folder(file: &Path) -> PathBuf {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
    folder.canonicalize().unwrap_or(folder)
}

/// Returns the last part of the folder's path, as Compose names a project.
fn folder_of(file: &Path) -> String {
    let folder = absolute_folder(file);
    folder.file_name().map_or_else(|| "machine".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Returns the relative path from one folder to another; empty where they are the same.
fn relative(to: &Path, from: &Path) -> PathBuf {
    let (to, from): (Vec<Component<'_>>, Vec<Component<'_>>) = (to.components().collect(), from.components().collect());
    let shared = to.iter().zip(&from).take_while(|(one, other)| one == other).count();
    let up = from[shared..].iter().map(|_| Component::ParentDir);
    up.chain(to[shared..].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::relative;

    #[test]
    fn the_relative_path_between_folders() {
        for (to, from, wanted) in
            [("/a/b", "/a/b", ""), ("/a/b", "/a", "b"), ("/a", "/a/b", ".."), ("/a/c", "/a/b/d", "../../c")]
        {
            assert_eq!(relative(Path::new(to), Path::new(from)), PathBuf::from(wanted));
        }
    }
}
