//! Reservations of GPU memory across users: one file per start, owned by the user whose lcm began it. A reservation
//! counts while the process that it names lives and belongs to that user, which the reader verifies; otherwise it is
//! stale.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::files::shared::SharedFolder;

const FORMAT: &str = "lcm.reservation/1";

/// Bound for names, 64 GPUs by UUID and some figures.
const BYTES_MAX: u64 = 8 << 10;

/// Far more than the services that start at one time; it bounds what one user can make others read.
const PER_USER_MAX: usize = 64;

/// Bound for the files in the folder: a thousand users with [`PER_USER_MAX`] each. Beyond it some user's reservations
/// would be missed, so more is an error.
const NAMES_MAX: usize = 65_536;

/// GPU memory that is promised to a start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    format: String,
    /// Pid of lcm itself at first, then of the first process that it started.
    pub pid: i32,
    pub start_ticks: u64,
    pub boot_id: String,
    pub project: String,
    pub service: String,
    /// GPUs, by UUID.
    pub gpus: Vec<String>,
    /// Memory on each of the GPUs, in MiB.
    pub mib: u64,
    /// True if the service has loaded: the memory that the driver measures is all that it takes.
    #[serde(default)]
    pub loaded: bool,
    /// Time at which loading counts as over, with or without success.
    pub loads_until: Timestamp,
}

/// Process that holds a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Starter {
    pub pid: i32,
    pub start_ticks: u64,
    pub boot_id: String,
}

impl Reservation {
    /// Creates a reservation for a start.
    #[must_use]
    pub fn new(
        starter: Starter,
        (project, service): (&str, &str),
        gpus: Vec<String>,
        mib: u64,
        loads_until: Timestamp,
    ) -> Self {
        let Starter { pid, start_ticks, boot_id } = starter;
        let (format, project, service) = (FORMAT.to_owned(), project.to_owned(), service.to_owned());
        Self { format, pid, start_ticks, boot_id, project, service, gpus, mib, loaded: false, loads_until }
    }

    /// Returns the reservation as loaded.
    #[must_use]
    pub fn settled(self) -> Self {
        Self { loaded: true, ..self }
    }

    /// Returns the reservation as loading again, with `mib` on each GPU.
    #[must_use]
    pub fn renewed(self, mib: u64, loads_until: Timestamp) -> Self {
        Self { mib, loaded: false, loads_until, ..self }
    }

    /// Returns the reservation for another process.
    #[must_use]
    pub fn of(self, starter: Starter) -> Self {
        let Starter { pid, start_ticks, boot_id } = starter;
        Self { pid, start_ticks, boot_id, ..self }
    }
}

/// File of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationFile {
    pub name: String,
    pub uid: u32,
    pub reservation: Reservation,
}

/// Reservations of all users of this host.
#[derive(Clone, Debug)]
pub struct Reservations {
    folder: PathBuf,
}

impl Reservations {
    /// Returns the reservations' folder beside the lock. Nothing is read yet.
    #[must_use]
    pub fn beside(lock: &Path) -> Self {
        Self { folder: lock.with_extension("reservations") }
    }

    /// Writes a reservation of the current user.
    pub fn write(&self, reservation: &Reservation) -> io::Result<()> {
        let uid = rustix::process::geteuid().as_raw();
        // Another user could take a name that can be guessed.
        let name = format!("{uid}-{:016x}", RandomState::new().build_hasher().finish());
        SharedFolder::make(&self.folder)?.create(&name, &serde_json::to_vec(reservation)?)
    }

