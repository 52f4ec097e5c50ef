//! Reads AMD GPUs from the kernel's files: `/sys/class/drm` for the boards, `/proc/PID/fdinfo` for the processes that
//! hold their memory. Only root may read those of other users: memory in use beyond the named processes may be theirs,
//! and is then listed as held by unnamed processes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::io::Errno;

use crate::files::kernel;
use crate::host::gpu::owner;
use crate::host::gpu::progress::DriverProgress;
use crate::model::desired::DeclaredGpu;
use crate::model::facts::{GpuFact, GpuHolder, ProcessOwner};
use crate::model::names::GpuId;
use crate::model::size::Mebibytes;

const VENDOR: &str = "0x1002";

/// Device nodes that programs open to use a board: graphics and computing.
const NODES: [&str; 2] = ["/dev/dri", "/dev/kfd"];

/// Unattributed memory up to which the cause may be the rounding of each process to MiB.
const ROUNDING_MAX: Mebibytes = Mebibytes(16);

struct Card {
    gpu: GpuFact,
    /// PCI address (`0000:0c:00.0`), by which open files name the board.
    address: String,
    /// True if the board uses the host's memory.
    unified: bool,
}

/// Reads the GPUs and their holders; `None`: this machine has no AMD GPU. On boards that are declared to use the host's
/// memory, their share of that (GTT) counts too.
pub(super) fn read(
    (drm, processes): (&Path, &Path),
    declared: &[DeclaredGpu],
    progress: &DriverProgress,
) -> Option<Vec<GpuFact>> {
    let mut cards = cards(drm, declared);
    if cards.is_empty() {
        return None;
    }
    let unified: BTreeSet<String> = cards.iter().filter(|card| card.unified).map(|card| card.address.clone()).collect();
    let mut held = held(processes, &unified, progress);
    for card in &mut cards {
        let holder = |(pid, bytes): (i32, u64)| GpuHolder {
            pid,
            program: String::new(),
            memory: Some(Mebibytes::needed(bytes)),
            owner: ProcessOwner::Foreign,
        };
        card.gpu.holders = held.by_board.remove(&card.address).into_iter().flatten().map(holder).collect();
        let named: Mebibytes = card.gpu.holders.iter().filter_map(|holder| holder.memory).sum();
        if held.refused && card.gpu.used.is_some_and(|used| used - named > ROUNDING_MAX) {
            card.gpu.holders.push(owner::unnamed());
        }
    }
    Some(cards.into_iter().map(|card| card.gpu).collect())
}

fn cards(drm: &Path, declared: &[DeclaredGpu]) -> Vec<Card> {
    let names = kernel::names(drm).into_iter().flatten();
    let mut numbered: Vec<(u32, PathBuf)> = names
        .filter_map(|name| {
            // `card0-DP-1` is a connector of the board.
            let number = name.to_str()?.strip_prefix("card")?.parse().ok()?;
            Some((number, drm.join(name).join("device")))
        })
        .filter(|(_, device)| text(device, "vendor").as_deref() == Some(VENDOR))
        .collect();
    numbered.sort();
    // AMD's runtimes count boards from 0, independently of the kernel's numbers.
    (0..).zip(numbered).filter_map(|(index, (_, device))| card(index, &device, declared)).collect()
}

fn card(index: u32, device: &Path, declared: &[DeclaredGpu]) -> Option<Card> {
    let bytes = |name: &str| text(device, name)?.parse::<u64>().ok();
    let address = text(device, "uevent")?
        .lines()
        .find_map(|line| line.strip_prefix("PCI_SLOT_NAME=").map(str::to_owned))
        .unwrap_or_default();
    // Boards without a unique id are known by their index, as declared ones are.
    let id = text(device, "unique_id").map_or_else(|| format!("gpu-{index}"), |unique| format!("GPU-{unique}"));
    let id = GpuId::new(id);
    let unified = declared.iter().any(|one| one.unified && one.is(&id, index));
    // If the use of the host's memory is not reported, the total is unknown.
    let shared = if unified { bytes("mem_info_gtt_used") } else { Some(0) };
    let used = bytes("mem_info_vram_used").zip(shared).map(|(own, shared)| own.saturating_add(shared));
    let gpu = GpuFact {
        id,
        index,
        name: text(device, "product_name").unwrap_or_else(|| format!("AMD GPU at {address}")),
        capacity: Mebibytes::available(bytes("mem_info_vram_total")?),
        used: used.map(Mebibytes::needed),
        reserved: Mebibytes::ZERO,
        lost: None,
        unreadable: None,
        holders: Vec::new(),
    };
    Some(Card { gpu, address, unified })
}

