//! Reservations of GPU memory across users: a file for each start, of the user whose lcm began it. It counts while the
//! process that it names lives and is that user's, which the reader proves; a file without such a process is stale.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::files::shared::SharedFolder;

const FORMAT: &str = "lcm.reservation/1";

/// Names, 64 GPUs by UUID and some figures.
const BYTES_MAX: u64 = 8 << 10;

/// Far more than services start at one time; it bounds what one user can make others read.
const PER_USER_MAX: usize = 64;

/// Names in the folder: a thousand users with all that they may have. Beyond it some user's would not be seen.
const NAMES_MAX: usize = 65_536;

/// GPU memory that a start was let in with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    format: String,
    /// First lcm itself, then the first process of what it started.
    pub pid: i32,
    pub start_ticks: u64,
    pub boot_id: String,
    pub project: String,
    pub service: String,
    /// By their UUIDs.
    pub gpus: Vec<String>,
    /// On each of them.
    pub mib: u64,
    /// It came up: what a driver measures of it is all that it takes.
    #[serde(default)]
    pub loaded: bool,
    /// Loading is over then, whatever came of it.
    pub loads_until: Timestamp,
}

/// Process that a reservation is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Starter {
    pub pid: i32,
    pub start_ticks: u64,
    pub boot_id: String,
}

impl Reservation {
    /// Reservation of a service that is about to start.
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

    /// The same, once the service came up.
    #[must_use]
    pub fn settled(self) -> Self {
        Self { loaded: true, ..self }
    }

    /// The same, while the service takes so much again.
    #[must_use]
    pub fn renewed(self, mib: u64, loads_until: Timestamp) -> Self {
        Self { mib, loaded: false, loads_until, ..self }
    }

    /// The same, of another process.
    #[must_use]
    pub fn of(self, starter: Starter) -> Self {
        let Starter { pid, start_ticks, boot_id } = starter;
        Self { pid, start_ticks, boot_id, ..self }
    }
}

/// A reservation's file.
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
    /// Those beside the lock.
    #[must_use]
    pub fn beside(lock: &Path) -> Self {
        Self { folder: lock.with_extension("reservations") }
    }

    /// Writes a reservation of the present user's.
    pub fn write(&self, reservation: &Reservation) -> io::Result<()> {
        let uid = rustix::process::geteuid().as_raw();
        // A name that could be guessed could be taken before.
        let name = format!("{uid}-{:016x}", RandomState::new().build_hasher().finish());
        SharedFolder::make(&self.folder)?.create(&name, &serde_json::to_vec(reservation)?)
    }

    /// Removes reservations. Another user's stay, but for root.
    pub fn remove<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
        let Some(folder) = SharedFolder::open(&self.folder)? else { return Ok(()) };
        names.into_iter().try_for_each(|name| folder.remove(name))
    }

    /// Reads the reservations of one user, or of all: of each the first of so many names that its files bear.
    pub fn read(&self, of: Option<u32>) -> io::Result<Vec<ReservationFile>> {
        let Some(folder) = SharedFolder::open(&self.folder)? else { return Ok(Vec::new()) };
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        let mut names = folder.names(NAMES_MAX + 1)?;
        if names.len() > NAMES_MAX {
            let reason = format!("{} holds more than {NAMES_MAX} files; root can clear it", self.folder.display());
            return Err(io::Error::other(reason));
        }
        names.sort_unstable();
        let mut entries = Vec::new();
        for name in names {
            let Some(uid) = name.split_once('-').and_then(|(uid, _)| uid.parse::<u32>().ok()) else { continue };
            // A file under another user's number would use up that user's share.
            if of.is_some_and(|of| of != uid) || folder.uid_of(&name) != Some(uid) {
                continue;
            }
            let count = counts.entry(uid).or_default();
            *count += 1;
            if *count > PER_USER_MAX {
                continue;
            }
            // What can't be read is no reservation: its user wrote it, or replaced it meanwhile.
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
    fn what_is_written_is_read_and_removed_by_its_name() {
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
    fn links_nonsense_and_files_under_another_users_number_do_not_count() {
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
    fn one_user_fills_no_more_than_a_share() {
        let folder = tempfile::tempdir().expect("a folder");
        let all = Reservations::beside(&folder.path().join("lcm.lock"));
        for _ in 0..PER_USER_MAX + 5 {
            all.write(&reservation("painter")).expect("written");
        }
        assert_eq!(all.read(None).expect("read").len(), PER_USER_MAX);
    }
}
