//! Reads of single processes from `/proc`. A process that has ended, or that may not be read, is `None`: any process
//! may end between a listing and a read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, fs, io};

use jiff::{SignedDuration, Timestamp};

use crate::files::kernel;
pub(crate) use crate::host::stat::Stat;
use crate::model::facts::{Marks, ProcessFact};
use crate::model::safe_text;

/// Environment variables of lcm's marks. Commands that lcm runs beside a service must not carry them, or they would
/// count as its members.
pub(crate) const PROJECT: &str = "LCM_PROJECT";
pub(crate) const SERVICE: &str = "LCM_SERVICE";
pub(crate) const SPEC: &str = "LCM_SPEC";
pub(crate) const SECRETS: &str = "LCM_SECRETS";
pub(crate) const SALT: &str = "LCM_SALT";
pub(crate) const CONFIG: &str = "LCM_CONFIG";
pub(crate) const GPUS: &str = "LCM_GPUS";
pub(crate) const VRAM_MIB: &str = "LCM_VRAM_MIB";
pub(crate) const STARTED_AT: &str = "LCM_STARTED_AT";
pub(crate) const ROLE: &str = "LCM_ROLE";
/// Value of [`ROLE`] on a shim; the processes that it supervises carry no role.
pub(crate) const ROLE_SHIM: &str = "shim";
/// All names of marks.
pub(crate) const ALL_MARKS: [&str; 10] =
    [PROJECT, SERVICE, SPEC, SECRETS, SALT, CONFIG, GPUS, VRAM_MIB, STARTED_AT, ROLE];

/// Hidden subcommand by which lcm becomes a shim.
pub(crate) const SHIM_SUBCOMMAND: &str = "__shim";

/// Usual size of environments and the like; longer ones take more than one read.
const FILE_BYTES_USUAL: usize = 8 << 10;
/// Above the kernel's limit for arguments and environment together: 6 MiB (three quarters of its stack limit).
const FILE_BYTES_MAX: u64 = 8 << 20;
/// Bound for other users' environments, of which there may be thousands.
const CLAIM_BYTES_MAX: u64 = 32 << 10;
/// Length limit of a mark: a start's config is at most 100 KiB.
const MARK_BYTES_MAX: usize = 128 << 10;
/// Length limit of a name: each service has a folder of its name, and no file system has names above 255 bytes.
const NAME_BYTES_MAX: usize = 512;
/// GPUs of one service: more than any machine has.
const GPUS_MAX: usize = 256;
/// Above the difference of two clocks that count in hundredths of a second.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(1);

/// Marks that lcm wrote into the environment of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marked {
    pub(crate) marks: Marks,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) shim: bool,
}

/// Lists all pids, in the order of `/proc`.
pub(crate) fn pids() -> io::Result<impl Iterator<Item = i32>> {
    Ok(kernel::names(Path::new("/proc"))?.filter_map(|name| name.to_str()?.parse().ok()))
}

/// Reads a file of `/proc`. These files report no size, and growing an empty buffer costs ten reads a file.
fn read(pid: i32, name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(FILE_BYTES_USUAL);
    kernel::open(Path::new(&format!("/proc/{pid}/{name}")))?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_environ(pid: i32, owners: &BTreeSet<u32>) -> io::Result<Vec<u8>> {
    let file = kernel::open(Path::new(&format!("/proc/{pid}/environ")))?;
    let is_of_owner = owners.contains(&file.metadata()?.uid());
    let mut bytes = Vec::with_capacity(FILE_BYTES_USUAL);
    file.take(if is_of_owner { FILE_BYTES_MAX } else { CLAIM_BYTES_MAX }).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(crate) fn stat(pid: i32) -> Option<Stat> {
    let text = read(pid, "stat").ok()?;
    parse_stat(&String::from_utf8_lossy(&text))
}

/// Parses `/proc/PID/stat`. The program's name is in brackets and may contain brackets: the last one ends it.
fn parse_stat(text: &str) -> Option<Stat> {
    let (head, tail) = text.rsplit_once(')')?;
    let (pid, program) = head.split_once('(')?;
    let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
    Some(Stat {
        pid: pid.trim().parse().ok()?,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        state: fields.first()?.chars().next()?,
        // Field 22 of proc(5); the first one after the bracket is number 3.
        start_ticks: fields.get(19)?.parse().ok()?,
        // Every user names programs freely, and other users see these names.
        program: safe_text::line(program),
    })
}

/// Process group and session that a shell or a service manager started together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessJob {
    pub(crate) group: i32,
    pub(crate) session: i32,
    /// True if the session has a terminal.
    pub(crate) terminal: bool,
}

pub(crate) fn job(pid: i32) -> Option<ProcessJob> {
    let text = read(pid, "stat").ok()?;
    parse_job(&String::from_utf8_lossy(&text))
}

/// Parses fields 5 to 7 of proc(5); the first one after the bracket is number 3.
fn parse_job(text: &str) -> Option<ProcessJob> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let terminal = fields.get(4)?.parse::<i64>().ok()? != 0;
    Some(ProcessJob { group: fields.get(2)?.parse().ok()?, session: fields.get(3)?.parse().ok()?, terminal })
}