/// Reads a small file of the kernel, trimmed; `None` also if it is empty.
fn text(folder: &Path, name: &str) -> Option<String> {
    let text = kernel::table(folder.join(name)).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[derive(Default)]
struct ProcessMemory {
    /// Bytes by board and process.
    by_board: BTreeMap<String, BTreeMap<i32, u64>>,
    /// True if lcm may not inspect some process or some of its open files.
    refused: bool,
}

/// Sums the memory of all processes. A DRM client that several files or processes share counts once.
fn held(processes: &Path, unified: &BTreeSet<String>, progress: &DriverProgress) -> ProcessMemory {
    let mut held = ProcessMemory::default();
    let mut seen = BTreeSet::new();
    let names = kernel::names(processes).into_iter().flatten();
    let mut pids: Vec<i32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    for pid in pids {
        progress.step();
        for client in clients(&processes.join(pid.to_string()), &mut held.refused) {
            let shared = if unified.contains(&client.address) { client.shared } else { 0 };
            let bytes = client.bytes.saturating_add(shared);
            if bytes > 0 && seen.insert((client.address.clone(), client.id)) {
                let held = held.by_board.entry(client.address).or_default().entry(pid).or_default();
                *held = held.saturating_add(bytes);
            }
        }
    }
    held
}

/// Returns the DRM clients of a process. Of its other open files, of which there may be very many, only the link is
/// read.
fn clients(process: &Path, refused: &mut bool) -> Vec<Client> {
    let mut clients = Vec::new();
    let mut note = |error: io::Error| *refused |= !has_ended(&error);
    let folder = process.join("fd");
    let names = kernel::names(&folder).map_err(&mut note).into_iter().flatten();
    for name in names {
        let opened = fs::read_link(folder.join(&name)).map_err(&mut note).unwrap_or_default();
        if NODES.iter().any(|node| opened.starts_with(node)) {
            let path = process.join("fdinfo").join(name);
            clients.extend(kernel::table(path).map_err(&mut note).ok().as_deref().and_then(client_of));
        }
    }
    clients
}

/// Returns true if the process has ended or has closed the file between the listing and the read.
fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

struct Client {
    address: String,
    id: String,
    bytes: u64,
    /// Bytes of the host's memory.
    shared: u64,
}

/// Parses the `fdinfo` of one open file; `None`: the file is not a GPU's.
fn client_of(fdinfo: &str) -> Option<Client> {
    let field = |name: &str| {
        let line = |line: &'_ str| line.strip_prefix(name)?.strip_prefix(':').map(|value| value.trim().to_owned());
        fdinfo.lines().find_map(line)
    };
    let (address, id) = (field("drm-pdev")?, field("drm-client-id")?);
    let bytes = bytes_of(&field("drm-memory-vram")?)?;
    let shared = field("drm-memory-gtt").and_then(|amount| bytes_of(&amount)).unwrap_or_default();
    Some(Client { address, id, bytes, shared })
}

/// Parses an amount: `2048 KiB`.
fn bytes_of(amount: &str) -> Option<u64> {
    let mut words = amount.split_whitespace();
    let number: u64 = words.next()?.parse().ok()?;
    let unit = match words.next() {
        None => 1,
        Some("KiB") => 1 << 10,
        Some("MiB") => 1 << 20,
        Some(_) => return None,
    };
    Some(number.saturating_mul(unit))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{DriverProgress, read};
    use crate::model::desired::DeclaredGpu;
    use crate::model::size::Mebibytes;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn card(root: &Path, number: u32, vendor: &str, unique: Option<&str>) {
        let device = format!("drm/card{number}/device");
        write(root, &format!("{device}/vendor"), &format!("{vendor}\n"));
        write(root, &format!("{device}/uevent"), &format!("DRIVER=amdgpu\nPCI_SLOT_NAME=0000:0{number}:00.0\n"));
        write(root, &format!("{device}/mem_info_vram_total"), "25753026560\n");
        write(root, &format!("{device}/mem_info_vram_used"), "1073741825\n");
        if let Some(unique) = unique {
            write(root, &format!("{device}/unique_id"), &format!("{unique}\n"));
        }
    }

    fn open(root: &Path, pid: i32, file: u32, address: &str, client: u32, memory: &str) {
        let text = format!(
            "pos:\t0\nflags:\t02100002\ndrm-driver:\tamdgpu\ndrm-client-id:\t{client}\ndrm-pdev:\t{address}\n\
             drm-memory-vram:\t{memory}\ndrm-memory-gtt: \t2048 KiB\n"
        );
        write(root, &format!("proc/{pid}/fdinfo/{file}"), &text);
        link(root, pid, file, "/dev/dri/renderD128");
    }

    fn link(root: &Path, pid: i32, file: u32, opened: &str) {
        let folder = root.join(format!("proc/{pid}/fd"));
        fs::create_dir_all(&folder).expect("made");
        let path = folder.join(file.to_string());
        let _ = fs::remove_file(&path);
        std::os::unix::fs::symlink(opened, path).expect("linked");
    }

    #[test]
    fn boards_and_their_holders_are_read_from_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        card(root, 1, "0x1002", Some("4b2c1a9f8d3e6f7a"));
        card(root, 2, "0x10de", None);
        card(root, 3, "0x1002", None);
        write(root, "drm/card1-DP-1/device/vendor", "0x1002\n");
        // One client through two files, and again in a process that inherited it; another client beside it.
        open(root, 40, 5, "0000:01:00.0", 7, "2048 KiB");
        open(root, 40, 6, "0000:01:00.0", 7, "2048 KiB");
        open(root, 41, 5, "0000:01:00.0", 7, "2048 KiB");
        open(root, 40, 8, "0000:01:00.0", 8, "1 MiB");
        // The same number on another board is another client.
        open(root, 42, 3, "0000:03:00.0", 7, "512 KiB");
        write(root, "proc/43/fdinfo/0", "pos:\t0\nflags:\t0100000\n");

        // A file that is no board's is not read, though its `fdinfo` claims memory.
        open(root, 44, 4, "0000:03:00.0", 9, "9 MiB");
        link(root, 44, 4, "/home/me/dri");
        open(root, 42, 4, "0000:03:00.0", 10, "512 KiB");
        link(root, 42, 4, "/dev/kfd");

        let progress = DriverProgress::new();
        let gpus = read((&root.join("drm"), &root.join("proc")), &[], &progress).expect("there are some");
        assert_eq!(progress.steps(), 5, "one for each process");
        let seen: Vec<_> = gpus.iter().map(|gpu| (gpu.id.as_str(), gpu.index, gpu.capacity, gpu.used)).collect();
        let used = Some(Mebibytes(1_025));
        let expected = [("GPU-4b2c1a9f8d3e6f7a", 0, Mebibytes(24_560), used), ("gpu-1", 1, Mebibytes(24_560), used)];
        assert_eq!(seen, expected);
        let holders = |at: usize| gpus[at].holders.iter().map(|one| (one.pid, one.memory)).collect::<Vec<_>>();
        assert_eq!(holders(0), [(40, Some(Mebibytes(3)))]);
        assert_eq!(holders(1), [(42, Some(Mebibytes(1)))]);
    }

    #[test]
    fn memory_beyond_the_named_processes_is_unattributed_if_a_process_may_not_be_inspected() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        card(root, 0, "0x1002", Some("4b2c1a9f8d3e6f7a"));
        card(root, 1, "0x1002", Some("4b2c1a9f8d3e6f7b"));
        open(root, 40, 5, "0000:00:00.0", 7, "500 MiB");
        open(root, 40, 6, "0000:01:00.0", 8, "1010 MiB");
        // A process that has ended meanwhile refuses nothing.
        fs::create_dir_all(root.join("proc/41")).expect("made");
        let reported = || {
            let gpus =
                read((&root.join("drm"), &root.join("proc")), &[], &DriverProgress::new()).expect("there are some");
            gpus.iter()
                .map(|gpu| gpu.holders.iter().map(|one| (one.pid, one.memory)).collect())
                .collect::<Vec<Vec<_>>>()
        };
        let (first, second) = ((40, Some(Mebibytes(500))), (40, Some(Mebibytes(1_010))));
        assert_eq!(reported(), [vec![first], vec![second]]);
        // Root may read everything, so a file in place of the folder stands for a folder that may not be read.
        write(root, "proc/42/fd", "");
        assert_eq!(reported(), [vec![first, (0, None)], vec![second]], "the second board is attributed in full");
    }

    /// A board with 512 MiB of its own that may use 124 GiB of the host's.
    #[test]
    fn a_boards_use_of_the_hosts_memory_counts_if_it_is_declared_unified() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        card(root, 0, "0x1002", None);
        card(root, 1, "0x1002", None);
        for number in [0, 1] {
            let device = format!("drm/card{number}/device");
            write(root, &format!("{device}/mem_info_vram_total"), "536870912\n");
            write(root, &format!("{device}/mem_info_vram_used"), "104857600\n");
            write(root, &format!("{device}/mem_info_gtt_used"), "42949672960\n");
        }
        open(root, 40, 5, "0000:00:00.0", 7, "60 MiB");
        open(root, 40, 6, "0000:01:00.0", 8, "60 MiB");
        let declared = DeclaredGpu { index: 0, uuid: None, capacity: Mebibytes(112_640), unified: true };
        let read = || {
            let paths = (root.join("drm"), root.join("proc"));
            let gpus = read((&paths.0, &paths.1), std::slice::from_ref(&declared), &DriverProgress::new());
            gpus.expect("there are some").into_iter().map(|gpu| (gpu.used, gpu.holders[0].memory)).collect::<Vec<_>>()
        };
        let board = (Some(Mebibytes(100)), Some(Mebibytes(60)));
        assert_eq!(read(), [(Some(Mebibytes(41_060)), Some(Mebibytes(62))), board]);
        fs::remove_file(root.join("drm/card0/device/mem_info_gtt_used")).expect("removed");
        assert_eq!(read()[0].0, None, "unreported memory is unknown, not zero");
    }

    #[test]
    fn a_machine_without_such_boards_has_none() {
        let folder = tempfile::tempdir().expect("a folder");
        card(folder.path(), 0, "0x10de", None);
        assert_eq!(read((&folder.path().join("drm"), folder.path()), &[], &DriverProgress::new()), None);
        assert_eq!(read((&folder.path().join("nowhere"), folder.path()), &[], &DriverProgress::new()), None);
    }
}
