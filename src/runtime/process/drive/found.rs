//! Discovery of foreign processes that hold GPU memory, outside of containers: the processes of one job together, with
//! the command that would start them again. Environments are not read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use crate::host::ports;
use crate::host::proc::{self, ProcessJob, Stat};
use crate::model::facts::{GpuFact, GpuHolder, ProcessOwner};
use crate::model::found::FoundProgram;
use crate::model::names::GpuId;
use crate::model::size::Mebibytes;
use crate::runtime::process::drive::trees::Census;
use crate::runtime::process::drive::verified::Trust;

/// Bound for a chain of parents: none is longer, and it ends a cycle that a race could show.
const ANCESTORS_MAX: usize = 1000;

/// Lists the foreign programs that hold GPU memory; ended ones, and those that the driver does not name, are left out.
/// Blocking: it reads some files for each of them.
pub(crate) fn programs(gpus: &[GpuFact], trust: &Trust) -> Vec<FoundProgram> {
    let holders = || gpus.iter().flat_map(|gpu| gpu.holders.iter().map(move |holder| (&gpu.id, holder)));
    let foreign = || holders().filter(|(_, holder)| holder.owner == ProcessOwner::Foreign && holder.pid > 0);
    let mut jobs: BTreeMap<i32, Vec<(&GpuId, &GpuHolder)>> = BTreeMap::new();
    for (gpu, holder) in foreign() {
        if let Some(leader) = leader(holder.pid) {
            jobs.entry(leader).or_default().push((gpu, holder));
        }
    }
    let census = Census::take_whole(trust).unwrap_or_default();
    jobs.into_iter().filter_map(|(leader, held)| program(&census, leader, &held)).collect()
}

/// Returns the first process of a process's job: the command that a user typed, or that a service manager started.
fn leader(pid: i32) -> Option<i32> {
    let own = proc::job(i32::try_from(std::process::id()).ok()?).map(|job| job.group);
    let job = proc::job(pid)?;
    // A script that also runs lcm leads more than the service.
    let is_apart = own != Some(job.group);
    let mut topmost = pid;
    for _ in 0..ANCESTORS_MAX {
        let Some(parent) = proc::stat(topmost).map(|stat| stat.parent).filter(|parent| *parent > 1) else { break };
        let together = proc::job(parent).is_some_and(|of_parent| of_parent.group == job.group);
        if !together || !is_apart {
            break;
        }
        topmost = parent;
    }
    Some(topmost)
}

fn program(census: &Census, leader: i32, held: &[(&GpuId, &GpuHolder)]) -> Option<FoundProgram> {
    let stat: Stat = proc::stat(leader).filter(Stat::is_alive)?;
    let mut memory: BTreeMap<GpuId, Option<Mebibytes>> = BTreeMap::new();
    for (gpu, holder) in held {
        let sum = memory.entry((*gpu).clone()).or_insert(Some(Mebibytes::ZERO));
        *sum = sum.and_then(|sum| Some(sum + holder.memory?));
    }
    let largest = held.iter().max_by_key(|(_, holder)| (holder.memory, holder.pid));
    let members: BTreeSet<i32> = census.below(&stat.fact()).iter().map(|member| member.pid).collect();
    let ProcessJob { terminal, .. } = proc::job(leader)?;
    Some(FoundProgram {
        pid: leader,
        program: largest.map_or(stat.program, |(_, holder)| holder.program.clone()),
        command: proc::words(leader),
        cwd: fs::read_link(format!("/proc/{leader}/cwd")).ok().filter(|cwd: &PathBuf| cwd.is_absolute()),
        terminal,
        unit: proc::unit(leader),
        ports: ports::of(&members),
        memory,
    })
}
