//! Proof that a stop has freed everything: its processes, its ports and its entries on the GPUs are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::apply::run::{Run, StepError, WaitError, duration_text, poll_interval};
use crate::model::desired::Service;
use crate::model::facts::{Attribution, Facts, GpuFact, GpuHolder, ProcessOwner, Reading, RuntimeFacts};
use crate::model::instance::Instance;
use crate::model::names::{GpuId, ServiceName};
use crate::model::plan::{ReasonCode, Step};
use crate::runtime::RunState;

/// Readings of the GPUs before a stop. A driver that is being reloaded answers a moment later; a broken one does not
/// recover, and is often the reason for the stop, which therefore goes on.
const READINGS_MAX: u32 = 3;
const READING_PAUSE: Duration = Duration::from_secs(1);

/// Readings of a service before its stop: afterwards the owner of a port or of a GPU entry is unknown.
pub(in crate::apply) struct BeforeStop {
    name: ServiceName,
    owner: ProcessOwner,
    on_gpus: OnGpus,
    /// Foreign process that held one of its ports before the stop.
    port_holder: Option<String>,
}

/// Knowledge of the programs of the service on GPUs.
enum OnGpus {
    /// Empty where no driver measures.
    Known(Programs),
    /// Reason for which its GPUs could not be read.
    Unknown(String),
}

#[derive(Default)]
struct Programs {
    by_pid: BTreeMap<i32, String>,
    /// Their GPUs, without those that the driver can never read in full.
    gpus: BTreeSet<GpuId>,
}

impl OnGpus {
    async fn of(run: &Run<'_>, step: &Step, owner: &ProcessOwner, instance: &Instance) -> Self {
        let mut readings = 1;
        loop {
            let facts = run.context.driver.survey(run.context.desired).await;
            let reason = match &facts.gpus {
                Reading::NotAsked => return Self::Known(Programs::default()),
                Reading::Unknown(reason) => format!("the GPUs could not be read before the stop: {reason}"),
                // Some drivers report the processes of a GPU, and not their memory.
                Reading::Known(gpus) => {
                    let is_dark = |gpu: &GpuFact| step.gpus.contains(&gpu.id) && gpu.holders.is_empty();
                    let Some((gpu, reason)) = unreadable(gpus, is_dark) else {
                        let programs = Programs::of(gpus, owner, &other_trees(&facts, owner, instance));
                        return Self::known(gpus, step, programs);
                    };
                    format!("GPU {} could not be read before the stop: {reason}", gpu.index)
                }
            };
            // Only one stop of a run waits for the driver; the others use its result.
            let gives_up = readings == READINGS_MAX || run.ledger().gpus_unreadable;
            if gives_up {
                run.ledger().gpus_unreadable = true;
                return Self::Unknown(reason);
            }
            readings += 1;
            tokio::time::sleep(READING_PAUSE).await;
        }
    }

    /// Programs are unknown where the driver does not name a process on the GPUs: it may belong to the service.
    fn known(gpus: &[GpuFact], step: &Step, programs: Programs) -> Self {
        let is_its = |gpu: &&GpuFact| step.gpus.contains(&gpu.id) && gpu.holders.iter().any(GpuHolder::is_unidentified);
        match gpus.iter().find(is_its).filter(|_| programs.by_pid.is_empty()) {
            Some(gpu) => Self::Unknown(format!("the driver does not name the processes on GPU {}", gpu.index)),
            None => Self::Known(programs),
        }
    }
}

impl Programs {
    fn of(gpus: &[GpuFact], owner: &ProcessOwner, others: &BTreeSet<i32>) -> Self {
        let mut programs = Self::default();
        for gpu in gpus {
            for holder in gpu.holders.iter().filter(|holder| holder.owner == *owner && !others.contains(&holder.pid)) {
                programs.by_pid.insert(holder.pid, holder.program.clone());
                programs.gpus.extend(gpu.unreadable.is_none().then(|| gpu.id.clone()));
            }
        }
        programs
    }
}

/// Returns a GPU that can't be read, and the reason.
fn unreadable(gpus: &[GpuFact], is_meant: impl Fn(&GpuFact) -> bool) -> Option<(&GpuFact, &str)> {
    gpus.iter().filter(|gpu| is_meant(gpu)).find_map(|gpu| Some((gpu, gpu.unreadable.as_deref()?)))
}

impl BeforeStop {
    pub(in crate::apply) async fn of(
        run: &Run<'_>,
        step: &Step,
        service: Option<&Service>,
        instance: &Instance,
    ) -> Self {
        let (driver, desired) = (run.context.driver, run.context.desired);
        let port = async {
            match service {
                Some(service) => driver.port_holder(&desired.project, service).await.ok().flatten(),
                None => None,
            }
        };
        let owner = ProcessOwner::of(&desired.project, &step.service, instance);
        // A plan that was made while the GPUs could not be read does not name those of the service.
        let is_on_none = step.gpus.is_empty() && service.is_some_and(|service| !service.wants_gpu());
        let on_gpus = async {
            if is_on_none { OnGpus::Known(Programs::default()) } else { OnGpus::of(run, step, &owner, instance).await }
        };
        let (port_holder, on_gpus) = tokio::join!(port, on_gpus);
        Self { name: step.service.clone(), owner, on_gpus, port_holder }
    }
}

