//! Draft from the containers and programs of a machine. Containers are adopted, never recreated; other programs that
//! hold GPU memory are shown and left alone. The first plan from the draft has nothing to do.

mod memory;
mod programs;

use std::collections::{BTreeMap, BTreeSet};

use crate::import::draft::{ManifestDraft, ModeDraft, Notes, head, modes};
use crate::import::machine::memory::{STEP, STEP_SMALL, rounded, size};
use crate::import::names::{UniqueNames, valid_name};
use crate::import::writer::{YamlBlock, YamlValue};
use crate::model::facts::{EngineHealth, GpuFact, ProcessOwner, Reading};
use crate::model::found::{FoundContainer, MachineSurvey};
use crate::model::names::GpuId;
use crate::model::size::Mebibytes;
use crate::runtime::docker::facts::{ContainerFact, ContainerState, DockerReading as _};

/// Name of the mode with everything that runs.
const NOW: &str = "now";
/// Most example modes.
const MODES_MAX: usize = 8;
/// Container to adopt.
struct Adopted<'a> {
    name: String,
    fact: &'a ContainerFact,
    found: FoundContainer,
    state: AdoptedState,
    /// Memory seen on each GPU where the container holds some.
    held: BTreeMap<GpuId, Option<Mebibytes>>,
    /// Other containers of the draft that must be up before this one.
    needs: Vec<String>,
}

/// State of an adopted container, as far as the first plan depends on it.
enum AdoptedState {
    Runs,
    Stopped,
    /// To want the container in a mode would mean to change it.
    Faulty(&'static str),
}

impl Adopted<'_> {
    fn runs(&self) -> bool {
        matches!(self.state, AdoptedState::Runs)
    }

    fn wants_gpu(&self) -> bool {
        self.found.requests_gpu || !self.held.is_empty()
    }
}

/// Keeps only the containers with these names, or of these Compose projects. The error is a name that is neither's.
pub fn narrow(found: &mut MachineSurvey, only: &[String]) -> Result<(), String> {
    let Some(containers) = found.facts.docker_mut().containers.known_mut().filter(|_| !only.is_empty()) else {
        return Ok(());
    };
    let names = containers.iter().flat_map(|one| [Some(one.name.as_str()), one.compose_project.as_deref()]);
    let known: BTreeSet<&str> = names.flatten().collect();
    if let Some(unknown) = only.iter().find(|name| !known.contains(name.as_str())) {
        return Err(unknown.clone());
    }
    let is_in = |name: &str| only.iter().any(|wanted| wanted == name);
    containers.retain(|container| is_in(&container.name) || container.compose_project.as_deref().is_some_and(is_in));
    Ok(())
}

/// Drafts a manifest with this name from a survey of the machine.
#[must_use]
pub fn machine(found: &MachineSurvey, name: &str) -> ManifestDraft {
    let mut notes = Notes::default();
    let gpus: &[GpuFact] = found.facts.gpus.known().map_or(&[], Vec::as_slice);
    let mut names = UniqueNames::default();
    let (adopted, others) = adopted(found, gpus, &mut names);
    let mut block = head(&format!("Drafted by `lcm init` from the containers and programs on {}.", found.facts.host));
    block.put("version", YamlValue::word(1)).put("name", YamlValue::text(valid_name(name)));
    block.put_with("mode", YamlValue::text(NOW), "what runs now; `lcm plan` has nothing to do");
    block.gap();
    seen_gpus(&mut block, found, gpus, &mut notes);

    let mut services = YamlBlock::default();
    if let Reading::Unknown(reason) = &found.facts.docker().containers {
        services.comment(notes.about("containers", format!("not known: {reason}")));
    }
    let step = step(&adopted, gpus);
    let mut project = None;
    for one in &adopted {
        services.gap();
        if project != Some(&one.fact.compose_project) {
            project = Some(&one.fact.compose_project);
            services.comment(match &one.fact.compose_project {
                Some(project) => format!("Of the Compose project {project}:"),
                None => "Containers of no Compose project:".to_owned(),
            });
        }
        service(&mut services, one, gpus, step, &mut notes);
    }
    for line in others {
        services.gap().comment(notes.about("left alone", line));
    }
    let proposals = programs::write(&mut services, found, gpus, &mut names, &mut notes);
    block.put("services", YamlValue::Map(services)).gap();
    let drafts = mode_drafts(&adopted);
    if drafts.len() > 1 {
        block.comment(
            "`lcm plan --mode NAME` shows what a mode would change. A mode without `others: keep` stops the services \
             above that it does not name, and nothing else.",
        );
    }
    block.put("modes", modes(&drafts));
    ManifestDraft { text: block.document(), notes: notes.all, services: adopted.len(), proposals }
}

