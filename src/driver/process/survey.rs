//! Living trees, lcm's notes and adoptions, put together into facts. Blocking: it reads some files for each process.

use std::collections::BTreeMap;
use std::time::Duration;
use std::{io, thread};

use jiff::Timestamp;

use crate::driver::process::shim::standby;
use crate::driver::process::trees::{Census, Tree};
use crate::driver::process::{Processes, adopt, others, proc};
use crate::model::claim::ClaimFact;
use crate::model::desired::{Desired, PidFile, Runtime, Service};
use crate::model::facts::{Marks, TreeFact};
use crate::model::names::ProjectName;

/// A shim without a service is about to begin or to leave: half a second is long for either.
const SETTLE_ROUNDS_MAX: u32 = 50;
const SETTLE_PAUSE: Duration = Duration::from_millis(10);

type Trees = BTreeMap<(String, String), Tree>;

/// All trees of all projects, and the ends of this manifest's.
pub(crate) fn all(processes: &Processes, desired: &Desired) -> io::Result<(Vec<TreeFact>, Vec<ClaimFact>)> {
    others::refuse(desired.project.as_str(), None)?;
    let mut trees = settled(|_| true)?;
    let mut facts = Vec::new();
    for (service, pid_file) in desired.services.values().filter_map(process_of) {
        let key = (desired.project.as_str().to_owned(), service.name.as_str().to_owned());
        facts.extend(fact(processes, &key, trees.remove(&key), pid_file)?);
    }
    for (key, mut tree) in trees {
        if key.0 != desired.project.as_str() {
            // Another project's affairs, but for the room that it takes.
            tree.marks.config = String::new();
        }
        facts.extend(fact(processes, &key, Some(tree), None)?);
    }
    facts.sort_by(|a, b| (&a.marks.project, &a.marks.service).cmp(&(&b.marks.project, &b.marks.service)));
    Ok((facts, Vec::new()))
}

/// One service's tree, alive or ended; `None`: it never ran, as far as anything tells.
pub(crate) fn one(processes: &Processes, project: &ProjectName, service: &Service) -> io::Result<Option<TreeFact>> {
    let pid_file = process_of(service).and_then(|(_, pid_file)| pid_file);
    let key = (project.as_str().to_owned(), service.name.as_str().to_owned());
    others::refuse(&key.0, Some(&key.1))?;
    let tree = settled(|other| *other == key)?.remove(&key);
    fact(processes, &key, tree, pid_file)
}

fn process_of(service: &Service) -> Option<(&Service, Option<&PidFile>)> {
    match &service.runtime {
        Runtime::Process(process) => Some((service, process.pid_file.as_ref())),
        Runtime::Container(_) | Runtime::Existing(_) => None,
    }
}

/// The trees, once no shim of interest is between having a service and not having one: how it ended is noted by then.
fn settled(of_interest: impl Fn(&(String, String)) -> bool) -> io::Result<Trees> {
    let mut round = 0;
    loop {
        let trees = Census::take()?.trees();
        let unsettled = trees.iter().any(|(key, tree)| of_interest(key) && tree.members.is_empty());
        round += 1;
        if !unsettled || round > SETTLE_ROUNDS_MAX {
            return Ok(trees);
        }
        thread::sleep(SETTLE_PAUSE);
    }
}

fn fact(
    processes: &Processes,
    key: &(String, String),
    tree: Option<Tree>,
    pid_file: Option<&PidFile>,
) -> io::Result<Option<TreeFact>> {
    let folder = processes.folder(&key.0, &key.1);
    if let Some(tree) = tree {
        let Tree { marks, started_at, shim, members, suspended } = tree;
        let exit = folder.exit(&marks.salt);
        if shim.is_none()
            && let Some(note) = folder.start_note().filter(|note| note.marks.salt == marks.salt)
        {
            // A service whose output waits in its pipe is not seen to be ill: it is told at the next look.
            let _ = standby::revive(processes, &folder, &note, &members);
        }
        return Ok(Some(TreeFact { marks, adopted: false, shim, members, started_at, exit, suspended }));
    }
    if let Some(root) = adopt::root(&folder, pid_file) {
        let census = Census::take_whole()?;
        let members = census.below(&root);
        if !members.is_empty() {
            let marks =
                Marks { project: key.0.clone(), service: key.1.clone(), salt: adopt::id_of(&root), ..Marks::default() };
            let suspended = census.are_suspended(&members);
            let started_at = proc::started_at(root.start_ticks, Timestamp::now());
            return Ok(Some(TreeFact { marks, adopted: true, shim: None, members, started_at, exit: None, suspended }));
        }
    }
    Ok(folder.start_note().map(|note| TreeFact {
        exit: folder.exit(&note.marks.salt),
        marks: note.marks,
        adopted: false,
        shim: None,
        members: Vec::new(),
        started_at: Some(note.started_at),
        suspended: false,
    }))
}
