//! Survey of process trees: combines living processes, lcm's notes and adoptions into facts. Blocking: it reads some
//! files for each process.

use std::collections::BTreeMap;
use std::time::Duration;
use std::{io, thread};

use jiff::Timestamp;

use crate::files::own;
use crate::host::proc;
use crate::model::claim::ClaimFact;
use crate::model::desired::{Desired, Service};
use crate::model::facts::{ExitFact, Marks, Reading};
use crate::model::names::ProjectName;
use crate::runtime::ServiceName;
use crate::runtime::process::drive::folder::Folder;
use crate::runtime::process::drive::processes::Processes;
use crate::runtime::process::drive::shim::standby;
use crate::runtime::process::drive::trees::{Census, Key, Tree};
use crate::runtime::process::drive::{adopted, held};
use crate::runtime::process::facts::TreeFact;
use crate::runtime::process::intent::{PidFile, ProcessSpec};

/// Bound for a shim without a service, which is starting or ending: half a second is long for either.
const SETTLE_ROUNDS_MAX: u32 = 50;
const SETTLE_PAUSE: Duration = Duration::from_millis(10);

/// Reads all living trees of all projects, the ended ones of this manifest, the claims on this project, and its
/// untrusted pid files.
pub(crate) fn all(processes: &Processes, desired: &Desired) -> io::Result<Survey> {
    let project = desired.project.as_str();
    let census = settled(processes, |_| true)?;
    let mut trees = census.trees();
    let (mut facts, mut pid_files) = (Vec::new(), BTreeMap::new());
    for (service, pid_file) in desired.services.values().filter_map(process_of) {
        let key = (project.to_owned(), service.name.as_str().to_owned());
        facts.extend(fact(processes, &key, trees.remove(&key), pid_file)?);
        let reason = pid_file.and_then(adopted::distrust_reason);
        pid_files.extend(reason.map(|reason| (service.name.clone(), reason)));
    }
    for (key, mut tree) in trees {
        if key.0 != project {
            // The config of another project is private to it; only its memory is of interest here.
            tree.marks.config = String::new();
        }
        facts.extend(fact(processes, &key, Some(tree), None)?);
    }
    // Other users' trees of this project are claims. Those of other projects count with their measured memory only: the
    // figures in their marks are their users' claims.
    let others = census.trees_of_others().into_iter().filter(|((_, key), _)| key.0 != project);
    facts.extend(others.map(|(_, tree)| {
        let Marks { project, service, salt, .. } = tree.marks.clone();
        living(Tree { marks: Marks { project, service, salt, ..Marks::default() }, ..tree }, None)
    }));
    facts.sort_by(|a, b| (&a.marks.project, &a.marks.service).cmp(&(&b.marks.project, &b.marks.service)));
    Ok(Survey { trees: Reading::Known(facts), claims: census.claims(project), pid_files })
}

/// Reads one service's tree, alive or ended; `None`: there is no trace of a start.
pub(crate) fn one(processes: &Processes, project: &ProjectName, service: &Service) -> io::Result<Option<TreeFact>> {
    let pid_file = process_of(service).and_then(|(_, pid_file)| pid_file);
    let key = (project.as_str().to_owned(), service.name.as_str().to_owned());
    let tree = settled(processes, |other| *other == key)?.trees().remove(&key);
    fact(processes, &key, tree, pid_file)
}

/// Records the members of a project's living starts, so that they are known after the death of a shim that does not
/// record: one of an earlier lcm, or one whose folder was deleted.
pub(crate) fn record(processes: &Processes, project: &ProjectName) -> io::Result<()> {
    let folders = Folder::all(&processes.state_dir);
    let folders = folders.iter().map(|(_, _, folder)| folder.path()).chain([processes.state_dir.as_path()]);
    // A file that can't be removed does no harm.
    folders.for_each(|folder| drop(own::sweep(folder)));
    let census = Census::take(&processes.trust())?;
    let output = |marks: &Marks| {
        let note = processes.folder(&marks.project, &marks.service).start_note();
        note.filter(|note| note.marks.salt == marks.salt)?.output.map(|output| output.inode)
    };
    for note in census.records(project.as_str(), output) {
        let folder = processes.folder(&note.marks.project, &note.marks.service);
        if folder.members().as_ref() != Some(&note) {
            folder.ensure().map_err(io::Error::other)?;
            folder.write_members(&note)?;
        }
    }
    Ok(())
}

fn process_of(service: &Service) -> Option<(&Service, Option<&PidFile>)> {
    match service.workload.spec::<ProcessSpec>() {
        Some(process) => Some((service, process.pid_file.as_ref())),
        None => None,
    }
}