/// Returns the containers to adopt, those of one Compose project together; and notes on the others.
fn adopted<'a>(found: &'a MachineSurvey, gpus: &[GpuFact], names: &mut UniqueNames) -> (Vec<Adopted<'a>>, Vec<String>) {
    let (mut adopted, mut others) = (Vec::new(), Vec::new());
    let mut facts: Vec<&ContainerFact> = found.facts.docker().containers.known().into_iter().flatten().collect();
    facts.sort_by_key(|fact| (fact.compose_project.is_none(), &fact.compose_project, &fact.name));
    for fact in facts {
        if let Some(marks) = &fact.marks {
            others.push(format!("the container {} is a service of the lcm project {}", fact.name, marks.project));
            continue;
        }
        let state = match (fact.state, fact.health) {
            (ContainerState::Removing | ContainerState::Dead, _) => {
                others.push(format!("the container {} is being removed", fact.name));
                continue;
            }
            (ContainerState::Running, Some(EngineHealth::Unhealthy)) => {
                AdoptedState::Faulty("its own health check fails")
            }
            (ContainerState::Running, _) => AdoptedState::Runs,
            (ContainerState::Paused, _) => AdoptedState::Faulty("it is paused"),
            (ContainerState::Restarting, _) => AdoptedState::Faulty("the engine keeps restarting it"),
            (ContainerState::Created | ContainerState::Exited, _) => AdoptedState::Stopped,
        };
        let extra = found.discovered.containers.get(&fact.id).cloned().unwrap_or_else(|| FoundContainer {
            restart_policy: fact.restart_policy.clone(),
            ..FoundContainer::default()
        });
        let wanted = extra.compose_service.clone().unwrap_or_else(|| fact.name.clone());
        adopted.push(Adopted {
            name: names.give(&wanted),
            held: held(fact, gpus),
            found: extra,
            fact,
            state,
            needs: Vec::new(),
        });
    }
    let needs: Vec<Vec<String>> = adopted.iter().map(|one| needs(one, &adopted)).collect();
    for (one, needs) in adopted.iter_mut().zip(needs) {
        one.needs = needs;
    }
    (adopted, others)
}

/// Returns the dependencies that Compose declares, as far as they run: a stopped one is not started for its dependent.
fn needs(one: &Adopted<'_>, all: &[Adopted<'_>]) -> Vec<String> {
    let of_project = |service: &String| {
        let same = |other: &&Adopted<'_>| {
            other.fact.compose_project == one.fact.compose_project
                && other.found.compose_service.as_ref() == Some(service)
        };
        all.iter().find(same).filter(|other| other.runs() && one.runs() && other.name != one.name)
    };
    one.found.depends_on.iter().filter_map(of_project).map(|other| other.name.clone()).collect()
}

/// Returns the memory that the container's processes hold, by GPU.
fn held(fact: &ContainerFact, gpus: &[GpuFact]) -> BTreeMap<GpuId, Option<Mebibytes>> {
    let is_its = |owner: &ProcessOwner| matches!(owner, ProcessOwner::Container(id) if *id == fact.id);
    let mut held: BTreeMap<GpuId, Option<Mebibytes>> = BTreeMap::new();
    for gpu in gpus {
        for holder in gpu.holders.iter().filter(|holder| is_its(&holder.owner)) {
            let sum = held.entry(gpu.id.clone()).or_insert(Some(Mebibytes::ZERO));
            *sum = sum.and_then(|sum| Some(sum + holder.memory?));
        }
    }
    held
}