/// Returns the arguments of a process; empty if they can't be read.
pub(crate) fn words(pid: i32) -> Vec<String> {
    let bytes = read(pid, "cmdline").unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let text = text.strip_suffix('\0').unwrap_or(&text);
    if text.is_empty() { Vec::new() } else { text.split('\0').map(str::to_owned).collect() }
}

/// Returns the path of the program that a process runs, also if another file is there by now.
pub(crate) fn executable(pid: i32) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(path.to_str().and_then(|path| path.strip_suffix(" (deleted)")).map_or(path.clone(), PathBuf::from))
}

/// Returns the systemd unit that a process belongs to.
pub(crate) fn unit(pid: i32) -> Option<String> {
    unit_of(&kernel::table(format!("/proc/{pid}/cgroup")).ok()?)
}

/// Returns the innermost service; the one that contains a user's whole session does not count.
fn unit_of(cgroups: &str) -> Option<String> {
    let paths = cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let mut units = paths.flat_map(|path| path.rsplit('/')).filter(|group| group.ends_with(".service"));
    units.find(|unit| !unit.starts_with("user@")).map(str::to_owned)
}

/// Returns true if exactly this process is alive.
pub(crate) fn is_alive(process: &ProcessFact) -> bool {
    stat(process.pid).is_some_and(|stat| stat.is(process) && stat.is_alive())
}

/// Classification of a process by its environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EnvironmentMarks {
    /// An environment that names a project.
    Marked(Environ),
    Unmarked,
    /// A kernel thread or a zombie. Never one of lcm's.
    NoAddressSpace,
}

/// Raw environment that names a project. It is parsed on demand only: it may be long, and forged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Environ(Vec<u8>);

impl Environ {
    /// Returns project and service, if both are named.
    pub(crate) fn names(&self) -> Option<(String, String)> {
        let value = |entry: &[u8], name: &str| {
            let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            Some(short(&String::from_utf8_lossy(&value[..value.len().min(2 * NAME_BYTES_MAX)])))
                .filter(|value| !value.is_empty())
        };
        // The last of several entries counts, as in `marks`.
        let (project, service) = self.0.split(|byte| *byte == 0).fold((None, None), |(project, service), entry| {
            (value(entry, PROJECT).or(project), value(entry, SERVICE).or(service))
        });
        project.zip(service)
    }

    /// Returns the marks, if the set is complete.
    pub(crate) fn marks(&self) -> Option<Marked> {
        marks_of(&parse_environ(&self.0))
    }
}

/// Reads the marks of a process. For an owner outside of `owners` only the beginning is read: that user's marks are no
/// more than a claim.
pub(crate) fn bearing(pid: i32, owners: &BTreeSet<u32>) -> EnvironmentMarks {
    let bytes = match read_environ(pid, owners) {
        Ok(bytes) => bytes,
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
            return EnvironmentMarks::NoAddressSpace;
        }
        Err(_) => return EnvironmentMarks::Unmarked,
    };
    // Most processes carry no marks.
    let names_project = bytes.split(|byte| *byte == 0).any(|entry| entry.starts_with(PROJECT.as_bytes()));
    if names_project { EnvironmentMarks::Marked(Environ(bytes)) } else { EnvironmentMarks::Unmarked }
}

