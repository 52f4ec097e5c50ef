//! Simulated GPUs: a text file that the simulated library, the model server and the tests read and write. Depends only
//! on std.
//!
//! A writer locks a file beside it and renames a complete new one into place, so readers need no lock. A holder keeps
//! its own file locked while it lives, which makes its end visible to all processes, in any container.

use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Environment variable with the path of the file.
pub(crate) const VARIABLE: &str = "LCM_SIMULATED_GPU";

/// Contents of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct World {
    /// Version of the driver; after a change, every process has to load the library again.
    pub(crate) driver: String,
    pub(crate) gpus: Vec<Gpu>,
    pub(crate) holds: Vec<Hold>,
    pub(crate) quirks: Vec<Quirk>,
    /// Descriptions of all failed attempts to take more memory than a GPU has.
    pub(crate) overcommitted: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gpu {
    pub(crate) uuid: String,
    /// GPU that this is an instance of.
    pub(crate) parent: Option<String>,
    pub(crate) total_mib: u64,
    pub(crate) reserved_mib: u64,
    pub(crate) name: String,
}

/// Memory that one process holds on one GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) gpu: String,
    /// Pid as the process sees it; another one than the host's if it runs in a container.
    pub(crate) pid: u32,
    pub(crate) mib: u64,
    /// Memory in the list of graphics processes, if it is listed there too.
    pub(crate) draws_mib: Option<u64>,
    /// File that the holder keeps locked; unset: it never ends.
    pub(crate) life: Option<String>,
    /// Id of its container, or the beginning of that.
    pub(crate) container: Option<String>,
    /// Its pid on the host, once a process there has searched for it.
    pub(crate) host_pid: Option<u32>,
    pub(crate) after: After,
    /// Time when its end was first noticed, in milliseconds since 1970.
    pub(crate) died_ms: Option<u64>,
}

/// Release of a holder's memory after it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum After {
    #[default]
    Now,
    Lag(Duration),
    Never,
}

/// Difference of this driver from a current, healthy one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Quirk {
    NotLoaded,
    /// Calls do not return until this quirk is removed.
    Hang,
    /// It lacks the second version of the memory call.
    Old,
    /// It lists processes without their memory.
    NoFigures,
    /// It does not list processes.
    NoList,
    /// It does not report the amount of memory.
    NoMemory,
    /// This GPU fell off the bus.
    Lost(String),
    /// The caller's control group excludes this GPU, and allows others.
    Forbidden(String),
}

impl World {
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        Self::parse(&fs::read_to_string(path)?)
    }

    /// Changes the file under its lock, after processing the holders that have ended.
    pub(crate) fn change<T>(path: &Path, change: impl FnOnce(&mut Self) -> T) -> io::Result<T> {
        // The first caller creates the folder: it should be the host, not a container with another user.
        fs::create_dir_all(lives(path))?;
        let lock = File::create(beside(path, "lock"))?;
        lock.lock()?;
        let mut world = Self::read(path)?;
        world.settle(path);
        let result = change(&mut world);
        world.replace(path)?;
        Ok(result)
    }

    /// Replaces the file atomically.
    pub(crate) fn replace(&self, path: &Path) -> io::Result<()> {
        let draft = beside(path, &format!("draft-{}-{}", std::process::id(), container().unwrap_or_default()));
        fs::write(&draft, self.text())?;
        fs::rename(&draft, path)
    }

    /// Reads the current state, and records holders that have ended since.
    pub(crate) fn now(path: &Path) -> io::Result<Self> {
        let mut world = Self::read(path)?;
        if world.settle(path) {
            return Self::change(path, |world| world.clone());
        }
        Ok(world)
    }

    /// Returns the memory of all holders, ended ones too, in MiB.
    pub(crate) fn used_mib(&self, gpu: &str) -> u64 {
        self.holds.iter().filter(|hold| hold.gpu == gpu).fold(0, |sum, hold| sum.saturating_add(hold.mib))
    }

    pub(crate) fn gpu(&self, uuid: &str) -> Option<&Gpu> {
        self.gpus.iter().find(|gpu| gpu.uuid == uuid)
    }

    pub(crate) fn has(&self, quirk: &Quirk) -> bool {
        self.quirks.contains(quirk)
    }

    /// Records ended holders, and frees memory that is due; returns true if anything changed.
    fn settle(&mut self, path: &Path) -> bool {
        let now_ms = now_ms();
        let before = self.clone();
        for hold in self.holds.iter_mut().filter(|hold| hold.died_ms.is_none()) {
            if hold.life.as_ref().is_some_and(|life| !is_locked(&lives(path).join(life))) {
                hold.died_ms = Some(now_ms);
            }
        }
        self.holds.retain(|hold| match (hold.died_ms, hold.after) {
            (None, _) | (Some(_), After::Never) => true,
            (Some(_), After::Now) => false,
            (Some(died_ms), After::Lag(lag)) => u128::from(now_ms.saturating_sub(died_ms)) < lag.as_millis(),
        });
        *self != before
    }
}