/// Returns the step to which measured memory is rounded up: a whole one, unless the sum would exceed a GPU's capacity.
fn step(adopted: &[Adopted<'_>], gpus: &[GpuFact]) -> Mebibytes {
    let fits = gpus.iter().all(|gpu| {
        let on_it: Vec<Mebibytes> = adopted.iter().filter_map(|one| one.held.get(&gpu.id).copied().flatten()).collect();
        let added: Mebibytes = on_it.iter().map(|held| rounded(*held, STEP) - *held).sum();
        gpu.used.unwrap_or_else(|| on_it.iter().copied().sum()) + added + gpu.reserved <= gpu.capacity
    });
    if fits { STEP } else { STEP_SMALL }
}

fn seen_gpus(block: &mut YamlBlock, found: &MachineSurvey, gpus: &[GpuFact], notes: &mut Notes) {
    for gpu in gpus {
        let name = if gpu.name.is_empty() { String::new() } else { format!(" {},", gpu.name) };
        let used = gpu.used.map(|used| format!(", {used} in use")).unwrap_or_default();
        block.comment(format!("GPU {}:{name} {}{used} ({})", gpu.index, gpu.capacity, gpu.id));
    }
    if let Reading::Unknown(reason) = &found.facts.gpus {
        block.comment(notes.about("GPUs", format!("not known: {reason}")));
    }
    if gpus.is_empty() {
        block.comment("No GPU driver found. To plan with GPUs all the same, declare them:");
    }
    let device =
        YamlValue::Flow(vec![("index".to_owned(), YamlValue::word(0)), ("vram".to_owned(), YamlValue::word("24GiB"))]);
    let settings = if gpus.is_empty() {
        vec![("devices".to_owned(), YamlValue::List(vec![device]))]
    } else {
        vec![("reserve".to_owned(), YamlValue::word("512MiB"))]
    };
    let beside = (!gpus.is_empty()).then_some("kept free on every GPU");
    block.propose("gpus", YamlValue::Flow(settings), beside).gap();
}

fn service(services: &mut YamlBlock, one: &Adopted<'_>, gpus: &[GpuFact], step: Mebibytes, notes: &mut Notes) {
    let mut block = YamlBlock::default();
    match one.state {
        AdoptedState::Runs => {}
        AdoptedState::Stopped => {
            block.comment("Stopped when this was written.");
        }
        AdoptedState::Faulty(why) => {
            let why = notes.add(&one.name, format!("{why}: add it to a mode once that is fixed"));
            block.comment(format!("Warning: {why}."));
        }
    }
    block.put("docker", YamlValue::Flow(vec![("container".to_owned(), YamlValue::text(&one.fact.name))]));
    memory(&mut block, one, gpus, step, notes);
    if !one.needs.is_empty() {
        block.put("depends_on", YamlValue::texts(&one.needs));
    }
    health(&mut block, one);
    if let Some(policy) = &one.found.restart_policy {
        let advice = format!("docker update --restart=no {}", one.fact.name);
        notes.add(
            &one.name,
            format!("its restart policy `{policy}` restarts it without lcm; disable that with `{advice}`"),
        );
        block.comment(format!(
            "The engine restarts it by its policy `{policy}` in every mode. To leave restarts to lcm:\n{advice}"
        ));
    }
    services.put(&one.name, YamlValue::Map(block));
}

fn memory(block: &mut YamlBlock, one: &Adopted<'_>, gpus: &[GpuFact], step: Mebibytes, notes: &mut Notes) {
    let called = |id: &GpuId| {
        let gpu = gpus.iter().find(|gpu| gpu.id == *id);
        gpu.map_or_else(|| id.to_string(), |gpu| format!("GPU {}", gpu.index))
    };
    let most = one.held.values().copied().flatten().max().filter(|most| *most > Mebibytes::ZERO);
    match most {
        Some(most) => {
            let measured: Vec<String> =
                one.held.iter().filter_map(|(id, held)| Some(format!("{} on {}", (*held)?, called(id)))).collect();
            let measured = format!("held {} when this was written", measured.join(", "));
            block.put_with("vram", size(rounded(most, step)), measured);
        }
        None if one.wants_gpu() => {
            let why = if one.runs() { "no memory could be measured" } else { "it was not running" };
            notes.add(&one.name, format!("its GPU memory is not known: {why}; set `vram:`"));
            block.propose("vram", YamlValue::word("??GiB"), Some(&format!("on each GPU; {why} when this was written")));
        }
        None => return,
    }
    if one.held.is_empty() {
        // On a machine without GPUs the service could not be placed.
        if !gpus.is_empty() {
            block.put("gpu", YamlValue::word("auto"));
        }
    } else if gpus.len() > 1 {
        let on: Vec<String> = one.held.keys().map(called).collect();
        block.put_with("gpu", YamlValue::texts(one.held.keys().map(GpuId::as_str)), on.join(", "));
    } else if most.is_none() {
        block.put("gpu", YamlValue::word("auto"));
    }
}

fn health(block: &mut YamlBlock, one: &Adopted<'_>) {
    if one.fact.health.is_some() {
        let docker = YamlValue::Flow(vec![("docker".to_owned(), YamlValue::word(true))]);
        block.put_with("health", docker, "by the container's own check");
        return;
    }
    let ports = &one.found.ports;
    let answering = ports.iter().find(|(port, _)| one.found.answering.contains(port));
    let Some((port, address)) = answering.or(ports.iter().next()) else { return };
    let bracketed = if address.contains(':') { format!("[{address}]") } else { address.clone() };
    let tcp = YamlValue::Flow(vec![("tcp".to_owned(), YamlValue::text(format!("{bracketed}:{port}")))]);
    if answering.is_some() {
        block.put_with("health", tcp, "accepts connections; `http:` with a path is a better check");
    } else {
        block.propose("health", tcp, Some("did not accept connections when this was written"));
    }
}

fn mode_drafts(adopted: &[Adopted<'_>]) -> Vec<ModeDraft> {
    let named = |wanted: &dyn Fn(&Adopted<'_>) -> bool| -> Vec<String> {
        adopted.iter().filter(|one| wanted(one)).map(|one| one.name.clone()).collect()
    };
    let mut drafts = vec![ModeDraft {
        name: NOW.to_owned(),
        description: "What ran when this was written".to_owned(),
        services: named(&|one| one.runs()),
        keeps_others: true,
    }];
    let healthy = |one: &Adopted<'_>| !matches!(one.state, AdoptedState::Faulty(_));
    let on_gpu: Vec<&Adopted<'_>> = adopted.iter().filter(|one| one.wants_gpu() && healthy(one)).collect();
    // If only one runs on a GPU, the first mode covers it already.
    if on_gpu.len() > 1 || on_gpu.iter().any(|one| !one.runs()) {
        let mut names = UniqueNames::of_modes();
        names.give(NOW);
        for one in on_gpu.iter().take(MODES_MAX) {
            drafts.push(ModeDraft {
                name: names.give(&one.name),
                description: format!("{} with the GPU to itself", one.name),
                services: named(&|other| {
                    other.name == one.name || (other.runs() && goes_with(other, &one.name, adopted))
                }),
                keeps_others: false,
            });
        }
    }
    drafts
}

/// Returns true if the container needs no GPU besides this one's: its dependencies would come with it.
fn goes_with(other: &Adopted<'_>, name: &str, all: &[Adopted<'_>]) -> bool {
    let (mut open, mut seen) = (vec![other], Vec::new());
    while let Some(next) = open.pop() {
        if next.name == name || seen.contains(&&next.name) {
            continue;
        }
        if next.wants_gpu() {
            return false;
        }
        seen.push(&next.name);
        open.extend(all.iter().filter(|one| next.needs.contains(&one.name)));
    }
    true
}