/// Parses the marks in an environment. Without a salt, which distinguishes one start from the next, the process is not
/// lcm's.
fn marks_of(environ: &BTreeMap<String, String>) -> Option<Marked> {
    let text = |name: &str| environ.get(name).filter(|text| text.len() <= MARK_BYTES_MAX).cloned().unwrap_or_default();
    let gpus = text(GPUS);
    let marks = Marks {
        project: text(PROJECT),
        service: text(SERVICE),
        spec: text(SPEC),
        secrets: text(SECRETS),
        salt: text(SALT),
        config: text(CONFIG),
        gpus: gpus.split(',').take(GPUS_MAX).collect::<Vec<_>>().join(","),
        ..Marks::default()
    }
    .with_vram(&text(VRAM_MIB));
    let marks = Marks { project: short(&marks.project), service: short(&marks.service), ..marks };
    if marks.project.is_empty() || marks.service.is_empty() || marks.salt.is_empty() {
        return None;
    }
    Some(Marked { marks, started_at: text(STARTED_AT).parse().ok(), shim: text(ROLE) == ROLE_SHIM })
}

/// Truncates a mark's name to its bound; a truncated name matches no service.
fn short(name: &str) -> String {
    let end = name.char_indices().map(|(at, letter)| at + letter.len_utf8()).take_while(|end| *end <= NAME_BYTES_MAX);
    name[..end.last().unwrap_or(0)].to_owned()
}