/// Takes a census in which no shim of interest is starting or ending, so that exits are recorded; after
/// [`SETTLE_ROUNDS_MAX`] rounds, the last one.
fn settled(processes: &Processes, of_interest: impl Fn(&Key) -> bool) -> io::Result<Census> {
    let trust = processes.trust();
    let mut round = 0;
    loop {
        let census = Census::take(&trust)?;
        let is_empty = |(key, tree): (&Key, &Tree)| of_interest(key) && tree.members.is_empty();
        let unsettled = census.trees().iter().any(is_empty) || census.starting_shims().any(&of_interest);
        round += 1;
        if !unsettled || round > SETTLE_ROUNDS_MAX {
            return Ok(census);
        }
        thread::sleep(SETTLE_PAUSE);
    }
}

fn fact(
    processes: &Processes,
    key: &Key,
    tree: Option<Tree>,
    pid_file: Option<&PidFile>,
) -> io::Result<Option<TreeFact>> {
    let folder = processes.readable_folder(&key.0, &key.1);
    if let Some(mut tree) = tree {
        let note = folder.start_note().filter(|note| note.marks.salt == tree.marks.salt);
        if tree.shims.is_empty()
            && let Some(note) = &note
        {
            // An error is ignored: output that waits in its pipe makes no service unhealthy, and the next inspection
            // retries.
            let _ = standby::revive(processes, &folder, note, &tree.members);
        }
        // A record has no config; the note of the start has it.
        if tree.marks.config.is_empty()
            && let Some(note) = note
        {
            tree.marks = note.marks;
        }
        let exit = folder.exit(&tree.marks.salt);
        return Ok(Some(living(tree, exit)));
    }
    if let Some(root) = adopted::root(&folder, pid_file) {
        let census = Census::take_whole(&processes.trust())?;
        let members = if census.start_of(root.pid).is_some() { Vec::new() } else { census.below(&root) };
        if !members.is_empty() {
            let marks = Marks {
                project: key.0.clone(),
                service: key.1.clone(),
                salt: adopted::id_of(&root),
                ..Marks::default()
            };
            let suspended = census.are_suspended(&members);
            let started_at = proc::started_at(root.start_ticks, Timestamp::now());
            let uid = proc::uid(root.pid);
            let ended = ended(marks, started_at, None);
            return Ok(Some(TreeFact { adopted: true, members, suspended, uid, ..ended }));
        }
    }
    // A start removes the note on an adoption: a note means that the adopted process was the last one.
    if let Some(note) = folder.adopted() {
        let salt = format!("{}:{}", note.pid, note.start_ticks);
        let marks = Marks { project: key.0.clone(), service: key.1.clone(), salt, ..Marks::default() };
        // Nothing of lcm's waited for the process. One that was given back did not end.
        let exit = (!note.given_back).then_some(ExitFact { code: None, signal: None, at: None });
        return Ok(Some(TreeFact { adopted: true, ..ended(marks, None, exit) }));
    }
    let note = folder.start_note();
    Ok(note.map(|note| ended(note.marks.clone(), Some(note.started_at), folder.exit(&note.marks.salt))))
}

fn living(tree: Tree, exit: Option<ExitFact>) -> TreeFact {
    let Tree { uid: _, marks, started_at, shims, lost_shim, former_project, members, suspended } = tree;
    let uid = members.first().and_then(|member| proc::uid(member.pid));
    // A start time in the future would make a healthy service look young, or old, for ever.
    let started_at = started_at.map(|started_at| started_at.min(Timestamp::now()));
    let shim = shims.into_iter().next();
    let held = shim.as_ref().and_then(|shim| held::read(shim.pid));
    TreeFact { shim, members, suspended, uid, lost_shim, held, former_project, ..ended(marks, started_at, exit) }
}

fn ended(marks: Marks, started_at: Option<Timestamp>, exit: Option<ExitFact>) -> TreeFact {
    TreeFact {
        marks,
        adopted: false,
        shim: None,
        members: Vec::new(),
        started_at,
        exit,
        suspended: false,
        uid: None,
        lost_shim: None,
        held: None,
        former_project: None,
    }
}

/// Result of one reading of processes.
#[derive(Debug)]
pub struct Survey {
    /// Living trees of any project, and ended ones of this manifest.
    pub trees: Reading<Vec<TreeFact>>,
    pub claims: Vec<ClaimFact>,
    /// Pid files that lcm does not trust, with the reason.
    pub pid_files: BTreeMap<ServiceName, String>,
}
