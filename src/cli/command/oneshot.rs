//! `lcm start`, `lcm stop` and `lcm restart`: by the same rules as an apply, about what they name; and what becomes of
//! that with the next apply.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::cli::args::{ChooseArgs, ExecutionArgs, NarrowArgs, PlanningArgs};
use crate::cli::execute;
use crate::cli::exit::Exit;
use crate::cli::job::Job;
use crate::cli::opened::Opened;
use crate::cli::stop::{Code, Stop};
use crate::cli::terminal::session::Session;
use crate::model::budget;
use crate::model::desired::Service;
use crate::model::lifecycle::Action;
use crate::model::names::ServiceName;
use crate::model::observed::ObservedService;
use crate::model::plan::{Plan, Purpose, Request, Step};
use crate::model::snapshot::{Planner as _, Snapshot};
use crate::model::words::Word;
use crate::store::StoreError;

/// What a one-shot is about; its own line of help stands with the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Services that it is about
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<ServiceName>,
    /// Manifest to read
    #[arg(short, long, default_value = "lcm.yaml", value_name = "MANIFEST")]
    manifest: PathBuf,
    #[command(flatten)]
    choose: ChooseArgs,
    #[command(flatten)]
    execution: ExecutionArgs,
}

pub(crate) async fn run(session: &Session, args: Args, purpose: Purpose) -> Result<Exit, Stop> {
    let Args { services, manifest, choose, execution } = args;
    let narrow = NarrowArgs { targets: services, excludes: Vec::new() };
    let command = match purpose {
        Purpose::Apply => "lcm apply",
        Purpose::Down => "lcm down",
        Purpose::Start => "lcm start",
        Purpose::Stop => "lcm stop",
        Purpose::Restart => "lcm restart",
    };
    let choice = choose.choice_if_any();
    let job = Job {
        world: choose.world,
        planning: PlanningArgs { narrow, ..PlanningArgs::default() },
        ..Job::new(command, purpose, manifest, choice, execution)
    };
    execute::run(session, job).await
}

/// What an operator holds is neither started nor stopped by a one-shot, and is not taken along by one.
pub(crate) fn refuse_held(opened: &Opened, snapshot: &Snapshot, request: &Request) -> Result<(), Stop> {
    let services = &snapshot.observed.services;
    let stops = match request.purpose {
        Purpose::Apply | Purpose::Down => return Ok(()),
        Purpose::Start => false,
        Purpose::Stop | Purpose::Restart => true,
    };
    for name in &request.targets {
        let Some(said) = services.get(name).and_then(|seen| seen.word.as_ref()) else { continue };
        if said.word != Word::Terminate || request.purpose != Purpose::Stop {
            return Err(held(name, &services[name], ""));
        }
    }
    if stops {
        let targets: Vec<ServiceName> = request.targets.iter().cloned().collect();
        refuse_held_dependents(opened, services, &targets)?;
    }
    if request.purpose == Purpose::Stop {
        return Ok(());
    }
    for name in needed(opened, &request.targets) {
        let kept_off = |seen: &&ObservedService| seen.word.as_ref().is_some_and(|said| said.word == Word::Terminate);
        if let Some(seen) = services.get(&name).filter(kept_off) {
            return Err(held(&name, seen, ", and is needed"));
        }
    }
    Ok(())
}

/// What runs and depends on these would be stopped along.
pub(crate) fn refuse_held_dependents(
    opened: &Opened,
    services: &BTreeMap<ServiceName, ObservedService>,
    stopped: &[ServiceName],
) -> Result<(), Stop> {
    let mut open: Vec<ServiceName> = stopped.to_vec();
    let mut seen: BTreeSet<ServiceName> = open.iter().cloned().collect();
    // Ends: each service is taken up once.
    while let Some(base) = open.pop() {
        let depends = opened.desired.services.values().filter(|service| service.depends_on.contains_key(&base));
        for dependent in depends.map(|service| &service.name).filter(|name| seen.insert((*name).clone())) {
            let Some(found) = services.get(dependent).filter(|found| found.holds_room) else { continue };
            if found.word.as_ref().is_some_and(|said| said.word != Word::Terminate) {
                return Err(held(dependent, found, &format!(", and depends on {base}")));
            }
            open.push(dependent.clone());
        }
    }
    Ok(())
}