/// Formats marks as an environment: the inverse of `marks_of`.
pub(crate) fn environment_of(marks: &Marks, started_at: Timestamp) -> BTreeMap<String, String> {
    [
        (PROJECT, marks.project.clone()),
        (SERVICE, marks.service.clone()),
        (SPEC, marks.spec.clone()),
        (SECRETS, marks.secrets.clone()),
        (SALT, marks.salt.clone()),
        (CONFIG, marks.config.clone()),
        (GPUS, marks.gpus.clone()),
        (VRAM_MIB, marks.figures()),
        (STARTED_AT, started_at.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn parse_environ(bytes: &[u8]) -> BTreeMap<String, String> {
    bytes
        .split(|byte| *byte == 0)
        .filter_map(|entry| {
            let text = String::from_utf8_lossy(entry);
            text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// Returns the arguments of a process, separated by blanks.
pub(crate) fn arguments(pid: i32) -> Option<String> {
    let bytes = read(pid, "cmdline").ok()?;
    Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
}

/// Returns the real, effective, saved and file system uid.
pub(crate) fn uids(pid: i32) -> Option<[u32; 4]> {
    uids_of(&String::from_utf8_lossy(&read(pid, "status").ok()?))
}

fn uids_of(status: &str) -> Option<[u32; 4]> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let ids: Vec<u32> = line.split_ascii_whitespace().map_while(|id| id.parse().ok()).collect();
    ids.try_into().ok()
}

/// Returns the namespace of this kind (`pid`, `user`), as the kernel names it; `None`: hidden from this user, or not
/// supported.
pub(crate) fn namespace(pid: impl fmt::Display, kind: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()
}

/// Returns project and service from a shim's command line. Every process chooses its command line: this proves nothing.
pub(crate) fn shim_line(pid: i32) -> Option<(String, String)> {
    shim_of(&read(pid, "cmdline").ok()?)
}

fn shim_of(words: &[u8]) -> Option<(String, String)> {
    let words: Vec<&[u8]> = words.split(|byte| *byte == 0).skip(1).take(5).collect();
    let [subcommand, of_project, project, of_service, service] = words[..] else { return None };
    let expected = [subcommand, of_project, of_service] == [SHIM_SUBCOMMAND.as_bytes(), b"--project", b"--service"];
    let name = |word: &[u8]| std::str::from_utf8(word).ok().filter(|name| !name.is_empty()).map(short);
    if expected { Some((name(project)?, name(service)?)) } else { None }
}

/// Returns the children of a process as the kernel lists them: one file per thread, since a child belongs to the thread
/// that forked it.
pub(crate) fn listed_children(pid: i32) -> Vec<i32> {
    /// Threads read in one process.
    const THREADS_MAX: usize = 16_384;
    let folder = PathBuf::from(format!("/proc/{pid}/task"));
    let threads = kernel::names(&folder).into_iter().flatten().take(THREADS_MAX);
    let lists = threads.filter_map(|thread| kernel::table(folder.join(thread).join("children")).ok());
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Returns the id of this boot: pids and start times mean nothing in another one.
pub(crate) fn boot_id() -> Option<String> {
    kernel::table("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned())
}

/// Returns the effective uid.
pub(crate) fn uid(pid: i32) -> Option<u32> {
    // The files of a process that is closed to debuggers all belong to root: their owner proves nothing.
    uids(pid).map(|[_, effective, ..]| effective)
}

/// Returns the id of the container that a process runs in, by its control group.
pub(crate) fn container(pid: i32) -> Option<String> {
    container_of(&kernel::table(format!("/proc/{pid}/cgroup")).ok()?)
}

/// Returns the id of the container that lcm itself runs in.
pub(crate) fn own_container() -> Option<String> {
    container_of(&kernel::table("/proc/self/cgroup").ok()?)
}

/// Returns the container id in a list of control groups. In cgroups v1 and v2 alike, a group is named after the id:
/// alone (`/docker/<id>`, `/kubepods/besteffort/pod…/<id>`), or between a prefix and `.scope` where systemd makes them.
fn container_of(cgroups: &str) -> Option<String> {
    cgroups.lines().find_map(|line| line.splitn(3, ':').nth(2)?.split('/').find_map(container_id).map(str::to_owned))
}

/// Returns the id in a group's name: only container ids have 64 hexadecimal digits. `libpod-conmon-…` is podman's
/// monitor, outside of its container.
fn container_id(group: &str) -> Option<&str> {
    const PREFIXES: [&str; 4] = ["docker-", "libpod-", "cri-containerd-", "crio-"];
    let is_id = |text: &&str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let name = group.strip_suffix(".scope").unwrap_or(group);
    // containerd without systemd: `<slice>:cri-containerd:<id>`.
    let name = name.rsplit_once(':').map_or(name, |(_, id)| id);
    let name = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    Some(name).filter(is_id)
}

/// Returns true if a process with this pid has lived since then, as far as this process can see.
pub(crate) fn lives_since(pid: i32, since: Timestamp) -> bool {
    let started = stat(pid).filter(Stat::is_alive).and_then(|stat| started_at(stat.start_ticks, Timestamp::now()));
    started.is_some_and(|started| started <= since + CLOCK_TOLERANCE)
}

/// Returns the start time of a process by the wall clock: accurate to some 20 ms, and off by any adjustment of the
/// clock since.
pub(crate) fn started_at(start_ticks: u64, now: Timestamp) -> Option<Timestamp> {
    let uptime = kernel::table("/proc/uptime").ok()?;
    let uptime = Duration::try_from_secs_f64(uptime.split_whitespace().next()?.parse().ok()?).ok()?;
    let after_boot = Duration::from_millis(start_ticks.saturating_mul(1000) / procfs::ticks_per_second().max(1));
    let age = SignedDuration::try_from(uptime.saturating_sub(after_boot)).ok()?;
    now.checked_sub(age).ok()
}

#[cfg(test)]
mod tests {
    use super::{ProcessJob, container_of, environment_of, marks_of, parse_job, parse_stat, shim_of, uids_of, unit_of};
    use crate::model::facts::Marks;

    #[test]
    fn a_program_name_may_look_like_the_rest_of_its_line() {
        let line = "42 (a) Z 7 (b) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 977 0 0";
        let stat = parse_stat(line).expect("a line of /proc/PID/stat");
        assert_eq!((stat.pid, stat.parent, stat.state, stat.start_ticks), (42, 1, 'S', 977));
        assert_eq!(stat.program, "a) Z 7 (b");
        assert_eq!(parse_job(line), Some(ProcessJob { group: 42, session: 42, terminal: false }));
    }

    #[test]
    fn control_characters_in_a_program_name_are_removed() {
        let line = "7 (a\u{1b}]0;x\u{7}b\nc) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 977 0 0";
        assert_eq!(parse_stat(line).expect("a line").program, "ab c");
    }

    #[test]
    fn a_shim_shows_project_and_service_on_its_command_line() {
        let pair = Some(("studio".to_owned(), "comfyui".to_owned()));
        assert_eq!(shim_of(b"lcm\0__shim\0--project\0studio\0--service\0comfyui\0"), pair);
        assert_eq!(shim_of(b"sh\0__shim\0--project\0studio\0--service\0comfyui\0more\0"), pair);
        for other in [
            &b"grep\0--project\0studio\0--service\0comfyui\0"[..],
            b"lcm\0__shim\0--project\0studio\0--service\0",
            b"lcm\0__shim\0--project\0studio\0",
            b"",
        ] {
            assert_eq!(shim_of(other), None, "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn all_four_uids_of_a_process_are_read() {
        assert_eq!(uids_of("Name:\tx\nUid:\t61001\t0\t0\t0\nGid:\t1\t1\t1\t1\n"), Some([61001, 0, 0, 0]));
        assert_eq!(uids_of("Name:\tx\n"), None);
    }

    #[test]
    fn marks_beyond_their_bounds_are_ignored() {
        let mut environment =
            environment_of(&Marks { salt: "s".into(), ..Marks::default() }, jiff::Timestamp::UNIX_EPOCH);
        environment.insert("LCM_PROJECT".into(), "p".into());
        environment.insert("LCM_SERVICE".into(), "s".into());
        environment.insert("LCM_CONFIG".into(), "x".repeat(super::MARK_BYTES_MAX + 1));
        environment.insert("LCM_GPUS".into(), "g,".repeat(10_000));
        environment.insert("LCM_VRAM_MIB".into(), "99999999999999999999999".into());
        let marks = marks_of(&environment).expect("a full set").marks;
        assert_eq!((marks.config.as_str(), marks.vram_mib), ("", 0));
        assert_eq!(marks.placed_on().count(), super::GPUS_MAX);
    }

    #[test]
    fn units_are_known_by_their_control_groups() {
        assert_eq!(unit_of("0::/system.slice/ollama.service\n").as_deref(), Some("ollama.service"));
        let session =
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/vte.scope";
        assert_eq!(unit_of(session), None);
        let desktop = "0::/user.slice/user-1000.slice/user@1000.service/session.slice/org.gnome.Shell@x11.service";
        assert_eq!(unit_of(desktop).as_deref(), Some("org.gnome.Shell@x11.service"));
        assert_eq!(unit_of("0::/user.slice/user-1000.slice/session-3.scope"), None);
    }

    #[test]
    fn marks_survive_a_round_trip_through_the_environment() {
        let marks = Marks {
            project: "p".into(),
            service: "s".into(),
            spec: "v1:0".into(),
            secrets: String::new(),
            salt: "ab".into(),
            config: r#"{"spec":{"command":["a=b"]}}"#.into(),
            gpus: "gpu-0,gpu-1".into(),
            vram_mib: 7,
            ..Marks::default()
        };
        let started_at = "2026-11-20T10:00:00Z".parse().expect("a time");
        let mut environment = environment_of(&marks, started_at);
        let marked = marks_of(&environment).expect("a full set");
        assert_eq!((marked.marks, marked.started_at, marked.shim), (marks, Some(started_at), false));
        environment.remove("LCM_SALT");
        assert_eq!(marks_of(&environment), None, "without a salt the process is not lcm's");
    }

    #[test]
    fn containers_are_known_by_their_control_groups() {
        let id = "0123456789abcdef".repeat(4);
        let pod = "pod2f6bd5a1_4e0d_4c35_9c5a_0f6ae0d4b5ec";
        for line in [
            // Docker: cgroups v1 and v2, with and without systemd, and below the container's own groups.
            format!("0::/system.slice/docker-{id}.scope"),
            format!("0::/docker/{id}"),
            format!("0::/docker/{id}/init"),
            format!("12:memory:/docker/{id}"),
            format!("1:name=systemd:/system.slice/docker-{id}.scope"),
            format!("0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{id}.scope"),
            // Podman, as root and without.
            format!("0::/machine.slice/libpod-{id}.scope/container"),
            format!("0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{id}.scope/container"),
            format!("11:devices:/libpod_parent/libpod-{id}"),
            // containerd: nerdctl, Kubernetes with either driver, CRI-O.
            format!("0::/default/{id}"),
            format!("0::/system.slice/containerd.service/kubepods-besteffort-{pod}.slice:cri-containerd:{id}"),
            format!("0::/kubepods.slice/kubepods-burstable.slice/kubepods-{pod}.slice/cri-containerd-{id}.scope"),
            format!("0::/kubepods.slice/kubepods-{pod}.slice/crio-{id}.scope"),
            format!("4:cpu,cpuacct:/kubepods/besteffort/{pod}/{id}"),
        ] {
            assert_eq!(container_of(&format!("{line}\n")), Some(id.clone()), "{line}");
        }
        let several = format!("9:name=systemd:/\n8:pids:/docker/{id}\n");
        assert_eq!(container_of(&several), Some(id.clone()), "any line will do");
        for line in [
            "0::/".to_owned(),
            "0::/system.slice/docker.service".to_owned(),
            "0::/user.slice/docker-short.scope".to_owned(),
            "0::/user.slice/user-1000.slice/session-3.scope".to_owned(),
            format!("0::/machine.slice/libpod-conmon-{id}.scope"),
            format!("0::/system.slice/{id}0.scope"),
            "0::/system.slice/lcm-studio-comfyui.scope".to_owned(),
        ] {
            assert_eq!(container_of(&line), None, "{line}");
        }
    }
}
