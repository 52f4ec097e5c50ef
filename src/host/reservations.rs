//! Reservations across users, verified on this machine: the process that each belongs to, and the memory that a driver
//! measures for it already.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rustix::process::{geteuid, getpid};

use crate::files::kernel;
use crate::host::error::DriverError;
use crate::host::proc;
use crate::model::desired::Service;
use crate::model::facts::GpuFact;
use crate::model::names::{GpuId, ProjectName, ServiceName};
use crate::model::reservation::ReservationFact;
use crate::model::safe_text;
use crate::model::size::Mebibytes;
use crate::shared;
use crate::shared::reservation::{Reservation, ReservationFile, Reservations, Starter};

/// Bound on a chain of parents, above any on a working machine; it ends a cycle that a race could show.
const ANCESTORS_MAX: usize = 10_000;

/// Characters of a name, which is shown in one line of a plan.
const NAME_LETTERS_MAX: usize = 100;

/// Longest loading time: the largest model loads within hours; more is a mistake, or meant to keep others out.
const LOADS_MAX: SignedDuration = SignedDuration::from_hours(24);

/// A start that takes GPU memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReservingStart<'a> {
    pub(crate) project: &'a ProjectName,
    pub(crate) service: &'a Service,
    pub(crate) gpus: &'a [GpuId],
}

type ProcessEnvironment = BTreeMap<String, String>;

fn reservations(environment: &ProcessEnvironment) -> Reservations {
    Reservations::beside(&shared::lock(environment))
}

/// Reserves the GPU memory of a start, in the name of this lcm process, and removes stale reservations.
pub(crate) fn begin(environment: &ProcessEnvironment, start: ReservingStart<'_>) -> Result<(), DriverError> {
    if start.gpus.is_empty() || start.service.vram_total() == Mebibytes::ZERO {
        return Ok(());
    }
    let own = getpid().as_raw_nonzero().get();
    let all = reservations(environment);
    let begun = || {
        let starter = starter(own).ok_or_else(|| io::Error::other("this process has no start time"))?;
        let uid = geteuid();
        let entries = all.read((!uid.is_root()).then_some(uid.as_raw()))?;
        let is_same = |entry: &ReservationFile| {
            entry.uid == uid.as_raw() && is_of(&entry.reservation, start.project, &start.service.name)
        };
        let stale = entries.iter().filter(|entry| is_same(entry) || !is_alive(entry));
        all.remove(stale.map(|entry| entry.name.as_str()))?;
        let until = loads_until(start)?;
        let gpus = start.gpus.iter().map(ToString::to_string).collect();
        let names = (start.project.as_str(), start.service.name.as_str());
        all.write(&Reservation::new(starter, names, gpus, start.service.vram_total().0, until))
    };
    begun().map_err(|source| failed(start.service.name.as_str(), source))
}

fn loads_until(start: ReservingStart<'_>) -> io::Result<Timestamp> {
    let health = &start.service.health;
    let loads = SignedDuration::try_from(health.warm_time + health.timeout).unwrap_or(LOADS_MAX).min(LOADS_MAX);
    Timestamp::now().checked_add(loads).map_err(io::Error::other)
}

/// Reserves the memory that a running service is going to take again: its reservation counts in full, as during its
/// load.
pub(crate) fn renew(environment: &ProcessEnvironment, start: ReservingStart<'_>) -> Result<(), DriverError> {
    let own = reservations(environment).read(Some(geteuid().as_raw()));
    let renewed = own.and_then(|entries| {
        let is_own =
            |entry: &ReservationFile| is_of(&entry.reservation, start.project, &start.service.name) && is_alive(entry);
        if !entries.iter().any(is_own) {
            return Ok(false);
        }
        let until = loads_until(start)?;
        let renew = |reservation: Reservation| Some(reservation.renewed(start.service.vram_total().0, until));
        change(environment, start.project, &start.service.name, renew).map(|()| true)
    });
    match renewed {
        Ok(true) => Ok(()),
        // A service started without a reservation has one as long as this lcm process lives.
        Ok(false) => begin(environment, start),
        Err(source) => Err(failed(start.service.name.as_str(), source)),
    }
}

/// Transfers the reservation to the service's first process, so that it outlives lcm.
pub(crate) fn hand_over(
    environment: &ProcessEnvironment,
    start: ReservingStart<'_>,
    pid: i32,
) -> Result<(), DriverError> {
    let Some(starter) = starter(pid) else { return Ok(()) };
    let moved = |reservation: Reservation| Some(reservation.of(starter.clone()));
    change(environment, start.project, &start.service.name, moved)
        .map_err(|source| failed(start.service.name.as_str(), source))
}

/// Marks the reservation as loaded: the memory that a driver measures is all that the service takes. Without a
/// measurement the reservation continues to count.
pub(crate) fn settle(environment: &ProcessEnvironment, project: &ProjectName, service: &ServiceName) -> io::Result<()> {
    change(environment, project, service, |reservation| Some(reservation.settled()))
}

/// Removes the reservation of a service that has ended.
pub(crate) fn end(environment: &ProcessEnvironment, project: &ProjectName, service: &ServiceName) -> io::Result<()> {
    change(environment, project, service, |_| None)
}