/// An explicit start or restart is an operator's resume: the snapshot, with the attempts of what it names as they count
/// from now on.
pub(crate) fn resume(opened: &Opened, snapshot: Snapshot, request: &Request) -> Snapshot {
    if resumed(opened, request).next().is_none() {
        return snapshot;
    }
    let mut facts = snapshot.facts;
    let now = facts.observed_at;
    for service in resumed(opened, request) {
        let leave = budget::resumed(service, now);
        match facts.history.get_mut(&service.name) {
            Some(past) => past.attempts = leave,
            None if leave.is_some() => facts.history.entry(service.name.clone()).or_default().attempts = leave,
            None => {}
        }
    }
    opened.planner().observe(facts)
}

/// Keeps what [`resume`] planned by, before it is carried out.
pub(crate) fn keep_resumed(opened: &Opened, request: &Request) -> Result<(), Stop> {
    if resumed(opened, request).next().is_none() {
        return Ok(());
    }
    let unusable = |error: StoreError| Stop::refused(Code::Store, error.to_string());
    let (project, now) = (&opened.desired.project, opened.driver().now());
    let known = opened.store().last_known(project).map_err(unusable)?;
    for service in resumed(opened, request) {
        let leave = budget::resumed(service, now);
        let were_tried = known.get(&service.name).is_some_and(|past| past.attempts.is_some());
        if were_tried || leave.is_some() {
            opened.store().set_attempts(project, &service.name, leave.as_ref()).map_err(unusable)?;
        }
    }
    Ok(())
}

fn resumed<'a>(opened: &'a Opened, request: &'a Request) -> impl Iterator<Item = &'a Service> {
    let starts = matches!(request.purpose, Purpose::Start | Purpose::Restart);
    request.targets.iter().filter(move |_| starts).filter_map(|name| opened.desired.services.get(name))
}

fn needed(opened: &Opened, targets: &BTreeSet<ServiceName>) -> BTreeSet<ServiceName> {
    let mut found = BTreeSet::new();
    let mut open: Vec<ServiceName> = targets.iter().cloned().collect();
    // Ends: each service is taken up once.
    while let Some(name) = open.pop() {
        let Some(service) = opened.desired.services.get(&name) else { continue };
        open.extend(service.depends_on.keys().filter(|base| found.insert((*base).clone())).cloned());
    }
    found
}

fn held(name: &ServiceName, seen: &ObservedService, also: &str) -> Stop {
    let word = seen.word.as_ref();
    let (word, whom) = word.map_or_else(Default::default, |said| (said.word.as_str(), said.by_whom()));
    Stop::refused(
        Code::Held,
        format!("an operator holds {name} by `lcm {word}`{also} ({whom}); `lcm resume {name}` takes that back"),
    )
}

/// What the next apply would do about what a one-shot did, by `plan`: a sentence for each service.
pub(crate) async fn undone(session: &Session, opened: &Opened, request: &Request, plan: &Plan) -> Vec<String> {
    let desired = &opened.desired;
    let no_mode = desired.mode.is_none() && !desired.modes.is_empty();
    if !request.purpose.is_one_shot() || no_mode {
        return Vec::new();
    }
    let mut touched = needed(opened, &request.targets);
    touched.extend(request.targets.iter().chain(plan.steps.iter().map(|step| &step.service)).cloned());
    // What can't be read or planned is not known to differ.
    let Ok(snapshot) = opened.snapshot(session).await else { return Vec::new() };
    let Ok(next) = opened.plan(&snapshot, &Request::default()) else { return Vec::new() };
    let steps = |action: Action| next.steps.iter().filter(move |step| step.action == action);
    let named = |action: Action| -> BTreeSet<&ServiceName> { steps(action).map(|step| &step.service).collect() };
    let (starts, stops) = (named(Action::Start), named(Action::Stop));
    let sentence = |step: &Step| {
        let does = if step.action == Action::Start { "starts" } else { "stops" };
        format!("The next `lcm apply` {does} {}: {}.", step.service, step.reason.message)
    };
    let one_way = |step: &&Step| starts.contains(&step.service) != stops.contains(&step.service);
    let steps = steps(Action::Stop).chain(steps(Action::Start));
    steps.filter(one_way).filter(|step| touched.contains(&step.service)).map(sentence).collect()
}
