//! Reservations across users, as this machine proves them: whose process each is of, and what a driver measures of it
//! already.

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
use crate::model::harmless;
use crate::model::names::{GpuId, ProjectName, ServiceName};
use crate::model::reservation::ReservationFact;
use crate::model::size::Mebibytes;
use crate::shared;
use crate::shared::reservation::{Reservation, ReservationFile, Reservations, Starter};

/// No chain of parents is longer on any machine that still works; it ends a circle that a race could show.
const ANCESTORS_MAX: usize = 10_000;

/// A name is shown in one line of a plan.
const NAME_LETTERS_MAX: usize = 100;

/// The largest model loads within hours; a longer time is a slip, or meant to keep others out.
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

/// Reserves what a start is about to take, in the name of this lcm, and clears stale files away.
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

/// Reserves again what a running service is about to take again: its reservation counts in full as while it loaded.
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
        // It was started without one: it has one as long as this lcm lives.
        Ok(false) => begin(environment, start),
        Err(source) => Err(failed(start.service.name.as_str(), source)),
    }
}

/// From now on the reservation is that of the service's first process: it outlives lcm.
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

/// It came up: what a driver measures of it is all that it takes. Where none measures, it goes on counting.
pub(crate) fn settle(environment: &ProcessEnvironment, project: &ProjectName, service: &ServiceName) -> io::Result<()> {
    change(environment, project, service, |reservation| Some(reservation.settled()))
}

/// Nothing of it is left.
pub(crate) fn end(environment: &ProcessEnvironment, project: &ProjectName, service: &ServiceName) -> io::Result<()> {
    change(environment, project, service, |_| None)
}

/// Writes what `to` makes of a service's reservations, and removes what they were: nowhere in between is there none.
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

/// Reservations that count: not this project's own, whose services are seen. `Err`: they can't be read at all.
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
        // While a reservation changes hands it stands in two files.
        let is_larger = found.get(&key).is_none_or(|other| (other.loaded, other.memory) < (fact.loaded, fact.memory));
        if is_larger {
            found.insert(key, fact);
        }
    }
    Ok(found.into_values().collect())
}

fn fact(entry: &ReservationFile, gpus: &[GpuFact], now: Timestamp) -> ReservationFact {
    let reservation = &entry.reservation;
    let shown = |name: &str| harmless::line(name).chars().take(NAME_LETTERS_MAX).collect();
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

/// The process lives, is the one that was meant, and is the file's user's.
fn is_alive(entry: &ReservationFile) -> bool {
    let reservation = &entry.reservation;
    let is_that = starter(reservation.pid)
        .is_some_and(|found| found.start_ticks == reservation.start_ticks && found.boot_id == reservation.boot_id);
    is_that && uids(reservation.pid) == Some([entry.uid; 4])
}

/// All four: real, effective, saved, and that of the file system.
fn uids(pid: i32) -> Option<[u32; 4]> {
    /// The kernel's own text, without a list that grows.
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

/// Whether a process is the reservation's own or comes from it.
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