/// Waits until the stop has freed everything, for at most the release timeout.
pub(in crate::apply) async fn released(
    run: &Run<'_>,
    service: Option<&Service>,
    instance: &Instance,
    before: &BeforeStop,
) -> Result<(), WaitError> {
    let began = Instant::now();
    let wait_max = run.context.options.release_timeout;
    loop {
        let asked_at = Instant::now();
        // An interrupt does not end this reading: the result of the stop is reported in any case.
        let Some(left) = left(run, service, instance, before).await else {
            if let OnGpus::Unknown(reason) = &before.on_gpus {
                let name = &before.name;
                run.warn(&format!("{name} was stopped, but the release of its GPU memory was not measured: {reason}"));
            }
            return Ok(());
        };
        let waited = began.elapsed();
        if waited >= wait_max {
            let time = duration_text(wait_max);
            let error = format!("stopped, but its resources were not released within {time}: {left}");
            return Err(WaitError::Failed(StepError::new(ReasonCode::StopFailed, error)));
        }
        run.clock
            .sleep(poll_interval(waited, asked_at.elapsed()).min(wait_max.saturating_sub(waited)))
            .await
            .map_err(WaitError::Cancelled)?;
    }
}

/// Describes what the stop has not freed yet, if anything.
async fn left(run: &Run<'_>, service: Option<&Service>, instance: &Instance, before: &BeforeStop) -> Option<String> {
    let driver = run.context.driver;
    let was_on_none = matches!(&before.on_gpus, OnGpus::Known(programs) if programs.by_pid.is_empty());
    let survey = async { if was_on_none { None } else { Some(driver.survey(run.context.desired).await) } };
    // The readings take equally long, and run at the same time to shorten a switch.
    let (left, facts) = tokio::join!(left_outside(run, service, instance, before), survey);
    left.or_else(|| still_on_gpus(&facts?, instance, before))
}

/// Describes processes and ports that are not freed yet.
async fn left_outside(
    run: &Run<'_>,
    service: Option<&Service>,
    instance: &Instance,
    before: &BeforeStop,
) -> Option<String> {
    let (driver, project) = (run.context.driver, &run.context.desired.project);
    if let Some(service) = service {
        let (inspection, held) = tokio::join!(driver.inspect(project, service), driver.port_holder(project, service));
        match inspection {
            Ok(inspection) if inspection.instance.as_ref() != Some(instance) => {}
            Ok(inspection) => match inspection.run_state {
                RunState::Absent | RunState::Ended(_) => {}
                RunState::Running | RunState::Suspended | RunState::Degraded(_) => {
                    return Some("it is still running, or was started again".to_owned());
                }
            },
            Err(error) => return Some(format!("it can't be inspected: {error}")),
        }
        match held {
            Ok(held) => {
                if let Some(held) = held.filter(|held| Some(held) != before.port_holder.as_ref()) {
                    return Some(format!("port still in use: {held}"));
                }
            }
            Err(_) if service.ports.is_empty() => {}
            Err(error) => return Some(format!("its ports can't be read: {error}")),
        }
    }
    None
}

/// Describes a program that is still on a GPU: `pid 4711 (ollama) still holds 18 000 MiB on GPU 0`.
fn still_on_gpus(facts: &Facts, instance: &Instance, before: &BeforeStop) -> Option<String> {
    let gpus = match (&facts.gpus, &before.on_gpus) {
        (Reading::Known(gpus), _) => gpus,
        // Unreadable before and after the stop: the same as without a driver, and reported.
        (Reading::NotAsked, _) | (Reading::Unknown(_), OnGpus::Unknown(_)) => return None,
        (Reading::Unknown(reason), OnGpus::Known(_)) => {
            return Some(format!("the processes on the GPUs can't be read: {reason}"));
        }
    };
    let found;
    let programs = match &before.on_gpus {
        OnGpus::Known(programs) => programs,
        OnGpus::Unknown(_) => {
            found = Programs::of(gpus, &before.owner, &other_trees(facts, &before.owner, instance));
            &found
        }
    };
    if let Some((gpu, reason)) = unreadable(gpus, |gpu| programs.gpus.contains(&gpu.id)) {
        return Some(format!("the processes on GPU {} can't be read: {reason}", gpu.index));
    }
    // A process of another owner under the same pid is another process.
    let is_its = |holder: &&GpuHolder| holder.owner == before.owner || holder.owner == ProcessOwner::Foreign;
    for gpu in gpus.iter().filter(|gpu| gpu.lost.is_none()) {
        for holder in gpu.holders.iter().filter(is_its) {
            if let Some(program) = programs.by_pid.get(&holder.pid) {
                let memory = holder.memory.map_or_else(|| "memory".to_owned(), |memory| memory.to_string());
                return Some(format!("pid {} ({program}) still holds {memory} on GPU {}", holder.pid, gpu.index));
            }
        }
    }
    None
}

/// Returns the processes of surplus copies: they have the same service name, and this stop does not end them.
fn other_trees(facts: &Facts, owner: &ProcessOwner, instance: &Instance) -> BTreeSet<i32> {
    let owned = facts.instances.all().flat_map(RuntimeFacts::owned);
    let is_another = |one: &Attribution| one.owner == *owner && one.instance.as_ref().is_some_and(|of| of != instance);
    owned.filter(is_another).flat_map(|one| one.pids).collect()
}