/// Replaces a service's reservations by the results of `to`. The new one is written before the old one is removed, so
/// that there is one at any time.
fn change(
    environment: &ProcessEnvironment,
    project: &ProjectName,
    service: &ServiceName,
    to: impl Fn(Reservation) -> Option<Reservation>,
) -> io::Result<()> {
    let all = reservations(environment);
    let entries = all.read(Some(geteuid().as_raw()))?;
    for entry in entries.into_iter().filter(|entry| is_of(&entry.reservation, project, service)) {
        let before = entry.reservation.clone();
        match to(entry.reservation) {
            Some(after) if after == before => continue,
            Some(after) => all.write(&after)?,
            None => {}
        }
        all.remove([entry.name.as_str()])?;
    }
    Ok(())
}

fn is_of(reservation: &Reservation, project: &ProjectName, service: &ServiceName) -> bool {
    reservation.project == project.as_str() && reservation.service == service.as_str()
}

fn failed(service: &str, source: io::Error) -> DriverError {
    DriverError::Io { what: format!("`{service}` is not started: its GPU memory can't be reserved"), source }
}

/// Returns the reservations of other projects; this project's own services are observed directly. `Err`: the
/// reservations can't be read at all.
pub(crate) fn read(
    environment: &ProcessEnvironment,
    project: &ProjectName,
    gpus: &[GpuFact],
) -> io::Result<Vec<ReservationFact>> {
    let (me, now) = (geteuid().as_raw(), Timestamp::now());
    let others = reservations(environment).read(None)?.into_iter().filter(|entry| {
        let is_own = entry.uid == me && entry.reservation.project == project.as_str();
        !is_own && is_alive(entry)
    });
    let mut found: BTreeMap<(u32, String, String), ReservationFact> = BTreeMap::new();
    for entry in others {
        let fact = fact(&entry, gpus, now);
        let key = (fact.uid, fact.project.clone(), fact.service.clone());
        // A reservation that is being transferred is in two files.
        let is_larger = found.get(&key).is_none_or(|other| (other.loaded, other.memory) < (fact.loaded, fact.memory));
        if is_larger {
            found.insert(key, fact);
        }
    }
    Ok(found.into_values().collect())
}

fn fact(entry: &ReservationFile, gpus: &[GpuFact], now: Timestamp) -> ReservationFact {
    let reservation = &entry.reservation;
    let shown = |name: &str| safe_text::line(name).chars().take(NAME_LETTERS_MAX).collect();
    let is_over = now > reservation.loads_until || reservation.loads_until.duration_since(now) > LOADS_MAX;
    let measured = gpus.iter().map(|gpu| {
        let of_it = gpu.holders.iter().filter(|holder| descends(holder.pid, reservation));
        (gpu.id.clone(), of_it.filter_map(|holder| holder.memory).sum::<Mebibytes>())
    });
    ReservationFact {
        uid: entry.uid,
        project: shown(&reservation.project),
        service: shown(&reservation.service),
        gpus: reservation.gpus.iter().map(|id| GpuId::from(id.as_str())).collect(),
        memory: Mebibytes(reservation.mib),
        measured: measured.filter(|(_, memory)| *memory > Mebibytes::ZERO).collect(),
        loaded: reservation.loaded || is_over,
    }
}

/// Returns true if the process is alive, is the recorded one, and runs as the owner of the file.
fn is_alive(entry: &ReservationFile) -> bool {
    let reservation = &entry.reservation;
    let is_that = starter(reservation.pid)
        .is_some_and(|found| found.start_ticks == reservation.start_ticks && found.boot_id == reservation.boot_id);
    is_that && uids(reservation.pid) == Some([entry.uid; 4])
}

/// Returns the real, effective, saved and file system uid.
fn uids(pid: i32) -> Option<[u32; 4]> {
    /// Above the size of the kernel's text, which contains no growing list.
    const STATUS_BYTES_MAX: u64 = 16 << 10;
    let status = kernel::read_text(Path::new(&format!("/proc/{pid}/status")), STATUS_BYTES_MAX).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let uids: Vec<u32> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    uids.try_into().ok()
}

fn starter(pid: i32) -> Option<Starter> {
    /// A UUID and its line end.
    const BOOT_ID_BYTES_MAX: u64 = 64;
    let stat = proc::stat(pid).filter(proc::Stat::is_alive)?;
    let boot_id = kernel::read_text(Path::new("/proc/sys/kernel/random/boot_id"), BOOT_ID_BYTES_MAX).ok()?;
    Some(Starter { pid, start_ticks: stat.start_ticks, boot_id: boot_id.trim().to_owned() })
}

/// Returns true if a process is the reservation's own or a descendant of it.
fn descends(pid: i32, reservation: &Reservation) -> bool {
    let mut pid = pid;
    for _ in 0..ANCESTORS_MAX {
        if pid <= 1 {
            return false;
        }
        if pid == reservation.pid {
            return true;
        }
        let Some(stat) = proc::stat(pid) else { return false };
        pid = stat.parent;
    }
    false
}