    /// Removes reservations. Only root can remove another user's.
    pub fn remove<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
        let Some(folder) = SharedFolder::open(&self.folder)? else { return Ok(()) };
        names.into_iter().try_for_each(|name| folder.remove(name))
    }

    /// Reads the reservations of one user, or of all; of each user the first `PER_USER_MAX` by file name.
    pub fn read(&self, of: Option<u32>) -> io::Result<Vec<ReservationFile>> {
        let Some(folder) = SharedFolder::open(&self.folder)? else { return Ok(Vec::new()) };
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        let mut names = folder.names(NAMES_MAX + 1)?;
        if names.len() > NAMES_MAX {
            let reason = format!("{} holds more than {NAMES_MAX} files; clear it as root", self.folder.display());
            return Err(io::Error::other(reason));
        }
        names.sort_unstable();
        let mut entries = Vec::new();
        for name in names {
            let Some(uid) = name.split_once('-').and_then(|(uid, _)| uid.parse::<u32>().ok()) else { continue };
            // A file named after another user would use up that user's share.
            if of.is_some_and(|of| of != uid) || folder.uid_of(&name) != Some(uid) {
                continue;
            }
            let count = counts.entry(uid).or_default();
            *count += 1;
            if *count > PER_USER_MAX {
                continue;
            }
            // A file that can't be read is no reservation: its owner wrote it like that, or replaced it meanwhile.
            let Ok(Some(file)) = folder.read(&name, BYTES_MAX) else { continue };
            let Ok(reservation) = serde_json::from_slice::<Reservation>(&file.bytes) else { continue };
            if file.uid == uid && reservation.format == FORMAT {
                entries.push(ReservationFile { name, uid, reservation });
            }
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::{PER_USER_MAX, Reservation, Reservations, Starter};

    fn reservation(service: &str) -> Reservation {
        let starter = Starter { pid: 4711, start_ticks: 7, boot_id: "b".to_owned() };
        let until = "2026-11-01T10:00:00Z".parse().expect("a time");
        Reservation::new(starter, ("shop", service), vec!["GPU-1".to_owned()], 1000, until)
    }

    #[test]
    fn a_reservation_is_written_read_and_removed_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let all = Reservations::beside(&folder.path().join("lcm.lock"));
        assert_eq!(all.read(None).expect("read"), []);
        all.write(&reservation("painter")).expect("written");
        all.write(&reservation("writer")).expect("written");
        let uid = rustix::process::geteuid().as_raw();
        let found = all.read(Some(uid)).expect("read");
        assert_eq!(found.len(), 2);
        assert_eq!(all.read(Some(uid + 1)).expect("read"), []);
        let painter = found.iter().find(|entry| entry.reservation.service == "painter").expect("there");
        assert_eq!((painter.uid, &painter.reservation), (uid, &reservation("painter")));
        all.remove([painter.name.as_str()]).expect("removed");
        assert_eq!(all.read(None).expect("read").len(), 1);
    }

    #[test]
    fn links_invalid_content_and_files_named_after_another_user_do_not_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let all = Reservations::beside(&folder.path().join("lcm.lock"));
        all.write(&reservation("painter")).expect("written");
        let uid = rustix::process::geteuid().as_raw();
        let real = all.read(None).expect("read")[0].name.clone();
        let at = |name: String| folder.path().join("lcm.reservations").join(name);
        let text = fs::read(at(real.clone())).expect("read");
        symlink(at(real.clone()), at(format!("{uid}-link"))).expect("linked");
        fs::write(at(format!("{}-other", uid + 1)), &text).expect("written");
        fs::write(at(format!("{uid}-nonsense")), "\u{1b}[31m").expect("written");
        fs::write(at("name".to_owned()), &text).expect("written");
        fs::write(at(format!("{uid}-large")), "x".repeat(1 << 20)).expect("written");
        let names: Vec<String> = all.read(None).expect("read").into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, [real]);
    }

    #[test]
    fn one_user_has_a_bounded_number_of_reservations() {
        let folder = tempfile::tempdir().expect("a folder");
        let all = Reservations::beside(&folder.path().join("lcm.lock"));
        for _ in 0..PER_USER_MAX + 5 {
            all.write(&reservation("painter")).expect("written");
        }
        assert_eq!(all.read(None).expect("read").len(), PER_USER_MAX);
    }
}