/// Running process that may hold memory.
#[derive(Debug)]
pub(crate) struct Holder {
    path: PathBuf,
    life: String,
    /// Locked while the process lives.
    _file: File,
}

impl Holder {
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        World::change(path, |_| ())?;
        let life = format!("{}-{}-{}", container().unwrap_or_default(), std::process::id(), now_ms());
        let file = File::create(lives(path).join(&life))?;
        file.lock()?;
        Ok(Self { path: path.to_owned(), life, _file: file })
    }

    /// Sets the memory held on a GPU, in MiB. `Ok(false)`: the GPU has too little, and that is recorded.
    pub(crate) fn hold(&self, gpu: &str, mib: u64, after: After) -> io::Result<bool> {
        World::change(&self.path, |world| {
            let mine = |hold: &Hold| hold.gpu == gpu && hold.life.as_ref() == Some(&self.life);
            let before = world.holds.iter().find(|hold| mine(hold)).cloned();
            world.holds.retain(|hold| !mine(hold));
            let capacity = world.gpu(gpu).map_or(0, |gpu| gpu.total_mib.saturating_sub(gpu.reserved_mib));
            let wanted = world.used_mib(gpu).saturating_add(mib);
            let fits = wanted <= capacity;
            if !fits {
                let over = wanted - capacity;
                world.overcommitted.push(format!("{gpu} by pid {}: {over} MiB more than there is", std::process::id()));
            }
            let hold = Hold {
                gpu: gpu.to_owned(),
                pid: std::process::id(),
                mib,
                life: Some(self.life.clone()),
                container: container(),
                after,
                ..before.clone().unwrap_or_default()
            };
            world.holds.extend(if fits { Some(hold).filter(|hold| hold.mib > 0) } else { before });
            fits
        })
    }
}

/// Returns the beginning of this container's id, which is its hostname by default; `None` outside a container.
fn container() -> Option<String> {
    // A process that sees other processes than its own is not in a container.
    let first = std::process::id() == 1 || fs::read_to_string("/proc/1/cmdline").is_ok_and(|line| is_server(&line));
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?.trim().to_owned();
    let is_id = name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    (first && is_id).then_some(name)
}

fn is_server(line: &str) -> bool {
    line.split('\0').next().is_some_and(|program| program.ends_with("/model_server"))
}

fn is_locked(path: &Path) -> bool {
    match File::open(path).map(|file| file.try_lock_shared()) {
        Ok(Err(TryLockError::WouldBlock)) => true,
        Ok(_) | Err(_) => false,
    }
}

fn lives(path: &Path) -> PathBuf {
    beside(path, "lives")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Parses `18GiB`, `512MiB` or `20GB` into MiB, rounded up.
pub(crate) fn mebibytes(text: &str) -> Result<u64, String> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let unit = match &text[digits..] {
        "GiB" => 1 << 30,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "MB" => 1_000_000,
        _ => return Err(format!("a size is 18GiB, 512MiB or 20GB, not {text}")),
    };
    let amount: u64 = text[..digits].parse().map_err(|_| format!("a size is 18GiB or 512MiB, not {text}"))?;
    Ok((amount * unit).div_ceil(1 << 20))
}

