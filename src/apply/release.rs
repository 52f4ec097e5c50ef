//! What a stop must bring back: its processes are gone, and so are its ports and its entries on the GPUs.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::health::growing;
use super::room::Refusal;
use super::run::{Run, spoken};
use super::verdict::Trouble;
use crate::driver::Life;
use crate::model::desired::Service;
use crate::model::facts::{Facts, GpuFact, GpuHolder, Owner, Reading, TreeFact};
use crate::model::names::{GpuId, ProjectName, ServiceName};
use crate::model::observed::Instance;
use crate::model::plan::{ReasonCode, Step};

/// What is worth knowing of it while it still runs: afterwards nothing tells whose a port or a GPU entry was.
pub(super) struct Before {
    owner: Owner,
    /// Its programs on GPUs, by pid.
    on_gpus: BTreeMap<i32, String>,
    /// Those GPUs, where they could be read.
    gpus: BTreeSet<GpuId>,
    /// A stranger who held one of its ports already.
    port_holder: Option<String>,
}

impl Before {
    pub(super) async fn of(run: &Run<'_>, step: &Step, service: Option<&Service>, instance: &Instance) -> Self {
        let (driver, desired) = (run.context.driver, run.context.desired);
        let port = async {
            match service {
                Some(service) => driver.port_holder(&desired.project, service).await.ok().flatten(),
                None => None,
            }
        };
        let survey = async { if step.gpus.is_empty() { None } else { Some(driver.survey(desired).await) } };
        let (port_holder, facts) = tokio::join!(port, survey);
        let owner = owner(&desired.project, &step.service, instance);
        let (mut on_gpus, mut gpus) = (BTreeMap::new(), BTreeSet::new());
        if let Some(facts) = facts {
            let others = other_trees(&facts, &owner, instance);
            let own = |holder: &&GpuHolder| holder.owner == owner && !others.contains(&holder.pid);
            for gpu in facts.gpus.known().into_iter().flatten() {
                for holder in gpu.holders.iter().filter(own) {
                    on_gpus.insert(holder.pid, holder.program.clone());
                    gpus.extend(gpu.unreadable.is_none().then(|| gpu.id.clone()));
                }
            }
        }
        Self { owner, on_gpus, gpus, port_holder }
    }
}

/// Waits until nothing of it is left.
pub(super) async fn released(
    run: &Run<'_>,
    service: Option<&Service>,
    instance: &Instance,
    before: &Before,
) -> Result<(), Refusal> {
    let began = Instant::now();
    let patience = run.context.options.release_timeout;
    loop {
        let asked_at = Instant::now();
        // Not cut: whoever interrupts a stop wants to know how it ended.
        let Some(left) = left(run, service, instance, before).await else { return Ok(()) };
        let waited = began.elapsed();
        if waited >= patience {
            let error = format!("stopped, but its room did not come back within {}: {left}", spoken(patience));
            return Err(Refusal::Trouble(Trouble::new(ReasonCode::StopFailed, error)));
        }
        run.nap(growing(waited, asked_at.elapsed()).min(patience.saturating_sub(waited)))
            .await
            .map_err(Refusal::Cut)?;
    }
}

/// What is still there of it, if anything is.
async fn left(run: &Run<'_>, service: Option<&Service>, instance: &Instance, before: &Before) -> Option<String> {
    let driver = run.context.driver;
    let survey =
        async { if before.on_gpus.is_empty() { None } else { Some(driver.survey(run.context.desired).await) } };
    // The readings take about as long as each other, and a switch waits for all of them.
    let (left, facts) = tokio::join!(left_outside(run, service, instance, before), survey);
    left.or_else(|| still_on_gpus(&facts?, before))
}

/// Of processes and ports.
async fn left_outside(
    run: &Run<'_>,
    service: Option<&Service>,
    instance: &Instance,
    before: &Before,
) -> Option<String> {
    let (driver, project) = (run.context.driver, &run.context.desired.project);
    if let Some(service) = service {
        let (look, held) = tokio::join!(driver.look(project, service), driver.port_holder(project, service));
        match look {
            Ok(look) if look.instance.as_ref() != Some(instance) => {}
            Ok(look) => match look.life {
                Life::Absent | Life::Ended(_) => {}
                Life::Running | Life::Suspended | Life::Crippled(_) => {
                    return Some("it runs again or still".to_owned());
                }
            },
            Err(error) => return Some(format!("it can't be looked at: {error}")),
        }
        if let Some(held) = held.ok().flatten().filter(|held| Some(held) != before.port_holder.as_ref()) {
            return Some(format!("port {held} is held"));
        }
    }
    None
}

/// `pid 4711 (ollama) still holds 18 000 MiB on GPU 0`.
fn still_on_gpus(facts: &Facts, before: &Before) -> Option<String> {
    let gpus = match &facts.gpus {
        Reading::Known(gpus) => gpus,
        Reading::NotAsked => return None,
        Reading::Unknown(reason) => return Some(format!("who is on the GPUs can't be told: {reason}")),
    };
    let unreadable = |gpu: &&GpuFact| gpu.unreadable.is_some() && before.gpus.contains(&gpu.id);
    if let Some(gpu) = gpus.iter().find(unreadable) {
        let reason = gpu.unreadable.as_deref().unwrap_or_default();
        return Some(format!("who is on GPU {} can't be told: {reason}", gpu.index));
    }
    // What another owner has by now under the same pid, is another process.
    let is_its = |holder: &&GpuHolder| holder.owner == before.owner || holder.owner == Owner::Stranger;
    for gpu in gpus.iter().filter(|gpu| gpu.lost.is_none()) {
        for holder in gpu.holders.iter().filter(is_its) {
            if let Some(program) = before.on_gpus.get(&holder.pid) {
                let memory = holder.memory.map_or_else(|| "memory".to_owned(), |memory| memory.to_string());
                return Some(format!("pid {} ({program}) still holds {memory} on GPU {}", holder.pid, gpu.index));
            }
        }
    }
    None
}

fn owner(project: &ProjectName, service: &ServiceName, instance: &Instance) -> Owner {
    match instance {
        Instance::Container { id, .. } => Owner::Container(id.clone()),
        Instance::Tree { .. } => Owner::Service { project: project.clone(), service: service.clone() },
    }
}

/// Processes of surplus copies: they bear the same name, and are not to end.
fn other_trees(facts: &Facts, owner: &Owner, instance: &Instance) -> BTreeSet<i32> {
    let (Owner::Service { project, service }, Instance::Tree { id }) = (owner, instance) else {
        return BTreeSet::new();
    };
    let is_it = |tree: &TreeFact| {
        let first = tree.members.first().map(|first| format!("{}:{}", first.pid, first.start_ticks));
        tree.marks.salt == *id || (tree.adopted && first.as_ref() == Some(id))
    };
    let trees = facts.trees.known().into_iter().flatten();
    let others = trees.filter(|tree| tree.marks.are_of(project, service) && !is_it(tree));
    others.flat_map(|tree| &tree.members).map(|member| member.pid).collect()
}