// Each line: a keyword, then positional fields, then `name=value` fields.
impl World {
    pub(crate) fn text(&self) -> String {
        let mut text = format!("driver {}\n", self.driver);
        for gpu in &self.gpus {
            let Gpu { uuid, parent, total_mib, reserved_mib, name } = gpu;
            let parent = parent.as_deref().unwrap_or("-");
            let _ = writeln!(text, "gpu {uuid} {parent} {total_mib} {reserved_mib} {name}");
        }
        for hold in &self.holds {
            let _ = write!(text, "hold {} pid={} mib={}", hold.gpu, hold.pid, hold.mib);
            let after = match hold.after {
                After::Now => "now".to_owned(),
                After::Lag(lag) => lag.as_millis().to_string(),
                After::Never => "never".to_owned(),
            };
            let fields = [
                ("draws", hold.draws_mib.map(|mib| mib.to_string())),
                ("life", hold.life.clone()),
                ("container", hold.container.clone()),
                ("host", hold.host_pid.map(|pid| pid.to_string())),
                ("after", Some(after)),
                ("died", hold.died_ms.map(|time| time.to_string())),
            ];
            for (name, value) in fields {
                if let Some(value) = value {
                    let _ = write!(text, " {name}={value}");
                }
            }
            text.push('\n');
        }
        for quirk in &self.quirks {
            let _ = match quirk {
                Quirk::Lost(gpu) => writeln!(text, "quirk lost {gpu}"),
                Quirk::Forbidden(gpu) => writeln!(text, "quirk forbidden {gpu}"),
                Quirk::NotLoaded => writeln!(text, "quirk not-loaded"),
                Quirk::Hang => writeln!(text, "quirk hang"),
                Quirk::Old => writeln!(text, "quirk old"),
                Quirk::NoFigures => writeln!(text, "quirk no-figures"),
                Quirk::NoList => writeln!(text, "quirk no-list"),
                Quirk::NoMemory => writeln!(text, "quirk no-memory"),
            };
        }
        for what in &self.overcommitted {
            let _ = writeln!(text, "overcommitted {what}");
        }
        text
    }

    pub(crate) fn parse(text: &str) -> io::Result<Self> {
        let mut world = Self::default();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
            let known = match kind {
                "driver" => {
                    rest.clone_into(&mut world.driver);
                    true
                }
                "gpu" => gpu(rest).map(|gpu| world.gpus.push(gpu)).is_some(),
                "hold" => hold(rest).map(|hold| world.holds.push(hold)).is_some(),
                "quirk" => quirk(rest).map(|quirk| world.quirks.push(quirk)).is_some(),
                "overcommitted" => {
                    world.overcommitted.push(rest.to_owned());
                    true
                }
                _ => false,
            };
            if !known {
                return Err(io::Error::other(format!("invalid line: {line}")));
            }
        }
        Ok(world)
    }
}

fn gpu(text: &str) -> Option<Gpu> {
    let mut words = text.splitn(5, ' ');
    Some(Gpu {
        uuid: words.next()?.to_owned(),
        parent: words.next().filter(|parent| *parent != "-").map(str::to_owned),
        total_mib: words.next()?.parse().ok()?,
        reserved_mib: words.next()?.parse().ok()?,
        name: words.next()?.to_owned(),
    })
}

fn hold(text: &str) -> Option<Hold> {
    let mut words = text.split(' ');
    let mut hold = Hold { gpu: words.next()?.to_owned(), ..Hold::default() };
    for word in words {
        let (name, value) = word.split_once('=')?;
        match name {
            "pid" => hold.pid = value.parse().ok()?,
            "mib" => hold.mib = value.parse().ok()?,
            "draws" => hold.draws_mib = Some(value.parse().ok()?),
            "life" => hold.life = Some(value.to_owned()),
            "container" => hold.container = Some(value.to_owned()),
            "host" => hold.host_pid = Some(value.parse().ok()?),
            "died" => hold.died_ms = Some(value.parse().ok()?),
            "after" => {
                hold.after = match value {
                    "now" => After::Now,
                    "never" => After::Never,
                    lag_ms => After::Lag(Duration::from_millis(lag_ms.parse().ok()?)),
                }
            }
            _ => return None,
        }
    }
    Some(hold)
}

fn quirk(text: &str) -> Option<Quirk> {
    Some(match text {
        "not-loaded" => Quirk::NotLoaded,
        "hang" => Quirk::Hang,
        "old" => Quirk::Old,
        "no-figures" => Quirk::NoFigures,
        "no-list" => Quirk::NoList,
        "no-memory" => Quirk::NoMemory,
        _ => match text.split_once(' ')? {
            ("lost", gpu) => Quirk::Lost(gpu.to_owned()),
            ("forbidden", gpu) => Quirk::Forbidden(gpu.to_owned()),
            _ => return None,
        },
    })
}
